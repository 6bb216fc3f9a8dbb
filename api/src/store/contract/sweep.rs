//! What is swept, what stays, and who is told.

use std::collections::HashSet;

use chrono::TimeDelta;
use serde_json::json;

use super::{Bench, on_both_engines, raw, refusal};
use crate::{conditional::IfMatch, domain::time};

on_both_engines!(old_trash_and_expired_sessions_go, sweepers_may_work_at_once);

async fn old_trash_and_expired_sessions_go(bench: Bench) {
    let (me, viewer) = (bench.user().await, bench.user().await);
    let list = bench.list(&me).await;
    bench.join(list, viewer.user_id, "viewer").await;
    let todo = |title: &'static str| json!({"title": title, "list_id": list});
    let (live, trashed) = (bench.todo(&me, todo("live")).await, bench.todo(&me, todo("trashed")).await);
    bench.delete(&me, trashed.id).await.expect("deleted");
    let now = time::now();
    // Sessions of the bench expire as soon as they are made; these are to last.
    raw!(bench, pool => {
        sqlx::query("UPDATE sessions SET expires_at = $1").bind(now + TimeDelta::days(1)).execute(pool).await.expect("set");
    });
    let (swept, more) = bench.store.sweep(now - TimeDelta::days(1), now).await.expect("swept");
    assert_eq!((swept.todos, swept.lists, swept.sessions, more), (0, 0, 0, false));

    let later = now + TimeDelta::seconds(1);
    let (swept, more) = bench.store.sweep(later, later).await.expect("swept");
    assert_eq!((swept.todos, swept.sessions, more), (1, 0, true));
    assert_eq!(refusal(bench.store.todo(&me, trashed.id).await), "not found");
    assert_eq!(bench.all(&viewer, "").await, [live]);
    let last = bench.changes(&viewer).await.pop().expect("told");
    assert_eq!((last.0, last.2, last.3.as_str()), (4, trashed.id, "delete"));

    // A deleted list goes once its todos have gone.
    bench.store.delete_list(&me, list, &IfMatch::Any, now).await.expect("deleted");
    let (first, _) = bench.store.sweep(later, later).await.expect("swept");
    let (second, more) = bench.store.sweep(later, later).await.expect("swept");
    assert_eq!(((first.todos, first.lists), (second.todos, second.lists), more), ((1, 0), (0, 1), false));

    let (swept, _) = bench.store.sweep(later, now + TimeDelta::days(2)).await.expect("swept");
    assert_eq!(swept.sessions, 2);
    assert_eq!(refusal(bench.store.todos(&me, &super::query(&me, "", None), None).await), "session ended");
}

async fn sweepers_may_work_at_once(bench: Bench) {
    let me = bench.user().await;
    let bench = std::sync::Arc::new(bench);
    for _ in 0..20 {
        let todo = bench.todo(&me, json!({"title": "a"})).await;
        bench.delete(&me, todo.id).await.expect("deleted");
    }
    let before = bench.changes(&me).await.len();
    let later = time::now() + TimeDelta::seconds(1);
    let sweepers = (0..4).map(|_| {
        let store = std::sync::Arc::clone(&bench.store);
        tokio::spawn(async move { store.sweep(later, time::now() - TimeDelta::days(1)).await.expect("swept").0.todos })
    });
    let mut erased = 0;
    for sweeper in sweepers.collect::<Vec<_>>() {
        erased += sweeper.await.expect("no panic");
    }
    assert_eq!(erased, 20);
    let changes = bench.changes(&me).await;
    assert!(changes.iter().zip(1..).all(|(change, expected)| change.0 == expected), "a gap");
    assert_eq!(changes[before..].iter().map(|change| change.2).collect::<HashSet<_>>().len(), 20);
    assert_eq!(changes.len(), before + 20);
}
