//! That hot statements are one round trip and walk indices. Runs if `TEST_POSTGRES_URL` is set.

use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use uuid::Uuid;

use super::{Engine, fast, search::page_text};
use crate::{
    conditional::IfMatch,
    domain::time,
    store::contract::{Bench, Raw, new, patch, query},
};

/// Enough rows for the planner to have a choice.
const CROWD: &str = "
    INSERT INTO users (id, email, password_hash, display_name, time_zone, created_at, updated_at)
        SELECT gen_random_uuid(), n, '', '', 'UTC', now(), now() FROM generate_series(1, 200) n;
    INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at)
        SELECT gen_random_uuid(), id, now(), now(), now() FROM users;
    INSERT INTO lists (id, owner_id, name, created_at, updated_at)
        SELECT gen_random_uuid(), id, 'List', now(), now() FROM users;
    INSERT INTO list_members (list_id, user_id, role, created_at) SELECT id, owner_id, 'owner', now() FROM lists
        WHERE NOT inbox;
    INSERT INTO todos (id, list_id, title, position, priority, due_at, created_at, updated_at, title_words, notes_words)
        SELECT gen_random_uuid(), id, 'Todo', md5(id::text || n), n % 4, now() + n * interval '1 day', now() + n * interval '1 s',
            now() + n * interval '2 s', '', '' FROM lists, generate_series(1, 150) n;
    ANALYZE";

async fn bench() -> Option<(Bench, PgPool)> {
    let bench = Bench::postgres().await?;
    let Raw::Postgres(pool) = &bench.raw else { return None };
    let pool = pool.clone();
    Some((bench, pool))
}

#[tokio::test]
async fn the_usual_writes_are_one_statement() {
    let Some((bench, pool)) = bench().await else { return };
    let me = bench.user().await;
    let (engine, now) = (Engine { pool }, time::now());
    let todo = new(json!({"title": "a"})).todo(Uuid::now_v7(), now);
    let made = fast::create(&engine, &me, &todo, None).await.expect("runs").expect("made at once");
    let version = IfMatch::Versions(vec![1]);
    let change = patch(json!({"title": "b", "notes": null, "status": "done", "priority": "low", "tags": ["t"],
        "due_at": "2026-01-01T00:00:00Z", "due_zone": null}));
    let patched =
        fast::patch(&engine, &me, made.id, &change, &version, now).await.expect("runs").expect("patched at once");
    assert_eq!(bench.store.todo(&me, made.id).await.expect("there"), patched);
    assert!(fast::delete(&engine, &me, made.id, &IfMatch::Any, now).await.expect("runs"), "deleted at once");
}

#[tokio::test]
async fn hot_statements_walk_indices() {
    let Some((bench, pool)) = bench().await else { return };
    let me = bench.user().await;
    let mut texts = vec![
        (
            "uuid, uuid, uuid, uuid, text, text, int2, timestamptz, text, jsonb, text, text, timestamptz, jsonb, jsonb",
            fast::CREATE.to_owned(),
            "lists_pkey",
        ),
        ("uuid, uuid, uuid, timestamptz, bigint[]", fast::DELETE.to_owned(), "todos_pkey"),
        (
            "uuid, uuid, uuid, timestamptz, bigint[], text, jsonb, text, jsonb, text, int2, jsonb, bool, timestamptz, bool, text, bool, text",
            fast::PATCH.to_owned(),
            "todos_pkey",
        ),
    ];
    let sorts = [
        ("position", "text", "todos_by_position"),
        ("due_at", "timestamptz", "todos_by_due"),
        ("created_at", "timestamptz", "todos_by_created"),
        ("updated_at", "timestamptz", "todos_by_updated"),
        ("priority", "int2", "todos_by_priority"),
    ];
    let page = "uuid, uuid, bigint, bigint, uuid, text, int2, timestamptz, timestamptz, jsonb, text";
    let types: Vec<String> = sorts.iter().map(|(_, key, _)| format!("{page}, {key}, uuid")).collect();
    for ((sort, _, index), types) in sorts.iter().zip(&types) {
        for minus in ["", "-"] {
            let first = query(&me, &format!("sort={minus}{sort}"), None);
            texts.push((types, page_text(&first), index));
            let mut next = first;
            next.after =
                Some(crate::domain::page::After { key: crate::domain::page::KeyValue::Rank(0), id: Uuid::nil() });
            texts.push((types, page_text(&next), index));
        }
    }
    let mut connection = pool.acquire().await.expect("a connection");
    // The small tables fit a page, which a scan reads best; what is asked is whether there is an index to walk.
    connection.execute(CROWD).await.expect("many users with many todos");
    connection.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off").await.expect("set");
    for (number, (types, text, index)) in texts.into_iter().enumerate() {
        let nulls = vec!["NULL"; types.matches(',').count() + 1].join(", ");
        connection.execute(AssertSqlSafe(format!("PREPARE q{number} ({types}) AS {text}"))).await.expect("prepared");
        let explain = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) EXECUTE q{number} ({nulls})"));
        let plan: Vec<String> =
            sqlx::query_scalar(explain).persistent(false).fetch_all(&mut *connection).await.expect("a plan");
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan"), "{text}\n{plan}");
        assert!(plan.contains(index), "{index} is not used:\n{plan}");
    }
}
