//! Conditional writes and known pages.

use std::sync::Arc;

use serde_json::json;

use super::{Bench, on_both_engines, patch, query, refusal};
use crate::{conditional::IfMatch, domain::time};

on_both_engines!(only_the_expected_version_is_written, one_of_many_rivals_wins, a_known_page_is_left_out);

async fn only_the_expected_version_is_written(bench: Bench) {
    let me = bench.user().await;
    let todo = bench.todo(&me, json!({"title": "a"})).await;
    let (stale, fresh) = (IfMatch::Versions(vec![2, 7]), IfMatch::Versions(vec![7, 1]));
    let change = patch(json!({"title": "b"}));
    let now = time::now();
    assert_eq!(refusal(bench.store.patch_todo(&me, todo.id, &change, &stale, now).await), "precondition failed");
    assert_eq!(refusal(bench.store.delete_todo(&me, todo.id, &stale, now).await), "precondition failed");
    assert_eq!(refusal(bench.store.restore_todo(&me, todo.id, &stale, now).await), "precondition failed");
    assert_eq!(bench.store.todo(&me, todo.id).await.expect("untouched"), todo);
    assert_eq!(bench.store.patch_todo(&me, todo.id, &change, &fresh, now).await.expect("patched").version, 2);
    bench.store.delete_todo(&me, todo.id, &IfMatch::Versions(vec![2]), now).await.expect("deleted");
}

async fn one_of_many_rivals_wins(bench: Bench) {
    let me = bench.user().await;
    let bench = Arc::new(bench);
    let todo = bench.todo(&me, json!({"title": "a"})).await;
    let rivals: Vec<_> = (0..8)
        .map(|number| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move {
                let change = patch(json!({"title": number.to_string()}));
                let first = IfMatch::Versions(vec![1]);
                refusal(bench.store.patch_todo(&me, todo.id, &change, &first, time::now()).await)
            })
        })
        .collect();
    let mut won = 0;
    for rival in rivals {
        match rival.await.expect("no panic") {
            "nothing" => won += 1,
            other => assert_eq!(other, "precondition failed"),
        }
    }
    assert_eq!((won, bench.store.todo(&me, todo.id).await.expect("there").version), (1, 2));
}

async fn a_known_page_is_left_out(bench: Bench) {
    let me = bench.user().await;
    let todo = bench.todo(&me, json!({"title": "a"})).await;
    let query = query(&me, "", None);
    let page = bench.store.todos(&me, &query, None).await.expect("a page");
    assert_eq!((page.seq, page.rows.len()), (1, 1));
    let known = bench.store.todos(&me, &query, Some(page.seq)).await.expect("a page");
    assert_eq!((known.seq, known.rows.len()), (1, 0));
    bench.patch(&me, todo.id, json!({"title": "b"})).await.expect("patched");
    let stale = bench.store.todos(&me, &query, Some(page.seq)).await.expect("a page");
    assert_eq!((stale.seq, stale.rows.len()), (2, 1));
    let lists = bench.store.lists(&me, None, 50, None).await.expect("a page");
    assert_eq!((lists.seq, lists.rows.len()), (2, 1));
    assert_eq!(bench.store.lists(&me, None, 50, Some(2)).await.expect("a page").rows, []);
}
