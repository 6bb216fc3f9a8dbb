//! The binary: one crypto provider for the process, then the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Whoever installs a provider first decides for every TLS connection of the process.
    let _ = todo_gateway::edge::tls::provider().install_default();
    todo_gateway::cli::run()
}
