//! `[database]`: where the data is.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use todo_shared::{config::Section, environment::Environment};

/// `[database]`
#[derive(Debug, Clone)]
pub struct Database {
    /// `postgres://...` or `sqlite://...`; may hold a password.
    pub url: SecretString,
    /// The most connections of this process.
    pub max_connections: u32,
    /// How long one statement may run.
    pub statement_timeout: Duration,
    /// Whether the schema is brought up to date at start.
    pub migrate_at_start: bool,
}

pub(super) fn read(section: &Section<'_>, environment: Environment) -> Option<Database> {
    let url = section.secret("url");
    let max_connections = section.get("max_connections");
    let statement_timeout = section.get("statement_timeout");
    let migrate_at_start = section.get("migrate_at_start");
    if max_connections == Some(0) {
        section.complain("max_connections", "a process without connections can do nothing", None);
    }
    // PostgreSQL counts milliseconds, and 0 of them mean no limit.
    if statement_timeout.is_some_and(|timeout| timeout < Duration::from_millis(1)) {
        section.complain("statement_timeout", "leaves no time for a statement", None);
    }
    if migrate_at_start == Some(true) && environment != Environment::Development {
        section.complain("migrate_at_start", "is for development", Some("run `todo-api migrate` before the start"));
    }
    let Some(url) = url? else {
        section.complain("url", "is missing", Some("set TODO_API__DATABASE__URL_FILE to a file that holds it"));
        return None;
    };
    if let Some((message, help)) = refuse(url.expose_secret(), environment) {
        section.complain("url", message, Some(help));
    }
    Some(Database {
        url,
        max_connections: max_connections?,
        statement_timeout: statement_timeout?,
        migrate_at_start: migrate_at_start?,
    })
}

/// What is wrong with a URL in an environment, and what to do.
fn refuse(url: &str, environment: Environment) -> Option<(&'static str, &'static str)> {
    if url.starts_with("sqlite:") {
        return (environment == Environment::Production)
            .then_some(("SQLite is refused in production", "use postgres://...?sslmode=verify-full"));
    }
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Some(("is of no database that is known", "begin with postgres:// or sqlite://"));
    }
    let Ok(options) = url.parse::<PgConnectOptions>() else {
        return Some(("cannot be read", "write postgres://user:password@host:port/database"));
    };
    let is_local = options.get_socket().is_some() || options.get_host().starts_with('/');
    let is_verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    (environment == Environment::Production && !is_local && !is_verified)
        .then_some(("the server's identity is not verified", "add `sslmode=verify-full`, or use a Unix socket"))
}
