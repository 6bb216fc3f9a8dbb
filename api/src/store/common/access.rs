//! Who may do what: every look at a list or a todo on behalf of somebody goes through these statements.

use uuid::Uuid;

use super::Connection;
use crate::{auth::Caller, store::StoreError};

const SESSION: &str = "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = $1 AND user_id = $2)";

/// Refuses a caller whose session has ended.
pub(super) async fn active(connection: &mut Connection, caller: &Caller) -> Result<(), StoreError> {
    let active: bool =
        sqlx::query_scalar(SESSION).bind(caller.session_id).bind(caller.user_id).fetch_one(connection).await?;
    if active { Ok(()) } else { Err(StoreError::SessionEnded) }
}

/// Why a statement that looked for a row of the caller found nothing. Only a miss costs this second look.
pub(super) async fn miss<T>(connection: &mut Connection, caller: &Caller) -> Result<T, StoreError> {
    active(connection, caller).await?;
    Err(StoreError::NotFound)
}

const ROLE: &str = "SELECT m.role FROM list_members m JOIN lists l ON l.id = m.list_id
    WHERE m.list_id = $1 AND m.user_id = $2 AND l.deleted_at IS NULL
    AND EXISTS (SELECT 1 FROM sessions s WHERE s.id = $3 AND s.user_id = $2)";

/// What a member may do with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Viewer,
    Editor,
    Owner,
}

impl Role {
    pub(super) fn stored(text: &str) -> Self {
        match text {
            "owner" => Self::Owner,
            "editor" => Self::Editor,
            _ => Self::Viewer,
        }
    }

    /// Refuses who is less than this.
    pub(super) fn at_least(self, least: Self) -> Result<(), StoreError> {
        if self >= least { Ok(()) } else { Err(StoreError::Forbidden) }
    }
}

/// The caller's role in a list that is not deleted.
pub(super) async fn role(connection: &mut Connection, caller: &Caller, list: Uuid) -> Result<Role, StoreError> {
    let role: Option<String> = sqlx::query_scalar(ROLE)
        .bind(list)
        .bind(caller.user_id)
        .bind(caller.session_id)
        .fetch_optional(&mut *connection)
        .await?;
    match role {
        Some(role) => Ok(Role::stored(&role)),
        None => miss(connection, caller).await,
    }
}
