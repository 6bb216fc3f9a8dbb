//! Runs a command with a PostgreSQL of its own, named by `TEST_POSTGRES_URL`, and ends it afterwards.
//!
//! `with-postgres cargo test`: the store's contract suite then runs on both engines.

#![expect(clippy::print_stderr, reason = "a command says why it cannot do its work")]

use std::process::{Command, ExitCode};

use todo_tests::postgres::Postgres;

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("which command? as in: with-postgres cargo test");
        return ExitCode::FAILURE;
    };
    let started = Postgres::start().await.and_then(|postgres| postgres.database().map(|url| (postgres, url)));
    let (_postgres, url) = match started {
        Ok(started) => started,
        Err(error) => {
            eprintln!("PostgreSQL did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match Command::new(program).args(words).env("TEST_POSTGRES_URL", url).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot run the command: {error}");
            ExitCode::FAILURE
        }
    }
}
