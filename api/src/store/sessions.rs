//! Sessions and refresh tokens: what the store can do with them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Origin, StoreError};
use crate::auth::{Caller, refresh::TokenHash};

/// How many sessions one account may have; the one that was used longest ago makes room.
pub const MOST_SESSIONS: i64 = 100;

/// A session to be begun.
#[derive(Debug)]
pub struct NewSession {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// What the user calls the device.
    pub device_name: Option<String>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// Its first refresh token.
    pub refresh_token: TokenHash,
    /// When that token expires.
    pub refresh_expires_at: DateTime<Utc>,
}

/// What a session is to its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// What the user calls the device.
    pub device_name: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When its token was refreshed last.
    pub last_used_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
}

/// A refresh that succeeded: whose it was.
#[derive(Debug, Clone)]
pub struct Refreshed {
    /// The user.
    pub user_id: Uuid,
    /// The session.
    pub session_id: Uuid,
    /// When the session ends at the latest.
    pub session_expires_at: DateTime<Utc>,
    /// The user's address.
    pub email: String,
    /// The user's name for people.
    pub display_name: String,
}

/// Use cases of sessions.
#[async_trait]
pub trait Sessions {
    /// Begins a session, if the password is still the one that was checked (else `PreconditionFailed`). Sessions of the
    /// same user that nobody can refresh any more are forgotten.
    async fn sign_in(&self, session: &NewSession, password_hash: &str, origin: &Origin) -> Result<(), StoreError>;

    /// Uses a refresh token and stores its child. `SessionEnded` when the token is not good for it; if it was used
    /// before (`auth::refresh`), its session is ended.
    async fn refresh(&self, token: TokenHash, child: TokenHash, origin: &Origin) -> Result<Refreshed, StoreError>;

    /// The caller's sessions that can still be refreshed at this time, the one used last first.
    async fn sessions(&self, caller: &Caller, at: DateTime<Utc>) -> Result<Vec<Session>, StoreError>;

    /// Ends one of the caller's sessions. `NotFound` when it is not the caller's.
    async fn end_session(&self, caller: &Caller, session_id: Uuid, origin: &Origin) -> Result<(), StoreError>;

    /// Ends all of the caller's sessions but the caller's own.
    async fn end_other_sessions(&self, caller: &Caller, origin: &Origin) -> Result<(), StoreError>;
}
