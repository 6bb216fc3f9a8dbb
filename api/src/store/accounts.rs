//! Accounts: what the store can do with them.

use async_trait::async_trait;
use uuid::Uuid;

use super::{NewSession, Origin, StoreError};
use crate::{
    auth::Caller,
    domain::{
        account::{DisplayName, Email},
        time_zone::TimeZone,
    },
};

/// An account to be made, with its first session. Without `Debug`, because it holds a password's hash.
pub struct NewAccount {
    /// The address, which must be free.
    pub email: Email,
    /// A PHC string.
    pub password_hash: String,
    /// The name for people.
    pub display_name: DisplayName,
    /// The time zone.
    pub time_zone: TimeZone,
    /// The first session; names the user.
    pub session: NewSession,
}

/// What a sign-in is checked against.
#[derive(Clone)]
pub struct Credentials {
    /// The user.
    pub user_id: Uuid,
    /// The address.
    pub email: String,
    /// The name for people.
    pub display_name: String,
    /// A PHC string.
    pub password_hash: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

/// What a user sees of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The user.
    pub id: Uuid,
    /// The address.
    pub email: String,
    /// The name for people.
    pub display_name: String,
    /// The IANA name of the time zone.
    pub time_zone: String,
    /// When it was made.
    pub created_at: chrono::DateTime<chrono::Utc>,
}

/// What is to be changed; `None` keeps.
#[derive(Debug, Clone, Default)]
pub struct ProfileChange {
    /// The name for people.
    pub display_name: Option<DisplayName>,
    /// The time zone.
    pub time_zone: Option<TimeZone>,
}

/// Use cases of accounts.
#[async_trait]
pub trait Accounts {
    /// Makes an account with an inbox and signs in. `Conflict` when the address is taken.
    async fn register(&self, account: &NewAccount, origin: &Origin) -> Result<(), StoreError>;

    /// What belongs to an address, if there is such an account.
    async fn credentials(&self, email: &Email) -> Result<Option<Credentials>, StoreError>;

    /// The caller's own.
    async fn own_credentials(&self, caller: &Caller) -> Result<Credentials, StoreError>;

    /// Records that a sign-in failed.
    async fn login_failed(&self, user_id: Option<Uuid>, origin: &Origin) -> Result<(), StoreError>;

    /// The caller's profile.
    async fn profile(&self, caller: &Caller) -> Result<Profile, StoreError>;

    /// Changes the caller's profile.
    async fn change_profile(
        &self,
        caller: &Caller,
        change: &ProfileChange,
        origin: &Origin,
    ) -> Result<Profile, StoreError>;

    /// Changes the password and ends all other sessions. `PreconditionFailed` when the old hash is no longer the one
    /// that the caller was checked against.
    async fn change_password(
        &self,
        caller: &Caller,
        old_hash: &str,
        new_hash: &str,
        origin: &Origin,
    ) -> Result<(), StoreError>;

    /// Erases the account and everything that belongs to it. Lists that it owns go with it, also for their other
    /// members, who are told; from lists of others only its membership goes.
    async fn delete_account(&self, caller: &Caller, origin: &Origin) -> Result<(), StoreError>;
}
