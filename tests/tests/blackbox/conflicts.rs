//! Two people, one todo: nobody's work is lost without being told.

use serde_json::json;
use todo_tests::stack::Stack;
use tokio::task::JoinSet;

pub(crate) async fn two_writers_one_wins(stack: &Stack) {
    let user = stack.client().register().await;
    let todo = user.todo("shared").await;
    let path = format!("/v1/todos/{}", todo["id"].as_str().unwrap());
    let write = async |tag: &str, title: &str| {
        user.client.call("PATCH", &path, &[("if-match", tag)], Some(&json!({"title": title}))).await
    };
    let won = write("\"v1\"", "mine").await.expect(200);
    assert_eq!(won.header("etag"), Some("\"v2\""));
    write("\"v1\"", "yours").await.expect_problem(412, "precondition_failed");
    assert_eq!(user.client.get(&path).await.json()["title"], "mine");
    write("\"v7\", \"v2\"", "ours").await.expect(200);
    write("*", "anybody's").await.expect(200);
    // A weak tag never matches strongly (RFC 9110 13.1.1).
    write("W/\"v4\"", "weak").await.expect_problem(412, "precondition_failed");
    user.client.call("DELETE", &path, &[("if-match", "\"v1\"")], None).await.expect_problem(412, "precondition_failed");
    user.client.call("DELETE", &path, &[("if-match", "\"v4\"")], None).await.expect(204);
    let missing = format!("/v1/todos/{}", uuid::Uuid::now_v7());
    let body = json!({"title": "x"});
    user.client.call("PATCH", &missing, &[("if-match", "\"v1\"")], Some(&body)).await.expect_problem(404, "not_found");
}

pub(crate) async fn reads_answer_not_modified(stack: &Stack) {
    let user = stack.client().register().await;
    let todo = user.todo("unchanged").await;
    let path = format!("/v1/todos/{}", todo["id"].as_str().unwrap());
    for tag in ["\"v1\"", "W/\"v1\"", "\"x\", \"v1\"", "*"] {
        let answer = user.client.call("GET", &path, &[("if-none-match", tag)], None).await.expect(304);
        assert_eq!(answer.text, "", "{tag}");
        assert_eq!(answer.header("etag"), Some("\"v1\""), "{tag}");
    }
    user.client.call("GET", &path, &[("if-none-match", "\"v2\"")], None).await.expect(200);
    user.client.patch(&path, &json!({"title": "changed"})).await.expect(200);
    user.client.call("GET", &path, &[("if-none-match", "\"v1\"")], None).await.expect(200);
}

pub(crate) async fn a_page_has_a_tag_that_changes_with_a_write(stack: &Stack) {
    let user = stack.client().register().await;
    let todo = user.todo("first").await;
    let read = async |tag: &str| user.client.call("GET", "/v1/todos", &[("if-none-match", tag)], None).await;
    let tag = read("\"none\"").await.expect(200).header("etag").unwrap().to_owned();
    read(&tag).await.expect(304);
    user.client
        .patch(&format!("/v1/todos/{}", todo["id"].as_str().unwrap()), &json!({"title": "second"}))
        .await
        .expect(200);
    let changed = read(&tag).await.expect(200).header("etag").unwrap().to_owned();
    assert_ne!(changed, tag);
    let other = user.client.get("/v1/todos?status=done").await.expect(200).header("etag").unwrap().to_owned();
    assert_ne!(other, changed, "another selection has another tag");
}

pub(crate) async fn racing_writers_never_lose_an_update(stack: &Stack) {
    let user = stack.client().register().await;
    let todo = user.client.post("/v1/todos", &json!({"title": "counter", "notes": "0"})).await.expect(201).json();
    let path = format!("/v1/todos/{}", todo["id"].as_str().unwrap());
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let (client, path) = (user.client.clone(), path.clone());
        writers.spawn(async move {
            let mut written = 0;
            while written < 5 {
                let read = client.get(&path).await.expect(200);
                let count: u32 = read.json()["notes"].as_str().unwrap().parse().unwrap();
                let tag = read.header("etag").unwrap().to_owned();
                let body = json!({"notes": (count + 1).to_string()});
                let answer = client.call("PATCH", &path, &[("if-match", &tag)], Some(&body)).await;
                assert!([200, 412].contains(&answer.status), "{}", answer.text);
                written += u32::from(answer.status == 200);
            }
        });
    }
    while let Some(result) = writers.join_next().await {
        result.expect("the writer ends");
    }
    assert_eq!(user.client.get(&path).await.json()["notes"], "40");
}
