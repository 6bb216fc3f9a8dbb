//! HTTP/2 connections: the library's frames and Pingora's sessions, in a loop of our own.
//!
//! Pingora's loop says neither why a connection ended nor GOAWAY for a reason of ours, and its idle deadline is fixed when
//! the process starts. This one accepts streams and hands each to Pingora, and sends GOAWAY when the gateway stops, when
//! the connection is idle or old, and when its client does what [`crate::edge::flood`] does not let pass.

use std::{future::poll_fn, io, pin::pin, sync::Arc, task::Poll, time::Duration};

use pingora_core::{
    apps::HttpServerApp as _,
    protocols::{
        Digest, GetProxyDigest as _, GetSocketDigest as _, GetTimingDigest as _, Ssl as _,
        http::{
            ServerSession,
            v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake},
        },
    },
    server::ShutdownWatch,
};
use pingora_proxy::{HttpProxy, ProxyHttp};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};

use crate::edge::{Closed, Presence, Settings, body_deadline, flood::Abuse, http1::stopped, stream::EdgeStream};

/// Streams that the client reset before they were seen, at the same time (CVE-2023-44487). A burst of more is no browser's.
const MOST_UNSEEN_RESETS: usize = 32;

/// Streams of ours that were reset and are remembered for a second, for frames that were under way.
const MOST_REMEMBERED_RESETS: usize = 64;

/// Requests whose target or authority cannot be read, in a connection's life; Pingora's own loop takes as many.
const MOST_MALFORMED: u32 = 32;

/// How long a client that was told to go may take to do so, where nothing of its is being worked on.
const FAREWELL: Duration = Duration::from_secs(2);

/// Bounds of a connection (RFC 9113 section 10.5), as far as the library holds them.
fn options(settings: &Settings) -> H2Options {
    let mut options = default_h2_options();
    options.max_concurrent_streams(settings.http2_streams);
    // Twice ours, so that what is too large by our count is refused with our answer; beyond it the library says a bare
    // 431, and beyond four times as much it ends the connection. RFC 9113 section 6.5.2 adds 32 octets for each field.
    let decoded = 2 * settings.head.octets + 32 * settings.head.fields;
    options.max_header_list_size(u32::try_from(decoded).unwrap_or(u32::MAX));
    options.max_pending_accept_reset_streams(MOST_UNSEEN_RESETS);
    options.max_concurrent_reset_streams(MOST_REMEMBERED_RESETS);
    // Streams that were reset for a client's mistake (CVE-2025-8671): the library counts them over a connection's life, and
    // stands behind our own count, which forgets.
    options.max_local_error_reset_streams(Some(10 * settings.floods.resets as usize));
    options
}

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
    let settings = presence.surroundings.settings();
    let seen = Arc::clone(stream.seen());
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let mut gateway = shutdown.clone();
    // The preface is a connection's head, and has its deadline. One that comes soon after a stop is answered, with GOAWAY.
    let beginning = timeout(settings.head_timeout, handshake(Box::new(stream), Some(options(&settings))));
    let mut connection = tokio::select! {
        biased;
        begun = beginning => match begun {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                presence.reason = reason(&error);
                return;
            }
            Err(_) => {
                presence.reason = Some(Closed::HeadTimeout);
                return;
            }
        },
        () = stopped(&mut gateway, settings.idle_grace) => return,
    };

    let mut sessions = JoinSet::new();
    let mut idle = pin!(sleep(settings.idle_timeout));
    let mut age = pin!(sleep_until((presence.info.opened + settings.max_age).into()));
    // Once we have said GOAWAY: why, and when our patience with it ends.
    let mut leaving: Option<Option<Closed>> = None;
    let mut end = pin!(sleep(Duration::MAX));
    let mut malformed = 0;
    presence.reason = loop {
        tokio::select! {
            // In this order: a stream that has come is served before the connection is found idle, and what a client did
            // is known as soon as its frames have been read.
            biased;
            Some(_) = sessions.join_next() => {
                if sessions.is_empty() {
                    idle.as_mut().reset(tokio::time::Instant::now() + settings.idle_timeout);
                }
            }
            accepted = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)) => match accepted {
                Ok(Some(H2Accept::Session(session))) => {
                    presence.served += 1;
                    if leaving == Some(Some(Closed::IdleTimeout)) {
                        // It was on its way when we said that nothing was: it gets the time of an old connection's last.
                        end.as_mut().reset(tokio::time::Instant::now() + settings.age_grace);
                    }
                    let (proxy, shutdown) = (Arc::clone(proxy), shutdown.clone());
                    sessions.spawn(async move {
                        body_deadline::run(proxy.process_new_http(ServerSession::new_http2(session), &shutdown)).await;
                    });
                }
                Ok(Some(H2Accept::Rejected)) => {
                    if !presence.surroundings.rejected(&presence.info) {
                        // What the library has to say of it is not sent before the connection is polled again.
                        break Some(Closed::HostDropped);
                    }
                    malformed += 1;
                    if malformed >= MOST_MALFORMED {
                        seen.condemn(Abuse::Flood);
                    }
                }
                Ok(None) => break leaving.flatten(),
                Err(error) => break reason(&error).or(leaving.flatten()),
            },
            abuse = poll_fn(|_| seen.abuse().map_or(Poll::Pending, Poll::Ready)) => {
                connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
                let _ = timeout(FAREWELL, poll_fn(|context| connection.poll_closed(context))).await;
                break Some(match abuse {
                    Abuse::Flood => Closed::H2Abuse,
                    Abuse::Streams => Closed::StreamsExceeded,
                });
            }
            () = stopped(&mut gateway, Duration::ZERO), if leaving.is_none() => {
                connection.graceful_shutdown();
                // The drain of the whole gateway ends it.
                leaving = Some(None);
            }
            () = &mut idle, if leaving.is_none() && sessions.is_empty() => {
                connection.graceful_shutdown();
                leaving = Some(Some(Closed::IdleTimeout));
                end.as_mut().reset(tokio::time::Instant::now() + FAREWELL);
            }
            () = &mut age, if leaving.is_none() => {
                connection.graceful_shutdown();
                leaving = Some(Some(Closed::AgeLimit));
                end.as_mut().reset(tokio::time::Instant::now() + settings.age_grace);
            }
            () = &mut end => {
                if let Some(reason) = leaving.flatten() {
                    presence.info.cut(reason);
                }
                break leaving.flatten();
            }
        }
    };
    presence.refused_streams = seen.refused_streams();
    drop(connection);
    // They learn that the client is gone, and write their lines, for which a stop waits as for the connection.
    let _ = timeout(FAREWELL, async { while sessions.join_next().await.is_some() {} }).await;
    sessions.detach_all();
}

/// Why the library gave up; `None` where the client did.
fn reason(error: &pingora_core::Error) -> Option<Closed> {
    let error = error.root_cause().downcast_ref::<h2::Error>()?;
    match error.get_io() {
        Some(error) => (error.kind() == io::ErrorKind::TimedOut).then_some(Closed::WriteTimeout),
        None => error.is_library().then_some(Closed::H2Abuse),
    }
}
