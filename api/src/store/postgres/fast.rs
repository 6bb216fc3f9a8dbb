//! The usual writes in one statement, hence one round trip.
//!
//! A statement here does all of a use case or nothing: it finds what the caller may write, locks the recipients in the
//! order of their ids, writes, numbers and logs. When anything is out of the ordinary (no such row, a viewer, another
//! version, a recurring todo, an ended session) it writes nothing and says so; the common way then tells what it was.
//!
//! Why this is right although a statement sees the database as of its start: the rows that it locks or updates are
//! looked at again as of now, with their conditions, once it has the lock (PostgreSQL manual, section 13.2.1, "Read
//! Committed"). So each statement takes the recipients' lock first, and repeats what must still hold (the list and the
//! todo are live, the version is the expected one) where it touches that row. `(SELECT COUNT(*) FROM locked) > 0` is
//! what makes the lock come first: it is evaluated before a row is read. `FOR KEY SHARE` would not do: it does not mind an
//! update that leaves the key alone, and so takes the row as it was.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{Engine, rows};
use crate::{
    auth::Caller,
    conditional::IfMatch,
    domain::{
        recurrence::Recurrence,
        text::{Notes, Title},
        time_zone::TimeZone,
        todo::{Priority, Status, Todo, TodoPatch},
        words,
    },
    store::{
        StoreError,
        sql::{session_active, todo_columns},
    },
};

/// The recipients of a write to `target.list_id`, locked in the order of their ids.
macro_rules! locked {
    () => {
        "locked AS (
            SELECT u.id FROM users u JOIN list_members m ON m.user_id = u.id JOIN target ON target.list_id = m.list_id
            ORDER BY u.id FOR NO KEY UPDATE OF u
        )"
    };
}

/// Numbers and logs what the statement named `$done` did.
macro_rules! announced {
    ($done:literal, $op:literal, $now:literal) => {
        concat!(
            "numbered AS (UPDATE users u SET change_seq = change_seq + 1 FROM locked, ",
            $done,
            " done WHERE u.id = locked.id RETURNING u.id, u.change_seq
            ), logged AS (
                INSERT INTO changes (user_id, seq, entity, entity_id, op, at)
                SELECT numbered.id, numbered.change_seq, 'todo', done.id, '",
            $op,
            "', ",
            $now,
            " FROM numbered, ",
            $done,
            " done
            )"
        )
    };
}

/// A live todo (`$3`) in a list where the caller may write.
macro_rules! writable_todo {
    () => {
        concat!(
            "target AS (
                SELECT t.id, t.list_id FROM todos t JOIN list_members m ON m.list_id = t.list_id
                WHERE t.id = $3 AND t.deleted_at IS NULL AND m.user_id = $1 AND m.role <> 'viewer' AND ",
            session_active!(),
            ")"
        )
    };
}

/// That the todo is still where it was, live, and of an expected version (`$5`).
macro_rules! still_writable {
    () => {
        "t.id = target.id AND t.list_id = target.list_id AND t.deleted_at IS NULL
         AND (SELECT COUNT(*) FROM locked) > 0 AND ($5 IS NULL OR t.version = ANY ($5))"
    };
}

pub(super) const CREATE: &str = concat!(
    "WITH target AS (
        SELECT m.list_id FROM list_members m JOIN lists l ON l.id = m.list_id
        WHERE m.user_id = $1 AND m.role <> 'viewer' AND l.deleted_at IS NULL
        AND l.id = COALESCE($3, (SELECT id FROM lists WHERE owner_id = $1 AND inbox)) AND ",
    session_active!(),
    "), ",
    locked!(),
    ", live AS (
        SELECT l.id FROM lists l WHERE l.id = (SELECT list_id FROM target) AND l.deleted_at IS NULL
        AND (SELECT COUNT(*) FROM locked) > 0 FOR SHARE
    ), made AS (
        INSERT INTO todos (id, list_id, title, notes, priority, due_at, due_zone, tags, recurrence, position,
            created_at, updated_at, title_words, notes_words)
        SELECT $4, live.id, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, ",
    words!("$14"),
    ", ",
    words!("$15"),
    " FROM live RETURNING id, list_id
    ), ",
    announced!("made", "upsert", "$13"),
    " SELECT list_id FROM made"
);

/// Makes a new, open todo at the end of a list, or of the inbox.
pub(super) async fn create(
    engine: &Engine,
    caller: &Caller,
    todo: &Todo,
    list: Option<Uuid>,
) -> Result<Option<Todo>, StoreError> {
    let list_id: Option<Uuid> = sqlx::query_scalar(CREATE)
        .bind(caller.user_id)
        .bind(caller.session_id)
        .bind(list)
        .bind(todo.id)
        .bind(&todo.title)
        .bind(&todo.notes)
        .bind(todo.priority.rank())
        .bind(todo.due_at)
        .bind(&todo.due_zone)
        .bind(Json(&todo.tags))
        .bind(&todo.recurrence)
        .bind(todo.position.as_str())
        .bind(todo.created_at)
        .bind(Json(words::split(&todo.title)))
        .bind(Json(words::split(&todo.notes)))
        .fetch_optional(&engine.pool)
        .await?;
    Ok(list_id.map(|list_id| Todo { list_id, ..todo.clone() }))
}

/// What `due_at` and `recurrence` will be.
macro_rules! new_due {
    () => {
        "CASE WHEN $13 THEN $14 ELSE t.due_at END"
    };
}
macro_rules! new_recurrence {
    () => {
        "CASE WHEN $17 THEN $18 ELSE t.recurrence END"
    };
}

pub(super) const PATCH: &str = concat!(
    "WITH ",
    writable_todo!(),
    ", ",
    locked!(),
    ", patched AS (
        UPDATE todos t SET
            title = COALESCE($6, t.title),
            title_words = CASE WHEN $6 IS NULL THEN t.title_words ELSE ",
    words!("$7"),
    " END,
            notes = COALESCE($8, t.notes),
            notes_words = CASE WHEN $8 IS NULL THEN t.notes_words ELSE ",
    words!("$9"),
    " END,
            status = COALESCE($10, t.status),
            completed_at = CASE $10 WHEN 'done' THEN COALESCE(t.completed_at, $4) WHEN 'open' THEN NULL ELSE t.completed_at END,
            priority = COALESCE($11, t.priority),
            tags = COALESCE($12, t.tags),
            due_at = ",
    new_due!(),
    ", due_zone = CASE WHEN $15 THEN $16 ELSE t.due_zone END, recurrence = ",
    new_recurrence!(),
    ", version = t.version + 1, updated_at = $4
        FROM target WHERE ",
    still_writable!(),
    // Completing a todo that recurs makes another one, and a rule without a date is a fault: not for this statement.
    " AND (",
    new_recurrence!(),
    " IS NULL OR (",
    new_due!(),
    " IS NOT NULL AND ($10 IS NULL OR $10 = 'open' OR t.status = 'done')))
        RETURNING ",
    todo_columns!(),
    "), ",
    announced!("patched", "upsert", "$4"),
    " SELECT * FROM patched"
);

/// Changes a live todo in its place.
pub(super) async fn patch(
    engine: &Engine,
    caller: &Caller,
    id: Uuid,
    patch: &TodoPatch,
    expected: &IfMatch,
    now: DateTime<Utc>,
) -> Result<Option<Todo>, StoreError> {
    let title = patch.title.as_ref().map(Title::as_str);
    let notes = patch.notes.as_ref().map(Notes::as_str);
    let row = sqlx::query(PATCH)
        .bind(caller.user_id)
        .bind(caller.session_id)
        .bind(id)
        .bind(now)
        .bind(expected.versions())
        .bind(title)
        .bind(title.map(|title| Json(words::split(title))))
        .bind(notes)
        .bind(notes.map(|notes| Json(words::split(notes))))
        .bind(patch.status.map(Status::as_str))
        .bind(patch.priority.map(Priority::rank))
        .bind(patch.tags.as_ref().map(Json))
        .bind(!patch.due_at.is_keep())
        .bind(patch.due_at.set())
        .bind(!patch.due_zone.is_keep())
        .bind(patch.due_zone.set().copied().map(TimeZone::as_str))
        .bind(!patch.recurrence.is_keep())
        .bind(patch.recurrence.set().map(Recurrence::to_string))
        .fetch_optional(&engine.pool)
        .await?;
    Ok(row.as_ref().map(rows::todo).transpose()?)
}

pub(super) const DELETE: &str = concat!(
    "WITH ",
    writable_todo!(),
    ", ",
    locked!(),
    ", deleted AS (
        UPDATE todos t SET deleted_at = $4, version = t.version + 1, updated_at = $4 FROM target WHERE ",
    still_writable!(),
    " RETURNING t.id
    ), ",
    announced!("deleted", "delete", "$4"),
    " SELECT id FROM deleted"
);

/// Moves a live todo to the trash; says whether it did.
pub(super) async fn delete(
    engine: &Engine,
    caller: &Caller,
    id: Uuid,
    expected: &IfMatch,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let deleted = sqlx::query(DELETE)
        .bind(caller.user_id)
        .bind(caller.session_id)
        .bind(id)
        .bind(now)
        .bind(expected.versions())
        .fetch_optional(&engine.pool)
        .await?;
    Ok(deleted.is_some())
}
