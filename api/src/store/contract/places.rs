//! Places in a list.

use std::sync::Arc;

use serde_json::json;

use super::{Bench, on_both_engines, refusal};

on_both_engines!(before_after_and_the_end, a_list_without_room_is_numbered_anew, rivals_for_a_place_keep_the_order);

async fn titles(bench: &Bench, me: &crate::auth::Caller) -> String {
    bench.all(me, "").await.iter().map(|todo| todo.title.as_str()).collect()
}

async fn before_after_and_the_end(bench: Bench) {
    let me = bench.user().await;
    let a = bench.todo(&me, json!({"title": "a"})).await;
    let b = bench.todo(&me, json!({"title": "b"})).await;
    bench.todo(&me, json!({"title": "c", "position": {"before": a.id}})).await;
    bench.todo(&me, json!({"title": "d", "position": {"after": a.id}})).await;
    bench.todo(&me, json!({"title": "e"})).await;
    assert_eq!(titles(&bench, &me).await, "cadbe");
    bench.patch(&me, b.id, json!({"position": {"before": a.id}})).await.expect("moved");
    assert_eq!(titles(&bench, &me).await, "cbade");
    bench.patch(&me, b.id, json!({"position": {"before": a.id}})).await.expect("is there already");
    assert_eq!(titles(&bench, &me).await, "cbade");
    let list = bench.list(&me).await;
    let elsewhere = bench.todo(&me, json!({"title": "f", "list_id": list})).await;
    let beside = |id| json!({"position": {"after": id}});
    assert_eq!(refusal(bench.patch(&me, a.id, beside(elsewhere.id)).await), "/position/after");
    assert_eq!(refusal(bench.patch(&me, a.id, beside(a.id)).await), "/position/after");
    bench.delete(&me, b.id).await.expect("deleted");
    assert_eq!(
        refusal(bench.create(&me, json!({"title": "g", "position": {"before": b.id}})).await),
        "/position/before"
    );
}

async fn a_list_without_room_is_numbered_anew(bench: Bench) {
    let me = bench.user().await;
    let a = bench.todo(&me, json!({"title": "a"})).await;
    bench.todo(&me, json!({"title": "b"})).await;
    super::raw!(bench, pool => {
        sqlx::query("UPDATE todos SET position = '80000000V'").execute(pool).await.expect("the same place for both");
    });
    bench.todo(&me, json!({"title": "c", "position": {"after": a.id}})).await;
    assert_eq!(titles(&bench, &me).await, "acb");
    bench.todo(&me, json!({"title": "d"})).await;
    assert_eq!(titles(&bench, &me).await, "acbd");
    let numbers: Vec<i64> = bench.changes(&me).await.iter().map(|change| change.0).collect();
    assert!(numbers.iter().zip(1..).all(|(number, expected)| *number == expected), "a gap in {numbers:?}");
}

async fn rivals_for_a_place_keep_the_order(bench: Bench) {
    let me = bench.user().await;
    let first = bench.todo(&me, json!({"title": "a"})).await.id;
    bench.todo(&me, json!({"title": "z"})).await;
    let bench = Arc::new(bench);
    let rivals: Vec<_> = (0..8)
        .map(|_| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { bench.todo(&me, json!({"title": "m", "position": {"after": first}})).await })
        })
        .collect();
    for rival in rivals {
        rival.await.expect("no panic");
    }
    let all = bench.all(&me, "").await;
    assert!(all.is_sorted_by(|a, b| a.position < b.position), "two at the same place");
    assert_eq!(titles(&bench, &me).await, "ammmmmmmmz");
}
