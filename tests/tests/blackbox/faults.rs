//! What breaks, and what a client sees of it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use todo_tests::{
    api::Api,
    client::{Account, Client},
    postgres::{Locked, Postgres},
    process::{Signal, tier},
    stack::{Gateway, Stack},
    wait::eventually,
};
use tokio::{io::AsyncWriteExt as _, task::JoinHandle};

use crate::service::{Database, Services};

const PATIENCE: Duration = Duration::from_secs(30);

/// Writers that go on until they are told to stop, what was acknowledged to them and what was not.
struct Stream {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    failures: Arc<Mutex<Vec<String>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Stream {
    fn start(user: &Account, writers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (acknowledged, failures): (Arc<Mutex<BTreeSet<_>>>, Arc<Mutex<Vec<_>>>) = Default::default();
        let tasks = (0..writers)
            .map(|writer| {
                let (client, stop) = (user.client.clone(), stop.clone());
                let (acknowledged, failures) = (acknowledged.clone(), failures.clone());
                tokio::spawn(async move {
                    let mut number = 0_u32;
                    while !stop.load(Ordering::Relaxed) {
                        let title = format!("{writer}-{number}");
                        number += 1;
                        let answer = client.try_json("POST", "/v1/todos", &[], &json!({"title": title})).await;
                        match answer {
                            Ok(answer) if answer.status == 201 => _ = acknowledged.lock().unwrap().insert(title),
                            answer => failures.lock().unwrap().push(format!("{answer:?}")),
                        }
                    }
                })
            })
            .collect();
        Self { stop, acknowledged, failures, tasks }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until `more` further writes were acknowledged.
    async fn progress(&self, more: usize) {
        let goal = self.count() + more;
        eventually("writes to be acknowledged", PATIENCE, async || (self.count() >= goal).then_some(())).await;
    }

    async fn end(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("the writer ends");
        }
        Arc::into_inner(self.acknowledged).unwrap().into_inner().unwrap()
    }
}

async fn titles(user: &Account) -> Vec<String> {
    let (mut titles, mut path) = (Vec::new(), "/v1/todos?limit=200".to_owned());
    loop {
        let page = user.client.get(&path).await.expect(200).json();
        titles.extend(page["data"].as_array().unwrap().iter().map(|todo| todo["title"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { return titles };
        path = format!("/v1/todos?limit=200&cursor={cursor}");
    }
}

/// Every acknowledged write is there, and none is there twice.
async fn nothing_lost_nothing_doubled(user: &Account, acknowledged: BTreeSet<String>) {
    let found = titles(user).await;
    let unique: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(found.len(), unique.len(), "a write was done twice");
    let lost: Vec<_> = acknowledged.difference(&unique).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged writes are lost: {lost:?}", lost.len(), acknowledged.len());
}

pub(crate) async fn acknowledged_writes_survive_a_killed_api(services: &Services, database: Database) {
    let mut stack = services.own(database, "", "").await;
    let user = stack.client().register().await;
    let stream = Stream::start(&user, 4);
    for _ in 0..3 {
        stream.progress(30).await;
        stack.api.process.stop(Signal::Kill).await;
        stack.api.restart().await.unwrap();
    }
    stream.progress(30).await;
    let acknowledged = stream.end().await;
    nothing_lost_nothing_doubled(&user, acknowledged).await;
}

pub(crate) async fn acknowledged_writes_survive_a_killed_database(_: &Services) {
    let mut postgres = Postgres::start().await.unwrap();
    let stack = Stack::over(postgres.database().unwrap()).await.unwrap();
    let user = stack.client().register().await;
    let stream = Stream::start(&user, 4);
    for _ in 0..3 {
        stream.progress(30).await;
        postgres.kill().await;
        postgres.launch().await.unwrap();
    }
    stream.progress(30).await;
    let acknowledged = stream.end().await;
    nothing_lost_nothing_doubled(&user, acknowledged).await;
}

pub(crate) async fn a_lost_database_is_said_and_comes_back(_: &Services) {
    let mut postgres = Postgres::start().await.unwrap();
    let stack = Stack::over(postgres.database().unwrap()).await.unwrap();
    let user = stack.client().register().await;
    postgres.kill().await;
    let answer = user.client.get("/v1/todos").await;
    answer.expect_problem(503, "database_unavailable");
    assert!(answer.header("retry-after").is_some_and(|value| value.parse::<u32>().is_ok()));
    user.client.post("/v1/todos", &json!({"title": "a"})).await.expect_problem(503, "database_unavailable");
    stack.client().get("/livez").await.expect(200);
    postgres.launch().await.unwrap();
    eventually("the API to recover by itself", PATIENCE, async || {
        (user.client.get("/v1/todos").await.status == 200).then_some(())
    })
    .await;
}

pub(crate) async fn a_stopped_api_finishes_its_work(services: &Services, database: Database) {
    let mut stack = services.own(database, "", "").await;
    // A request whose body is still coming when the signal arrives.
    let user = stack.client().register().await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", stack.api.port)).await.unwrap();
    let body = r#"{"title":"in flight"}"#;
    let head = format!(
        "POST /v1/todos HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        user.client.token(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body.as_bytes()[..5]).await.unwrap();
    // The API has read the head when it has answered another request on another connection.
    Client::http(stack.api.port).unwrap().get("/livez").await.expect(200);
    stack.api.process.signal(Signal::Terminate);
    let admin = Client::http(stack.api.admin_port).unwrap();
    eventually("the drain to begin", PATIENCE, async || {
        let answer = admin.send("GET", "/readyz", &[], None).await;
        answer.map_or(true, |answer| answer.status == 503).then_some(())
    })
    .await;
    stream.write_all(&body.as_bytes()[5..]).await.unwrap();
    let answer = todo_tests::raw::read_answer(&mut stream, false).await.unwrap();
    assert_eq!(answer.status, 201);
    assert!(stack.api.process.wait(PATIENCE).await.success(), "exit code 0");
    assert!(!stack.api.process.errors().contains("panicked"));
}

pub(crate) async fn a_stopped_gateway_finishes_its_work(services: &Services) {
    let mut stack = services.own(Database::Sqlite, "", "").await;
    let user = stack.client().register().await;
    let config = Arc::new(todo_tests::raw::tls_config(&stack.gateway.ca(), &["http/1.1"]).unwrap());
    let connect = async || todo_tests::raw::connect_tls(config.clone(), stack.gateway.https_port, "localhost").await;
    let body = r#"{"title":"in flight"}"#;
    let head = format!(
        "POST /v1/todos HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        user.client.token(),
        body.len()
    );
    let (mut busy, mut idle) = (connect().await.unwrap(), connect().await.unwrap());
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(todo_tests::raw::read_answer(&mut idle, false).await.unwrap().status, 200);
    busy.write_all(head.as_bytes()).await.unwrap();
    busy.write_all(&body.as_bytes()[..5]).await.unwrap();
    busy.flush().await.unwrap();
    stack.client().get("/livez").await.expect(200);
    stack.gateway.process.signal(Signal::Terminate);
    // The idle connection is closed at once; the busy one is served.
    todo_tests::raw::exchange(&mut idle, b"").await.expect("the idle connection ends");
    busy.write_all(&body.as_bytes()[5..]).await.unwrap();
    let answer = todo_tests::raw::read_answer(&mut busy, false).await.unwrap();
    assert_eq!(answer.status, 201);
    drop(busy);
    assert!(stack.gateway.process.wait(PATIENCE).await.success(), "exit code 0");
}

pub(crate) async fn a_replica_that_stops_costs_no_request(services: &Services) {
    let delay = "[server]\nstop_delay = \"1s\"\n";
    let stack = services.own(Database::Postgres, delay, "").await;
    let folders = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut second = Api::start(folders.0.path(), &stack.database, delay).await.unwrap();
    // Only what the replica says of itself can be noticed in time: silence would have to last.
    let checks = "[upstreams.api]\nhealth_interval = \"100ms\"\nunhealthy_after = 1000\n";
    let gateway = Gateway::start(folders.1.path(), &[stack.api.port, second.port], checks).await.unwrap();
    let user = gateway.client().unwrap().register().await;
    let stream = Stream::start(&user, 4);
    let (admin, address) = (gateway.admin().unwrap(), format!("127.0.0.1:{}", second.port));
    for _ in 0..2 {
        eventually("the replica to take its turns", PATIENCE, async || {
            let text = admin.get("/metrics").await.text;
            let is_healthy = |line: &str| line.contains("healthy") && line.contains(&address) && line.ends_with(" 1");
            text.lines().any(is_healthy).then_some(())
        })
        .await;
        stream.progress(30).await;
        assert!(second.process.stop(Signal::Terminate).await.success());
        second.restart().await.unwrap();
    }
    stream.progress(30).await;
    let failures = stream.failures.clone();
    let acknowledged = stream.end().await;
    assert_eq!(*failures.lock().unwrap(), [""; 0]);
    nothing_lost_nothing_doubled(&user, acknowledged).await;
}

pub(crate) async fn a_gateway_without_an_api_says_so(services: &Services) {
    let mut stack = services.own(Database::Sqlite, "", "").await;
    let user = stack.client().register().await;
    stack.api.process.stop(Signal::Kill).await;
    let answer = user.client.get("/v1/todos").await;
    answer.expect_problem(502, "upstream_unreachable");
    assert!(answer.headers.contains_key("strict-transport-security"));
    stack.api.restart().await.unwrap();
    eventually("the gateway to find the API again", PATIENCE, async || {
        (user.client.get("/v1/todos").await.status == 200).then_some(())
    })
    .await;
}

pub(crate) async fn replicas_share_the_load_and_a_dead_one_is_left_out(services: &Services, database: Database) {
    // Two APIs over one SQLite file are two writers, which is allowed and slow; over PostgreSQL it is production's form.
    let mut stack = services.own(database, "", "").await;
    let second_folder = tempfile::tempdir().unwrap();
    let mut second = Api::start(second_folder.path(), &stack.database, "").await.unwrap();
    let gateway_folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(gateway_folder.path(), &[stack.api.port, second.port], "").await.unwrap();
    let client = gateway.client().unwrap();
    let user = client.register().await;
    let seen = async |gateway: &Gateway| -> BTreeSet<String> {
        for _ in 0..10 {
            client.with_token(user.client.token()).get("/v1/todos").await.expect(200);
        }
        let lines: Vec<Value> = gateway.access_log();
        lines.iter().rev().take(8).filter_map(|line| line["upstream"].as_str().map(str::to_owned)).collect()
    };
    eventually("both replicas to be used", PATIENCE, async || (seen(&gateway).await.len() == 2).then_some(())).await;
    second.process.stop(Signal::Kill).await;
    let admin = gateway.admin().unwrap();
    let dead = format!("127.0.0.1:{}", second.port);
    eventually("the health check to notice", PATIENCE, async || {
        let text = admin.get("/metrics").await.text;
        text.lines().any(|line| line.contains("healthy") && line.contains(&dead) && line.ends_with(" 0")).then_some(())
    })
    .await;
    for _ in 0..30 {
        user.client.get("/v1/todos").await.expect(200);
    }
    stack.api.process.stop(Signal::Terminate).await;
}

pub(crate) async fn two_replicas_migrate_once(services: &Services, database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let url = services.fresh(database, folder.path()).await.unwrap();
    let migrate = || {
        let url = url.clone();
        tokio::task::spawn_blocking(move || {
            tier("todo-api").unwrap().arg("migrate").env("TODO_API__DATABASE__URL", url).output().unwrap()
        })
    };
    let both = [migrate(), migrate(), migrate()];
    for migration in both {
        let output = migration.await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let api = Api::start(folder.path(), &url, "").await.unwrap();
    Client::http(api.port).unwrap().register().await;
}

/// Waiting for a lock, a migration stops whoever wants the table after it; so it gives up soon, and says what to do.
pub(crate) async fn a_locked_database_is_not_waited_for(services: &Services) {
    let folder = tempfile::tempdir().unwrap();
    let url = services.fresh(Database::Postgres, folder.path()).await.unwrap();
    let migrate = || {
        let mut command = tier("todo-api").unwrap();
        command.arg("migrate").env("TODO_API__DATABASE__URL", &url);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    assert!(migrate().await.unwrap().status.success());
    let locked = Locked::table(&url, "_sqlx_migrations").unwrap();
    let output = migrate().await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("somebody else held a lock on the database for 5s, and nothing was changed"), "{said}");
    drop(locked);
    assert!(migrate().await.unwrap().status.success());
}
