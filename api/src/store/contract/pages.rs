//! Pages: each row once, in order, whatever is inserted meanwhile; and every filter.

use std::collections::HashSet;

use serde_json::json;

use super::{Bench, on_both_engines, query};
use crate::domain::todo::Todo;

on_both_engines!(every_sort_covers_each_row_once, every_filter_finds_its_own, lists_page_too);

const ROWS: usize = 23;

async fn every_sort_covers_each_row_once(bench: Bench) {
    let me = bench.user().await;
    let lists = [bench.list(&me).await, bench.list(&me).await];
    let mut made = Vec::new();
    for number in 0..ROWS {
        let due = (number % 3 != 0).then(|| format!("2026-01-{:02}T00:00:00Z", number % 7 + 1));
        let priority = ["none", "low", "medium", "high"][number % 4];
        made.push(
            bench
                .todo(&me, json!({"title": "a", "list_id": lists[number % 2], "due_at": due, "priority": priority}))
                .await,
        );
    }
    for sort in ["position", "due_at", "created_at", "updated_at", "priority"] {
        for descending in [false, true] {
            let text = format!("limit=4&sort={}{sort}", if descending { "-" } else { "" });
            let mut found: Vec<Todo> = Vec::new();
            let mut cursor = None;
            loop {
                let query = query(&me, &text, cursor.as_deref());
                let page = bench.store.todos(&me, &query, None).await.expect("a page");
                assert!(page.rows.len() <= 4);
                found.extend(page.rows);
                if !page.more {
                    break;
                }
                cursor = found.last().map(|last| query.cursor_after(last));
                // Rows come and go on both sides of the cursor.
                let between = bench.todo(&me, json!({"title": "x", "list_id": lists[0], "priority": "low"})).await;
                bench.delete(&me, between.id).await.expect("deleted");
            }
            assert_eq!(found.len(), ROWS, "{text}");
            assert_eq!(found.iter().map(|todo| todo.id).collect::<HashSet<_>>().len(), ROWS, "{text}");
            let end = "9999-12-31T00:00:00+00:00".to_owned();
            let key = |todo: &Todo| match sort {
                "position" => todo.position.as_str().to_owned(),
                "due_at" => todo.due_at.map_or_else(|| end.clone(), |due| due.to_rfc3339()),
                "priority" => todo.priority.rank().to_string(),
                _ => format!("{:020}", todo.created_at.timestamp_micros()),
            };
            let order: Vec<_> = found.iter().map(|todo| (key(todo), todo.id)).collect();
            assert!(
                if descending { order.is_sorted_by(|a, b| a > b) } else { order.is_sorted_by(|a, b| a < b) },
                "{text}"
            );
        }
    }
}

async fn every_filter_finds_its_own(bench: Bench) {
    let me = bench.user().await;
    let list = bench.list(&me).await;
    let body = json!({"title": "Buy milk", "notes": "and O'Reilly's \"bread\" & : | !", "list_id": list, "priority": "high",
        "tags": ["home", "it's"], "due_at": "2026-03-01T00:00:00Z"});
    let wanted = bench.todo(&me, body).await;
    let other = bench.todo(&me, json!({"title": "Other", "tags": ["home"]})).await;
    bench.patch(&me, other.id, json!({"status": "done"})).await.expect("done");
    let only_wanted = [
        format!("list={list}"),
        "status=open".into(),
        "priority=high".into(),
        "tag=home&tag=it's".into(),
        "due_before=2026-03-01T00:00:01Z".into(),
        "due_after=2026-03-01T00:00:00Z".into(),
        "q=MILK".into(),
        "q=bread+buy".into(),
        "q=o'reilly".into(),
        format!("list={list}&status=open&priority=high&tag=home&q=milk&due_after=2026-01-01T00:00:00Z&sort=-due_at"),
    ];
    for query in only_wanted {
        let found = bench.all(&me, &query).await;
        assert_eq!(found.iter().map(|todo| todo.id).collect::<Vec<_>>(), [wanted.id], "{query}");
    }
    let nothing =
        ["due_before=2026-03-01T00:00:00Z", "tag=nowhere", "q=milk+nowhere", "priority=low", "trashed=true", "q=mil"];
    for query in nothing {
        assert_eq!(bench.all(&me, query).await, [], "{query}");
    }
    assert_eq!(bench.all(&me, "tag=home").await.len(), 2);
    assert_eq!(bench.all(&me, "status=done").await.len(), 1);
}

async fn lists_page_too(bench: Bench) {
    let me = bench.user().await;
    for _ in 0..6 {
        bench.list(&me).await;
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = bench.store.lists(&me, after, 3, None).await.expect("a page");
        found.extend(page.rows.iter().map(|list| list.id));
        after = found.last().copied();
        if !page.more {
            break;
        }
    }
    assert_eq!(found.len(), 7);
    assert!(found.is_sorted_by(|a, b| a < b));
}
