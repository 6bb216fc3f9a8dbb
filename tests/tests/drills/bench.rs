//! `deploy/bin/bench` in a short form, with the development build: that it measures what it says, and refuses or fails when it
//! should. How fast anything is, is asserted nowhere.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::Value;
use todo_tests::{
    process::{Process, Signal},
    wait::eventually,
};

use crate::{load::processes_of, script};

const BENCH: &str = "deploy/bin/bench";

/// A bench of seconds, in folders of its own. Whether a side had work all the time is not asked: others work on this machine.
fn small(folder: &Path, variables: &[(&str, &str)]) -> Command {
    // nginx's worker is another user, who has to come through.
    script::run(Command::new("chmod").arg("711").arg(folder)).succeeded();
    let mut command = script::command(BENCH, &[]);
    command.envs([("BENCH_PROFILE", "debug"), ("BENCH_ROUNDS", "1"), ("BENCH_SECONDS", "1"), ("BENCH_LOADED", "0")]);
    command
        .env("TMPDIR", folder)
        .env("BENCH_OUTPUT", folder.join("out"))
        .env_remove("LANES")
        .env_remove("BENCH_TARGET");
    command.envs(variables.iter().copied());
    command
}

/// What is left in a folder beside the results.
fn left(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name != "out").collect()
}

pub(crate) async fn measures_both_sides_and_says_what_it_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = script::run(&mut small(folder.path(), &[])).succeeded();
    assert!(said.lines().last().is_some_and(|line| line.starts_with("bench: passed, ")), "{said}");
    let text = fs::read_to_string(folder.path().join("out/latest.json")).expect("the result");
    let result: Value = serde_json::from_str(&text).expect("JSON");
    let lanes = result["lanes"].as_array().expect("lanes");
    let names: Vec<_> = lanes.iter().map(|lane| lane["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["plain_h1", "tls_h1", "h2"]);
    for lane in lanes {
        let figure = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("no figure in {lane}"));
        let (ours, nginx) = (figure(&lane["ours_us"]), figure(&lane["peers"]["nginx"]));
        assert!(ours > 0.0 && nginx > 0.0, "{lane}");
        assert!((figure(&lane["ratio_nginx"]) - ours / nginx).abs() < 0.01, "{lane}");
        for side in ["ours", "nginx"] {
            let details = &lane["details"][side];
            assert_eq!(details["rounds_us"].as_array().map(Vec::len), Some(1), "{lane}");
            assert!(
                figure(&details["requests_per_second"]) > 0.0 && figure(&details["loaded_percent"]) > 0.0,
                "{lane}"
            );
            let tls = details["tls"].as_str();
            assert_eq!(tls.is_some_and(|tls| tls.starts_with("TLSv1.3 ")), lane["name"] != "plain_h1", "{lane}");
            assert_eq!(tls, lane["details"]["ours"]["tls"].as_str(), "the same cipher and group on both sides");
        }
        let row = format!("| {:<8} |", lane["name"].as_str().unwrap_or_default());
        assert!(said.contains(&row), "{row} in {said}");
    }
    for member in ["model", "processors", "memory_gib", "kernel", "others_percent"] {
        assert!(!result["machine"][member].is_null(), "{member} in {text}");
    }
    for program in ["gateway", "nginx", "h2load", "rustc"] {
        assert!(result["versions"][program].as_str().is_some_and(|version| !version.is_empty()), "{program} in {text}");
    }
    assert_eq!(left(folder.path()), [""; 0]);
}

pub(crate) async fn fails_where_the_figures_would_mean_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let failed = |variables: &[(&str, &str)]| script::run(&mut small(folder.path(), variables)).failed();
    let said = failed(&[("LANES", "plain_h1"), ("BENCH_TARGET", "/nothing")]);
    assert!(said.starts_with("lane plain_h1, side ours: ") && said.contains(" answers were not 2xx"), "{said}");
    // Nobody has work in more than all of the time.
    let said = failed(&[("LANES", "h2"), ("BENCH_LOADED", "1000")]);
    assert!(said.starts_with("lane h2: ours had work in ") && said.contains("the figures mean nothing"), "{said}");
    assert_eq!(left(folder.path()), [""; 0]);
    assert!(!folder.path().join("out/latest.json").exists(), "a failed bench has no result");
}

pub(crate) async fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for (variable, value, expected) in [
        ("LANES", "h2,h3", "LANES names 'h3', which is no lane: take some of plain_h1,tls_h1,h2"),
        ("LANES", ",", "LANES names '', which is no lane: take some of plain_h1,tls_h1,h2"),
        ("BENCH_ROUNDS", "0", "BENCH_ROUNDS=0 is not a number from 1 to 100"),
        ("BENCH_SECONDS", "1.5", "BENCH_SECONDS=1.5 is not a number from 1 to 600"),
        ("BENCH_PROFILE", "fast", "BENCH_PROFILE=fast is not a build: take dist, release or debug"),
        ("BENCH_TARGET", "v1", "BENCH_TARGET=v1 is not a path: it begins with a slash"),
    ] {
        assert_eq!(script::run(&mut small(folder.path(), &[(variable, value)])).failed(), expected);
    }
    let said = script::run(&mut script::command(BENCH, &["quick"])).failed();
    assert_eq!(said, "'quick' is not understood: see deploy/bin/bench --help");
}

pub(crate) async fn stopped_half_way_it_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = tempfile::tempdir().expect("a folder");
    let mut command = small(folder.path(), &[("BENCH_SECONDS", "60")]);
    let mut bench = Process::start("bench", output.path(), &mut command).expect("it starts");
    eventually("the first round", Duration::from_mins(5), async || {
        assert!(bench.ended().is_none(), "it ended: {}", bench.errors());
        fs::read_to_string(&bench.stdout).is_ok_and(|said| said.contains("each lane: ")).then_some(())
    })
    .await;
    assert!(!processes_of(folder.path()).is_empty(), "both sides run");
    let status = bench.stop(Signal::Terminate).await;
    assert_eq!(status.code(), Some(143), "{}", bench.errors());
    assert_eq!(processes_of(folder.path()), [""; 0], "still there");
    assert_eq!(left(folder.path()), [""; 0]);
}
