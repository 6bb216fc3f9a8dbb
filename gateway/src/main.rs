//! The binary: one allocator and one crypto provider for the process, then the command line.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A proxied request is a hundred small allocations, most of them Pingora's: a tenth of its cost with the C library's allocator
/// (docs/decisions/0015-how-we-measure.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Whoever installs a provider first decides for every TLS connection of the process.
    let _ = todo_gateway::edge::tls::provider().install_default();
    todo_gateway::cli::run()
}
