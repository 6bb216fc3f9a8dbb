//! Losing and finding data: the scripts of `deploy/backup/` on a service that is in use.

mod disaster;
mod refusals;
mod routine;
mod writers;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

pub(crate) use self::{
    disaster::acknowledged_writes_come_back, refusals::refuses_in_one_sentence, routine::runs_by_itself,
};
use crate::{script, service::Stack};

/// A folder of backups, and the file with the URL of the database that they are of.
struct Backups {
    folder: TempDir,
    url_file: PathBuf,
}

impl Backups {
    fn of(url_file: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("todo-backups-").tempdir().expect("a folder");
        Self { folder, url_file: url_file.to_owned() }
    }

    fn backup(&self) -> Command {
        self.command("deploy/backup/backup", &[])
    }

    fn restore(&self, arguments: &[&str]) -> Command {
        self.command("deploy/backup/restore", arguments)
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = script::command(script, arguments);
        command.env("BACKUP_FOLDER", self.folder.path());
        command.env("BACKUP_DATABASE_URL_FILE", &self.url_file).env("RESTORE_DATABASE_URL_FILE", &self.url_file);
        command
    }

    /// Makes a backup and returns its dump.
    fn make(&self) -> PathBuf {
        script::run(&mut self.backup()).succeeded();
        self.dumps().pop().expect("the backup that was made")
    }

    /// The dumps, oldest first.
    fn dumps(&self) -> Vec<PathBuf> {
        let is_dump =
            |name: &String| name.starts_with("todo-2") && Path::new(name).extension() == Some("dump".as_ref());
        self.files().into_iter().filter(is_dump).map(|name| self.folder.path().join(name)).collect()
    }

    /// The names of all files but the lock, sorted.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name != ".lock");
        names.sort();
        names
    }
}

/// What stands beside a dump.
struct Manifest(String);

impl Manifest {
    fn path(dump: &Path) -> PathBuf {
        dump.with_extension("manifest")
    }

    fn of(dump: &Path) -> Self {
        Self(fs::read_to_string(Self::path(dump)).expect("a manifest"))
    }

    fn value(&self, name: &str) -> &str {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("the manifest has no {name}: {}", self.0))
    }

    /// The number of rows of each table.
    fn rows(&self) -> BTreeMap<String, u64> {
        rows(self.0.lines().filter_map(|line| line.strip_prefix("rows.")))
    }

    /// Writes it again beside `dump` with another value, and with the checksum that makes it look right.
    fn forge(&self, dump: &Path, name: &str, value: &str) {
        let line = |line: &str| match line.split_once('=') {
            Some(("manifest_sha256", _)) => String::new(),
            Some((key, _)) if key == name => format!("{key}={value}\n"),
            _ => format!("{line}\n"),
        };
        let text: String = self.0.lines().map(line).collect();
        let checksum = filter(Command::new("sha256sum"), &text);
        let checksum = checksum.split_whitespace().next().expect("a checksum");
        fs::write(Self::path(dump), format!("{text}manifest_sha256={checksum}\n")).expect("a manifest");
    }
}

fn rows<'a>(pairs: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let pair = |pair: &str| {
        let (table, count) = pair.split_once('=').expect("table=count");
        (table.to_owned(), count.parse().expect("a count"))
    };
    pairs.map(pair).collect()
}

/// What a program prints for a text on its standard input.
fn filter(mut command: Command, text: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("input is taken");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{command:?} failed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A time as `date` reads it and writes it.
fn date(time: &str, format: &str) -> String {
    script::run(Command::new("date").args(["--utc", "--date", time, format])).succeeded().trim().to_owned()
}

/// A time as `date` reads it, in microseconds since 1970.
fn microseconds(time: &str) -> u128 {
    date(time, "+%s%6N").parse().expect("a time")
}

/// The database of a stack, asked as the owner of the schema.
struct Database<'a>(&'a Stack);

impl Database<'_> {
    fn psql(&self) -> Command {
        let mut command = Command::new("psql");
        command.env("PGSERVICEFILE", format!("{}/secrets/pg_service.conf", self.0.setting("STACK")));
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", "service=todo"]);
        command
    }

    /// What a statement returns: a row a line, columns separated by `|`.
    fn query(&self, statement: &str) -> String {
        script::run(self.psql().args(["-c", statement])).succeeded().trim().to_owned()
    }

    /// The number of rows of each table.
    fn rows(&self) -> BTreeMap<String, u64> {
        let said = self.query(
            "SELECT relname || '=' || (xpath('/row/count/text()', query_to_xml(format('SELECT count(*) FROM public.%I', relname), \
             false, true, '')))[1] FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
        );
        rows(said.lines())
    }

    /// Runs a statement as the database's administrator.
    fn administer(&self, statement: &str) {
        let (folder, port) = (self.0.setting("STACK"), self.0.setting("STACK_POSTGRES_PORT"));
        let mut command = Command::new("psql");
        command.args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            &format!("{folder}/postgres"),
            "-p",
            port,
            "-U",
            "postgres",
        ]);
        script::run(command.args(["-c", statement])).succeeded();
    }
}

/// Every statement counts rows that would be half of something.
fn nothing_is_half(database: &Database<'_>) {
    for statement in [
        "SELECT count(*) FROM todos WHERE NOT EXISTS (SELECT FROM lists WHERE lists.id = list_id)",
        "SELECT count(*) FROM lists WHERE NOT EXISTS (SELECT FROM list_members WHERE list_id = lists.id AND user_id = owner_id)",
        "SELECT count(*) FROM todos WHERE NOT EXISTS (SELECT FROM changes WHERE entity = 'todo' AND entity_id = todos.id)",
        "SELECT count(*) FROM users u LEFT JOIN LATERAL (SELECT count(*) n, min(seq) first, max(seq) last FROM changes WHERE user_id = u.id) c \
         ON TRUE WHERE (n, coalesce(first, 1), coalesce(last, 0)) <> (change_seq, 1, change_seq)",
        "SELECT count(*) FROM pg_constraint WHERE NOT convalidated",
        "SELECT count(*) FROM pg_index WHERE NOT indisvalid",
    ] {
        assert_eq!(database.query(statement), "0", "{statement}");
    }
}
