//! Applies the embedded migrations.
//!
//! They are embedded with `include_str!` and a table: sqlx's macro would compile both drivers a second time, as build
//! dependencies, for the same result. Two processes cannot migrate at once: PostgreSQL by an advisory lock that sqlx
//! takes, SQLite by a lock on a file beside the database.

use std::{fmt, fs::File, path::Path, time::Duration};

use sqlx::{
    SqlSafeStr,
    error::DatabaseError,
    migrate::{Migration, MigrationType, Migrator},
    postgres::PgPoolOptions,
    sqlite::SqlitePoolOptions,
};

use super::{Database, StoreError, sqlite};

/// The newest version, which both engines have.
pub const NEWEST: i64 = 1;

const POSTGRES: [(i64, &str, &str); 1] = [(1, "base", include_str!("../../../migrations/postgres/0001_base.sql"))];
const SQLITE: [(i64, &str, &str); 1] = [(1, "base", include_str!("../../../migrations/sqlite/0001_base.sql"))];

/// The newest version that is applied; the same text on both engines.
pub(super) const APPLIED: &str = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations WHERE success";

/// What [`APPLIED`] found. A database without the table has no migration yet.
pub(super) fn applied(found: sqlx::Result<i64>) -> Result<i64, StoreError> {
    match found {
        Err(sqlx::Error::Database(error)) if is_missing_table(&*error) => Ok(0),
        found => Ok(found?),
    }
}

fn is_missing_table(error: &dyn DatabaseError) -> bool {
    // SQLite has no code of its own for it.
    error.code().is_some_and(|code| code == "42P01" || (code == "1" && error.message().starts_with("no such table")))
}

/// How long to wait for another process that migrates the same SQLite file.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// PostgreSQL's `lock_timeout` of a migration, in its own notation. Short, because whoever wants the table after us waits
/// behind us for as long.
const LOCK_TIMEOUT: &str = "5s";
/// The SQLSTATE of what waited longer.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Why the database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// It cannot be reached, or its URL cannot be read.
    #[error("the database cannot be opened: {0}")]
    Open(#[from] sqlx::Error),
    /// The lock file beside the SQLite database, or their folder, cannot be made, or it is held for too long.
    #[error("the lock file beside the database cannot be taken: {0}")]
    Lock(#[source] std::io::Error),
    /// A table is locked by a transaction that does not end, or another process migrates.
    #[error(
        "somebody else held a lock on the database for {LOCK_TIMEOUT}, and nothing was changed: end the long transaction \
         (pg_stat_activity shows it), or wait for the other migration, and run this again"
    )]
    Locked,
    /// A migration failed, or what is applied is not what this build holds.
    #[error("the migration failed: {0}")]
    Apply(#[from] sqlx::migrate::MigrateError),
}

/// What came of it, as one sentence for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrated {
    /// All migrations of this build are applied.
    UpToDate,
    /// So is this one of a newer build, which this build therefore leaves alone.
    Newer(i64),
}

impl fmt::Display for Migrated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpToDate => formatter.write_str("the database's schema is up to date"),
            Self::Newer(version) => write!(
                formatter,
                "the database's schema is newer than this build, which serves it as it is: it has migration {version}, \
                 the newest known here is {NEWEST}; nothing was changed"
            ),
        }
    }
}

/// Brings the database to [`NEWEST`]; does nothing if it is there. Makes a missing SQLite file and its folder.
pub async fn migrate(url: &str) -> Result<Migrated, MigrateError> {
    let run = match Database::of(url)? {
        Database::Postgres(options) => {
            let options = options.options([("lock_timeout", LOCK_TIMEOUT)]);
            let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
            let run = migrator(&POSTGRES).run(&pool).await;
            pool.close().await;
            run
        }
        Database::Sqlite(options) => {
            if let Some(folder) = options.get_filename().parent() {
                std::fs::create_dir_all(folder).map_err(MigrateError::Lock)?;
            }
            let _lock = lock(options.get_filename()).await?;
            let options = sqlite::durable(options).create_if_missing(true);
            let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
            let run = migrator(&SQLITE).run(&pool).await;
            pool.close().await;
            run
        }
    };
    match run {
        Ok(()) => Ok(Migrated::UpToDate),
        // sqlx compares what is applied with what it knows before it applies anything.
        Err(sqlx::migrate::MigrateError::VersionMissing(version)) if version > NEWEST => Ok(Migrated::Newer(version)),
        Err(
            sqlx::migrate::MigrateError::Execute(sqlx::Error::Database(error))
            | sqlx::migrate::MigrateError::ExecuteMigration(sqlx::Error::Database(error), _),
        ) if error.code().is_some_and(|code| code == LOCK_NOT_AVAILABLE) => Err(MigrateError::Locked),
        Err(error) => Err(error.into()),
    }
}

fn migrator(versions: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migration = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        let alone = sql.starts_with("-- no-transaction");
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), alone)
    };
    Migrator::with_migrations(versions.iter().map(migration).collect())
}

/// The file stays: removing it would let a third process lock another file of the same name.
async fn lock(database: &Path) -> Result<File, MigrateError> {
    let mut name = database.as_os_str().to_owned();
    name.push(".migrate-lock");
    let file = File::create(name).map_err(MigrateError::Lock)?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::Error(error)) => return Err(MigrateError::Lock(error)),
            Err(std::fs::TryLockError::WouldBlock) if waited >= LOCK_PATIENCE => {
                return Err(MigrateError::Lock(std::io::ErrorKind::TimedOut.into()));
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                tokio::time::sleep(LOCK_INTERVAL).await;
                waited += LOCK_INTERVAL;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, SqlitePool};

    use super::*;

    #[test]
    fn both_engines_have_the_same_versions() {
        let versions = |table: &[(i64, &'static str, &'static str)]| {
            table.iter().map(|&(version, name, _)| (version, name)).collect::<Vec<_>>()
        };
        assert_eq!(versions(&POSTGRES), versions(&SQLITE));
        assert_eq!(POSTGRES.last().map(|&(version, ..)| version), Some(NEWEST));
    }

    #[tokio::test]
    async fn many_processes_may_migrate_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("todo.db").display());
        let runs: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn({
                    let url = url.clone();
                    async move { migrate(&url).await }
                })
            })
            .collect();
        for run in runs {
            assert_eq!(run.await.expect("no panic").expect("migrated"), Migrated::UpToDate);
        }
    }

    #[tokio::test]
    async fn a_database_is_seen_before_its_first_migration_and_left_alone_after_a_newer_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("todo.db").display());
        let pool = SqlitePool::connect(&format!("{url}?mode=rwc")).await.expect("a pool");
        let version = async || applied(sqlx::query_scalar(APPLIED).fetch_one(&pool).await).expect("a version");
        assert_eq!(version().await, 0);
        migrate(&url).await.expect("migrated");
        assert_eq!(version().await, NEWEST);
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES";
        for version in [NEWEST + 1, NEWEST + 2] {
            let row = format!("{newer} ({version}, 'later', TRUE, x'00', 0)");
            sqlx::query(AssertSqlSafe(row)).execute(&pool).await.expect("a row");
        }
        assert_eq!(migrate(&url).await.expect("no error"), Migrated::Newer(NEWEST + 1));
        assert_eq!(version().await, NEWEST + 2);
        sqlx::query("UPDATE _sqlx_migrations SET version = 0 WHERE version = 1")
            .execute(&pool)
            .await
            .expect("a change");
        migrate(&url).await.expect_err("a migration that this build should know and does not is no newer one");
    }
}
