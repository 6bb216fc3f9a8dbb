//! Every day: the schedule, what is kept, and the scripts where they run in production.

use std::{fs, io, path::Path, process::Command, time::Duration};

use todo_tests::{
    postgres::Postgres,
    process::{Process, Signal, tier},
    wait::eventually,
};

use super::{Backups, Manifest, date, filter, microseconds};
use crate::script::{self, root};

/// A migrated database is enough for these, and one for all of them.
pub(crate) async fn runs_by_itself() {
    let postgres = Postgres::start().await.expect("PostgreSQL");
    let url = postgres.database().expect("a database");
    let mut migrate = tier("todo-api").expect("the API is built");
    migrate.arg("migrate").env("TODO_API__DATABASE__URL", &url);
    script::run(&mut migrate).succeeded();
    let scratch = tempfile::tempdir().expect("a folder");
    let url_file = scratch.path().join("url");
    fs::write(&url_file, url).expect("a file");

    old_backups_go_and_other_files_stay(&Backups::of(&url_file));
    a_schedule_survives_failures_and_stops_at_once(&Backups::of(&url_file)).await;
    the_scripts_travel_without_the_project(&Backups::of(&url_file));
}

/// Every backup of the last two days stays, then the last of each day for a month. What is broken stands for no day, and
/// what the script did not make is not its to remove.
fn old_backups_go_and_other_files_stay(backups: &Backups) {
    let template = backups.make();
    let folder = backups.folder.path();
    let forge = |time: &str| {
        let name = date(time, "+todo-%Y%m%dT%H%M%SZ");
        let dump = folder.join(&name).with_extension("dump");
        fs::copy(&template, &dump).expect("a copy");
        Manifest::of(&template).forge(&dump, "file", &format!("{name}.dump"));
        name
    };
    let day = |days: u32, time: &str| {
        let day = date(&format!("{days} days ago"), "+%Y-%m-%d");
        forge(&format!("{day} {time} UTC"))
    };
    let kept = [forge("1 hour ago"), forge("47 hours ago"), day(4, "22:30"), day(5, "09:00"), day(29, "23:00")];
    let removed = [day(4, "10:00"), day(4, "22:00"), day(32, "23:00"), day(400, "12:00")];
    // Of day 5 the later one is cut short: the earlier one stands for the day, and the broken one waits for people.
    let broken = day(5, "20:00");
    fs::write(folder.join(&broken).with_extension("dump"), "cut").expect("a file");
    let foreign = [
        "todo-20200101T000000Z.dump",
        "todo-20200102T000000Z.manifest",
        "todo-old.dump",
        "notes.txt",
        "todo-20200103T000000Z.dump.bak",
    ];
    for name in foreign {
        fs::write(folder.join(name), "another's").expect("a file");
    }
    // What a run has left that was killed is removed.
    fs::write(folder.join(".todo-20260101T000000Z.partial.dump"), "half").expect("a file");

    fs::remove_file(&template).expect("removed");
    fs::remove_file(Manifest::path(&template)).expect("removed");
    script::run(&mut backups.backup()).succeeded();
    let newest = backups.dumps().pop().expect("the newest");

    let both = |name: &str| ["dump", "manifest"].map(|ending| format!("{name}.{ending}"));
    let mut expected: Vec<_> = kept.iter().chain([&broken]).flat_map(|name| both(name)).collect();
    expected.extend(both(newest.file_stem().expect("a name").to_str().expect("a name")));
    expected.extend(foreign.map(str::to_owned));
    expected.sort();
    assert_eq!(backups.files(), expected, "removed should be {removed:?}");

    let list = script::run(&mut backups.restore(&["--list"])).succeeded();
    let line =
        |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {list}"));
    for name in &kept {
        assert!(line(name).ends_with("yes"), "{list}");
    }
    assert!(line(&broken).contains("no: it is cut short: 3 of"), "{list}");
    assert!(
        list.lines()
            .nth(1)
            .is_some_and(|line| line.starts_with(newest.file_name().unwrap_or_default().to_str().unwrap_or_default())),
        "newest first: {list}"
    );
}

/// A failed attempt does not end the schedule; SIGTERM does, at once, and leaves nothing half behind.
async fn a_schedule_survives_failures_and_stops_at_once(backups: &Backups) {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("later");
    let mut command = backups.command("deploy/backup/every", &["1s"]);
    command.env("BACKUP_FOLDER", &folder);
    let mut every = Process::start("every", scratch.path(), &mut command).expect("it starts");
    eventually("a failure", Duration::from_secs(20), async || every.errors().contains("is not there").then_some(()))
        .await;
    fs::create_dir(&folder).expect("a folder");
    let manifests = || {
        let names = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".manifest")).count()
    };
    eventually("two backups", Duration::from_secs(20), async || (manifests() >= 2).then_some(())).await;
    every.signal(Signal::Terminate);
    assert!(every.wait(Duration::from_secs(5)).await.success(), "{}", every.errors());
    let names = fs::read_dir(&folder).expect("the folder").flatten().map(|entry| entry.file_name());
    let half: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".todo-")).collect();
    assert!(half.is_empty(), "{half:?}");
    let said = script::run(&mut script::command("deploy/backup/every", &["often"])).failed();
    assert_eq!(said, "an interval like 90s, 30m or 1h is needed: see deploy/backup/every --help");
}

/// What a `ConfigMap` or an image has to bring: these files in these places, and a folder for temporary files. What it says
/// for `node_exporter` is what its manifest says.
fn the_scripts_travel_without_the_project(backups: &Backups) {
    let elsewhere = tempfile::tempdir().expect("a folder");
    for file in ["backup/backup", "backup/lib.sh", "bin/require", "bin/lib/common.sh", "bin/lib/database.sh"] {
        install(&root().join("deploy").join(file), &elsewhere.path().join("deploy").join(file)).expect("a copy");
    }
    let status = elsewhere.path().join("todo_backup.prom");
    let mut command = Command::new(elsewhere.path().join("deploy/backup/backup"));
    command.current_dir("/").env("BACKUP_FOLDER", backups.folder.path());
    command.env("BACKUP_DATABASE_URL_FILE", &backups.url_file).env("BACKUP_STATUS_FILE", &status);
    script::run(&mut command).succeeded();

    let text = fs::read_to_string(&status).expect("the status");
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    assert_eq!(filter(promtool, &text), "");
    let manifest = Manifest::of(&backups.dumps().pop().expect("a dump"));
    let snapshot = microseconds(manifest.value("snapshot")) / 1_000_000;
    assert!(text.contains(&format!("\ntodo_backup_last_success_timestamp_seconds {snapshot}\n")), "{text}");
    assert!(text.contains(&format!("\ntodo_backup_size_bytes {}\n", manifest.value("size"))), "{text}");
    // A backup that fails leaves the word of the last one that did not.
    script::run(command.env("BACKUP_FOLDER", "/nowhere")).failed();
    assert_eq!(fs::read_to_string(&status).expect("the status"), text);
}

fn install(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::copy(from, to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}
