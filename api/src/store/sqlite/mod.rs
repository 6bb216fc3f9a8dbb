//! SQLite, for development and single machines: one writer, many readers, no acknowledged write lost to a power cut.

/// Words that are bound as a JSON array, as their column's type.
macro_rules! words {
    ($parameter:literal) => {
        $parameter
    };
}

// The files of `common/` are written once and compiled into both engines: their `super` is this module, which gives them
// `Connection`, `Row`, the `LOCK_` statements, `page_text` and `words!`.
#[path = "../common/access.rs"]
mod access;
#[path = "../common/accounts.rs"]
mod accounts;
#[path = "../common/audit.rs"]
mod audit;
#[path = "../common/changes.rs"]
mod changes;
mod fast;
#[path = "../common/lists.rs"]
mod lists;
#[path = "../common/pages.rs"]
mod pages;
#[path = "../common/places.rs"]
mod places;
#[cfg(test)]
mod plans;
#[path = "../common/rows.rs"]
mod rows;
mod search;
#[path = "../common/sessions.rs"]
mod sessions;
#[path = "../common/signing_keys.rs"]
mod signing_keys;
#[path = "../common/sweep.rs"]
mod sweep;
#[path = "../common/todos.rs"]
mod todos;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Sqlite, SqliteConnection, SqlitePool, Transaction,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use self::search::{page_text, word_query};
use super::{ACQUIRE_TIMEOUT, Connections, Health, SLOW_STATEMENT, Settings, StoreError, migrate};

/// The connection that the files of `common/` are compiled against.
type Connection = SqliteConnection;
/// A row of that connection.
type Row = SqliteRow;

// The transaction holds the lock of the whole database already.
const LOCK_KEYS: &str = "SELECT 1";
const LOCK_USER: &str = "SELECT 1 FROM users WHERE id = $1";
const LOCK_USER_AND_MEMBERS: &str = LOCK_USER;
const LOCK_MEMBERS: &str = "SELECT DISTINCT m.user_id FROM list_members m
    JOIN list_members c ON c.list_id = m.list_id WHERE m.list_id IN ($1, $2) AND c.user_id = $3 ORDER BY m.user_id";

/// How long a statement waits for the lock of another process (a backup, a migration).
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// One connection that writes and a pool of those that read, on one file in WAL mode.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// What every connection of ours has: WAL lets readers work beside the writer, `FULL` syncs the log at each commit.
pub(super) fn durable(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .log_slow_statements(log::LevelFilter::Warn, SLOW_STATEMENT)
        .log_statements(log::LevelFilter::Trace)
}

impl Engine {
    pub(super) fn open(options: SqliteConnectOptions, settings: &Settings) -> Self {
        let options = durable(options);
        // Connections to a file do not go stale: none is closed for its age or idleness.
        let pool = |most: u32| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        Self {
            writer: pool(1).connect_lazy_with(options.clone()),
            readers: pool(settings.max_connections).connect_lazy_with(options.pragma("query_only", "on")),
        }
    }

    /// A connection for statements that only read.
    async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// A transaction that writes. It holds the write lock from its start, so what it has read cannot change under it.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }
}

#[async_trait]
impl Health for Engine {
    async fn schema_version(&self) -> Result<i64, StoreError> {
        migrate::applied(sqlx::query_scalar(migrate::APPLIED).fetch_one(&self.readers).await)
    }

    fn connections(&self) -> Connections {
        Connections::of(&self.readers)
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
