//! Todos and lists: what a user does all day.

use serde_json::{Value, json};
use todo_tests::stack::Stack;

fn path(todo: &Value) -> String {
    format!("/v1/todos/{}", todo["id"].as_str().unwrap())
}

fn titles(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|todo| todo["title"].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn are_created_read_changed_and_deleted(stack: &Stack) {
    let user = stack.client().register().await;
    let created = user.client.post("/v1/todos", &json!({"title": "buy milk"})).await.expect(201);
    let todo = created.json();
    assert_eq!(created.header("location"), Some(path(&todo).as_str()));
    assert_eq!(created.header("etag"), Some("\"v1\""));
    assert_eq!(created.header("cache-control"), Some("private, no-cache"));
    assert_eq!((&todo["status"], &todo["priority"], &todo["version"]), (&json!("open"), &json!("none"), &json!(1)));
    assert_eq!(todo["tags"], json!([]));

    let read = user.client.get(&path(&todo)).await.expect(200);
    assert_eq!(read.json(), todo);
    let changed = user.client.patch(&path(&todo), &json!({"title": "buy oat milk"})).await.expect(200);
    assert_eq!(changed.header("etag"), Some("\"v2\""));
    assert_eq!(changed.json()["title"], "buy oat milk");
    assert_eq!(titles(&user.client.get("/v1/todos").await.expect(200).json()), ["buy oat milk"]);
    let deleted = user.client.delete(&path(&todo)).await.expect(204);
    assert_eq!(deleted.text, "");
    assert_eq!(titles(&user.client.get("/v1/todos").await.expect(200).json()), [""; 0]);
}

pub(crate) async fn every_field_survives_the_round_trip(stack: &Stack) {
    let user = stack.client().register().await;
    let list = user.client.post("/v1/lists", &json!({"name": "Home", "color": "#aabbcc"})).await.expect(201).json();
    let body = json!({
        "title": "Zähne putzen 🦷", "list_id": list["id"], "notes": "oben\nunten", "priority": "high",
        "due_at": "2030-01-02T03:04:05.123456Z", "due_zone": "Europe/Vienna", "tags": ["bad", "täglich"],
    });
    let todo = user.client.post("/v1/todos", &body).await.expect(201).json();
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&todo[field], value, "{field}");
    }
    assert_eq!(user.client.get(&path(&todo)).await.expect(200).json(), todo);
    // Times are given back in UTC with microseconds.
    let shifted = user
        .client
        .post("/v1/todos", &json!({"title": "x", "due_at": "2030-01-02T04:04:05+01:00"}))
        .await
        .expect(201)
        .json();
    assert_eq!(shifted["due_at"], "2030-01-02T03:04:05.000000Z");
}

pub(crate) async fn patch_keeps_clears_and_sets(stack: &Stack) {
    let user = stack.client().register().await;
    let body = json!({"title": "a", "notes": "b", "priority": "low", "due_at": "2030-01-01T00:00:00Z", "tags": ["x"]});
    let todo = user.client.post("/v1/todos", &body).await.expect(201).json();
    let changed = user
        .client
        .patch(&path(&todo), &json!({"notes": null, "due_at": null, "tags": ["y", "z"]}))
        .await
        .expect(200)
        .json();
    assert_eq!((&changed["title"], &changed["priority"]), (&json!("a"), &json!("low")), "absent keeps");
    assert!(changed["due_at"].is_null(), "null clears");
    assert!(changed["notes"].is_null() || changed["notes"] == "", "null clears");
    assert_eq!(changed["tags"], json!(["y", "z"]), "a list is replaced");
    let plain = user
        .client
        .call("PATCH", &path(&todo), &[("content-type", "application/json")], Some(&json!({"title": "c"})))
        .await;
    assert_eq!(plain.expect(200).json()["title"], "c");
    user.client.patch(&path(&todo), &json!({"title": null})).await.expect_problem(422, "invalid");
    user.client.patch(&path(&todo), &json!({"colour": "red"})).await.expect_problem(422, "invalid");
}

pub(crate) async fn completing_sets_the_time(stack: &Stack) {
    let user = stack.client().register().await;
    let todo = user.todo("finish").await;
    let done = user.client.patch(&path(&todo), &json!({"status": "done"})).await.expect(200).json();
    assert_eq!(done["status"], "done");
    assert!(done["completed_at"].as_str().is_some_and(|time| time.ends_with('Z')));
    let open = user.client.patch(&path(&todo), &json!({"status": "open"})).await.expect(200).json();
    assert!(open["completed_at"].is_null());
}

pub(crate) async fn trash_and_restore(stack: &Stack) {
    let user = stack.client().register().await;
    let todo = user.todo("rubbish").await;
    user.client.delete(&path(&todo)).await.expect(204);
    user.client.get(&path(&todo)).await.expect_problem(404, "not_found");
    user.client.patch(&path(&todo), &json!({"title": "x"})).await.expect_problem(404, "not_found");
    let trash = user.client.get("/v1/todos?trashed=true").await.expect(200).json();
    assert_eq!(titles(&trash), ["rubbish"]);
    assert!(!trash["data"][0]["deleted_at"].is_null());
    let restored = user.client.call("POST", &format!("{}/restore", path(&todo)), &[], None).await.expect(200).json();
    assert!(restored["deleted_at"].is_null());
    assert_eq!(titles(&user.client.get("/v1/todos").await.json()), ["rubbish"]);
    user.client.delete(&path(&todo)).await.expect(204);
    user.client.delete(&path(&todo)).await.expect_problem(404, "not_found");
}

pub(crate) async fn positions_order_the_list(stack: &Stack) {
    let user = stack.client().register().await;
    let (first, second, third) = (user.todo("1").await, user.todo("2").await, user.todo("3").await);
    let order = async || titles(&user.client.get("/v1/todos?sort=position").await.expect(200).json());
    assert_eq!(order().await, ["1", "2", "3"]);
    user.client.patch(&path(&third), &json!({"position": {"before": first["id"]}})).await.expect(200);
    assert_eq!(order().await, ["3", "1", "2"]);
    user.client.patch(&path(&third), &json!({"position": {"after": first["id"]}})).await.expect(200);
    assert_eq!(order().await, ["1", "3", "2"]);
    user.client.post("/v1/todos", &json!({"title": "0", "position": {"before": first["id"]}})).await.expect(201);
    assert_eq!(order().await, ["0", "1", "3", "2"]);
    // However often two rows are put between each other, the order stays right.
    for _ in 0..60 {
        user.client.patch(&path(&second), &json!({"position": {"after": first["id"]}})).await.expect(200);
        user.client.patch(&path(&third), &json!({"position": {"after": first["id"]}})).await.expect(200);
    }
    assert_eq!(order().await, ["0", "1", "3", "2"]);
}

pub(crate) async fn move_between_lists(stack: &Stack) {
    let user = stack.client().register().await;
    let todo = user.todo("wander").await;
    let list = user.client.post("/v1/lists", &json!({"name": "Work"})).await.expect(201).json();
    let moved = user.client.patch(&path(&todo), &json!({"list_id": list["id"]})).await.expect(200).json();
    assert_eq!(moved["list_id"], list["id"]);
    let page = user.client.get(&format!("/v1/todos?list={}", list["id"].as_str().unwrap())).await.expect(200).json();
    assert_eq!(titles(&page), ["wander"]);
    let foreign =
        stack.client().register().await.client.post("/v1/lists", &json!({"name": "Theirs"})).await.expect(201).json();
    let refused = user.client.patch(&path(&todo), &json!({"list_id": foreign["id"]})).await;
    assert!([404, 422].contains(&refused.status), "{}", refused.text);
}

pub(crate) async fn lists_are_managed(stack: &Stack) {
    let user = stack.client().register().await;
    let inbox = user.client.get("/v1/lists").await.expect(200).json();
    assert_eq!(inbox["data"].as_array().unwrap().len(), 1, "an account begins with its inbox");
    let created = user.client.post("/v1/lists", &json!({"name": "Garden"})).await.expect(201);
    let list = created.json();
    let path = format!("/v1/lists/{}", list["id"].as_str().unwrap());
    assert_eq!(created.header("location"), Some(path.as_str()));
    assert_eq!(created.header("etag"), Some("\"v1\""));
    let renamed = user.client.patch(&path, &json!({"name": "Allotment", "color": "#00ff00"})).await.expect(200);
    assert_eq!(renamed.header("etag"), Some("\"v2\""));
    assert_eq!(user.client.get(&path).await.expect(200).json()["name"], "Allotment");
    let stale = user.client.call("PATCH", &path, &[("if-match", "\"v1\"")], Some(&json!({"name": "No"}))).await;
    stale.expect_problem(412, "precondition_failed");
    user.client.delete(&path).await.expect(204);
    user.client.get(&path).await.expect_problem(404, "not_found");
    let inbox = format!("/v1/lists/{}", inbox["data"][0]["id"].as_str().unwrap());
    user.client.delete(&inbox).await.expect_problem(409, "conflict");
}

pub(crate) async fn a_deleted_list_trashes_its_todos(stack: &Stack) {
    let user = stack.client().register().await;
    let list = user.client.post("/v1/lists", &json!({"name": "Old"})).await.expect(201).json();
    let todo =
        user.client.post("/v1/todos", &json!({"title": "orphan", "list_id": list["id"]})).await.expect(201).json();
    user.client.delete(&format!("/v1/lists/{}", list["id"].as_str().unwrap())).await.expect(204);
    assert_eq!(titles(&user.client.get("/v1/todos").await.expect(200).json()), [""; 0]);
    assert_eq!(titles(&user.client.get("/v1/todos?trashed=true").await.expect(200).json()), ["orphan"]);
    // Its list is gone: a restored todo goes to the inbox.
    let restored = user.client.call("POST", &format!("{}/restore", path(&todo)), &[], None).await.expect(200).json();
    assert_ne!(restored["list_id"], list["id"]);
    assert_eq!(titles(&user.client.get("/v1/todos").await.expect(200).json()), ["orphan"]);
}

pub(crate) async fn filters_select(stack: &Stack) {
    let user = stack.client().register().await;
    for body in [
        json!({"title": "Buy MILK", "priority": "high", "tags": ["shop", "food"], "due_at": "2030-01-01T00:00:00Z"}),
        json!({"title": "Buy shoes", "priority": "low", "tags": ["shop"], "due_at": "2030-02-01T00:00:00Z"}),
        json!({"title": "Call Éva", "notes": "about the milk round"}),
    ] {
        user.client.post("/v1/todos", &body).await.expect(201);
    }
    let done = user.todo("Done already").await;
    user.client.patch(&path(&done), &json!({"status": "done"})).await.expect(200);
    for (query, expected) in [
        ("status=done", vec!["Done already"]),
        ("priority=high", vec!["Buy MILK"]),
        ("tag=shop", vec!["Buy MILK", "Buy shoes"]),
        ("tag=shop&tag=food", vec!["Buy MILK"]),
        ("due_before=2030-01-15T00:00:00Z", vec!["Buy MILK"]),
        ("due_after=2030-01-15T00:00:00Z", vec!["Buy shoes"]),
        ("q=milk", vec!["Buy MILK", "Call Éva"]),
        ("q=milk%20buy", vec!["Buy MILK"]),
        ("q=eva", vec!["Call Éva"]),
        ("sort=-created_at&limit=1", vec!["Done already"]),
        ("status=open&sort=created_at&limit=2", vec!["Buy MILK", "Buy shoes"]),
    ] {
        let page = user.client.get(&format!("/v1/todos?{query}")).await.expect(200).json();
        assert_eq!(titles(&page), expected, "{query}");
    }
}
