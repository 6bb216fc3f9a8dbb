//! Sessions and refresh tokens, on both engines.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Connection, Engine, access, audit,
    changes::{self, Entity, Op},
};
use crate::{
    auth::{
        Caller,
        refresh::{Facts, IDLE, TokenHash, Verdict, expiry, judge},
    },
    store::{Event, MOST_SESSIONS, NewSession, Origin, Refreshed, Session, Sessions, StoreError},
};

const HAS_PASSWORD: &str = "SELECT 1 FROM users WHERE id = $1 AND password_hash = $2";

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

const OWNER: &str = "
    SELECT s.user_id FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.hash = $1";

/// What `judge` needs, and whose token it is.
const PRESENTED: &str = "
    SELECT t.expires_at, t.consumed_at,
        (SELECT COUNT(*) FROM refresh_tokens c WHERE c.parent = t.hash),
        EXISTS (SELECT 1 FROM refresh_tokens c WHERE c.parent = t.hash AND c.consumed_at IS NOT NULL),
        s.expires_at, s.id, u.id, u.email, u.display_name
    FROM refresh_tokens t
    JOIN sessions s ON s.id = t.session_id
    JOIN users u ON u.id = s.user_id
    WHERE t.hash = $1";

const CONSUME: &str = "UPDATE refresh_tokens SET consumed_at = $2 WHERE hash = $1 AND consumed_at IS NULL";

const TOUCH: &str = "UPDATE sessions SET last_used_at = $2 WHERE id = $1";

type SessionRow = (Uuid, Option<String>, DateTime<Utc>, DateTime<Utc>, DateTime<Utc>);

fn session((id, device_name, created_at, last_used_at, expires_at): SessionRow) -> Session {
    Session { id, device_name, created_at, last_used_at, expires_at }
}

type FactsRow = (DateTime<Utc>, Option<DateTime<Utc>>, i64, bool, DateTime<Utc>, Uuid, Uuid, String, String);

fn facts(row: FactsRow) -> (Facts, Refreshed) {
    let (expires_at, consumed_at, children, child_used, session_expires_at, session_id, user_id, email, display_name) =
        row;
    (
        Facts { expires_at, consumed_at, children, child_used, session_expires_at },
        Refreshed { user_id, session_id, session_expires_at, email, display_name },
    )
}

/// Begins a session, in the transaction of the caller.
pub(super) async fn begin(
    connection: &mut Connection,
    session: &NewSession,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(BEGIN)
        .bind(session.id)
        .bind(session.user_id)
        .bind(session.device_name.as_deref())
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

/// Ends a session of a user, who is locked, and says so in the change log. Whether there was one; where there was none,
/// the transaction must be given up.
async fn end(connection: &mut Connection, user_id: Uuid, id: Uuid, at: DateTime<Utc>) -> Result<bool, StoreError> {
    changes::append_for(connection, user_id, (Entity::Session, id, Op::Delete), at).await?;
    Ok(sqlx::query(END).bind(user_id).bind(id).execute(connection).await?.rows_affected() == 1)
}

/// Ends all sessions of the caller's user but the caller's, each with its audit event.
pub(super) async fn end_others(
    connection: &mut Connection,
    caller: &Caller,
    origin: &Origin,
) -> Result<(), StoreError> {
    let others: Vec<Uuid> =
        sqlx::query_scalar(OTHERS).bind(caller.user_id).bind(caller.session_id).fetch_all(&mut *connection).await?;
    for id in others {
        end(connection, caller.user_id, id, origin.at).await?;
        audit::append(connection, Event::SessionEnded, Some(caller.user_id), Some(id), origin).await?;
    }
    Ok(())
}

#[async_trait]
impl Sessions for Engine {
    async fn sign_in(&self, session: &NewSession, password_hash: &str, origin: &Origin) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        changes::lock_user(&mut transaction, session.user_id).await?;
        let unchanged = sqlx::query(HAS_PASSWORD).bind(session.user_id).bind(password_hash);
        if unchanged.fetch_optional(&mut *transaction).await?.is_none() {
            return Err(StoreError::PreconditionFailed);
        }
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
        let owner = sqlx::query_scalar(OWNER).bind(token.0.to_vec());
        let owner: Uuid = owner.fetch_optional(&mut *transaction).await?.ok_or(StoreError::SessionEnded)?;
        // Two uses of one family of tokens are judged one after the other.
        changes::lock_user(&mut transaction, owner).await?;
        let presented = sqlx::query_as(PRESENTED).bind(token.0.to_vec()).fetch_optional(&mut *transaction).await?;
        let (facts, owner) = presented.map(facts).ok_or(StoreError::SessionEnded)?;
        let (user, session) = (Some(owner.user_id), Some(owner.session_id));
        match judge(&facts, at) {
            Verdict::Rotate | Verdict::Retry => {
                sqlx::query(CONSUME).bind(token.0.to_vec()).bind(at).execute(&mut *transaction).await?;
                let child_expires_at = expiry(at, owner.session_expires_at);
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
        let rows: Vec<SessionRow> = sqlx::query_as(OF_USER)
            .bind(caller.user_id)
            .bind(caller.session_id)
            .bind(at)
            .bind(at - IDLE)
            .fetch_all(&mut *connection)
            .await?;
        if rows.is_empty() {
            access::active(&mut connection, caller).await?;
        }
        Ok(rows.into_iter().map(session).collect())
    }

    async fn end_session(&self, caller: &Caller, session_id: Uuid, origin: &Origin) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        changes::lock_user(&mut transaction, caller.user_id).await?;
        access::active(&mut transaction, caller).await?;
        if !end(&mut transaction, caller.user_id, session_id, origin.at).await? {
            return Err(StoreError::NotFound);
        }
        audit::append(&mut transaction, Event::SessionEnded, Some(caller.user_id), Some(session_id), origin).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn end_other_sessions(&self, caller: &Caller, origin: &Origin) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        changes::lock_user(&mut transaction, caller.user_id).await?;
        access::active(&mut transaction, caller).await?;
        end_others(&mut transaction, caller, origin).await?;
        transaction.commit().await?;
        Ok(())
    }
}
