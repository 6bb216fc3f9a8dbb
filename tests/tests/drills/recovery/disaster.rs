//! The worst day: the database is gone while clients write.

use std::{
    collections::HashMap,
    io::Write as _,
    process::Stdio,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use todo_tests::client::{Account, Client};

use super::{
    Backups, Database, Manifest, microseconds, nothing_is_half,
    writers::{History, Write, Writers},
};
use crate::{
    script::{self, root},
    service::Stack,
};

/// How long it may take until users can sign in again, and how old the newest backup may be.
const RECOVERY: Duration = Duration::from_mins(30);
const LOSS: Duration = Duration::from_hours(1);

/// A backup is taken while clients write, the clients go on, the database is lost and restored. Everything acknowledged
/// before the backup's snapshot is there, everything that is missing is younger, nothing is half there, and who was
/// signed in or has an account goes on. `RECOVERY_TODOS` gives the database a realistic size.
pub(crate) async fn acknowledged_writes_come_back() {
    let stack = Stack::up();
    let database = Database(&stack);
    let todos = std::env::var("RECOVERY_TODOS").unwrap_or_else(|_| "400".to_owned());
    let seed = root().join("tests/tests/drills/recovery/seed.sql");
    script::run(database.psql().arg("-v").arg(format!("todos={todos}")).arg("-f").arg(seed)).succeeded();
    let contents = seeded_contents(&database);
    let backups = Backups::of(stack.setting("STACK_DATABASE_URL_FILE").as_ref());

    // Three users whose clients do not write: one does nothing, one refreshes and one signs up after the backup.
    let steady = stack.client(1).register().await;
    let todo = steady.todo("from before").await;
    let refreshing = stack.client(1).register().await;

    let writers = Writers::start(&stack, 4).await;
    writers.go_on(60).await;
    let clock = Instant::now();
    let dump = backups.make();
    let backup_took = clock.elapsed();
    writers.go_on(60).await;
    let refreshed = refresh(&refreshing).await;
    let late = stack.client(2).register().await;

    // The disk dies; the clients see errors from here on.
    let lost_at = SystemTime::now();
    stack.run("deploy/bin/stack", &["lose-database"]).succeeded();
    let histories = writers.stop().await;
    let clock = Instant::now();
    every_replica(&stack, "stop");
    let restore_clock = Instant::now();
    let said = script::run(&mut backups.restore(&[dump.to_str().expect("a path")])).succeeded();
    let restore_took = restore_clock.elapsed();

    let manifest = Manifest::of(&dump);
    assert_eq!(database.rows(), manifest.rows(), "{said}");
    assert_eq!(seeded_contents(&database), contents, "what was there all the time is unchanged");
    let (writes, lost) = compare(&database, &manifest, &histories, lost_at);
    nothing_is_half(&database);

    every_replica(&stack, "start");
    let again = stack.client(1).login(&steady.email).await;
    let recovery_took = clock.elapsed();
    let path = format!("/v1/todos/{}", todo["id"].as_str().expect("an id"));
    assert_eq!(again.client.get(&path).await.expect(200).json(), todo);
    clients_see_what_the_documents_say(&stack, &steady, &refreshed, &late).await;

    let worst = interval_of_timer() + backup_took;
    let age =
        lost_at.duration_since(UNIX_EPOCH).expect("a time").as_micros() - microseconds(manifest.value("snapshot"));
    writeln!(
        std::io::stdout(),
        "recovery: {} rows, {} octets compressed; backup {backup_took:.1?} under writes, restore {restore_took:.1?}, signed in \
         again after {recovery_took:.1?}; of {writes} acknowledged writes {lost} were lost, from the last {:.1} s; by schedule \
         the loss is at most {} min",
        manifest.rows().values().sum::<u64>(),
        manifest.value("size"),
        Duration::from_micros(u64::try_from(age).expect("a short time")).as_secs_f64(),
        worst.as_secs().div_ceil(60),
    )
    .expect("standard output");
    assert!(recovery_took < RECOVERY, "it took {recovery_took:?}");
    assert!(worst < LOSS, "by its schedule a backup may be {worst:?} old");
}

/// Stops or starts the API, all replicas at once.
fn every_replica(stack: &Stack, command: &str) {
    let run = |replica| {
        stack.command("deploy/bin/stack", &[command, replica]).stdout(Stdio::null()).spawn().expect("a script")
    };
    for mut script in ["api-1", "api-2", "api-3"].map(run) {
        assert!(script.wait().expect("it ends").success(), "a replica does not {command}");
    }
}

/// What the clients remember against what the database holds. Returns how many writes were acknowledged, and how many of
/// them are lost.
fn compare(database: &Database<'_>, manifest: &Manifest, histories: &[History], lost_at: SystemTime) -> (usize, usize) {
    let snapshot =
        UNIX_EPOCH + Duration::from_micros(u64::try_from(microseconds(manifest.value("snapshot"))).expect("a time"));
    let mut found = HashMap::new();
    for history in histories {
        let (failed_at, error) = history.failed.as_ref().expect("the loss was noticed");
        assert!(*failed_at >= lost_at, "a client was disturbed before the loss: {error}");
        let said = database.query(&format!(
            "SELECT t.id, t.version, t.title FROM todos t JOIN lists l ON l.id = list_id WHERE owner_id = '{}'",
            history.account.id
        ));
        for line in said.lines() {
            let mut columns = line.splitn(3, '|').map(str::to_owned);
            let mut next = || columns.next().expect("three columns");
            found.insert(next(), (next().parse::<u64>().expect("a version"), next()));
        }
    }
    let writes: Vec<&Write> = histories.iter().flat_map(|history| &history.writes).collect();
    let mut lost = 0;
    for write in &writes {
        match found.get(&write.todo) {
            Some((version, _)) if *version > write.version => {}
            Some((version, title)) if *version == write.version => assert_eq!(*title, write.title, "{write:?}"),
            _ => {
                assert!(write.acknowledged > snapshot, "acknowledged before the snapshot and lost: {write:?}");
                lost += 1;
            }
        }
    }
    // Nothing is there that no client ever asked for, and the drill had something to keep and something to lose.
    assert!(found.keys().all(|id| writes.iter().any(|write| write.todo == *id)), "a todo that nobody made");
    assert!(lost >= 60 && writes.len() - lost >= 60, "{lost} of {} writes are lost", writes.len());
    (writes.len(), lost)
}

/// A fingerprint of everything that the seed has made.
fn seeded_contents(database: &Database<'_>) -> String {
    let sum = |table: &str, user: &str| {
        format!(
            "SELECT count(*), sum(hashtextextended(row::TEXT, 0)::NUMERIC) FROM {table} row \
             WHERE {user} IN (SELECT id FROM users WHERE email LIKE 'seed-%')"
        )
    };
    [
        sum("users", "id"),
        sum("lists", "owner_id"),
        sum("(SELECT t.*, owner_id FROM todos t JOIN lists l ON l.id = list_id)", "owner_id"),
        sum("changes", "user_id"),
        sum("sessions", "user_id"),
        sum("audit", "user_id"),
    ]
    .map(|statement| database.query(&statement))
    .join("\n")
}

/// What docs/RECOVERY.md tells support to expect.
async fn clients_see_what_the_documents_say(stack: &Stack, steady: &Account, refreshed: &Account, late: &Account) {
    // Signed in before the backup: goes on, also after its access token has expired.
    steady.client.get("/v1/me").await.expect(200);
    let steady = refresh(steady).await;
    steady.client.get("/v1/me").await.expect(200);
    // Refreshed since the backup: goes on until its access token expires, then has to sign in.
    refreshed.client.get("/v1/me").await.expect(200);
    try_refresh(refreshed).await.expect_problem(401, "token_invalid");
    stack.client(1).login(&refreshed.email).await;
    // Signed up since the backup: is unknown.
    late.client.get("/v1/me").await.expect_problem(401, "token_invalid");
    let body = json!({ "email": late.email, "password": todo_tests::client::PASSWORD });
    stack.client(1).post("/v1/auth/login", &body).await.expect_problem(401, "credentials_invalid");
}

async fn try_refresh(account: &Account) -> todo_tests::client::Answer {
    account.client.anonymous().post("/v1/auth/refresh", &json!({ "refresh_token": account.refresh_token })).await
}

async fn refresh(account: &Account) -> Account {
    let tokens = try_refresh(account).await.expect(200).json();
    let text = |name: &str| tokens[name].as_str().map(str::to_owned).expect("a token");
    let client: Client = account.client.with_token(&text("access_token"));
    Account { client, refresh_token: text("refresh_token"), ..account.clone() }
}

/// The longest time between the beginnings of two backups, as systemd reads the timer.
fn interval_of_timer() -> Duration {
    let path = root().join("deploy/backup/systemd/todo-backup.timer");
    let timer = std::fs::read_to_string(&path).expect("the timer");
    let value = |name: &str| timer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).expect(name);
    let minutes: u64 = value("OnCalendar").strip_prefix("*:00/").expect("minutes").parse().expect("a number");
    let delay: u64 = value("RandomizedDelaySec").strip_suffix('s').expect("seconds").parse().expect("a number");
    Duration::from_secs(minutes * 60 + delay)
}
