//! Applies the embedded migrations.
//!
//! They are embedded with `include_str!` and a table: sqlx's macro would compile both drivers a second time, as build
//! dependencies, for the same result. Two processes cannot migrate at once: PostgreSQL by an advisory lock that sqlx
//! takes, SQLite by a lock on a file beside the database.

use std::{fs::File, path::Path, time::Duration};

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
    postgres::PgPoolOptions,
    sqlite::SqlitePoolOptions,
};

use super::{Database, sqlite};

/// The newest version, which both engines have.
pub(super) const NEWEST: i64 = 1;

const POSTGRES: [(i64, &str, &str); 1] = [(1, "base", include_str!("../../../migrations/postgres/0001_base.sql"))];
const SQLITE: [(i64, &str, &str); 1] = [(1, "base", include_str!("../../../migrations/sqlite/0001_base.sql"))];

/// The newest version that is applied; the same text on both engines.
pub(super) const APPLIED: &str = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations WHERE success";

/// How long to wait for another process that migrates the same SQLite file.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// Why the database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// It cannot be reached, or its URL cannot be read.
    #[error("the database cannot be opened: {0}")]
    Open(#[from] sqlx::Error),
    /// The lock file beside the SQLite database, or their folder, cannot be made, or it is held for too long.
    #[error("the lock file beside the database cannot be taken: {0}")]
    Lock(#[source] std::io::Error),
    /// A migration failed, or what is applied is not what this build holds.
    #[error("the migration failed: {0}")]
    Apply(#[from] sqlx::migrate::MigrateError),
}

/// Brings the database to [`NEWEST`]; does nothing if it is there. Makes a missing SQLite file and its folder.
pub async fn migrate(url: &str) -> Result<(), MigrateError> {
    match Database::of(url)? {
        Database::Postgres(options) => {
            let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
            migrator(&POSTGRES).run(&pool).await?;
            pool.close().await;
        }
        Database::Sqlite(options) => {
            if let Some(folder) = options.get_filename().parent() {
                std::fs::create_dir_all(folder).map_err(MigrateError::Lock)?;
            }
            let _lock = lock(options.get_filename()).await?;
            let options = sqlite::durable(options).create_if_missing(true);
            let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
            migrator(&SQLITE).run(&pool).await?;
            pool.close().await;
        }
    }
    Ok(())
}

fn migrator(versions: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migration = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
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
            run.await.expect("no panic").expect("migrated");
        }
    }
}
