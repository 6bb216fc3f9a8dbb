//! The process: everything is checked and bound first, then Pingora runs it, then it drains and ends.
//!
//! Pingora's grace period sleeps in full, even when nothing is left to wait for: so Pingora runs on a thread of its own,
//! and the process ends as soon as the last connection has.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use pingora::{
    proxy::http_proxy,
    server::{ExecutionPhase, RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, configuration::ServerConf},
    services::{background::background_service, listening::Service},
};
use todo_shared::{cli::ConfigArgs, config::Report, stop::StopSignals, telemetry};
use tokio::sync::broadcast::error::RecvError;

use crate::{
    config::{self, Config},
    control::Control,
    edge::{
        Edge,
        tls::{self, Errors, Sessions, Tls, Warning},
    },
    listeners::Bound,
    observe::{access_log::AccessLog, metrics::Metrics},
    overload,
    proxy::Proxy,
    runtime::Shared,
    surroundings::Gateway,
};

/// Idle connections that are kept to all upstreams together.
const IDLE_UPSTREAM_CONNECTIONS: usize = 512;

/// Longer than any drain, which is what ends the process.
const LONGEST_GRACE: Duration = Duration::from_hours(24);

/// How often a stop looks whether the last connection has ended.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Why the gateway did not start: one sentence for the person who started it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has mistakes.
    #[error("{0}")]
    Config(#[from] Report),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({key}): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The key that names it.
        key: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The access log cannot be written.
    #[error("cannot open the access log ({output}): {source}")]
    AccessLog {
        /// What is configured.
        output: String,
        /// What the system says.
        source: io::Error,
    },
    /// Certificates cannot be served; every mistake of every file, one a line.
    #[error("{0}")]
    Certificates(#[from] Errors<tls::Error>),
    /// A socket failed after it was bound.
    #[error("cannot listen: {0}")]
    Socket(#[from] io::Error),
    /// Pingora gave up.
    #[error("the server ended by itself; its log says why")]
    Ended,
    /// Two metrics have one name.
    #[error("cannot set up the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Reads the configuration and the certificates it names: all that a reload needs.
///
/// # Errors
/// [`StartError`] with every mistake.
pub fn load(arguments: &ConfigArgs, sessions: &Sessions) -> Result<(Config, Tls), StartError> {
    let config = config::load(arguments)?;
    let tls = certificates(&config, sessions, SystemTime::now())?;
    Ok((config, tls))
}

/// Reads the certificates, and says in the log which they are and what should not stay as it is.
///
/// # Errors
/// Every mistake in them.
pub fn certificates(config: &Config, sessions: &Sessions, now: SystemTime) -> Result<Tls, Errors<tls::Error>> {
    let tls = Tls::load(&config.tls, sessions, now)?;
    for certificate in tls.summary() {
        let until = humantime::format_rfc3339_seconds(certificate.not_after);
        let (chain, names) = (certificate.chain.display(), certificate.names.join(", "));
        tracing::info!(%chain, names, %until, "serving a certificate");
    }
    for warning in tls.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(tls)
}

/// Checks what [`load`] would load, and leaves everything as it is: the files of a local authority are not made.
///
/// # Errors
/// [`StartError`] with every mistake.
pub fn check(arguments: &ConfigArgs) -> Result<Vec<Warning>, StartError> {
    let config = config::load(arguments)?;
    Ok(Tls::check(&config.tls, SystemTime::now())?)
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// [`StartError`] where it cannot start.
pub fn run(arguments: ConfigArgs) -> Result<(), StartError> {
    let config = config::load(&arguments)?;
    telemetry::init(config.log.format, &config.log.level);
    overload::raise_descriptor_limit();
    let sessions = Sessions::new().map_err(Errors::from)?;
    let tls = certificates(&config, &sessions, SystemTime::now())?;
    let (listen, admin) = (config.listen, config.admin.listen);
    let mut sockets = vec![bind("listen.https", listen.https)?];
    if let Some(http) = listen.http {
        sockets.push(bind("listen.http", http)?);
    }
    let admin_socket = bind("admin.listen", admin)?;

    let shared = Arc::new(share(config, tls, sessions)?);
    let mut pingora = Server::new_with_opt_and_conf(None, conf(&shared.started));
    pingora.bootstrap();
    pingora.add_service(Bound::new(edge_service(&shared, &pingora.configuration), sockets)?);
    pingora.add_service(background_service("control", Control::new(Arc::clone(&shared), arguments, admin_socket)));

    let mut phases = pingora.watch_execution_phase();
    let stop = Stop { shared: Arc::clone(&shared) };
    thread::spawn(move || pingora.run(RunArgs { shutdown_signal: Box::new(stop) }));
    let http = listen.http.map(tracing::field::display);
    tracing::info!(https = %listen.https, http, %admin, "running");
    loop {
        match phases.blocking_recv() {
            Ok(ExecutionPhase::GracefulTerminate) => break,
            Ok(ExecutionPhase::Terminated) | Err(RecvError::Closed) => return Err(StartError::Ended),
            Ok(_) | Err(RecvError::Lagged(_)) => {}
        }
    }
    drain(&shared);
    shared.access_log.stop();
    Ok(())
}

fn share(config: Config, tls: Tls, sessions: Sessions) -> Result<Shared, StartError> {
    let metrics = Metrics::new()?;
    let settings = &config.access_log;
    let access_log = AccessLog::start(settings.output.clone(), settings.format, metrics.access_log_dropped.clone())
        .map_err(|source| StartError::AccessLog { output: settings.output.to_string(), source })?;
    Ok(Shared::new(config, tls, sessions, metrics, access_log))
}

/// The listeners: one service for both, because each service has threads of its own.
fn edge_service(shared: &Arc<Shared>, conf: &Arc<ServerConf>) -> Service<Edge<Proxy>> {
    let proxy = http_proxy(conf, Proxy::new(Arc::clone(shared)));
    let gateway = Gateway::new(Arc::clone(shared), shared.started.listen.http);
    Service::new("edge".to_owned(), Edge::new(proxy, Arc::new(gateway)))
}

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|source| StartError::Listen { address, key, source })
}

fn conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: config.server.threads,
        upstream_keepalive_pool_size: IDLE_UPSTREAM_CONNECTIONS,
        grace_period_seconds: Some(LONGEST_GRACE.as_secs()),
        ..ServerConf::default()
    }
}

/// Says no to load balancers at once, and lets Pingora stop when the stop delay is over.
struct Stop {
    shared: Arc<Shared>,
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        match StopSignals::listen() {
            Ok(mut signals) => {
                signals.next().await;
                self.shared.drain();
                signals.delay(self.shared.runtime().config.server.stop_delay).await;
            }
            // A process that cannot be stopped must not run.
            Err(error) => {
                tracing::error!(%error, "signals cannot be received; stopping");
                self.shared.drain();
            }
        }
        tracing::info!("stopping: no new connections, requests in flight are finished");
        ShutdownSignal::GracefulTerminate
    }
}

/// Waits until the last connection has ended, or for the time that a stop may take.
fn drain(shared: &Shared) {
    let deadline = Instant::now() + shared.runtime().config.server.drain_timeout;
    while shared.open_connections() > 0 {
        if Instant::now() >= deadline {
            tracing::warn!(open = shared.open_connections(), "stopped before every connection had ended");
            return;
        }
        thread::sleep(DRAIN_STEP);
    }
    tracing::info!("stopped");
}
