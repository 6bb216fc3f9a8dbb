//! A stranger finds nothing, a viewer changes nothing, an ended session does nothing.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Bench, on_both_engines, patch, query, refusal};
use crate::{
    auth::Caller,
    conditional::IfMatch,
    domain::{list::PatchList, time},
};

on_both_engines!(every_use_case_tells_them_apart);

/// Every use case with one list and one todo, and how it was refused.
async fn outcomes(bench: &Bench, caller: &Caller, list: Uuid, todo: Uuid) -> Vec<(&'static str, &'static str)> {
    let store = &bench.store;
    let (any, now) = (IfMatch::Any, time::now());
    let rename = serde_json::from_value::<PatchList>(json!({"name": "b"})).expect("a body").parse().expect("valid");
    let in_list: Value = json!({"title": "a", "list_id": list});
    vec![
        ("list", refusal(store.list(caller, list).await)),
        ("patch_list", refusal(store.patch_list(caller, list, &rename, &any, now).await)),
        ("todo", refusal(store.todo(caller, todo).await)),
        ("todos", refusal(store.todos(caller, &query(caller, &format!("list={list}"), None), None).await)),
        ("create_todo", refusal(bench.create(caller, in_list).await)),
        (
            "create_beside",
            refusal(bench.create(caller, json!({"title": "a", "list_id": list, "position": {"after": todo}})).await),
        ),
        ("patch_todo", refusal(store.patch_todo(caller, todo, &patch(json!({"title": "b"})), &any, now).await)),
        (
            "move_todo",
            refusal(store.patch_todo(caller, todo, &patch(json!({"position": {"after": todo}})), &any, now).await),
        ),
        ("empty_patch", refusal(store.patch_todo(caller, todo, &patch(json!({})), &any, now).await)),
        ("restore_todo", refusal(store.restore_todo(caller, todo, &any, now).await)),
        ("delete_todo", refusal(store.delete_todo(caller, todo, &any, now).await)),
        ("delete_list", refusal(store.delete_list(caller, list, &any, now).await)),
    ]
}

async fn every_use_case_tells_them_apart(bench: Bench) {
    let (me, viewer, stranger) = (bench.user().await, bench.user().await, bench.user().await);
    let list = bench.list(&me).await;
    bench.join(list, viewer.user_id, "viewer").await;
    let todo = bench.todo(&me, json!({"title": "a", "list_id": list})).await;

    for (what, refusal) in outcomes(&bench, &stranger, list, todo.id).await {
        assert_eq!(refusal, "not found", "{what}");
    }
    for (what, refusal) in outcomes(&bench, &viewer, list, todo.id).await {
        let expected = if ["list", "todo", "todos"].contains(&what) { "nothing" } else { "forbidden" };
        assert_eq!(refusal, expected, "{what}");
    }
    // Somebody else's session, and one that has ended.
    let borrowed = Caller { session_id: viewer.session_id, ..me };
    bench.end_session(&viewer).await;
    for caller in [borrowed, viewer] {
        for (what, refusal) in outcomes(&bench, &caller, list, todo.id).await {
            assert_eq!(refusal, "session ended", "{what}");
        }
        assert_eq!(refusal(bench.store.lists(&caller, None, 50, None).await), "session ended");
        assert_eq!(refusal(bench.create(&caller, json!({"title": "a"})).await), "session ended");
    }
    assert_eq!(bench.store.todo(&me, todo.id).await.expect("untouched"), todo);
}
