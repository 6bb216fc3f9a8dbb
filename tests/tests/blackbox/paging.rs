//! Pages: every row once, in order, whatever happens between two of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use todo_tests::{client::Account, stack::Stack};

/// Walks all pages and returns their rows.
async fn walk(user: &Account, query: &str, mut between: impl AsyncFnMut(usize)) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut path = format!("/v1/todos?{query}");
    for page_number in 0.. {
        assert!(page_number < 50, "the walk ends");
        let answer = user.client.get(&path).await.expect(200);
        let page = answer.json();
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert!(answer.header("link").is_none(), "no link at the end");
            break;
        };
        let link = answer.header("link").expect("a link to the next page").to_owned();
        assert!(link.contains("rel=\"next\"") && link.contains(cursor), "{link}");
        path = format!("/v1/todos?{query}&cursor={cursor}");
        between(page_number).await;
    }
    rows
}

async fn forty(stack: &Stack) -> Account {
    let user = stack.client().register().await;
    for number in 0..40_u32 {
        let priority = ["none", "low", "medium", "high"][number as usize % 4];
        let mut body = json!({"title": format!("todo {number:02}"), "priority": priority});
        // Many rows share a value, many have none: ties and nulls are where paging breaks.
        if number % 3 != 0 {
            body["due_at"] = json!(format!("2030-01-{:02}T00:00:00Z", 1 + number % 5));
        }
        user.client.post("/v1/todos", &body).await.expect(201);
    }
    user
}

pub(crate) async fn every_order_shows_each_todo_once(stack: &Stack) {
    let user = forty(stack).await;
    for key in ["position", "due_at", "created_at", "updated_at", "priority"] {
        let mut directions = Vec::new();
        for sort in [key.to_owned(), format!("-{key}")] {
            let rows = walk(&user, &format!("sort={sort}&limit=7"), async |_| ()).await;
            let ids: BTreeSet<_> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
            assert_eq!((rows.len(), ids.len()), (40, 40), "{sort}");
            directions.push(rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>());
        }
        directions[1].reverse();
        if key != "due_at" {
            assert_eq!(directions[0], directions[1], "{key}: the two directions mirror each other");
        }
    }
    let due: Vec<_> = walk(&user, "sort=due_at&limit=7", async |_| ())
        .await
        .iter()
        .map(|row| row["due_at"].as_str().unwrap_or("~").to_owned())
        .collect();
    assert!(due.is_sorted(), "those without a date come last: {due:?}");
    assert_eq!(walk(&user, "limit=200", async |_| ()).await.len(), 40);
}

pub(crate) async fn rows_that_come_and_go_disturb_nothing(stack: &Stack) {
    let user = forty(stack).await;
    let first =
        user.client.get("/v1/todos?sort=created_at&limit=1").await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    let rows = walk(&user, "sort=created_at&limit=7", async |page| {
        if page == 0 {
            user.client.delete(&format!("/v1/todos/{first}")).await.expect(204);
        }
        user.todo(&format!("late {page}")).await;
    })
    .await;
    let titles: Vec<_> =
        rows.iter().map(|row| row["title"].as_str().unwrap()).filter(|title| title.starts_with("todo")).collect();
    let unique: BTreeSet<_> = titles.iter().collect();
    assert_eq!((titles.len(), unique.len()), (40, 40));
}

pub(crate) async fn a_foreign_cursor_is_refused(stack: &Stack) {
    let user = forty(stack).await;
    let page = user.client.get("/v1/todos?sort=due_at&limit=5&status=open").await.expect(200).json();
    let cursor = page["next_cursor"].as_str().unwrap();
    for query in [
        format!("sort=created_at&limit=5&status=open&cursor={cursor}"),
        format!("sort=due_at&limit=5&status=done&cursor={cursor}"),
        format!("sort=due_at&limit=5&cursor={cursor}"),
        "cursor=abc".to_owned(),
        format!("sort=due_at&status=open&cursor={}", &cursor[1..]),
        "cursor=".to_owned(),
    ] {
        user.client.get(&format!("/v1/todos?{query}")).await.expect_problem(400, "cursor_invalid");
    }
    // The size of a page is not part of what is listed.
    user.client.get(&format!("/v1/todos?sort=due_at&limit=9&status=open&cursor={cursor}")).await.expect(200);
}
