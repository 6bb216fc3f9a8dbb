//! The API's keys: each changed, and seen to matter.

use std::time::{Duration, Instant};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use todo_tests::{
    api::{Api, sqlite_url},
    client::{Account, Client, PASSWORD},
    postgres::{self, Locked},
    process::{Signal, tier},
    raw::read_answer,
    wait::eventually,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

use crate::{
    config::{PATIENCE, Row, TOKEN, metrics_need_the_token, rows, weak_tokens_are_refused},
    service::Services,
};

pub(super) fn rows() -> Vec<Row> {
    rows! { "api";
        ["server.listen", "admin.listen"] => listeners,
        ["admin.token"] => admin_token,
        ["server.request_timeout"] => request_timeout,
        ["server.stop_delay"] => stop_delay,
        ["server.drain_timeout"] => drain_timeout,
        ["server.require_if_match"] => require_if_match,
        ["database.url"] => database_url,
        ["database.max_connections"] => max_connections,
        ["database.statement_timeout"] => statement_timeout,
        ["database.migrate_at_start"] => migrate_at_start,
        ["auth.issuer", "auth.audience"] => issuer_and_audience,
        ["auth.key_ring"] => key_ring,
        ["auth.password_parallelism", "auth.password_wait"] => passwords,
        ["log.format", "log.level"] => log,
    }
}

/// An API over a SQLite file in a folder that lives as long as it.
struct Own {
    api: Api,
    client: Client,
    folder: tempfile::TempDir,
}

async fn own(extra: &str) -> Own {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::start(folder.path(), &sqlite_url(folder.path()), extra).await.unwrap();
    let client = Client::http(api.port).unwrap();
    Own { api, client, folder }
}

/// A request whose body does not come: only its head and a few octets are sent.
async fn unfinished(own: &Own, user: &Account) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", own.api.port)).await.unwrap();
    let head = format!(
        "POST /v1/todos HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        user.client.token()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

fn claims(user: &Account) -> Value {
    let part = user.client.token().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn listeners(_: &Services) {
    // Every API of these tests listens where its file says.
    let own = own("").await;
    own.client.get("/livez").await.expect(200);
    own.client.get("/metrics").await.expect_problem(404, "not_found");
    Client::http(own.api.admin_port).unwrap().get("/metrics").await.expect(200);
}

async fn admin_token(_: &Services) {
    let own = own(&format!("[admin]\ntoken = \"{TOKEN}\"\n")).await;
    metrics_need_the_token(own.api.admin_port).await;
    assert!(!own.api.process.errors().contains(TOKEN), "a log holds the token");
    weak_tokens_are_refused("todo-api", "TODO_API__ADMIN__TOKEN");
}

async fn request_timeout(_: &Services) {
    let own = own("[server]\nrequest_timeout = \"2s\"\n").await;
    let user = own.client.register().await;
    let start = Instant::now();
    let answer = read_answer(&mut unfinished(&own, &user).await, false).await.unwrap();
    assert!([408, 503].contains(&answer.status), "{}", answer.status);
    assert!(start.elapsed() < Duration::from_secs(8), "the default is 10 s");
}

async fn stop_delay(_: &Services) {
    let mut own = own("[server]\nstop_delay = \"10min\"\n").await;
    let user = own.client.register().await;
    own.api.process.signal(Signal::Terminate);
    eventually("readiness to say no", PATIENCE, async || {
        (own.client.get("/readyz").await.code() == "draining").then_some(())
    })
    .await;
    Client::http(own.api.admin_port).unwrap().get("/readyz").await.expect(503);
    // Whoever has not noticed is served, on kept connections and on new ones, and told not to keep any.
    for client in [user.client.clone(), Client::http(own.api.port).unwrap().with_token(user.client.token())] {
        let answer = client.post("/v1/todos", &json!({"title": "late"})).await.expect(201);
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let start = Instant::now();
    assert!(own.api.process.stop(Signal::Interrupt).await.success(), "a second signal ends the delay");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());

    let mut short = self::own("[server]\nstop_delay = \"500ms\"\n").await;
    let start = Instant::now();
    assert!(short.api.process.stop(Signal::Terminate).await.success());
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
    std::net::TcpStream::connect(("127.0.0.1", short.api.port)).expect_err("nobody listens");
}

async fn drain_timeout(_: &Services) {
    let mut own = own("[server]\ndrain_timeout = \"300ms\"\nrequest_timeout = \"60s\"\n").await;
    let user = own.client.register().await;
    let _stream = unfinished(&own, &user).await;
    own.client.get("/livez").await.expect(200);
    let start = Instant::now();
    own.api.process.stop(Signal::Terminate).await;
    assert!(start.elapsed() < Duration::from_secs(20), "the default is 25 s");
}

async fn require_if_match(_: &Services) {
    let own = own("[server]\nrequire_if_match = true\n").await;
    let user = own.client.register().await;
    let path = format!("/v1/todos/{}", user.todo("careful").await["id"].as_str().unwrap());
    let body = json!({"title": "changed"});
    user.client.patch(&path, &body).await.expect_problem(428, "precondition_required");
    user.client.delete(&path).await.expect_problem(428, "precondition_required");
    user.client.call("PATCH", &path, &[("if-match", "\"v1\"")], Some(&body)).await.expect(200);
}

async fn database_url(services: &Services) {
    let own = own("").await;
    assert!(own.folder.path().join("todo.sqlite").is_file());
    let url = services.postgres().await.unwrap().database().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let api = Api::start(folder.path(), &url, "").await.unwrap();
    Client::http(api.port).unwrap().register().await;
    assert_eq!(postgres::query(&url, "SELECT count(*) FROM users").unwrap(), "1");
}

async fn max_connections(services: &Services) {
    let most = async |connections: u32| {
        let url = services.postgres().await.unwrap().database().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let api =
            Api::start(folder.path(), &url, &format!("[database]\nmax_connections = {connections}\n")).await.unwrap();
        let user = Client::http(api.port).unwrap().register().await;
        let mut load = JoinSet::new();
        // Few enough that the last of them gets the only connection before it has waited for too long.
        for _ in 0..50 {
            let client = user.client.clone();
            load.spawn(async move { client.get("/v1/todos").await.expect(200) });
        }
        load.join_all().await;
        let count =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        postgres::query(&url, count).unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(most(1).await, 1);
    let several = most(5).await;
    assert!((2..=5).contains(&several), "{several}");
}

async fn statement_timeout(services: &Services) {
    let url = services.postgres().await.unwrap().database().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let api = Api::start(folder.path(), &url, "[database]\nstatement_timeout = \"200ms\"\n").await.unwrap();
    let user = Client::http(api.port).unwrap().register().await;
    let locked = Locked::table(&url, "todos").unwrap();
    let start = Instant::now();
    user.client.get("/v1/todos").await.expect_problem(503, "database_unavailable");
    assert!(start.elapsed() < Duration::from_secs(2), "the default is 5 s");
    drop(locked);
    user.client.get("/v1/todos").await.expect(200);
}

async fn migrate_at_start(_: &Services) {
    // Development migrates at start, as every API of these tests does; told not to, it waits for somebody else to.
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(folder.path());
    let migrated = tier("todo-api").unwrap().arg("migrate").env("TODO_API__DATABASE__URL", &url).output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let api = Api::start(folder.path(), &url, "[database]\nmigrate_at_start = false\n").await.unwrap();
    Client::http(api.port).unwrap().register().await;

    let empty = tempfile::tempdir().unwrap();
    let url = sqlite_url(empty.path());
    let refused = Api::start(empty.path(), &url, "[database]\nmigrate_at_start = false\n");
    let outcome = tokio::time::timeout(Duration::from_secs(3), refused).await;
    assert!(!matches!(outcome, Ok(Ok(_))), "an API without a schema is not ready");
}

async fn issuer_and_audience(_: &Services) {
    let own = own("[auth]\nissuer = \"https://todo.example\"\naudience = \"somebody\"\n").await;
    let user = own.client.register().await;
    let claims = claims(&user);
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("https://todo.example"), &json!("somebody")));
    user.client.get("/v1/me").await.expect(200);
    // Told another audience, the same API refuses the same token: its signature is right, but it is for somebody else.
    for other in [
        "[auth]\naudience = \"else\"\nissuer = \"https://todo.example\"\n",
        "[auth]\naudience = \"somebody\"\nissuer = \"https://other.example\"\n",
    ] {
        let second = Api::start(tempfile::tempdir().unwrap().path(), &sqlite_url(own.folder.path()), other).await;
        let second = second.unwrap();
        Client::http(second.port)
            .unwrap()
            .with_token(user.client.token())
            .get("/v1/me")
            .await
            .expect_problem(401, "token_invalid");
    }
}

async fn key_ring(_: &Services) {
    let (first, second) =
        ("1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=", "2:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI=");
    let ring = |ring: &str| format!("[auth]\nkey_ring = \"{ring}\"\n");
    let mut own = own(&ring(first)).await;
    let user = own.client.register().await;
    own.api.process.stop(Signal::Terminate).await;
    // With a new key in front the old one still opens what it sealed, and tokens go on working.
    own.api = Api::start(own.folder.path(), &sqlite_url(own.folder.path()), &ring(&format!("{second},{first}")))
        .await
        .unwrap();
    Client::http(own.api.port).unwrap().with_token(user.client.token()).get("/v1/me").await.expect(200);
    own.api.process.stop(Signal::Terminate).await;
    // Without the old one it cannot sign with what is there: it says so rather than make keys behind the operator's back.
    let stranger = Api::start(own.folder.path(), &sqlite_url(own.folder.path()), &ring(second)).await;
    let error = stranger.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("key_ring") || error.contains("key ring"), "{error}");
    assert!(!error.contains("AAAAAAAA"), "{error}");
}

async fn passwords(_: &Services) {
    let statuses = async |extra: &str| {
        let own = own(extra).await;
        let email = own.client.register().await.email;
        let mut logins = JoinSet::new();
        for _ in 0..12 {
            let (client, body) = (own.client.clone(), json!({"email": email, "password": PASSWORD}));
            logins.spawn(async move { client.post("/v1/auth/login", &body).await });
        }
        logins.join_all().await
    };
    let shed = statuses("[auth]\npassword_parallelism = 1\npassword_wait = \"1ms\"\n").await;
    let refused: Vec<_> = shed.iter().filter(|answer| answer.status == 503).collect();
    assert!(!refused.is_empty(), "twelve at once, one at a time, none waits");
    refused[0].expect_problem(503, "overloaded");
    assert!(refused[0].header("retry-after").is_some());
    let waited = statuses("[auth]\npassword_parallelism = 4\npassword_wait = \"30s\"\n").await;
    assert!(waited.iter().all(|answer| answer.status == 200));
}

async fn log(_: &Services) {
    let errors = async |extra: &str| {
        let mut own = own(extra).await;
        own.client.get("/nothing").await;
        own.api.process.stop(Signal::Terminate).await;
        own.api.process.errors()
    };
    let json = errors("").await;
    assert!(json.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()) && !json.is_empty(), "{json}");
    let human = errors("[log]\nformat = \"human\"\n").await;
    assert!(human.lines().all(|line| serde_json::from_str::<Value>(line).is_err()) && !human.is_empty(), "{human}");
    assert_eq!(errors("[log]\nlevel = \"error\"\n").await, "");
}
