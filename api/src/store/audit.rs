//! Audit events: who did what, with opaque ids only, written in the transaction of what they speak of.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use chrono::{DateTime, Utc};
use todo_shared::request_id::RequestId;

use crate::domain::time;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// An account was made.
    Registered,
    /// Somebody signed in.
    LoginSucceeded,
    /// A password was wrong, or there is no such account.
    LoginFailed,
    /// A refresh token was used.
    Refreshed,
    /// A used refresh token came back; its session was ended.
    ReuseDetected,
    /// The password was changed.
    PasswordChanged,
    /// A session was ended by its user.
    SessionEnded,
    /// An account was erased.
    AccountDeleted,
    /// A signing key was made.
    KeyRotated,
}

impl Event {
    /// The event as the table holds it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::LoginSucceeded => "login_succeeded",
            Self::LoginFailed => "login_failed",
            Self::Refreshed => "refreshed",
            Self::ReuseDetected => "reuse_detected",
            Self::PasswordChanged => "password_changed",
            Self::SessionEnded => "session_ended",
            Self::AccountDeleted => "account_deleted",
            Self::KeyRotated => "key_rotated",
        }
    }
}

/// When and by which request something happens.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The time of the whole use case, in microseconds.
    pub at: DateTime<Utc>,
    /// The request; `None` for what the API does by itself.
    pub request_id: Option<RequestId>,
}

impl Origin {
    /// What the API does by itself, now.
    pub fn own() -> Self {
        Self { at: time::now(), request_id: None }
    }
}

/// In a handler: this request, now.
impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self { at: time::now(), request_id: parts.extensions.get::<RequestId>().cloned() })
    }
}
