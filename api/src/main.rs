//! The binary: one crypto provider for the process, then the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Whoever installs a provider first decides for every TLS connection of the process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    todo_api::cli::run()
}
