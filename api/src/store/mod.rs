//! What is true: the database, behind one trait.
//!
//! Decisions, and why:
//! - One trait for each noun, composed into [`Store`]; every method is one use case and one transaction. Handlers never
//!   see SQL, and both engines pass the same contract tests.
//! - What both engines can share is written once: the files of `common/` are compiled into each engine's module, against
//!   that engine's connection type. What PostgreSQL can do in one round trip stands in `postgres/fast.rs` beside it.
//! - Methods that act for somebody take a [`Caller`](crate::auth::Caller): their SQL checks that the session has not
//!   ended and that the row is the caller's, in the statement that does the work.
//! - Every write appends one row to `changes` for each recipient in its own transaction. `users.change_seq` numbers them;
//!   its row is locked in the order of user ids before anything else, so commits of one user are ordered, numbers are
//!   dense, and writers cannot deadlock.

mod accounts;
mod audit;
#[cfg(test)]
mod contract;
mod error;
mod lists;
mod migrate;
mod postgres;
mod sessions;
mod signing_keys;
mod sql;
#[expect(clippy::duplicate_mod, reason = "the files of `common/` are compiled once for each engine")]
mod sqlite;
mod sweep;
mod todos;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

pub use accounts::{Accounts, Credentials, NewAccount, Profile, ProfileChange};
pub use audit::{Event, Origin};
pub use error::StoreError;
pub use lists::Lists;
pub use migrate::{MigrateError, Migrated, NEWEST, migrate};
pub use sessions::{MOST_SESSIONS, NewSession, Refreshed, Session, Sessions};
pub use signing_keys::SigningKeys;
pub use sweep::{Sweep, Swept};
pub use todos::Todos;

/// How the database is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `postgres://...` or `sqlite:<path>`; holds the password.
    pub url: SecretString,
    /// Most connections of this process: 2 to 4 for each core of the database, divided by the replicas.
    pub max_connections: u32,
    /// How long one statement may run before the database gives it up.
    pub statement_timeout: Duration,
}

/// A request waits this long for a connection, then is answered 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// An unused connection is closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);
/// A connection is replaced at this age, so that a moved primary is found and server memory is returned.
const MAX_LIFETIME: Duration = Duration::from_mins(30);
/// A connection that lay idle for longer is tried before it is used; a busy one is not, which saves a round trip.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);
/// A statement that takes longer is logged.
const SLOW_STATEMENT: Duration = Duration::from_millis(100);

/// Everything the API keeps.
pub trait Store: Health + Accounts + Sessions + SigningKeys + Lists + Todos + Sweep {}

impl<T: Health + Accounts + Sessions + SigningKeys + Lists + Todos + Sweep> Store for T {}

/// The connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// In use.
    pub busy: u32,
    /// Open and unused.
    pub idle: u32,
    /// The most there may be.
    pub limit: u32,
}

impl Connections {
    fn of<D: sqlx::Database>(pool: &sqlx::Pool<D>) -> Self {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        Self { busy: pool.size().saturating_sub(idle), idle, limit: pool.options().get_max_connections() }
    }
}

/// Whether the database can do its work.
#[async_trait]
pub trait Health: std::fmt::Debug + Send + Sync {
    /// The newest migration that is applied, 0 for none; [`NEWEST`] is what this build needs.
    async fn schema_version(&self) -> Result<i64, StoreError>;

    /// How many connections there are now.
    fn connections(&self) -> Connections;

    /// Closes all connections; waits for those in use.
    async fn close(&self);
}

/// Opens the database without connecting yet: it may be down now and there later.
///
/// # Errors
/// A URL that cannot be read, or of no known database.
pub fn open(settings: &Settings) -> Result<Arc<dyn Store>, sqlx::Error> {
    Ok(match Database::of(settings.url.expose_secret())? {
        Database::Postgres(options) => Arc::new(postgres::Engine::open(options, settings)),
        Database::Sqlite(options) => Arc::new(sqlite::Engine::open(options, settings)),
    })
}

/// The databases we know, by their URL.
enum Database {
    Postgres(sqlx::postgres::PgConnectOptions),
    Sqlite(sqlx::sqlite::SqliteConnectOptions),
}

impl Database {
    fn of(url: &str) -> Result<Self, sqlx::Error> {
        if url.starts_with("sqlite:") {
            url.parse().map(Self::Sqlite)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            url.parse().map(Self::Postgres)
        } else {
            Err(sqlx::Error::Configuration("the database URL starts with neither postgres:// nor sqlite:".into()))
        }
    }
}
