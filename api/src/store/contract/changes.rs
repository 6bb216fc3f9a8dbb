//! The change log under rivalry: numbers are dense, and nobody deadlocks.

use std::{collections::HashSet, sync::Arc};

use serde_json::json;

use super::{Bench, on_both_engines};
use crate::{
    conditional::IfMatch,
    domain::time,
    store::{Origin, StoreError},
};

on_both_engines!(
    writers_of_shared_lists_leave_no_gap,
    nothing_lives_in_a_deleted_list,
    accounts_end_beside_each_other,
    a_write_is_told_to_every_member,
    a_refused_write_tells_nobody
);

const WRITERS: usize = 6;
const ROUNDS: usize = 15;

/// Each writer works in the lists of all, in another order than the others.
async fn writers_of_shared_lists_leave_no_gap(bench: Bench) {
    let bench = Arc::new(bench);
    let mut people = Vec::new();
    for _ in 0..WRITERS {
        people.push(bench.user().await);
    }
    let mut lists = Vec::new();
    for owner in &people[..3] {
        let list = bench.list(owner).await;
        for member in people.iter().filter(|member| member.user_id != owner.user_id) {
            bench.join(list, member.user_id, "editor").await;
        }
        lists.push(list);
    }
    let before = bench.changes(&people[5]).await.len();
    let work = people.iter().copied().enumerate().map(|(number, writer)| {
        let (bench, lists) = (Arc::clone(&bench), lists.clone());
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let (here, there) = (lists[(number + round) % 3], lists[(number + round + 1) % 3]);
                let todo = bench.create(&writer, json!({"title": "a", "list_id": here})).await.expect("no deadlock");
                bench.patch(&writer, todo.id, json!({"status": "done"})).await.expect("no deadlock");
                bench.patch(&writer, todo.id, json!({"list_id": there})).await.expect("no deadlock");
                bench.delete(&writer, todo.id).await.expect("no deadlock");
            }
        })
    });
    for task in work.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    for reader in &people {
        let changes = bench.changes(reader).await;
        let numbers: Vec<i64> = changes.iter().map(|change| change.0).collect();
        assert!(numbers.iter().zip(1..).all(|(number, expected)| *number == expected), "a gap in {numbers:?}");
        let todos: HashSet<_> = changes.iter().filter(|change| change.1 == "todo").map(|change| change.2).collect();
        assert_eq!(todos.len(), WRITERS * ROUNDS);
    }
    // Create, patch, move (out and in), delete: five for each todo, for everybody.
    assert_eq!(bench.changes(&people[5]).await.len() - before, WRITERS * ROUNDS * 5);
}

/// Each shares a list with all the others, and all leave at once.
async fn accounts_end_beside_each_other(bench: Bench) {
    let bench = Arc::new(bench);
    let mut people = Vec::new();
    for _ in 0..WRITERS {
        people.push(bench.user().await);
    }
    for owner in &people {
        let list = bench.list(owner).await;
        for member in people.iter().filter(|member| member.user_id != owner.user_id) {
            bench.join(list, member.user_id, "editor").await;
        }
    }
    let ends = people.into_iter().map(|leaver| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.store.delete_account(&leaver, &Origin::own()).await.expect("no deadlock") })
    });
    for end in ends.collect::<Vec<_>>() {
        end.await.expect("no panic");
    }
}

/// Whoever comes after the deletion of a list, though begun before, finds it gone.
async fn nothing_lives_in_a_deleted_list(bench: Bench) {
    let me = bench.user().await;
    let bench = Arc::new(bench);
    for _ in 0..5 {
        let list = bench.list(&me).await;
        let writers: Vec<_> = (0..6)
            .map(|_| {
                let bench = Arc::clone(&bench);
                tokio::spawn(async move {
                    bench.create(&me, json!({"title": "a", "list_id": list})).await.map(|todo| todo.id)
                })
            })
            .collect();
        bench.store.delete_list(&me, list, &IfMatch::Any, time::now()).await.expect("deleted");
        for writer in writers {
            match writer.await.expect("no panic") {
                Ok(todo) => assert!(bench.store.todo(&me, todo).await.expect("in the trash").deleted_at.is_some()),
                Err(error) => assert!(matches!(error, StoreError::NotFound), "{error:?}"),
            }
        }
    }
}

async fn a_write_is_told_to_every_member(bench: Bench) {
    let (me, viewer, stranger) = (bench.user().await, bench.user().await, bench.user().await);
    let list = bench.list(&me).await;
    bench.join(list, viewer.user_id, "viewer").await;
    let todo = bench.todo(&me, json!({"title": "a", "list_id": list})).await;
    bench.patch(&me, todo.id, json!({"title": "b"})).await.expect("patched");
    bench.delete(&me, todo.id).await.expect("deleted");
    let expected = [(1, "upsert"), (2, "upsert"), (3, "delete")];
    let seen = bench.changes(&viewer).await;
    assert_eq!(seen.iter().map(|change| (change.0, change.3.as_str())).collect::<Vec<_>>(), expected);
    assert!(seen.iter().all(|change| change.1 == "todo" && change.2 == todo.id));
    assert_eq!(bench.changes(&me).await.len(), 4);
    assert_eq!(bench.changes(&stranger).await, []);
}

async fn a_refused_write_tells_nobody(bench: Bench) {
    let (me, viewer) = (bench.user().await, bench.user().await);
    let list = bench.list(&me).await;
    bench.join(list, viewer.user_id, "viewer").await;
    let todo = bench.todo(&me, json!({"title": "a", "list_id": list})).await;
    let before = bench.changes(&me).await;
    bench.create(&viewer, json!({"title": "a", "list_id": list})).await.expect_err("forbidden");
    bench.patch(&viewer, todo.id, json!({"title": "b"})).await.expect_err("forbidden");
    bench.delete(&viewer, todo.id).await.expect_err("forbidden");
    bench.patch(&me, todo.id, json!({"recurrence": "FREQ=DAILY"})).await.expect_err("invalid");
    assert_eq!(bench.changes(&me).await, before);
}
