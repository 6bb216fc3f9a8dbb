//! What each use case does.

use serde_json::json;

use super::{Bench, on_both_engines, refusal};
use crate::{
    conditional::IfMatch,
    domain::{
        time,
        todo::{Priority, Status, Todo},
    },
};

on_both_engines!(
    a_todo_comes_back_as_it_was_made,
    each_member_is_patched_alone,
    completing_and_reopening,
    a_recurring_todo_is_followed_once,
    the_trash,
    moving_between_lists,
    deleting_a_list,
    the_database_knows_what_recurs_needs,
);

async fn a_todo_comes_back_as_it_was_made(bench: Bench) {
    let me = bench.user().await;
    let list = bench.list(&me).await;
    let made = bench
        .todo(
            &me,
            json!({"title": "Buy \u{1f95b}", "list_id": list, "notes": "two\nlitres", "priority": "high", "tags": ["home", "Ä"],
                "due_at": "2026-10-24T09:00:00.123456+02:00", "due_zone": "Europe/Berlin", "recurrence": "FREQ=DAILY"}),
        )
        .await;
    assert_eq!((made.version, made.list_id, made.status), (1, list, Status::Open));
    assert_eq!(bench.store.todo(&me, made.id).await.expect("there"), made);
    let inbox = bench.todo(&me, json!({"title": "a"})).await;
    let lists = bench.store.lists(&me, None, 50, None).await.expect("a page").rows;
    assert_eq!(lists.iter().find(|list| list.inbox).map(|list| list.id), Some(inbox.list_id));
    assert_eq!(bench.store.todo(&me, inbox.id).await.expect("there"), inbox);
}

async fn each_member_is_patched_alone(bench: Bench) {
    let me = bench.user().await;
    let body = json!({"title": "a", "notes": "n", "priority": "low", "tags": ["t"], "due_at": "2026-01-01T00:00:00Z",
        "due_zone": "Europe/Berlin", "recurrence": "FREQ=DAILY"});
    let patches = [
        json!({"title": "b"}),
        json!({"notes": "m"}),
        json!({"notes": null}),
        json!({"priority": "high"}),
        json!({"priority": null}),
        json!({"tags": ["u", "v"]}),
        json!({"tags": null}),
        json!({"due_at": "2027-01-01T00:00:00Z"}),
        json!({"due_zone": null}),
        json!({"due_zone": "Asia/Tokyo"}),
        json!({"recurrence": null}),
        json!({"recurrence": "FREQ=WEEKLY"}),
        json!({"due_at": null, "recurrence": null}),
    ];
    for patch in patches {
        let before = bench.todo(&me, body.clone()).await;
        let after = bench.patch(&me, before.id, patch.clone()).await.expect("patched");
        assert_eq!(bench.store.todo(&me, before.id).await.expect("there"), after);
        let mut expected = before;
        super::patch(patch.clone()).apply(&mut expected, after.updated_at);
        expected.version = 2;
        assert_eq!(after, expected, "{patch}");
    }
    let todo = bench.todo(&me, body).await;
    assert_eq!(bench.patch(&me, todo.id, json!({})).await.expect("nothing to do"), todo);
    // What was written is what is found.
    bench.patch(&me, todo.id, json!({"title": "Zebra", "notes": "Giraffe"})).await.expect("patched");
    assert_eq!(bench.all(&me, "q=zebra+GIRAFFE").await.len(), 1);
    assert_eq!(bench.all(&me, "q=zebr").await.len(), 0);
}

async fn completing_and_reopening(bench: Bench) {
    let me = bench.user().await;
    let todo = bench.todo(&me, json!({"title": "a"})).await;
    let done = bench.patch(&me, todo.id, json!({"status": "done"})).await.expect("done");
    assert_eq!((done.status, done.completed_at), (Status::Done, Some(done.updated_at)));
    let again = bench.patch(&me, todo.id, json!({"status": "done"})).await.expect("still done");
    assert_eq!((again.completed_at, again.version), (done.completed_at, 3));
    let open = bench.patch(&me, todo.id, json!({"status": "open"})).await.expect("open");
    assert_eq!((open.status, open.completed_at), (Status::Open, None));
}

async fn a_recurring_todo_is_followed_once(bench: Bench) {
    let me = bench.user().await;
    let body = json!({"title": "a", "tags": ["t"], "due_at": "2026-10-24T07:00:00Z", "due_zone": "Europe/Berlin", "recurrence": "FREQ=DAILY;COUNT=2"});
    let todo = bench.todo(&me, body).await;
    let later = bench.todo(&me, json!({"title": "later"})).await;
    for _ in 0..2 {
        bench.patch(&me, todo.id, json!({"status": "done"})).await.expect("done");
        bench.patch(&me, todo.id, json!({"status": "open"})).await.expect("open");
    }
    let all = bench.all(&me, "").await;
    assert_eq!(all.len(), 3);
    let next = &all[1];
    assert!(todo.position < next.position && next.position < later.position);
    assert_eq!((next.status, next.version, next.completed_at), (Status::Open, 1, None));
    // Nine o'clock in Berlin, a day after daylight saving ended.
    assert_eq!(next.due_at.expect("due").to_rfc3339(), "2026-10-25T08:00:00+00:00");
    assert_eq!(next.recurrence.as_deref(), Some("FREQ=DAILY;COUNT=1"));
    assert_eq!(next.tags, todo.tags);
    bench.patch(&me, next.id, json!({"status": "done"})).await.expect("the last one");
    assert_eq!(bench.all(&me, "").await.len(), 3);
}

async fn the_trash(bench: Bench) {
    let me = bench.user().await;
    let todo = bench.todo(&me, json!({"title": "a"})).await;
    bench.delete(&me, todo.id).await.expect("deleted");
    let trashed = bench.store.todo(&me, todo.id).await.expect("still there");
    assert!(trashed.deleted_at.is_some() && trashed.version == 2);
    assert_eq!(refusal(bench.delete(&me, todo.id).await), "not found");
    assert_eq!(bench.store.todo(&me, todo.id).await.expect("untouched"), trashed);
    assert_eq!(refusal(bench.patch(&me, todo.id, json!({"title": "b"})).await), "not found");
    assert_eq!((bench.all(&me, "").await.len(), bench.all(&me, "trashed=true").await), (0, vec![trashed]));
    let restore = || bench.store.restore_todo(&me, todo.id, &IfMatch::Any, time::now());
    let restored = restore().await.expect("restored");
    assert_eq!((restored.deleted_at, restored.version), (None, 3));
    assert_eq!(restore().await.expect("restored already"), restored);
    assert_eq!((bench.all(&me, "").await, bench.all(&me, "trashed=true").await.len()), (vec![restored], 0));
}

async fn moving_between_lists(bench: Bench) {
    let (me, other, viewer) = (bench.user().await, bench.user().await, bench.user().await);
    let (from, to, closed) = (bench.list(&me).await, bench.list(&me).await, bench.list(&other).await);
    bench.join(from, viewer.user_id, "viewer").await;
    bench.join(closed, me.user_id, "viewer").await;
    let todo = bench.todo(&me, json!({"title": "a", "list_id": from})).await;
    let moved = bench.patch(&me, todo.id, json!({"list_id": to, "title": "b"})).await.expect("moved");
    assert_eq!((moved.list_id, moved.title.as_str(), moved.version), (to, "b", 2));
    // Who was only in the old list sees it go; nobody sees a gap.
    let seen = bench.changes(&viewer).await;
    assert_eq!(seen.iter().map(|change| change.3.as_str()).collect::<Vec<_>>(), ["upsert", "delete"]);
    assert_eq!(refusal(bench.store.todo(&viewer, todo.id).await), "not found");
    assert_eq!(refusal(bench.patch(&me, todo.id, json!({"list_id": closed})).await), "forbidden");
    let strange = bench.list(&other).await;
    assert_eq!(refusal(bench.patch(&me, todo.id, json!({"list_id": strange})).await), "not found");
    assert_eq!(bench.store.todo(&me, todo.id).await.expect("untouched"), moved);
}

async fn deleting_a_list(bench: Bench) {
    let me = bench.user().await;
    let list = bench.list(&me).await;
    let mut todos = Vec::new();
    for title in ["a", "b", "c"] {
        todos.push(bench.todo(&me, json!({"title": title, "list_id": list})).await);
    }
    let before = bench.changes(&me).await.len();
    bench.store.delete_list(&me, list, &IfMatch::Any, time::now()).await.expect("deleted");
    assert_eq!(refusal(bench.store.list(&me, list).await), "not found");
    assert_eq!(refusal(bench.create(&me, json!({"title": "d", "list_id": list})).await), "not found");
    assert_eq!(bench.all(&me, "").await.len(), 0);
    assert_eq!(bench.all(&me, "trashed=true").await.len(), 3);
    let changes = bench.changes(&me).await.split_off(before);
    assert!(changes.iter().all(|change| change.3 == "delete"), "{changes:?}");
    assert_eq!(changes.iter().filter(|change| change.1 == "todo").count(), 3);
    // What is restored goes where new todos go.
    let restored = bench.store.restore_todo(&me, todos[0].id, &IfMatch::Any, time::now()).await.expect("restored");
    assert_ne!(restored.list_id, list);
    assert_eq!(bench.all(&me, "").await, std::slice::from_ref(&restored));
    let refused = bench.store.delete_list(&me, restored.list_id, &IfMatch::Any, time::now()).await;
    assert_eq!(refusal(refused), "conflict");
}

async fn the_database_knows_what_recurs_needs(bench: Bench) {
    let me = bench.user().await;
    let todo: Todo = bench.todo(&me, json!({"title": "a", "priority": "low"})).await;
    assert_eq!(todo.priority, Priority::Low);
    assert_eq!(refusal(bench.patch(&me, todo.id, json!({"recurrence": "FREQ=DAILY"})).await), "/recurrence");
    let body = json!({"title": "a", "due_at": "2026-01-01T00:00:00Z", "recurrence": "FREQ=DAILY"});
    let recurring = bench.todo(&me, body).await;
    assert_eq!(refusal(bench.patch(&me, recurring.id, json!({"due_at": null})).await), "/recurrence");
}
