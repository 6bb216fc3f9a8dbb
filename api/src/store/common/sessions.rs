//! Sessions and refresh tokens, on both engines.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Connection, Engine, audit,
    changes::{self, Entity, Op},
};
use crate::{
    auth::{
        Caller,
        refresh::{Facts, IDLE, TokenHash, Verdict, expiry, judge},
    },
    store::{Event, MOST_SESSIONS, NewSession, Origin, Refreshed, Session, Sessions, StoreError},
};

const IS_ACTIVE: &str = "SELECT 1 FROM sessions WHERE id = $1 AND user_id = $2";

const BEGIN: &str = "
    INSERT INTO sessions (id, user_id, device_name, created_at, last_used_at, expires_at)
    VALUES ($1, $2, $3, $4, $4, $5)";

const ADD_TOKEN: &str = "
    INSERT INTO refresh_tokens (hash, session_id, parent, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)";

/// Sessions that nobody can refresh, and those beyond the most that an account may have.
const OUTDATED: &str = "
    SELECT id FROM sessions WHERE user_id = $1 AND (expires_at <= $2 OR last_used_at <= $3)
    UNION
    SELECT id FROM (SELECT id FROM sessions WHERE user_id = $1 ORDER BY last_used_at DESC, id DESC LIMIT 1000 OFFSET $4) AS surplus";

const OF_USER: &str = "
    SELECT id, device_name, created_at, last_used_at, expires_at FROM sessions
    WHERE user_id = $1 AND EXISTS (SELECT 1 FROM sessions WHERE id = $2 AND user_id = $1)
        AND expires_at > $3 AND last_used_at > $4
    ORDER BY last_used_at DESC, id DESC";

const END: &str = "DELETE FROM sessions WHERE user_id = $1 AND id = $2";

const OTHERS: &str = "SELECT id FROM sessions WHERE user_id = $1 AND id <> $2 ORDER BY id";

/// What `judge` needs, and whose token it is. The row of the session is locked first, so that two uses of one family of
/// tokens are judged one after the other.
const LOCK_FAMILY: &str = "
    UPDATE sessions SET last_used_at = last_used_at
    WHERE id = (SELECT session_id FROM refresh_tokens WHERE hash = $1)";

const PRESENTED: &str = "
    SELECT t.expires_at, t.consumed_at, s.expires_at AS session_expires_at, s.id AS session_id, s.user_id,
        u.email, u.display_name,
        (SELECT COUNT(*) FROM refresh_tokens c WHERE c.parent = t.hash) AS children,
        EXISTS (SELECT 1 FROM refresh_tokens c WHERE c.parent = t.hash AND c.consumed_at IS NOT NULL) AS child_used
    FROM refresh_tokens t
    JOIN sessions s ON s.id = t.session_id
    JOIN users u ON u.id = s.user_id
    WHERE t.hash = $1";

const CONSUME: &str = "UPDATE refresh_tokens SET consumed_at = $2 WHERE hash = $1 AND consumed_at IS NULL";

const TOUCH: &str = "UPDATE sessions SET last_used_at = $2 WHERE id = $1";

#[derive(sqlx::FromRow)]
struct Presented {
    expires_at: DateTime<Utc>,
    consumed_at: Option<DateTime<Utc>>,
    children: i64,
    child_used: bool,
    #[sqlx(flatten)]
    owner: Refreshed,
}

/// Fails with `SessionEnded` unless the caller's session is there.
pub(super) async fn require_active(connection: &mut Connection, caller: &Caller) -> Result<(), StoreError> {
    let found = sqlx::query(IS_ACTIVE).bind(caller.session_id).bind(caller.user_id).fetch_optional(connection).await?;
    found.map(drop).ok_or(StoreError::SessionEnded)
}

/// Begins a session, in the transaction of the caller.
pub(super) async fn begin(
    connection: &mut Connection,
    session: &NewSession<'_>,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(BEGIN)
        .bind(session.id)
        .bind(session.user_id)
        .bind(session.device_name)
        .bind(at)
        .bind(session.expires_at)
        .execute(&mut *connection)
        .await?;
    add_token(connection, session.refresh_token, session.id, None, at, session.refresh_expires_at).await
}

async fn add_token(
    connection: &mut Connection,
    token: TokenHash,
    session_id: Uuid,
    parent: Option<TokenHash>,
    at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(ADD_TOKEN)
        .bind(token.0.to_vec())
        .bind(session_id)
        .bind(parent.map(|parent| parent.0.to_vec()))
        .bind(at)
        .bind(expires_at)
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends a session and says so in the change log. Where there was none, the transaction must be given up.
async fn end(connection: &mut Connection, user_id: Uuid, id: Uuid, at: DateTime<Utc>) -> Result<bool, StoreError> {
    // The user's row is locked first, as by every writer.
    changes::append_for(connection, user_id, (Entity::Session, id, Op::Delete), at).await?;
    Ok(sqlx::query(END).bind(user_id).bind(id).execute(connection).await?.rows_affected() == 1)
}

/// Ends all sessions of the caller's user but the caller's, each with its audit event.
pub(super) async fn end_others(
    connection: &mut Connection,
    caller: &Caller,
    origin: &Origin,
) -> Result<(), StoreError> {
    let others: Vec<Uuid> = sqlx::query_scalar(OTHERS)
        .bind(caller.user_id)
        .bind(caller.session_id)
        .fetch_all(&mut *connection)
        .await?;
    for id in others {
        end(connection, caller.user_id, id, origin.at).await?;
        audit::append(connection, Event::SessionEnded, Some(caller.user_id), Some(id), origin).await?;
    }
    Ok(())
}

#[async_trait]
impl Sessions for Engine {
    async fn sign_in(&self, session: &NewSession<'_>, origin: &Origin) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let outdated: Vec<Uuid> = sqlx::query_scalar(OUTDATED)
            .bind(session.user_id)
            .bind(origin.at)
            .bind(origin.at - IDLE)
            .bind(MOST_SESSIONS - 1)
            .fetch_all(&mut *transaction)
            .await?;
        for id in outdated {
            end(&mut transaction, session.user_id, id, origin.at).await?;
        }
        begin(&mut transaction, session, origin.at).await?;
        audit::append(&mut transaction, Event::LoginSucceeded, Some(session.user_id), Some(session.id), origin).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn refresh(&self, token: TokenHash, child: TokenHash, origin: &Origin) -> Result<Refreshed, StoreError> {
        let at = origin.at;
        let mut transaction = self.begin().await?;
        sqlx::query(LOCK_FAMILY).bind(token.0.to_vec()).execute(&mut *transaction).await?;
        let presented: Option<Presented> =
            sqlx::query_as(PRESENTED).bind(token.0.to_vec()).fetch_optional(&mut *transaction).await?;
        let Presented { expires_at, consumed_at, children, child_used, owner } =
            presented.ok_or(StoreError::SessionEnded)?;
        let (user, session) = (Some(owner.user_id), Some(owner.session_id));
        let session_expires_at = owner.session_expires_at;
        match judge(&Facts { expires_at, consumed_at, children, child_used, session_expires_at }, at) {
            Verdict::Rotate | Verdict::Retry => {
                sqlx::query(CONSUME).bind(token.0.to_vec()).bind(at).execute(&mut *transaction).await?;
                let child_expires_at = expiry(at, session_expires_at);
                add_token(&mut transaction, child, owner.session_id, Some(token), at, child_expires_at).await?;
                sqlx::query(TOUCH).bind(owner.session_id).bind(at).execute(&mut *transaction).await?;
                audit::append(&mut transaction, Event::Refreshed, user, session, origin).await?;
                transaction.commit().await?;
                Ok(owner)
            }
            Verdict::Expired => Err(StoreError::SessionEnded),
            Verdict::Reused => {
                end(&mut transaction, owner.user_id, owner.session_id, at).await?;
                audit::append(&mut transaction, Event::ReuseDetected, user, session, origin).await?;
                transaction.commit().await?;
                Err(StoreError::SessionEnded)
            }
        }
    }

    async fn sessions(&self, caller: &Caller, at: DateTime<Utc>) -> Result<Vec<Session>, StoreError> {
        let mut connection = self.reader().await?;
        let sessions: Vec<Session> = sqlx::query_as(OF_USER)
            .bind(caller.user_id)
            .bind(caller.session_id)
            .bind(at)
            .bind(at - IDLE)
            .fetch_all(&mut *connection)
            .await?;
        if sessions.is_empty() {
            require_active(&mut connection, caller).await?;
        }
        Ok(sessions)
    }

    async fn end_session(&self, caller: &Caller, session_id: Uuid, origin: &Origin) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        require_active(&mut transaction, caller).await?;
        if !end(&mut transaction, caller.user_id, session_id, origin.at).await? {
            return Err(StoreError::NotFound);
        }
        audit::append(&mut transaction, Event::SessionEnded, Some(caller.user_id), Some(session_id), origin).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn end_other_sessions(&self, caller: &Caller, origin: &Origin) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        require_active(&mut transaction, caller).await?;
        end_others(&mut transaction, caller, origin).await?;
        transaction.commit().await?;
        Ok(())
    }
}
