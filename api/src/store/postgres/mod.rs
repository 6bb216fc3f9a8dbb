//! PostgreSQL.
//!
//! Connections are made with `statement_timeout` and the like in the start-up message, which costs no round trip.

/// Words that are bound as a JSON array, as their column's type.
macro_rules! words {
    ($parameter:literal) => {
        concat!("array_to_tsvector(ARRAY(SELECT jsonb_array_elements_text(", $parameter, ")))")
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

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection as _, PgConnection, PgPool, Postgres, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};

use self::search::{page_text, word_query};
use super::{
    ACQUIRE_TIMEOUT, Connections, Health, IDLE_TIMEOUT, MAX_LIFETIME, PING_AFTER_IDLE, SLOW_STATEMENT, Settings,
    StoreError, migrate,
};

/// The connection that the files of `common/` are compiled against.
type Connection = PgConnection;
/// A row of that connection.
type Row = PgRow;

/// Keeps rivals that change the signing keys apart until the transaction ends. The number is any that nothing else uses.
const LOCK_KEYS: &str = "SELECT pg_advisory_xact_lock(7236914021)";
const LOCK_USER: &str = "SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE";
const LOCK_USER_AND_MEMBERS: &str = "SELECT 1 FROM users
    WHERE id = $1 OR id IN (SELECT m.user_id FROM list_members m JOIN lists l ON l.id = m.list_id WHERE l.owner_id = $1)
    ORDER BY id FOR NO KEY UPDATE";
const LOCK_MEMBERS: &str = "SELECT id FROM users
    WHERE id IN (SELECT m.user_id FROM list_members m JOIN list_members c ON c.list_id = m.list_id
                 WHERE m.list_id IN ($1, $2) AND c.user_id = $3)
    ORDER BY id FOR NO KEY UPDATE";

/// A pool of connections to PostgreSQL.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    pool: PgPool,
}

impl Engine {
    pub(super) fn open(options: PgConnectOptions, settings: &Settings) -> Self {
        let options = options
            .application_name("todo-api")
            .options([
                ("statement_timeout", settings.statement_timeout.as_millis()),
                // A transaction of ours never waits for us: one that does belongs to a process that hangs.
                ("idle_in_transaction_session_timeout", settings.statement_timeout.as_millis()),
            ])
            .log_slow_statements(log::LevelFilter::Warn, SLOW_STATEMENT)
            .log_statements(log::LevelFilter::Trace);
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            .max_lifetime(MAX_LIFETIME)
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for > PING_AFTER_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Self { pool }
    }

    /// A connection for statements that only read.
    async fn reader(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        Ok(self.pool.acquire().await?)
    }

    /// A transaction that writes.
    async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.pool.begin().await?)
    }
}

#[async_trait]
impl Health for Engine {
    async fn schema_version(&self) -> Result<i64, StoreError> {
        migrate::applied(sqlx::query_scalar(migrate::APPLIED).fetch_one(&self.pool).await)
    }

    fn connections(&self) -> Connections {
        Connections::of(&self.pool)
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
