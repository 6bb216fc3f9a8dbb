//! The command line: what an operator can ask of the binary.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use secrecy::ExposeSecret as _;
use todo_shared::{
    admin,
    cli::{ConfigArgs, fail, say},
    stop::StopSignals,
    telemetry, version,
};

use crate::{
    app::Application,
    auth::rotation,
    config::{self, Config},
    store::{self, Origin},
};

const EXAMPLES: &str = "\
Examples:
  todo-api run                                      development, on 127.0.0.1:8000, data in var/todo.sqlite
  todo-api check --config /etc/todo/api.toml        every mistake of a file, in one run
  TODO_ENVIRONMENT=production todo-api migrate      before the first start of a new version
  todo-api health                                   exit code 0 when the running API is ready

Every configuration key can be set by a variable: [server] listen is TODO_API__SERVER__LISTEN.
A secret can be read from a file: TODO_API__DATABASE__URL_FILE=/run/secrets/database-url.";

/// The todo API: strict HTTP semantics on PostgreSQL, or on SQLite for development.
#[derive(Debug, Parser)]
#[command(name = "todo-api", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is wrong with a configuration; exit code 0 when nothing is
    Check(ConfigArgs),
    /// Serve until SIGTERM or SIGINT
    Run(ConfigArgs),
    /// Bring the database's schema up to date; safe to run several times at once
    Migrate(ConfigArgs),
    /// Make the next signing key now; it signs ten minutes later
    RotateKeys(ConfigArgs),
    /// Ask the running API whether it is ready
    Health(ConfigArgs),
    /// Print the version, and the commit where the build knows it
    Version,
}

/// Runs the command that the process was called with.
pub fn run() -> ExitCode {
    let (command, arguments) = match Arguments::parse().command {
        Command::Version => return say(version::sentence("todo-api")),
        Command::Check(arguments) => (check as fn(Config) -> ExitCode, arguments),
        Command::Run(arguments) => (serve as fn(Config) -> ExitCode, arguments),
        Command::Migrate(arguments) => (migrate as fn(Config) -> ExitCode, arguments),
        Command::RotateKeys(arguments) => (rotate_keys as fn(Config) -> ExitCode, arguments),
        Command::Health(arguments) => (health as fn(Config) -> ExitCode, arguments),
    };
    match config::load(&arguments) {
        Ok(config) => command(config),
        Err(report) => fail(report),
    }
}

fn check(_: Config) -> ExitCode {
    say("the configuration is valid")
}

fn serve(config: Config) -> ExitCode {
    telemetry::init(config.log.format, &config.log.level);
    block_on(async {
        let application = match Application::build(config).await {
            Ok(application) => application,
            Err(error) => return fail(error),
        };
        let signals = match StopSignals::listen() {
            Ok(signals) => signals,
            Err(error) => return fail(format_args!("cannot listen for signals: {error}")),
        };
        tracing::info!(address = %application.address(), admin = %application.admin_address(), "serving");
        match application.run_until_stopped(signals).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(format_args!("the listener failed: {error}")),
        }
    })
}

fn migrate(config: Config) -> ExitCode {
    block_on(async {
        match store::migrate(config.database.url.expose_secret()).await {
            Ok(migrated) => say(migrated),
            Err(error) => fail(error),
        }
    })
}

fn rotate_keys(config: Config) -> ExitCode {
    block_on(async {
        let database = config.database;
        let settings =
            store::Settings { url: database.url, max_connections: 1, statement_timeout: database.statement_timeout };
        let store = match store::open(&settings) {
            Ok(store) => store,
            Err(error) => return fail(format_args!("cannot use `database.url`: {error}")),
        };
        let outcome = rotation::rotate(store.as_ref(), &config.auth.key_ring, &Origin::own()).await;
        store.close().await;
        match outcome {
            Ok(Some(key)) => {
                say(format_args!("made the signing key {}, which signs from {}", key.kid, key.activates_at))
            }
            Ok(None) => fail("another process has just made a signing key"),
            Err(error) => fail(error),
        }
    })
}

fn health(config: Config) -> ExitCode {
    admin::health(config.admin.listen)
}

fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => fail(format_args!("cannot start the runtime: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_configuration_stands_behind_the_command() {
        let arguments = Arguments::try_parse_from(["todo-api", "check", "--config", "x.toml"]).expect("valid");
        assert!(matches!(arguments.command, Command::Check(arguments) if arguments.config.is_some()));
    }
}
