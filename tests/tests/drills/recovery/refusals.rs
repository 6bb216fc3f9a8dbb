//! Bad input and bad circumstances: one sentence, and nothing changed.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use todo_tests::{
    client::Account,
    ports,
    process::{Process, Signal},
    wait::eventually,
};

use super::{Backups, Database, Manifest, filter, nothing_is_half};
use crate::{
    script::{self, root},
    service::Stack,
};

/// Runs what must be refused and returns its one sentence.
fn refused(command: &mut Command) -> String {
    let said = script::run(command);
    assert_ne!(said.code, 0, "it succeeded: {}", said.out);
    assert_eq!(said.err.lines().count(), 1, "one sentence: {}", said.err);
    said.failed()
}

/// A psql session that has run some statements and keeps its transaction open until it is dropped.
struct Session(Child);

impl Session {
    fn open(database: &Database<'_>, statements: &str) -> Self {
        let mut command = database.psql();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("psql");
        child.stdin.as_mut().expect("its input").write_all(statements.as_bytes()).expect("psql takes statements");
        Self(child)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

async fn until(database: &Database<'_>, what: &str, condition: &str) {
    let holds = async || (database.query(&format!("SELECT {condition}")) == "t").then_some(());
    eventually(what, Duration::from_secs(20), holds).await;
}

/// One stack for both: it is what takes time.
pub(crate) async fn refuses_in_one_sentence() {
    let stack = Stack::up();
    let database = Database(&stack);
    database.administer("CREATE DATABASE empty OWNER todo");
    backups_that_cannot_be_made(&stack, &database).await;
    restores_that_would_harm(&stack, &database).await;
}

async fn backups_that_cannot_be_made(stack: &Stack, database: &Database<'_>) {
    let backups = Backups::of(stack.setting("STACK_DATABASE_URL_FILE").as_ref());
    stack.client(1).register().await.todo("precious").await;
    let first = backups.make();
    let (files, rows) = (backups.files(), database.rows());
    let scratch = tempfile::tempdir().expect("a folder");
    let url = fs::read_to_string(&backups.url_file).expect("the URL");
    let password = fs::read_to_string(format!("{}/secrets/database-password", stack.setting("STACK"))).expect("it");
    let password = password.trim();
    let with_url = |url: &str| {
        let path = scratch.path().join("url");
        fs::write(&path, url).expect("a file");
        let said = refused(backups.backup().env("BACKUP_DATABASE_URL_FILE", path));
        assert!(!said.contains(password), "{said}");
        said
    };

    // The database.
    let said = with_url(&url.replace(password, &"0".repeat(password.len())));
    assert!(said.contains("password authentication failed"), "{said}");
    let (port, free) = (stack.setting("STACK_POSTGRES_PORT"), ports::free().expect("a port").to_string());
    assert!(with_url(&url.replace(port, &free)).contains("Connection refused"));
    assert!(with_url("sqlite:///tmp/todo.sqlite").contains("does not hold a URL like postgres://"));
    assert!(with_url(&url.replace("/todo?", "/empty?")).contains("has no schema of todo-api"));
    assert!(refused(backups.backup().env_remove("BACKUP_DATABASE_URL_FILE")).contains("is not set"));
    assert!(refused(backups.backup().env("BACKUP_DATABASE_URL_FILE", "/nowhere")).contains("cannot read /nowhere"));

    // The folder. Not even root can write into /proc.
    assert!(refused(backups.backup().env("BACKUP_FOLDER", "/nowhere")).contains("is not there"));
    assert!(refused(backups.backup().env("BACKUP_FOLDER", "/proc")).contains("cannot write into /proc"));
    assert!(refused(backups.backup().env_remove("BACKUP_FOLDER")).contains("is not set"));
    assert!(refused(backups.backup().env("BACKUP_STATUS_FILE", "/proc/x.prom")).contains("cannot write /proc/x.prom"));
    assert!(refused(backups.backup().env("BACKUP_KEEP_DAYS", "0")).contains("BACKUP_KEEP_DAYS=0 is no number"));

    // The programs. Another version than the one installed cannot be had here, so a script tells one.
    let path = path_without("pg_dump", scratch.path());
    assert_eq!(refused(backups.backup().env("PATH", &path)), "pg_dump is missing: apt-get install postgresql-client");
    let shim = path.join("pg_dump");
    fs::write(&shim, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n").expect("a script");
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).expect("a mode");
    let said = refused(backups.backup().env("PATH", &path));
    assert!(said.contains("and pg_dump is 9: install postgresql-client-"), "{said}");

    assert_eq!((backups.files(), database.rows()), (files.clone(), rows), "nothing was changed");
    one_at_a_time(database, &backups, password).await;
    assert_eq!(backups.dumps().first(), Some(&first), "what was there is there");
}

/// While one backup waits for the database: no second one, no secret to be seen, and it can be stopped.
async fn one_at_a_time(database: &Database<'_>, backups: &Backups, password: &str) {
    let lock = "BEGIN; LOCK TABLE todos IN ACCESS EXCLUSIVE MODE;\n";
    let waits =
        "count(*) = 1 FROM pg_stat_activity WHERE application_name = 'todo-backup' AND wait_event_type = 'Lock'";
    let logs = tempfile::tempdir().expect("a folder");
    let before = backups.files();

    let session = Session::open(database, lock);
    until(
        database,
        "the lock",
        "count(*) = 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'todos'::regclass",
    )
    .await;
    let mut stopped = Process::start("stopped", logs.path(), &mut backups.backup()).expect("a backup");
    until(database, "the backup to wait", waits).await;
    assert!(backups.files().iter().any(|name| name.starts_with(".todo-")), "it writes under another name");
    stopped.signal(Signal::Terminate);
    assert_eq!(stopped.wait(Duration::from_secs(5)).await.code(), Some(1));
    assert_eq!(stopped.errors().trim(), "the backup was stopped by a signal; no backup was made");
    assert_eq!(backups.files(), before, "nothing is left of it");
    until(database, "its sessions to end", "count(*) = 0 FROM pg_stat_activity WHERE application_name = 'todo-backup'")
        .await;

    let mut waiting = Process::start("waiting", logs.path(), &mut backups.backup()).expect("a backup");
    until(database, "the backup to wait", waits).await;
    assert!(refused(&mut backups.backup()).contains("another backup into"));
    for process in fs::read_dir("/proc").expect("/proc").flatten() {
        for list in ["cmdline", "environ"] {
            let text = fs::read(process.path().join(list)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains(password), "the password is in {list} of {}", text.replace('\0', " "));
        }
    }
    drop(session);
    assert!(waiting.wait(Duration::from_secs(30)).await.success(), "{}", waiting.errors());
}

/// A folder with links to every program but one.
fn path_without(missing: &str, folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    fs::create_dir(&bin).expect("a folder");
    let path = std::env::var_os("PATH").expect("PATH");
    for program in std::env::split_paths(&path).filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
        if program.file_name() != missing {
            // The first folder that has a program wins.
            let _ = symlink(program.path(), bin.join(program.file_name()));
        }
    }
    bin
}

async fn restores_that_would_harm(stack: &Stack, database: &Database<'_>) {
    let backups = Backups::of(stack.setting("STACK_DATABASE_URL_FILE").as_ref());
    let account = stack.client(1).register().await;
    account.todo("kept").await;
    let dump = backups.make();
    account.todo("written since").await;
    let rows = database.rows();
    let unchanged = || assert_eq!(database.rows(), rows, "nothing was changed");
    let scratch = tempfile::tempdir().expect("a folder");

    damaged_files_are_refused(&backups, &dump, &scratch);
    unchanged();

    // A database in use: not untold, not told once, not with another's name; told twice, also under the API's feet.
    let target = format!("todo@localhost:{}", stack.setting("STACK_POSTGRES_PORT"));
    let path = dump.to_str().expect("a path");
    for arguments in [&[path][..], &[path, "--replace"], &[path, "--confirm", &target]] {
        let said = refused(&mut backups.restore(arguments));
        assert!(said.contains("tables, ") && said.contains("others are connected to it"), "{said}");
        assert!(said.contains(&format!("--replace --confirm {target}")) || said.contains("takes both"), "{said}");
    }
    let said = refused(&mut backups.restore(&[path, "--replace", "--confirm", "todo@elsewhere:5432"]));
    assert!(said.contains("names another database"), "{said}");
    unchanged();

    // Empty, and somebody is connected to it.
    let url = fs::read_to_string(&backups.url_file).expect("the URL").replace("/todo?", "/empty?");
    let empty = Backups::of(&scratch.path().join("url"));
    fs::write(&empty.url_file, &url).expect("a file");
    let session = Session::open(database, "\\connect empty\nBEGIN; SELECT 1;\n");
    until(database, "the session", "count(*) = 1 FROM pg_stat_activity WHERE datname = 'empty'").await;
    let said = refused(&mut empty.restore(&[path]));
    assert!(said.contains("others are connected to it (sessions: 1;"), "{said}");
    drop(session);
    until(database, "the session to end", "count(*) = 0 FROM pg_stat_activity WHERE datname = 'empty'").await;

    // What fails at its last check leaves an empty database empty and a full one full.
    let forged = scratch.path().join(dump.file_name().expect("a name"));
    fs::copy(&dump, &forged).expect("a copy");
    Manifest::of(&dump).forge(&forged, "rows.todos", "7");
    let forged = forged.to_str().expect("a path");
    let said = refused(&mut empty.restore(&[forged]));
    assert!(said.contains("the table todos has 2 rows, and the manifest says 7; nothing was changed"), "{said}");
    let said = refused(&mut backups.restore(&[forged, "--replace", "--confirm", &target]));
    assert!(said.contains("nothing was changed"), "{said}");
    unchanged();

    let said = script::run(&mut empty.restore(&[path])).succeeded();
    assert!(said.contains("restore: "), "still empty, so it can be restored into: {said}");
    script::run(&mut backups.restore(&[path, "--replace", "--confirm", &target])).succeeded();
    let todos = account.client.get("/v1/todos").await.expect(200).json();
    let titles: Vec<_> = todos["data"].as_array().expect("todos").iter().map(|todo| &todo["title"]).collect();
    assert_eq!(titles, ["kept"], "replaced under the replicas, which go on");
    bad_data_is_taken_back(database, &account).await;
}

/// One user's todos get the content of the backup that the database `empty` now holds; another's, spoilt too, do not, since
/// nobody asked. For the API it is a write like any other.
async fn bad_data_is_taken_back(database: &Database<'_>, account: &Account) {
    let before = account.client.get("/v1/todos").await.expect(200).json()["data"][0].clone();
    let path = format!("/v1/todos/{}", before["id"].as_str().expect("an id"));
    database.query("UPDATE todos SET title = 'spoilt', version = version + 1");
    assert_eq!(account.client.get(&path).await.json()["title"], "spoilt");

    let copy = script::run(database.psql().args(["-d", "service=todo dbname=empty", "-c", "COPY todos TO STDOUT"]))
        .succeeded();
    let mut take_back = database.psql();
    let file = root().join("deploy/backup/return-todos.sql");
    take_back.arg("-v").arg(format!("which=u.email = '{}'", account.email)).arg("-f").arg(file);
    let said = filter(take_back, &copy);
    assert!(said.ends_with("return-todos: 1 todos, seen by 1 users, are as they were in the backup\n"), "{said}");
    let after = account.client.get(&path).await.expect(200).json();
    assert_eq!((&after["title"], &after["version"]), (&before["title"], &Value::from(3)), "{after}");
    let spoilt = database.query("SELECT count(*) FROM todos WHERE title = 'spoilt'");
    assert_eq!(spoilt, "1", "what nobody asked for is not touched");
    nothing_is_half(database);
}

/// `restore` and `restore --verify` say the same of a file that is not what its manifest says, and `--list` says it too.
fn damaged_files_are_refused(backups: &Backups, dump: &Path, scratch: &TempDir) {
    let name = dump.file_name().expect("a name").to_str().expect("a name");
    let octets = fs::read(dump).expect("the dump");
    let manifest = fs::read_to_string(Manifest::path(dump)).expect("the manifest");
    let mut flipped = octets.clone();
    *flipped.last_mut().expect("an octet") ^= 1;
    let (half, _) = octets.split_at(octets.len() / 2);
    let (head, _) = manifest.split_at(manifest.len() / 2);
    let changed = manifest.replace("rows.todos=2", "rows.todos=3");
    let cases = [
        (
            half,
            Some(manifest.as_str()),
            format!("it is cut short: {} of {} octets are there", half.len(), octets.len()),
        ),
        (&flipped, Some(&manifest), "it was changed: its checksum is not that of its manifest".to_owned()),
        (&octets, None, format!("its manifest {} is missing", name.replace(".dump", ".manifest"))),
        (&octets, Some(head), "is cut short or was changed".to_owned()),
        (&octets, Some(&changed), "is cut short or was changed".to_owned()),
    ];
    for (octets, manifest, expected) in cases {
        let folder = tempfile::tempdir_in(scratch).expect("a folder");
        let copy = folder.path().join(name);
        fs::write(&copy, octets).expect("a copy");
        if let Some(manifest) = manifest {
            fs::write(Manifest::path(&copy), manifest).expect("a copy");
        }
        let path = copy.to_str().expect("a path");
        for arguments in [&[path][..], &["--verify", path]] {
            let said = refused(&mut backups.restore(arguments));
            assert!(said.contains("cannot be restored: ") && said.contains(&expected), "{said}");
        }
        let list = script::run(backups.restore(&["--list"]).env("BACKUP_FOLDER", folder.path())).succeeded();
        assert!(list.contains("no: ") && list.contains(&expected), "{list}");
    }
    // Another's manifest, and a file that is none.
    let copy = scratch.path().join("todo-20200101T000000Z.dump");
    fs::write(&copy, &octets).expect("a copy");
    fs::write(Manifest::path(&copy), &manifest).expect("a copy");
    let said = refused(&mut backups.restore(&["--verify", copy.to_str().expect("a path")]));
    assert!(said.contains(&format!("its manifest is that of {name}")), "{said}");
    assert!(refused(&mut backups.restore(&["nowhere.dump"])).contains("there is no such file"));
    let makefile = root().join("Makefile");
    assert!(refused(&mut backups.restore(&[makefile.to_str().expect("a path")])).contains("is missing"));
}
