//! What the store can throw away.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::StoreError;

/// What one sweep erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Todos that were in the trash for long enough.
    pub todos: u64,
    /// Deleted lists that are empty by now.
    pub lists: u64,
    /// Sessions that have expired, with their refresh tokens.
    pub sessions: u64,
    /// Expired refresh tokens of other sessions.
    pub refresh_tokens: u64,
}

/// Erasing what nobody can reach or ask back any more.
#[async_trait]
pub trait Sweep {
    /// Erases some of what was deleted before `trashed_before` or has expired by `now`. The work is bounded: `true` says
    /// that there may be more. Several processes may sweep at once.
    async fn sweep(&self, trashed_before: DateTime<Utc>, now: DateTime<Utc>) -> Result<(Swept, bool), StoreError>;
}
