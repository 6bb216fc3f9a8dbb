//! The change log: one row for each recipient of a write, in the write's transaction.
//!
//! The order is always: lock the recipients, look, write, append. The lock on the recipients' rows in `users` is what
//! orders commits; it is taken in the order of ids, so two writers never wait for each other in a circle.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, LOCK_MEMBERS, LOCK_USER, LOCK_USER_AND_MEMBERS};
use crate::store::StoreError;

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entity {
    List,
    Todo,
    /// The account itself.
    User,
    /// An internal topic: a session has ended.
    Session,
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Upsert,
    Delete,
}

impl Entity {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Todo => "todo",
            Self::User => "user",
            Self::Session => "session",
        }
    }
}

impl Op {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }
}

/// Locks one user: for writes that concern nobody else.
pub(super) async fn lock_user(connection: &mut Connection, user: Uuid) -> Result<(), StoreError> {
    sqlx::query(LOCK_USER).bind(user).execute(connection).await?;
    Ok(())
}

/// Locks one user and all members of the lists that the user owns: for the end of an account.
pub(super) async fn lock_user_and_members(connection: &mut Connection, user: Uuid) -> Result<(), StoreError> {
    sqlx::query(LOCK_USER_AND_MEMBERS).bind(user).execute(connection).await?;
    Ok(())
}

/// How often the members of a list may change while their lock is waited for.
const LOCK_ROUNDS: u32 = 3;

/// Locks all members of one or two lists, as far as `user` is a member: a stranger locks nobody. [`StoreError::Conflict`]
/// if they change each time they are looked at.
pub(super) async fn lock_members(
    connection: &mut Connection,
    user: Uuid,
    one: Uuid,
    other: Uuid,
) -> Result<(), StoreError> {
    let mut locked = Vec::new();
    for _ in 0..LOCK_ROUNDS {
        // What was read before the wait may be old, so the second look, under the lock, must find the same.
        let members: Vec<Uuid> =
            sqlx::query_scalar(LOCK_MEMBERS).bind(one).bind(other).bind(user).fetch_all(&mut *connection).await?;
        if members == locked {
            return Ok(());
        }
        locked = members;
    }
    Err(StoreError::Conflict("The members of the list are being changed by others; try again."))
}

const NUMBER_MEMBERS: &str = "UPDATE users SET change_seq = change_seq + $2
    WHERE id IN (SELECT user_id FROM list_members WHERE list_id = $1)";
const APPEND_MEMBERS: &str = "INSERT INTO changes (user_id, seq, entity, entity_id, op, at)
    SELECT u.id, u.change_seq, $2, $3, $4, $5 FROM users u JOIN list_members m ON m.user_id = u.id WHERE m.list_id = $1";

/// Gives out the next `count` numbers of every member of a list, who are locked.
pub(super) async fn advance(connection: &mut Connection, list: Uuid, count: i64) -> Result<(), StoreError> {
    sqlx::query(NUMBER_MEMBERS).bind(list).bind(count).execute(connection).await?;
    Ok(())
}

/// Appends a change for every member of a list, who are locked.
pub(super) async fn append(
    connection: &mut Connection,
    list: Uuid,
    change: (Entity, Uuid, Op),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    advance(connection, list, 1).await?;
    write(connection, APPEND_MEMBERS, list, change, now).await
}

const NUMBER_USER: &str = "UPDATE users SET change_seq = change_seq + 1 WHERE id = $1";
const APPEND_USER: &str = "INSERT INTO changes (user_id, seq, entity, entity_id, op, at)
    SELECT id, change_seq, $2, $3, $4, $5 FROM users WHERE id = $1";

/// Appends a change that concerns one user, who is locked.
pub(super) async fn append_for(
    connection: &mut Connection,
    user: Uuid,
    change: (Entity, Uuid, Op),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(NUMBER_USER).bind(user).execute(&mut *connection).await?;
    write(connection, APPEND_USER, user, change, now).await
}

/// Runs [`APPEND_MEMBERS`] of a list or [`APPEND_USER`] of a user.
async fn write(
    connection: &mut Connection,
    text: &'static str,
    whose: Uuid,
    (entity, id, op): (Entity, Uuid, Op),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(text)
        .bind(whose)
        .bind(entity.as_str())
        .bind(id)
        .bind(op.as_str())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

const APPEND_TODOS: &str = "INSERT INTO changes (user_id, seq, entity, entity_id, op, at)
    SELECT u.id, u.change_seq + t.number, 'todo', t.id, $2, $3
    FROM users u JOIN list_members m ON m.user_id = u.id
    CROSS JOIN (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS number FROM todos WHERE list_id = $1 AND deleted_at IS NULL) t
    WHERE m.list_id = $1";
const COUNT_TODOS: &str = "SELECT COUNT(*) FROM todos WHERE list_id = $1 AND deleted_at IS NULL";

/// Appends a change of every live todo of a list for every member of it, who are locked.
pub(super) async fn append_all_todos(
    connection: &mut Connection,
    list: Uuid,
    op: Op,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(APPEND_TODOS).bind(list).bind(op.as_str()).bind(now).execute(&mut *connection).await?;
    let count: i64 = sqlx::query_scalar(COUNT_TODOS).bind(list).fetch_one(&mut *connection).await?;
    advance(connection, list, count).await
}
