//! Todos: the way that both engines can go. PostgreSQL tries its one-statement way first (`fast`), and comes here when
//! that found something out of the ordinary, so that only one place has to tell what it was.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{Row as _, types::Json};
use uuid::Uuid;

use super::{
    Connection, Engine,
    access::{self, Role},
    changes::{self, Entity, Op},
    fast, pages, places, rows,
};
use crate::{
    auth::Caller,
    conditional::IfMatch,
    domain::{
        page::{Page, TodoQuery},
        position::{Place, Position},
        todo::{NewTodo, RECURRENCE_CODE, RECURRENCE_DETAIL, Status, Todo, TodoPatch},
        words,
    },
    store::{
        StoreError,
        sql::{session_active, todo_columns},
        todos::Todos,
    },
};

const ONE: &str = concat!(
    "SELECT ",
    todo_columns!(),
    ", m.role, t.successor_id FROM todos t JOIN list_members m ON m.list_id = t.list_id
    WHERE t.id = $3 AND m.user_id = $1 AND ",
    session_active!()
);
const INBOX: &str = "SELECT id FROM lists WHERE owner_id = $1 AND inbox";
const LIST_IS_LIVE: &str = "SELECT EXISTS (SELECT 1 FROM lists WHERE id = $1 AND deleted_at IS NULL)";

const INSERT: &str = concat!(
    "INSERT INTO todos (id, list_id, title, notes, status, completed_at, priority, due_at, due_zone, tags, recurrence,
        position, created_at, updated_at, deleted_at, title_words, notes_words)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, ",
    words!("$16"),
    ", ",
    words!("$17"),
    ")"
);
const UPDATE: &str = concat!(
    "UPDATE todos SET list_id = $2, title = $3, notes = $4, status = $5, completed_at = $6, priority = $7, due_at = $8,
        due_zone = $9, tags = $10, recurrence = $11, position = $12, created_at = $13, updated_at = $14,
        deleted_at = $15, title_words = ",
    words!("$16"),
    ", notes_words = ",
    words!("$17"),
    ", version = version + 1 WHERE id = $1"
);
const FOLLOWED: &str = "UPDATE todos SET successor_id = $2 WHERE id = $1";

#[async_trait]
impl Todos for Engine {
    async fn todos(&self, caller: &Caller, query: &TodoQuery, known: Option<i64>) -> Result<Page<Todo>, StoreError> {
        pages::page(&mut *self.reader().await?, caller, query, known).await
    }

    async fn todo(&self, caller: &Caller, id: Uuid) -> Result<Todo, StoreError> {
        Ok(one(&mut *self.reader().await?, caller, id).await?.todo)
    }

    async fn create_todo(&self, caller: &Caller, new: &NewTodo, now: DateTime<Utc>) -> Result<Todo, StoreError> {
        let mut todo = new.todo(Uuid::now_v7(), now);
        if new.place.is_none()
            && let Some(made) = fast::create(self, caller, &todo, new.list_id).await?
        {
            return Ok(made);
        }
        let mut transaction = self.begin().await?;
        todo.list_id = match new.list_id {
            Some(list) => list,
            None => inbox(&mut transaction, caller).await?,
        };
        changes::lock_members(&mut transaction, caller.user_id, todo.list_id, todo.list_id).await?;
        access::role(&mut transaction, caller, todo.list_id).await?.at_least(Role::Editor)?;
        if let Some(place) = new.place {
            todo.position = places::find(&mut transaction, todo.list_id, todo.id, place, now).await?;
        }
        write(&mut transaction, INSERT, &todo).await?;
        log(&mut transaction, &todo, Op::Upsert, now).await?;
        transaction.commit().await?;
        Ok(todo)
    }

    async fn patch_todo(
        &self,
        caller: &Caller,
        id: Uuid,
        patch: &TodoPatch,
        expected: &IfMatch,
        now: DateTime<Utc>,
    ) -> Result<Todo, StoreError> {
        if !patch.moves()
            && !patch.is_empty()
            && let Some(patched) = fast::patch(self, caller, id, patch, expected, now).await?
        {
            return Ok(patched);
        }
        let mut transaction = self.begin().await?;
        let Found { mut todo, followed, .. } = lock(&mut transaction, caller, id, patch.list_id, expected).await?;
        if todo.deleted_at.is_some() {
            return Err(StoreError::NotFound);
        }
        if patch.is_empty() {
            return Ok(todo);
        }
        let (from, was_open) = (todo.list_id, todo.status == Status::Open);
        patch.apply(&mut todo, now);
        if todo.recurrence.is_some() && todo.due_at.is_none() {
            let (code, detail) = (RECURRENCE_CODE, RECURRENCE_DETAIL);
            return Err(StoreError::Invalid { pointer: "/recurrence", code, detail });
        }
        todo.list_id = patch.list_id.unwrap_or(from);
        let moved = todo.list_id != from;
        if moved {
            access::role(&mut transaction, caller, todo.list_id).await?.at_least(Role::Editor)?;
            todo.position = Position::last(now);
        }
        if let Some(place) = patch.place {
            todo.position = places::find(&mut transaction, todo.list_id, id, place, now).await?;
        }
        write(&mut transaction, UPDATE, &todo).await?;
        if moved {
            changes::append(&mut transaction, from, (Entity::Todo, id, Op::Delete), now).await?;
        }
        log(&mut transaction, &todo, Op::Upsert, now).await?;
        if was_open && todo.status == Status::Done && !followed {
            follow(&mut transaction, &todo, now).await?;
        }
        let patched = one(&mut transaction, caller, id).await?.todo;
        transaction.commit().await?;
        Ok(patched)
    }

    async fn delete_todo(
        &self,
        caller: &Caller,
        id: Uuid,
        expected: &IfMatch,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        if fast::delete(self, caller, id, expected, now).await? {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        let Found { mut todo, .. } = lock(&mut transaction, caller, id, None, expected).await?;
        if todo.deleted_at.is_some() {
            return Err(StoreError::NotFound);
        }
        todo.deleted_at = Some(now);
        todo.updated_at = now;
        write(&mut transaction, UPDATE, &todo).await?;
        log(&mut transaction, &todo, Op::Delete, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn restore_todo(
        &self,
        caller: &Caller,
        id: Uuid,
        expected: &IfMatch,
        now: DateTime<Utc>,
    ) -> Result<Todo, StoreError> {
        let mut transaction = self.begin().await?;
        let inbox = inbox(&mut transaction, caller).await?;
        let Found { mut todo, .. } = lock(&mut transaction, caller, id, Some(inbox), expected).await?;
        if todo.deleted_at.is_none() {
            return Ok(todo);
        }
        let live: bool = sqlx::query_scalar(LIST_IS_LIVE).bind(todo.list_id).fetch_one(&mut *transaction).await?;
        if !live {
            todo.list_id = inbox;
            todo.position = Position::last(now);
        }
        todo.deleted_at = None;
        todo.updated_at = now;
        write(&mut transaction, UPDATE, &todo).await?;
        log(&mut transaction, &todo, Op::Upsert, now).await?;
        let restored = one(&mut transaction, caller, id).await?.todo;
        transaction.commit().await?;
        Ok(restored)
    }
}

/// A todo as it is stored.
struct Found {
    todo: Todo,
    role: Role,
    /// Whether it has a successor.
    followed: bool,
}

async fn one(connection: &mut Connection, caller: &Caller, id: Uuid) -> Result<Found, StoreError> {
    let row =
        sqlx::query(ONE).bind(caller.user_id).bind(caller.session_id).bind(id).fetch_optional(&mut *connection).await?;
    match row {
        Some(row) => Ok(Found {
            todo: rows::todo(&row)?,
            role: Role::stored(row.try_get("role")?),
            followed: row.try_get::<Option<Uuid>, _>("successor_id")?.is_some(),
        }),
        None => access::miss(connection, caller).await,
    }
}

/// How often a todo may be moved to another list by others while its lock is waited for.
const LOCK_ROUNDS: u32 = 3;

/// Locks the members of a todo's list and of the one it goes to; then looks whether the caller may write it and it is
/// what the caller expects.
async fn lock(
    connection: &mut Connection,
    caller: &Caller,
    id: Uuid,
    to: Option<Uuid>,
    expected: &IfMatch,
) -> Result<Found, StoreError> {
    let mut list = one(connection, caller, id).await?.todo.list_id;
    for _ in 0..LOCK_ROUNDS {
        changes::lock_members(connection, caller.user_id, list, to.unwrap_or(list)).await?;
        let found = one(connection, caller, id).await?;
        if found.todo.list_id == list {
            found.role.at_least(Role::Editor)?;
            return if expected.allows(found.todo.version) { Ok(found) } else { Err(StoreError::PreconditionFailed) };
        }
        list = found.todo.list_id;
    }
    Err(StoreError::Conflict("The todo is being moved by others; try again."))
}

async fn inbox(connection: &mut Connection, caller: &Caller) -> Result<Uuid, StoreError> {
    match sqlx::query_scalar(INBOX).bind(caller.user_id).fetch_optional(&mut *connection).await? {
        Some(id) => Ok(id),
        None => access::miss(connection, caller).await,
    }
}

/// Runs [`INSERT`] or [`UPDATE`], which take the same parameters.
async fn write(connection: &mut Connection, text: &'static str, todo: &Todo) -> Result<(), StoreError> {
    sqlx::query(text)
        .bind(todo.id)
        .bind(todo.list_id)
        .bind(&todo.title)
        .bind(&todo.notes)
        .bind(todo.status.as_str())
        .bind(todo.completed_at)
        .bind(todo.priority.rank())
        .bind(todo.due_at)
        .bind(&todo.due_zone)
        .bind(Json(&todo.tags))
        .bind(&todo.recurrence)
        .bind(todo.position.as_str())
        .bind(todo.created_at)
        .bind(todo.updated_at)
        .bind(todo.deleted_at)
        .bind(Json(words::split(&todo.title)))
        .bind(Json(words::split(&todo.notes)))
        .execute(connection)
        .await?;
    Ok(())
}

async fn log(connection: &mut Connection, todo: &Todo, op: Op, now: DateTime<Utc>) -> Result<(), StoreError> {
    changes::append(connection, todo.list_id, (Entity::Todo, todo.id, op), now).await
}

/// Makes the todo that follows a completed one, right after it.
async fn follow(connection: &mut Connection, done: &Todo, now: DateTime<Utc>) -> Result<(), StoreError> {
    let Some(mut next) = done.successor(Uuid::now_v7(), now) else { return Ok(()) };
    next.position = places::find(connection, next.list_id, next.id, Place::After(done.id), now).await?;
    write(connection, INSERT, &next).await?;
    sqlx::query(FOLLOWED).bind(done.id).bind(next.id).execute(&mut *connection).await?;
    log(connection, &next, Op::Upsert, now).await
}
