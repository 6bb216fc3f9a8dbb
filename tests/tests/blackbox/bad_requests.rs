//! Requests that are wrong: each gets one clear problem document, and the same one from both tiers' point of view.

use serde_json::{Value, json};
use todo_tests::{client::Client, stack::Stack};

pub(crate) async fn bodies_that_cannot_be_read(stack: &Stack) {
    let user = stack.client().register().await;
    let json_type = ("content-type", "application/json");
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let post = async |headers: &[(&str, &str)], body: &str| {
        user.client.send("POST", "/v1/todos", headers, Some(body.to_owned())).await.unwrap()
    };
    post(&[json_type], "{\"title\": ").await.expect_problem(400, "request_malformed");
    post(&[json_type], "").await.expect_problem(400, "request_malformed");
    post(&[json_type], &deep).await.expect_problem(400, "request_malformed");
    post(&[json_type], "{\"title\": \"a\"} x").await.expect_problem(400, "request_malformed");
    post(&[json_type], "\u{feff}{\"title\": \"a\"}").await.expect_problem(400, "request_malformed");
    post(&[("content-type", "text/plain")], "{\"title\": \"a\"}").await.expect_problem(415, "unsupported_media_type");
    post(&[], "{\"title\": \"a\"}").await.expect_problem(415, "unsupported_media_type");
    let accepted = post(&[("content-type", "application/json; charset=utf-8")], "{\"title\": \"a\"}").await;
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    let large = json!({"title": "a", "notes": "n".repeat(300 << 10)}).to_string();
    post(&[json_type], &large).await.expect_problem(413, "body_too_large");
}

pub(crate) async fn fields_that_are_not_valid(stack: &Stack) {
    let user = stack.client().register().await;
    let long_tag = "t".repeat(51);
    for (body, pointers) in [
        (json!({}), vec!["/title"]),
        (json!({"title": ""}), vec!["/title"]),
        (json!({"title": "x".repeat(501)}), vec!["/title"]),
        (json!({"title": 7}), vec!["/title"]),
        (json!({"title": "a", "notes": "n".repeat(10_001)}), vec!["/notes"]),
        (json!({"title": "a", "priority": "urgent"}), vec!["/priority"]),
        (json!({"title": "a", "due_at": "tomorrow"}), vec!["/due_at"]),
        (json!({"title": "a", "due_at": "2030-02-30T00:00:00Z"}), vec!["/due_at"]),
        (json!({"title": "a", "due_zone": "Nowhere/Land"}), vec!["/due_zone"]),
        (json!({"title": "a", "tags": [long_tag]}), vec!["/tags/0"]),
        (json!({"title": "a", "list_id": "7"}), vec!["/list_id"]),
        (json!({"title": "a", "position": [null, null]}), vec!["/position"]),
        (json!({"title": "a", "colour": "red"}), vec!["/colour"]),
        (json!({"title": "", "priority": "urgent", "due_at": "x"}), vec!["/due_at", "/priority", "/title"]),
    ] {
        let answer = user.client.post("/v1/todos", &body).await;
        answer.expect_problem(422, "invalid");
        let problem = answer.json();
        let mut found: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, pointers, "{}", answer.text);
        assert!(
            problem["errors"]
                .as_array()
                .unwrap()
                .iter()
                .all(|error| error["code"].is_string() && error["detail"].is_string())
        );
    }
    // Lengths count characters, not octets.
    user.client.post("/v1/todos", &json!({"title": "🦷".repeat(500)})).await.expect(201);
}

pub(crate) async fn queries_that_are_not_valid(stack: &Stack) {
    let user = stack.client().register().await;
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "sort=colour",
        "status=maybe",
        "due_before=x",
        "list=7",
        "nonsense=1",
        "trashed=perhaps",
        "limit=1&limit=2",
    ] {
        user.client.get(&format!("/v1/todos?{query}")).await.expect_problem(422, "invalid");
    }
    user.client.get("/v1/todos/not-an-id").await.expect_problem(404, "not_found");
}

pub(crate) async fn unknown_paths_and_methods(stack: &Stack) {
    let user = stack.client().register().await;
    for path in ["/nothing", "/v1/nothing", "/v1", "/v1/todos/", "/v2/todos"] {
        user.client.get(path).await.expect_problem(404, "not_found");
    }
    let answer = user.client.call("PUT", "/v1/todos", &[], Some(&json!({}))).await;
    answer.expect_problem(405, "method_not_allowed");
    let allow = answer.header("allow").expect("RFC 9110 15.5.6").to_owned();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    let head = user.client.call("HEAD", "/v1/todos", &[], None).await.expect(200);
    assert_eq!(head.text, "");
    assert!(head.header("etag").is_some());
}

pub(crate) async fn both_tiers_speak_problem_json(stack: &Stack) {
    let direct = Client::http(stack.api.port).unwrap();
    let shape = |answer: &todo_tests::client::Answer| -> Vec<String> {
        let body: Value = answer.json();
        let mut members: Vec<_> = body.as_object().unwrap().keys().filter(|key| *key != "detail").cloned().collect();
        members.sort();
        members
    };
    // The gateway refuses a foreign host itself; the API knows no such path.
    let by_gateway = Client::misdirected("foreign.example", stack.gateway.https_port).unwrap().get("/v1/todos").await;
    let by_api = direct.get("/nothing").await;
    by_gateway.expect_problem(421, "host_untrusted");
    by_api.expect_problem(404, "not_found");
    for answer in [&by_gateway, &by_api] {
        assert_eq!(shape(answer), ["code", "request_id", "status", "title", "type"]);
        let body = answer.json();
        assert_eq!(body["type"], json!(format!("/problems/{}", answer.code())));
        assert_eq!(body["request_id"].as_str(), answer.header("x-request-id"));
    }
    for code in ["not_found", "host_untrusted", "rate_limited"] {
        stack.client().get(&format!("/problems/{code}")).await.expect(200);
    }
    stack.client().get("/problems/no_such_code").await.expect_problem(404, "not_found");
}
