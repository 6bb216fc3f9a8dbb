//! Lists.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row as _;
use uuid::Uuid;

use super::{
    Connection, Engine,
    access::{self, Role},
    changes::{self, Entity, Op},
    rows,
};
use crate::{
    auth::Caller,
    conditional::IfMatch,
    domain::{
        list::{List, ListPatch, NewList},
        page::Page,
        patch::Patch,
        text::Color,
    },
    store::{
        StoreError,
        lists::Lists,
        sql::{list_columns, session_active},
    },
};

// One row with a null id if there are no lists, none if the session has ended.
const PAGE: &str = concat!(
    "SELECT u.change_seq, page.* FROM users u LEFT JOIN (SELECT ",
    list_columns!(),
    " FROM list_members m JOIN lists l ON l.id = m.list_id
      WHERE m.user_id = $1 AND l.deleted_at IS NULL AND m.list_id > $5
      AND (SELECT change_seq FROM users WHERE id = $1) <> $3
      ORDER BY m.list_id LIMIT $4) page ON TRUE
    WHERE u.id = $1 AND ",
    session_active!(),
    " ORDER BY page.id"
);

const ONE: &str = concat!(
    "SELECT ",
    list_columns!(),
    " FROM lists l JOIN list_members m ON m.list_id = l.id
    WHERE l.id = $3 AND m.user_id = $1 AND l.deleted_at IS NULL AND ",
    session_active!()
);

const INSERT: &str = "INSERT INTO lists (id, owner_id, name, color, inbox, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $6)";
const INSERT_OWNER: &str = "INSERT INTO list_members (list_id, user_id, role, created_at) VALUES ($1, $2, 'owner', $3)";
const UPDATE: &str = "UPDATE lists SET name = $2, color = $3, version = version + 1, updated_at = $4 WHERE id = $1";
const DELETE: &str = "UPDATE lists SET deleted_at = $2, version = version + 1, updated_at = $2 WHERE id = $1";
const DELETE_TODOS: &str = "UPDATE todos SET deleted_at = $2, version = version + 1, updated_at = $2
    WHERE list_id = $1 AND deleted_at IS NULL";

#[async_trait]
impl Lists for Engine {
    async fn lists(
        &self,
        caller: &Caller,
        after: Option<Uuid>,
        limit: u16,
        known: Option<i64>,
    ) -> Result<Page<List>, StoreError> {
        let rows = sqlx::query(PAGE)
            .bind(caller.user_id)
            .bind(caller.session_id)
            .bind(known.unwrap_or(-1))
            .bind(i64::from(limit) + 1)
            .bind(after.unwrap_or(Uuid::nil()))
            .fetch_all(&mut *self.reader().await?)
            .await?;
        let seq = rows.first().ok_or(StoreError::SessionEnded)?.try_get("change_seq")?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
                found.push(rows::list(row)?);
            }
        }
        let more = found.len() > usize::from(limit);
        found.truncate(limit.into());
        Ok(Page { seq, rows: found, more })
    }

    async fn list(&self, caller: &Caller, id: Uuid) -> Result<List, StoreError> {
        one(&mut *self.reader().await?, caller, id).await
    }

    async fn create_list(&self, caller: &Caller, new: &NewList, now: DateTime<Utc>) -> Result<List, StoreError> {
        let mut transaction = self.begin().await?;
        changes::lock_user(&mut transaction, caller.user_id).await?;
        let id = Uuid::now_v7();
        access::active(&mut transaction, caller).await?;
        let color = new.color.as_ref().map(Color::as_str);
        insert(&mut transaction, caller.user_id, id, (new.name.as_str(), color, false), now).await?;
        let list = one(&mut transaction, caller, id).await?;
        transaction.commit().await?;
        Ok(list)
    }

    async fn patch_list(
        &self,
        caller: &Caller,
        id: Uuid,
        patch: &ListPatch,
        expected: &IfMatch,
        now: DateTime<Utc>,
    ) -> Result<List, StoreError> {
        let mut transaction = self.begin().await?;
        let list = lock(&mut transaction, caller, id, Role::Editor, expected).await?;
        if patch.is_empty() {
            return Ok(list);
        }
        let color = match &patch.color {
            Patch::Keep => list.color.as_deref(),
            Patch::Clear => None,
            Patch::Set(color) => Some(color.as_str()),
        };
        sqlx::query(UPDATE)
            .bind(id)
            .bind(patch.name.as_ref().map_or(list.name.as_str(), |name| name.as_str()))
            .bind(color)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        changes::append(&mut transaction, id, (Entity::List, id, Op::Upsert), now).await?;
        let list = one(&mut transaction, caller, id).await?;
        transaction.commit().await?;
        Ok(list)
    }

    async fn delete_list(
        &self,
        caller: &Caller,
        id: Uuid,
        expected: &IfMatch,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let list = lock(&mut transaction, caller, id, Role::Owner, expected).await?;
        if list.inbox {
            return Err(StoreError::Conflict("The inbox cannot be deleted."));
        }
        changes::append_all_todos(&mut transaction, id, Op::Delete, now).await?;
        sqlx::query(DELETE_TODOS).bind(id).bind(now).execute(&mut *transaction).await?;
        sqlx::query(DELETE).bind(id).bind(now).execute(&mut *transaction).await?;
        changes::append(&mut transaction, id, (Entity::List, id, Op::Delete), now).await?;
        transaction.commit().await?;
        Ok(())
    }
}

async fn one(connection: &mut Connection, caller: &Caller, id: Uuid) -> Result<List, StoreError> {
    let row =
        sqlx::query(ONE).bind(caller.user_id).bind(caller.session_id).bind(id).fetch_optional(&mut *connection).await?;
    match row {
        Some(row) => Ok(rows::list(&row)?),
        None => access::miss(connection, caller).await,
    }
}

/// Locks the members of a list; then looks whether the caller may write it and it is what the caller expects.
async fn lock(
    connection: &mut Connection,
    caller: &Caller,
    id: Uuid,
    least: Role,
    expected: &IfMatch,
) -> Result<List, StoreError> {
    changes::lock_members(connection, caller.user_id, id, id).await?;
    access::role(connection, caller, id).await?.at_least(least)?;
    let list = one(connection, caller, id).await?;
    if expected.allows(list.version) { Ok(list) } else { Err(StoreError::PreconditionFailed) }
}

/// Makes a list of an owner, who is locked, and says so in the change log.
pub(super) async fn insert(
    connection: &mut Connection,
    owner: Uuid,
    id: Uuid,
    (name, color, inbox): (&str, Option<&str>, bool),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(id)
        .bind(owner)
        .bind(name)
        .bind(color)
        .bind(inbox)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    sqlx::query(INSERT_OWNER).bind(id).bind(owner).bind(now).execute(&mut *connection).await?;
    changes::append(connection, id, (Entity::List, id, Op::Upsert), now).await
}

/// Makes the list that a new user's todos go to.
pub(super) async fn insert_inbox(
    connection: &mut Connection,
    owner: Uuid,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    insert(connection, owner, Uuid::now_v7(), ("Inbox", None, true), now).await
}
