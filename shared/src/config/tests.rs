use std::{net::SocketAddr, time::Duration};

use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::*;

const TIER: Tier = Tier {
    name: "sample",
    defaults: "[server]\nlisten = \"127.0.0.1:1\"\npatience = \"10s\"\n[auth]\n#key_ring = \"x\"\n",
    overlays: ["", "[server]\npatience = \"20s\"\n", "[server]\npatience = \"30s\"\n"],
};

#[derive(Debug)]
struct Sample {
    listen: SocketAddr,
    patience: Duration,
    names: Vec<String>,
    key_ring: Option<String>,
    routes: Vec<String>,
}

fn read(root: &Section<'_>, _: Environment) -> Option<Sample> {
    let server = root.section("server", |server| {
        let (listen, patience, names) = (server.get("listen"), server.get("patience"), server.list("names"));
        Some((listen?, patience?, names?))
    });
    let key_ring = root.section("auth", |auth| auth.secret("key_ring"));
    let routes = root.tables("routes", |route| route.get("name"));
    let (listen, patience, names) = server?;
    let key_ring = key_ring?.map(|secret| secret.expose_secret().to_owned());
    Some(Sample { listen, patience, names, key_ring, routes: routes? })
}

fn sample(file: Option<&str>, environment: Environment, variables: &[(&str, &str)]) -> Result<Sample, String> {
    let folder = std::env::temp_dir().join(format!("todo-config-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).expect("a folder");
    let config = file.map(|text| {
        let path = folder.join("sample.toml");
        std::fs::write(&path, text).expect("a file");
        path
    });
    let arguments = ConfigArgs { config, environment };
    let result = load(&TIER, &arguments, &variables, read).map_err(|report| report.to_string());
    std::fs::remove_dir_all(&folder).expect("clean up");
    result
}

#[test]
fn later_layers_win() {
    let variable = ("TODO_SAMPLE__SERVER__PATIENCE", "50s");
    let file = "[server]\npatience = \"40s\"\n";
    let seconds =
        |file, environment, variables: &[_]| sample(file, environment, variables).expect("valid").patience.as_secs();
    assert_eq!(seconds(None, Environment::Development, &[]), 10);
    assert_eq!(seconds(None, Environment::Production, &[]), 30);
    assert_eq!(seconds(Some(file), Environment::Production, &[]), 40);
    assert_eq!(seconds(Some(file), Environment::Production, &[variable]), 50);
}

#[test]
fn every_mistake_is_shown_with_its_place_its_line_and_a_suggestion() {
    let file = "[server]\nlistn = \"127.0.0.1:2\"\npatience = 7\n[[routes]]\nnam = \"a\"\n[[routes]]\nname = true\n";
    let report =
        sample(Some(file), Environment::Development, &[("TODO_SAMPLE__SERVER__NAMES__X", "1")]).expect_err("invalid");
    for expected in [
        "sample.toml:2:1",
        "listn = \"127.0.0.1:2\"",
        "did you mean `listen`?",
        "sample.toml:3:12",
        "expected a duration such as",
        "sample.toml:5:1",
        "did you mean `name`?",
        "`routes.name`: is missing",
        "sample.toml:7:8",
        "environment variable TODO_SAMPLE__SERVER__NAMES__X",
        "the configuration has 6 mistakes",
    ] {
        assert!(report.contains(expected), "{expected} in:\n{report}");
    }
}

#[test]
fn broken_syntax_is_one_mistake_with_its_place() {
    let report = sample(Some("[server]\npatience = \n"), Environment::Development, &[]).expect_err("invalid");
    assert!(report.contains("sample.toml:2:"), "{report}");
}

#[test]
fn a_file_that_is_not_there_is_one_sentence() {
    let arguments = ConfigArgs { config: Some("/nowhere/sample.toml".into()), environment: Environment::Development };
    let report = load(&TIER, &arguments, &[].as_slice(), read).expect_err("missing").to_string();
    assert!(report.starts_with("error: cannot read /nowhere/sample.toml: "), "{report}");
}

#[test]
fn secrets_come_from_files_first_and_are_never_shown() {
    let path = std::env::temp_dir().join(format!("todo-secret-{}", uuid::Uuid::new_v4()));
    std::fs::write(&path, "from-file\n").expect("a file");
    let file = ("TODO_SAMPLE__AUTH__KEY_RING_FILE", path.to_str().expect("UTF-8"));
    let direct = ("TODO_SAMPLE__AUTH__KEY_RING", "direct");
    let ring = |variables: &[_]| sample(None, Environment::Development, variables).expect("valid").key_ring;
    assert_eq!(ring(&[direct]).as_deref(), Some("direct"));
    assert_eq!(ring(&[direct, file]).as_deref(), Some("from-file"));
    std::fs::remove_file(&path).expect("clean up");

    for file in
        ["[auth]\nkey_rin = \"hunter2\"\n", "[auth]\nkey_ring = [\"hunter2\"]\n", "[auth]\nkey_ring = \"hunter2\n"]
    {
        let report = sample(Some(file), Environment::Development, &[]).expect_err("invalid");
        assert!(!report.contains("hunter2"), "{report}");
        assert!(report.contains("sample.toml:2:"), "{report}");
    }
}

#[test]
fn lists_replace_lists_and_variables_are_split_at_commas() {
    let file = "[server]\nnames = [\"a\", \"b\"]\n";
    let names = |variables: &[_]| sample(Some(file), Environment::Development, variables).expect("valid").names;
    assert_eq!(names(&[]), ["a", "b"]);
    assert_eq!(names(&[("TODO_SAMPLE__SERVER__NAMES", "c, d,e")]), ["c", "d", "e"]);
    assert_eq!(names(&[("TODO_SAMPLE__SERVER__NAMES", "")]), [""; 0]);
}

#[test]
fn values_are_read_by_type() {
    let listen =
        sample(None, Environment::Development, &[("TODO_SAMPLE__SERVER__LISTEN", "[::1]:9")]).expect("valid").listen;
    assert_eq!(listen, "[::1]:9".parse().expect("address"));
    assert_eq!(ByteSize::read(Raw::Text("64KiB")), Some(ByteSize(65_536)));
    assert_eq!(ByteSize::read(Raw::Text("64")), None, "a unit is part of a size");
    assert_eq!(u16::read(Raw::Integer(65_536)), None);
    assert_eq!(bool::read(Raw::Text("true")), None, "a quoted boolean in a file is a mistake");
    assert_eq!(bool::read(Raw::Variable("true")), Some(true));
    assert_eq!(f64::read(Raw::Variable("nan")), None);
}

#[test]
fn named_tables_merge_by_name_and_are_strict_inside() {
    let tier = Tier { name: "sample", defaults: "[upstreams.api]\nsize = 1\nother = 2\n", overlays: [""; 3] };
    let read = |root: &Section<'_>, _| {
        root.named("upstreams", |name, section| {
            let (size, other) = (section.get::<u8>("size"), section.get::<u8>("other"));
            Some((name.to_owned(), size?, other?))
        })
    };
    let load = |variables: &[(&str, &str)]| {
        load(&tier, &ConfigArgs::default(), &variables, read).map_err(|report| report.to_string())
    };
    assert_eq!(load(&[("TODO_SAMPLE__UPSTREAMS__API__SIZE", "7")]), Ok(vec![("api".to_owned(), 7, 2)]));
    let report =
        load(&[("TODO_SAMPLE__UPSTREAMS__API__SIZ", "7"), ("TODO_SAMPLE__UPSTREAMS__NEW", "7")]).expect_err("invalid");
    assert!(report.contains("unknown key `upstreams.api.siz`") && report.contains("did you mean `size`?"), "{report}");
    assert!(report.contains("`upstreams`: expected a table, found this value"), "{report}");
}

proptest! {
    /// For any subset of layers that sets a key, the value of the highest one is read.
    #[test]
    fn the_highest_layer_that_speaks_decides(overlay in any::<bool>(), file in proptest::option::of(1_u64..1000), variable in proptest::option::of(1_u64..1000)) {
        let environment = if overlay { Environment::Staging } else { Environment::Development };
        let text = file.map(|seconds| format!("[server]\npatience = \"{seconds}s\"\n"));
        let value = variable.map(|seconds| format!("{seconds}s"));
        let variables: Vec<_> = value.iter().map(|value| ("TODO_SAMPLE__SERVER__PATIENCE", value.as_str())).collect();
        let expected = variable.or(file).unwrap_or(if overlay { 20 } else { 10 });
        let read = sample(text.as_deref(), environment, &variables).expect("valid");
        prop_assert_eq!(read.patience, Duration::from_secs(expected));
    }

    /// Whatever stands in a file, loading ends with a value or a report.
    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]a-z=\"\\n#., 0-9é]{0,60}") {
        if let Ok(sample) = sample(Some(&text), Environment::Development, &[]) {
            prop_assert!(sample.routes.len() <= text.len());
        }
    }
}
