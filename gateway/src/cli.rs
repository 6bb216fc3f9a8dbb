//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use todo_shared::{
    admin,
    cli::{ConfigArgs, fail, say, warn},
    version,
};

use crate::{config, server};

/// The edge of the todo platform: TLS, routing and protection in front of the API.
#[derive(Debug, Parser)]
#[command(name = "todo-gateway", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  todo-gateway run                                  with the defaults of development
  todo-gateway check --config /etc/todo/gateway.toml --environment production
  TODO_GATEWAY__LISTEN__HTTPS=127.0.0.1:9443 todo-gateway run
  kill -HUP <pid>                                   reload the configuration";

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration and show every mistake in it
    Check(ConfigArgs),
    /// Run the gateway until SIGTERM or Ctrl-C
    Run(ConfigArgs),
    /// Ask the running gateway whether it is ready
    Health(ConfigArgs),
    /// Print the version, and the commit where the build knows it
    Version,
}

/// Runs the command that the process was called with.
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Check(arguments) => match server::check(&arguments) {
            Ok(warnings) => {
                warnings.iter().for_each(warn);
                say("the configuration is good")
            }
            Err(error) => fail(error),
        },
        Command::Run(arguments) => match server::run(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(error),
        },
        Command::Health(arguments) => match config::load(&arguments) {
            Ok(config) => admin::health(config.admin.listen),
            Err(report) => fail(report),
        },
        Command::Version => say(version::sentence("todo-gateway")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_takes_the_file_after_the_command() {
        Arguments::command().debug_assert();
        let parsed = Arguments::try_parse_from(["todo-gateway", "check", "--config", "a.toml"]).expect("parsed");
        assert!(matches!(parsed.command, Command::Check(arguments) if arguments.config.is_some()));
    }
}
