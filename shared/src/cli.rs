//! What both command lines have in common.

use std::{fmt::Display, path::PathBuf, process::ExitCode};

use clap::Args;

use crate::environment::Environment;

/// Which configuration a command works with.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// A file whose keys stand above the compiled-in ones
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// development, staging or production: selects the overlay and how strict start-up is
    #[arg(long, value_name = "NAME", env = "TODO_ENVIRONMENT", default_value_t)]
    pub environment: Environment,
}

/// Ends a command that could not do its work: one clear sentence on standard error, exit code 1.
#[expect(clippy::print_stderr, reason = "a command speaks to the person who called it")]
pub fn fail(message: impl Display) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

/// Says on standard error what a command can go on with and should be mended.
#[expect(clippy::print_stderr, reason = "a command speaks to the person who called it")]
pub fn warn(message: impl Display) {
    eprintln!("warning: {message}");
}

/// Says what a command found, on standard output.
#[expect(clippy::print_stdout, reason = "the one place where a command answers the person who called it")]
pub fn say(message: impl Display) -> ExitCode {
    println!("{message}");
    ExitCode::SUCCESS
}
