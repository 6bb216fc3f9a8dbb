//! The API's configuration: one file a section, each with one function that reads it.
//!
//! The documented defaults are `config/api.toml`, compiled in; `todo_shared::config` says how layers are merged. What an
//! environment refuses stands beside the key it refuses it for.

mod auth;
mod database;
mod log;
mod server;

use todo_shared::{
    admin::AdminSettings,
    cli::ConfigArgs,
    config::{self, ProcessVariables, Report, Section, Tier, Variables},
    environment::Environment,
};

pub use self::{auth::Auth, database::Database, log::Log, server::Server};

/// The API's compiled-in files.
pub const TIER: Tier = Tier {
    name: "api",
    defaults: include_str!("../../../config/api.toml"),
    overlays: [
        include_str!("../../../config/development/api.toml"),
        include_str!("../../../config/staging/api.toml"),
        include_str!("../../../config/production/api.toml"),
    ],
};

/// Everything that can be configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[admin]`
    pub admin: AdminSettings,
    /// `[database]`
    pub database: Database,
    /// `[auth]`
    pub auth: Auth,
    /// `[log]`
    pub log: Log,
}

/// Loads the configuration of this process.
///
/// # Errors
/// A [`Report`] of every mistake.
pub fn load(arguments: &ConfigArgs) -> Result<Config, Report> {
    load_with(arguments, &ProcessVariables)
}

/// Loads the configuration with these environment variables.
///
/// # Errors
/// A [`Report`] of every mistake.
pub fn load_with(arguments: &ConfigArgs, variables: &dyn Variables) -> Result<Config, Report> {
    config::load(&TIER, arguments, variables, read)
}

fn read(root: &Section<'_>, environment: Environment) -> Option<Config> {
    let server = root.section("server", server::read);
    let admin = root.section("admin", AdminSettings::read);
    let database = root.section("database", |section| database::read(section, environment));
    let auth = root.section("auth", |section| auth::read(section, environment));
    let log = root.section("log", |section| log::read(section, environment));
    Some(Config { server: server?, admin: admin?, database: database?, auth: auth?, log: log? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: (&str, &str) = ("TODO_API__AUTH__KEY_RING", "1:cnVZ8l3pC0nLx5Zb1fJw0n4qk7uKqkT2m8yQh6sVdEo=");
    const ISSUER: (&str, &str) = ("TODO_API__AUTH__ISSUER", "https://todo.example.org");
    const URL: &str = "TODO_API__DATABASE__URL";
    const VERIFIED: (&str, &str) = (URL, "postgres://todo:secret@db.internal/todo?sslmode=verify-full");

    fn load(environment: Environment, variables: &[(&str, &str)]) -> Result<Config, String> {
        load_with(&ConfigArgs { config: None, environment }, &variables).map_err(|report| report.to_string())
    }

    fn refused(environment: Environment, variables: &[(&str, &str)], expected: &str) {
        let report = load(environment, variables).expect_err(expected);
        assert!(report.contains(expected), "{expected} in:\n{report}");
        assert!(!report.contains("secret@"), "{report}");
    }

    #[test]
    fn development_needs_nothing() {
        let config = load(Environment::Development, &[]).expect("valid");
        assert!(config.database.migrate_at_start);
        assert!(config.auth.key_ring.is_weak());
    }

    #[test]
    fn staging_and_production_start_with_their_secrets() {
        load(Environment::Staging, &[RING, ISSUER, VERIFIED]).expect("valid");
        load(Environment::Staging, &[RING, ISSUER, (URL, "postgres://todo@db/todo")]).expect("valid");
        load(Environment::Production, &[RING, ISSUER, VERIFIED]).expect("valid");
        let socket = (URL, "postgres://todo@localhost/todo?host=/run/postgresql");
        load(Environment::Production, &[RING, ISSUER, socket]).expect("a Unix socket needs no TLS");
    }

    #[test]
    fn missing_and_weak_secrets_are_refused() {
        let weak = ("TODO_API__AUTH__KEY_RING", "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let development = ("TODO_API__AUTH__KEY_RING", "1:bm90IGEgc2VjcmV0OiBkZXZlbG9wbWVudCBvbmx5ISE=");
        for environment in [Environment::Staging, Environment::Production] {
            refused(environment, &[ISSUER, VERIFIED], "`auth.key_ring`: is missing");
            refused(environment, &[RING, VERIFIED], "`auth.issuer`: is missing");
            refused(environment, &[RING, ISSUER], "`database.url`: is missing");
            refused(environment, &[weak, ISSUER, VERIFIED], "`auth.key_ring`: is weak");
            refused(environment, &[development, ISSUER, VERIFIED], "`auth.key_ring`: is weak");
        }
    }

    #[test]
    fn production_refuses_what_is_not_safe() {
        let with = |extra: (&'static str, &'static str)| [RING, ISSUER, VERIFIED, extra];
        let production = Environment::Production;
        refused(production, &[RING, ISSUER, (URL, "sqlite:///var/lib/todo.db")], "SQLite");
        for mode in ["", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-ca", "?sslmode=disable"] {
            let url = format!("postgres://todo:secret@db.internal/todo{mode}");
            refused(production, &[RING, ISSUER, (URL, &url)], "sslmode=verify-full");
        }
        refused(production, &with(("TODO_API__LOG__LEVEL", "info,todo_api=debug")), "`log.level`");
        refused(production, &with(("TODO_API__DATABASE__MIGRATE_AT_START", "true")), "`database.migrate_at_start`");
        refused(production, &[RING, VERIFIED, ("TODO_API__AUTH__ISSUER", "http://todo.example.org")], "`auth.issuer`");
    }

    #[test]
    fn nowhere_may_the_admin_listener_be_reached_from_outside() {
        for environment in Environment::ALL {
            let admin = ("TODO_API__ADMIN__LISTEN", "0.0.0.0:9902");
            refused(environment, &[RING, ISSUER, VERIFIED, admin], "`admin.listen`");
        }
    }

    #[test]
    fn bounds_are_bounds() {
        let development = Environment::Development;
        for (key, value) in [
            ("TODO_API__SERVER__REQUEST_TIMEOUT", "0s"),
            ("TODO_API__DATABASE__MAX_CONNECTIONS", "0"),
            ("TODO_API__DATABASE__STATEMENT_TIMEOUT", "0s"),
            ("TODO_API__DATABASE__STATEMENT_TIMEOUT", "999us"),
            ("TODO_API__AUTH__PASSWORD_PARALLELISM", "0"),
            ("TODO_API__AUTH__AUDIENCE", ""),
            (URL, "mysql://x"),
        ] {
            assert!(load(development, &[(key, value)]).is_err(), "{key}={value}");
        }
    }
}
