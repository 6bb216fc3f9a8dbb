//! Erases what nobody can reach or ask back any more, some rows at a time.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Engine, changes};
use crate::store::{
    StoreError,
    sweep::{Sweep, Swept},
};

/// The most rows of a kind that one sweep erases. Also in the statements below.
const BATCH: u64 = 500;

const EXPIRED_SESSIONS: &str = "DELETE FROM sessions
    WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT 500)";
const EXPIRED_TOKENS: &str = "DELETE FROM refresh_tokens
    WHERE hash IN (SELECT hash FROM refresh_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT 500)";
/// A list goes after its todos, which may be younger than its own deletion.
const EMPTY_LISTS: &str = "DELETE FROM lists WHERE id IN (
    SELECT l.id FROM lists l WHERE l.deleted_at < $1 AND NOT EXISTS (SELECT 1 FROM todos t WHERE t.list_id = l.id)
    ORDER BY l.deleted_at LIMIT 500)";

/// A list with the oldest trash.
const NEXT_LIST: &str = "SELECT l.id, l.owner_id FROM todos t JOIN lists l ON l.id = t.list_id
    WHERE t.deleted_at < $1 ORDER BY t.deleted_at LIMIT 1";

macro_rules! old_trash {
    () => {
        "SELECT id, ROW_NUMBER() OVER (ORDER BY deleted_at, id) AS number FROM todos
         WHERE list_id = $1 AND deleted_at < $2 ORDER BY deleted_at, id LIMIT 500"
    };
}
const LOG_TRASH: &str = concat!(
    "INSERT INTO changes (user_id, seq, entity, entity_id, op, at)
    SELECT u.id, u.change_seq + t.number, 'todo', t.id, 'delete', $3
    FROM users u JOIN list_members m ON m.user_id = u.id CROSS JOIN (",
    old_trash!(),
    ") t WHERE m.list_id = $1"
);
const ERASE_TRASH: &str = concat!("DELETE FROM todos WHERE id IN (SELECT id FROM (", old_trash!(), ") t)");

#[async_trait]
impl Sweep for Engine {
    async fn sweep(&self, trashed_before: DateTime<Utc>, now: DateTime<Utc>) -> Result<(Swept, bool), StoreError> {
        let mut transaction = self.begin().await?;
        let sessions = sqlx::query(EXPIRED_SESSIONS).bind(now).execute(&mut *transaction).await?.rows_affected();
        let refresh_tokens = sqlx::query(EXPIRED_TOKENS).bind(now).execute(&mut *transaction).await?.rows_affected();
        let lists = sqlx::query(EMPTY_LISTS).bind(trashed_before).execute(&mut *transaction).await?.rows_affected();
        transaction.commit().await?;
        let todos = erase_trash(self, trashed_before, now).await?;
        // Fewer todos than a batch may mean that only this list is done.
        let more = todos > 0 || [sessions, refresh_tokens, lists].contains(&BATCH);
        Ok((Swept { todos, lists, sessions, refresh_tokens }, more))
    }
}

/// Erases old trash of one list. It is shown until then, so its going is a change like any other.
async fn erase_trash(engine: &Engine, trashed_before: DateTime<Utc>, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let mut transaction = engine.begin().await?;
    let next: Option<(Uuid, Uuid)> =
        sqlx::query_as(NEXT_LIST).bind(trashed_before).fetch_optional(&mut *transaction).await?;
    let Some((list, owner)) = next else { return Ok(0) };
    changes::lock_members(&mut transaction, owner, list, list).await?;
    sqlx::query(LOG_TRASH).bind(list).bind(trashed_before).bind(now).execute(&mut *transaction).await?;
    let erased = sqlx::query(ERASE_TRASH).bind(list).bind(trashed_before).execute(&mut *transaction).await?;
    let erased = erased.rows_affected();
    changes::advance(&mut transaction, list, i64::try_from(erased).unwrap_or(i64::MAX)).await?;
    transaction.commit().await?;
    Ok(erased)
}
