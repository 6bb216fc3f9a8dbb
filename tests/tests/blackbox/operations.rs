//! What operators see: the access log, the request's name in both tiers' logs, the metrics.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use todo_tests::{client::Client, stack::Stack, wait::eventually};

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
        let text = admin.get("/metrics").await.expect(200).text;
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
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
            let value = value.unwrap_or_else(|| panic!("{name} in {text}"));
            // The first second of processor time may not be over.
            assert!(value > 0.0 || name == "process_cpu_seconds_total", "{name} {value}");
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
