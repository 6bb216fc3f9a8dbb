//! What operators see: the access log, the request's name in both tiers' logs, the metrics.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use todo_tests::{
    api::Api,
    client::{Answer, Client},
    ports, postgres,
    process::{Process, tier},
    stack::Stack,
    wait::eventually,
};

use crate::service::{Database, Services};

/// The value of a metric without labels.
fn value(metrics: &Answer, name: &str) -> u64 {
    let of = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    metrics.text.lines().find_map(of).unwrap_or_else(|| panic!("{name} in {}", metrics.text))
}

pub(crate) async fn request_ids_are_kept_in_both_logs(stack: &Stack) {
    let answer = stack.client().get("/v1/me").await;
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert_eq!(answer.json()["request_id"], json!(id));
    let line = eventually("the access log's line", Duration::from_secs(10), async || {
        stack.gateway.access_log().into_iter().find(|line| line["request_id"] == json!(id))
    })
    .await;
    assert_eq!((&line["status"], &line["reason"]), (&json!(401), &json!("token_missing")));
    eventually("the API's line", Duration::from_secs(10), async || {
        stack.api.process.errors().contains(&id).then_some(())
    })
    .await;
}

pub(crate) async fn the_access_log_tells_and_does_not_leak(stack: &Stack) {
    let user = stack.client().register().await;
    let answer = user.client.get("/v1/todos?q=private-words&access_token=hunter2").await;
    let id = answer.header("x-request-id").unwrap().to_owned();
    let line = eventually("the access log's line", Duration::from_secs(10), async || {
        stack.gateway.access_log().into_iter().find(|line| line["request_id"] == json!(id))
    })
    .await;
    let members: BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    for member in [
        "v",
        "time",
        "request_id",
        "trace_id",
        "client",
        "method",
        "host",
        "path",
        "route",
        "user",
        "status",
        "reason",
        "bytes_in",
        "bytes_out",
        "upstream",
        "cache",
        "protocol",
    ] {
        assert!(members.contains(member), "{member} in {line}");
    }
    assert_eq!((&line["method"], &line["protocol"]), (&json!("GET"), &json!("h2")));
    assert_eq!(line["client"], "127.0.0.1");
    let everything = std::fs::read_to_string(&stack.gateway.process.stdout).unwrap()
        + &stack.gateway.process.errors()
        + &stack.api.process.errors();
    for secret in
        ["hunter2", user.client.token(), user.refresh_token.as_str(), todo_tests::client::PASSWORD, user.email.as_str()]
    {
        assert!(!everything.contains(secret), "a log holds {secret}");
    }
}

pub(crate) async fn metrics_count_what_happened(stack: &Stack) {
    let (gateway, api) = (stack.gateway.admin().unwrap(), Client::http(stack.api.admin_port).unwrap());
    stack.client().get("/v1/me").await.expect(401);
    for admin in [&gateway, &api] {
        let metrics = admin.get("/metrics").await.expect(200);
        let text = &metrics.text;
        assert!(text.contains("# TYPE"), "{text}");
        assert!(text.contains("4xx") || text.contains("401"), "{text}");
        for name in [
            "process_resident_memory_bytes",
            "process_memory_limit_bytes",
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ] {
            // The first second of processor time may not be over.
            assert!(value(&metrics, name) > 0 || name == "process_cpu_seconds_total", "{name}");
        }
        let build = text.lines().find(|line| line.contains("_build_info{")).unwrap();
        let commit = option_env!("TODO_BUILD_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown");
        for label in [format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), format!("commit=\"{commit}\"")] {
            assert!(build.contains(&label), "{build}");
        }
        admin.get("/livez").await.expect(200);
        admin.get("/readyz").await.expect(200);
    }
    let text = gateway.get("/metrics").await.text;
    for part in ["build_info", "connections", "tls", "upstream", "reload", "route="] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // The admin routes are not on the public listener, and ids are in no label.
    stack.client().get("/metrics").await.expect_problem(404, "not_found");
    assert!(!text.contains("/v1/todos/0"), "a label holds an id");
}

pub(crate) async fn the_schema_is_told_and_a_newer_one_serves(services: &Services) {
    let folder = tempfile::tempdir().unwrap();
    let url = services.fresh(Database::Postgres, folder.path()).await.unwrap();
    let (port, admin_port) = (ports::free().unwrap(), ports::free().unwrap());
    let mut command = tier("todo-api").unwrap();
    command
        .arg("run")
        .env("TODO_API__DATABASE__URL", &url)
        .env("TODO_API__DATABASE__MIGRATE_AT_START", "false")
        .env("TODO_API__SERVER__LISTEN", format!("127.0.0.1:{port}"))
        .env("TODO_API__ADMIN__LISTEN", format!("127.0.0.1:{admin_port}"));
    let _api = Process::start("api", folder.path(), &mut command).unwrap();
    let admin = Client::http(admin_port).unwrap();
    let migrate = || {
        let output = tier("todo-api").unwrap().arg("migrate").env("TODO_API__DATABASE__URL", &url).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let ready = async |version: u64| {
        eventually("the schema to be enough", Duration::from_secs(20), async || {
            let metrics = admin.get("/metrics").await;
            (value(&metrics, "todo_api_ready") == 1 && value(&metrics, "todo_api_schema_version") == version)
                .then_some(metrics)
        })
        .await
    };

    eventually("readiness to ask for migrations", Duration::from_secs(20), async || {
        let answer = admin.send("GET", "/readyz", &[], None).await.ok()?;
        (answer.status == 503 && answer.text.contains("run `todo-api migrate`")).then_some(())
    })
    .await;
    let metrics = admin.get("/metrics").await.expect(200);
    let expected = value(&metrics, "todo_api_schema_expected");
    assert_eq!((value(&metrics, "todo_api_schema_version"), value(&metrics, "todo_api_ready")), (0, 0));
    assert!(migrate().contains("up to date"));
    ready(expected).await;
    admin.get("/readyz").await.expect(200);

    // What a newer version leaves behind when the operator goes back to this one.
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'later', TRUE, '', 0)";
    postgres::query(&url, newer).unwrap();
    let applied = || postgres::query(&url, "SELECT version, checksum FROM _sqlx_migrations ORDER BY version").unwrap();
    let before = applied();
    let sentence = migrate();
    assert!(sentence.contains("newer than this build") && sentence.lines().count() == 1, "{sentence}");
    assert_eq!(applied(), before);
    ready(9999).await;
    let started = Api::start(folder.path(), &url, "").await.unwrap();
    Client::http(started.port).unwrap().register().await;
}

/// A password takes 19 MiB to check, and an allocator that kept what was freed made a process of 1 GiB out of a few
/// hundred attempts.
pub(crate) async fn sign_ins_of_strangers_take_bounded_memory(_: &Services) {
    const ATTEMPTS: usize = 120;
    const AT_ONCE: usize = 6;
    let folder = tempfile::tempdir().unwrap();
    let api = Api::start(folder.path(), &todo_tests::api::sqlite_url(folder.path()), "").await.unwrap();
    let (client, admin) = (Client::http(api.port).unwrap(), Client::http(api.admin_port).unwrap());
    let resident = async || value(&admin.get("/metrics").await, "process_resident_memory_bytes");
    let before = resident().await;
    for _ in 0..ATTEMPTS / AT_ONCE {
        let mut attempts = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let client = client.clone();
            attempts.spawn(async move {
                let body = json!({"email": "nobody@example.org", "password": "not the right sentence"});
                // On a busy machine some are turned away, which is another bound.
                let status = client.post("/v1/auth/login", &body).await.status;
                assert!([401, 503].contains(&status), "{status}");
            });
        }
        attempts.join_all().await;
    }
    let grown = (resident().await.saturating_sub(before)) >> 20;
    // Two at once by default.
    assert!(grown < 2 * 19 + 60, "{grown} MiB more after {ATTEMPTS} attempts");
}
