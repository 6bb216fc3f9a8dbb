//! HTTP/2 connections: Pingora's, under a watch of their own.
//!
//! Each connection has its own stop signal, which follows the gateway's: whoever wants one connection to end (its age,
//! its peer's behaviour) can tell it alone to send GOAWAY and finish its streams.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use pingora_core::{
    apps::ServerApp as _,
    protocols::http::v2::server::{H2Options, default_h2_options},
    server::ShutdownWatch,
};
use pingora_proxy::{HttpProxy, ProxyHttp};
use tokio::sync::watch;

use crate::edge::{Closed, Presence, stream::EdgeStream};

/// Bounds of a connection. Those that Pingora's default sets (64 KiB of decoded fields, 100 streams) are kept; the others
/// bound what a peer can make the library remember of streams that were reset (CVE-2023-44487, CVE-2025-8671).
pub(super) fn options() -> H2Options {
    let mut options = default_h2_options();
    options.max_concurrent_reset_streams(64);
    options.max_pending_accept_reset_streams(32);
    options.max_local_error_reset_streams(Some(128));
    options
}

/// The length of the octets that begin every connection (RFC 9113 section 3.4). Pingora waits for them without a deadline,
/// and keeps its idle deadline only from then on.
const PREFACE_OCTETS: u64 = 24;

/// Serves a connection until it ends.
pub(super) async fn serve<SV>(
    proxy: &Arc<HttpProxy<SV>>,
    mut presence: Presence<'_>,
    stream: EdgeStream,
    shutdown: &ShutdownWatch,
) where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    let received = stream.received().clone();
    let has_begun = || received.load(Ordering::Relaxed) >= PREFACE_OCTETS;
    let mut gateway = shutdown.clone();
    // The sender lives as long as the connection: dropping it would tell the connection to end.
    let (own, watch) = watch::channel(*gateway.borrow());
    let mut serving = pin!(proxy.process_new(Box::new(stream), &watch));
    let mut deadline = pin!(tokio::time::sleep(presence.surroundings.settings().head_timeout));
    let (mut follows, mut may_be_silent) = (true, true);
    presence.reason = loop {
        tokio::select! {
            _ = &mut serving => break None,
            () = &mut deadline, if may_be_silent => {
                if !has_begun() {
                    break Some(Closed::HeadTimeout);
                }
                may_be_silent = false;
            }
            changed = gateway.changed(), if follows => {
                follows = changed.is_ok() && !*gateway.borrow();
                if *gateway.borrow() {
                    // Also before the connection has begun: its first requests are served, after GOAWAY.
                    own.send_replace(true);
                }
            }
        }
    };
    presence.served = u64::from(has_begun());
}
