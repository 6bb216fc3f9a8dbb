//! Another user's row does not exist, on any route. The routes come from the document that the API serves.

use serde_json::{Value, json};
use todo_tests::stack::Stack;

/// The methods and templates of the document.
async fn operations(stack: &Stack) -> Vec<(String, String, Value)> {
    let document = stack.client().get("/openapi.json").await.expect(200).json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if ["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                operations.push((method.to_uppercase(), path.clone(), operation.clone()));
            }
        }
    }
    assert!(operations.len() > 20, "{}", operations.len());
    operations
}

/// A body with which the owner would succeed.
fn body(method: &str, path: &str) -> Option<Value> {
    match (method, path) {
        ("PATCH", "/v1/lists/{id}") => Some(json!({"name": "stolen"})),
        ("PATCH", _) => Some(json!({"title": "stolen"})),
        _ => None,
    }
}

pub(crate) async fn see_nothing_on_any_route(stack: &Stack) {
    let (owner, stranger) = (stack.client().register().await, stack.client().register().await);
    let list = owner.client.post("/v1/lists", &json!({"name": "private"})).await.expect(201).json();
    let todo = owner.todo("secret plan").await;
    let trashed = owner.todo("old secret").await;
    owner.client.delete(&format!("/v1/todos/{}", trashed["id"].as_str().unwrap())).await.expect(204);
    let sessions = owner.client.get("/v1/sessions").await.expect(200).json();
    let mut asked = 0;
    for (method, path, _) in operations(stack).await {
        let Some((noun, _)) = path.split_once("/{id}") else { continue };
        let id = match noun {
            "/v1/lists" => &list["id"],
            "/v1/todos" if path.ends_with("/restore") => &trashed["id"],
            "/v1/todos" => &todo["id"],
            "/v1/sessions" => &sessions["data"][0]["id"],
            other => panic!("{other} has rows of a user: say here which one a stranger asks for"),
        };
        let target = path.replace("{id}", id.as_str().unwrap());
        for headers in [&[][..], &[("if-match", "\"v1\"")], &[("if-none-match", "*")]] {
            let answer = stranger.client.call(&method, &target, headers, body(&method, &path).as_ref()).await;
            answer.expect_problem(404, "not_found");
        }
        asked += 1;
    }
    assert!(asked >= 8, "{asked} routes were asked");
    for target in ["/v1/todos", "/v1/todos?trashed=true", "/v1/todos?q=secret", "/v1/lists", "/v1/sessions"] {
        let text = stranger.client.get(target).await.expect(200).text;
        assert!(!text.contains("secret") && !text.contains("private"), "{target}: {text}");
    }
    let foreign = format!("/v1/todos?list={}", list["id"].as_str().unwrap());
    let answer = stranger.client.get(&foreign).await;
    assert!(answer.status == 404 || answer.json()["data"] == json!([]), "{}", answer.text);
    let into = stranger.client.post("/v1/todos", &json!({"title": "spam", "list_id": list["id"]})).await;
    assert!([404, 422].contains(&into.status), "{}", into.text);
    let beside = stranger.client.post("/v1/todos", &json!({"title": "probe", "position": {"after": todo["id"]}})).await;
    assert!([404, 422].contains(&beside.status), "{}", beside.text);
    // Nothing of it has changed anything.
    assert_eq!(owner.client.get(&format!("/v1/todos/{}", todo["id"].as_str().unwrap())).await.expect(200).json(), todo);
    owner.client.get("/v1/me").await.expect(200);
}

pub(crate) async fn without_a_token_nothing_is_shown(stack: &Stack) {
    let anonymous = stack.client();
    let direct = todo_tests::client::Client::http(stack.api.port).unwrap();
    let mut asked = 0;
    for (method, path, operation) in operations(stack).await {
        // The document says which operations need a token; only these public ones may not.
        let public = operation["security"].as_array().is_some_and(Vec::is_empty) || operation.get("security").is_none();
        let expected_public = !path.starts_with("/v1/")
            || ["/v1/auth/register", "/v1/auth/login", "/v1/auth/refresh"].contains(&path.as_str());
        assert_eq!(public, expected_public, "{method} {path}");
        if public {
            continue;
        }
        let target = path.replace("{id}", &uuid::Uuid::now_v7().to_string());
        for client in [&anonymous, &direct] {
            let answer = client.call(&method, &target, &[], body(&method, &path).as_ref()).await;
            answer.expect_problem(401, "token_missing");
        }
        asked += 1;
    }
    assert!(asked > 12, "{asked}");
}
