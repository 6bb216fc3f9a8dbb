//! HTTP/2 connections: Pingora's, under a watch of their own.
//!
//! Each connection has its own stop signal, which follows the gateway's: whoever wants one connection to end (its age,
//! its peer's behaviour) can tell it alone to send GOAWAY and finish its streams.

use std::sync::Arc;

use pingora_core::{
    apps::ServerApp as _,
    protocols::http::v2::server::{H2Options, default_h2_options},
    server::ShutdownWatch,
};
use pingora_proxy::{HttpProxy, ProxyHttp};
use tokio::sync::watch;

use crate::edge::{Surroundings, stream::EdgeStream};

/// Bounds of a connection. Those that Pingora's default sets (64 KiB of decoded fields, 100 streams) are kept; the others
/// bound what a peer can make the library remember of streams that were reset (CVE-2023-44487, CVE-2025-8671).
pub(super) fn options() -> H2Options {
    let mut options = default_h2_options();
    options.max_concurrent_reset_streams(64);
    options.max_pending_accept_reset_streams(32);
    options.max_local_error_reset_streams(Some(128));
    options
}

/// Serves a connection until it ends.
pub(super) async fn serve<SV>(
    proxy: &Arc<HttpProxy<SV>>,
    surroundings: &dyn Surroundings,
    stream: EdgeStream,
    shutdown: &ShutdownWatch,
) where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    let info = stream.info().clone();
    let mut gateway = shutdown.clone();
    // The sender lives as long as the connection: dropping it would tell the connection to end.
    let (own, watch) = watch::channel(*gateway.borrow());
    let mut serving = std::pin::pin!(proxy.process_new(Box::new(stream), &watch));
    let mut follows = true;
    loop {
        tokio::select! {
            _ = &mut serving => break,
            changed = gateway.changed(), if follows => {
                follows = changed.is_ok() && !*gateway.borrow();
                if *gateway.borrow() {
                    own.send_replace(true);
                }
            }
        }
    }
    surroundings.closed(&info, None, 1);
}
