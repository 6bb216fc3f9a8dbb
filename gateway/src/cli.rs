//! The command line.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use clap::{Args, Parser, Subcommand};
use todo_shared::{
    admin,
    cli::{ConfigArgs, fail, say, warn},
    version,
};

use crate::{config, edge::tls::add_ticket_key, server};

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
  todo-gateway ticket-key /etc/todo/tls/ticket.keys    every 12 hours, on one machine
  kill -HUP <pid>                                   reload the configuration
  kill -USR2 <pid>                                  replace it by the program as it is now (server.upgrade_socket)";

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration and show every mistake in it
    Check(ConfigArgs),
    /// Run the gateway until SIGTERM or Ctrl-C
    Run(ConfigArgs),
    /// Ask the running gateway whether it is ready
    Health(ConfigArgs),
    /// Add a key to the file of session ticket keys (`tls.ticket_keys`), and leave out those that have ended
    TicketKey(TicketKeyArgs),
    /// Print the version, and the commit where the build knows it
    Version,
}

#[derive(Debug, Args)]
struct TicketKeyArgs {
    /// The file; it is made where there is none
    file: PathBuf,
    /// How long the key is good: its tickets are resumed until then. Add keys twice in this time
    #[arg(long, default_value = "24h", value_parser = lifetime)]
    lifetime: Duration,
    /// How long the file takes to reach every gateway: the key is not used before, unless no other one is in force then
    #[arg(long, default_value = "10min", value_parser = lead)]
    lead: Duration,
}

fn lead(text: &str) -> Result<Duration, String> {
    let lead = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if lead <= Duration::from_hours(24) { Ok(lead) } else { Err("at most 24h: no copy takes longer".to_owned()) }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    // RFC 8446, section 4.6.1.
    let is_sound = (Duration::from_mins(1)..=Duration::from_hours(7 * 24)).contains(&lifetime);
    is_sound.then_some(lifetime).ok_or_else(|| "has to be from 1min to 7days".to_owned())
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
        Command::TicketKey(TicketKeyArgs { file, lifetime, lead }) => {
            match add_ticket_key(&file, lifetime, lead, SystemTime::now()) {
                Ok(()) => say(format!("{} has a new key", file.display())),
                Err(error) => fail(error),
            }
        }
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
