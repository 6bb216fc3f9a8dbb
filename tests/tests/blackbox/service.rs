//! The running services that cases share, and the PostgreSQL under them.

use std::{fmt, io, path::Path, sync::Arc};

use todo_tests::{api, postgres::Postgres, stack::Stack};
use tokio::sync::OnceCell;

/// What a service stores in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    pub(crate) const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// Everything that is started once, at its first use.
#[derive(Debug, Default)]
pub(crate) struct Services {
    postgres: OnceCell<Postgres>,
    on_sqlite: OnceCell<Arc<Stack>>,
    on_postgres: OnceCell<Arc<Stack>>,
}

impl Services {
    /// The service that the cases of this database share.
    pub(crate) async fn shared(&self, database: Database) -> io::Result<Arc<Stack>> {
        let cell = match database {
            Database::Sqlite => &self.on_sqlite,
            Database::Postgres => &self.on_postgres,
        };
        let start = async || {
            let folder = folder()?;
            let url = self.fresh(database, folder.path()).await?;
            Stack::start(folder, url, "", "").await.map(Arc::new)
        };
        cell.get_or_try_init(start).await.cloned()
    }

    /// The URL of an empty database; SQLite's file goes into `folder`.
    pub(crate) async fn fresh(&self, database: Database, folder: &Path) -> io::Result<String> {
        match database {
            Database::Postgres => self.postgres().await?.database(),
            Database::Sqlite => Ok(api::sqlite_url(folder)),
        }
    }

    pub(crate) async fn postgres(&self) -> io::Result<&Postgres> {
        self.postgres.get_or_try_init(Postgres::start).await
    }

    /// Starts a service of the case's own.
    pub(crate) async fn own(&self, database: Database, api: &str, gateway: &str) -> Stack {
        let folder = folder().expect("a folder");
        let url = self.fresh(database, folder.path()).await.expect("a database");
        Stack::start(folder, url, api, gateway).await.expect("a service")
    }
}

fn folder() -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("todo-stack-").tempdir()
}
