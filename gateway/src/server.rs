//! The process: everything is checked and bound first, then Pingora runs it, then it drains and ends.
//!
//! Pingora's grace period sleeps in full, even when nothing is left to wait for: so Pingora runs on a thread of its own,
//! and the process ends as soon as the last connection has.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use pingora::{
    proxy::http_proxy,
    server::{ExecutionPhase, RunArgs, Server, configuration::ServerConf},
    services::{background::background_service, listening::Service},
};
use todo_shared::{cli::ConfigArgs, config::Report, telemetry};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    config::{self, Config},
    control::Control,
    edge::{
        Edge,
        tls::{self, Errors, Sessions, Tls, Warning},
    },
    handover::{self, HandoverError, Offer, Predecessor},
    listeners::Bound,
    observe::{access_log::AccessLog, metrics::Metrics},
    overload,
    proxy::Proxy,
    runtime::Shared,
    signals::Signals,
    stop::{Stop, drain},
    surroundings::Gateway,
};

/// Idle connections that are kept to all upstreams together.
const IDLE_UPSTREAM_CONNECTIONS: usize = 512;

/// Longer than any drain, which is what ends the process.
const LONGEST_GRACE: Duration = Duration::from_hours(24);

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
    /// A running gateway does not hand its sockets over.
    #[error("{0}")]
    Handover(#[from] HandoverError),
    /// Signals cannot be received: a process that cannot be stopped must not run.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
    /// The socket for the next upgrade cannot be made.
    #[error("cannot listen on {} (server.upgrade_socket): {source}", path.display())]
    UpgradeSocket {
        /// The socket.
        path: PathBuf,
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
    let shared = Arc::new(share(config, tls, sessions)?);
    let mut sockets = Sockets::open(&shared.started)?;

    let mut pingora = Server::new_with_opt_and_conf(None, conf(&shared.started));
    pingora.bootstrap();
    let edge = edge_service(&shared, &pingora.configuration);
    pingora.add_service(Bound::new(edge, sockets.clients)?);
    let signals = Signals::listen().map_err(StartError::Signals)?;
    let beside = (signals.hangup, signals.successor);
    let control = Control::new(Arc::clone(&shared), arguments, sockets.admin, sockets.offer.take(), beside);
    pingora.add_service(background_service("control", control));

    let mut phases = pingora.watch_execution_phase();
    let stop = Stop::new(Arc::clone(&shared), signals.stop);
    thread::spawn(move || pingora.run(RunArgs { shutdown_signal: Box::new(stop) }));
    until(&mut phases, |phase| matches!(phase, ExecutionPhase::Running))?;
    let Config { listen, admin, .. } = &shared.started;
    let http = listen.http.map(tracing::field::display);
    tracing::info!(https = %listen.https, http, admin = %admin.listen, "running");
    let taken_over = if let Some(predecessor) = sockets.predecessor.take() {
        predecessor.relieve(handover::tell_service_manager)
    } else {
        handover::tell_service_manager();
        Ok(())
    };
    if let Err(error) = &taken_over {
        tracing::error!("{error}");
        shared.stopping.relieve();
    }
    until(&mut phases, |phase| matches!(phase, ExecutionPhase::GracefulTerminate))?;
    drain(&shared);
    shared.access_log.stop();
    Ok(taken_over?)
}

/// Waits until Pingora has come to this phase.
fn until(phases: &mut Receiver<ExecutionPhase>, expected: fn(&ExecutionPhase) -> bool) -> Result<(), StartError> {
    loop {
        match phases.blocking_recv() {
            Ok(phase) if expected(&phase) => return Ok(()),
            Ok(ExecutionPhase::Terminated) | Err(RecvError::Closed) => return Err(StartError::Ended),
            Ok(_) | Err(RecvError::Lagged(_)) => {}
        }
    }
}

/// Every listening socket, bound here or taken over.
struct Sockets {
    clients: Vec<TcpListener>,
    admin: TcpListener,
    offer: Option<Offer>,
    predecessor: Option<Predecessor>,
}

impl Sockets {
    fn open(config: &Config) -> Result<Self, StartError> {
        let upgrade = config.server.upgrade_socket.as_deref();
        let mut predecessor = upgrade.map(Predecessor::meet).transpose()?.flatten();
        let mut open = |key, address| match predecessor.as_mut().and_then(|before| before.tcp(address)) {
            Some(socket) => Ok(socket),
            None => TcpListener::bind(address).map_err(|source| StartError::Listen { address, key, source }),
        };
        let mut clients = vec![open("listen.https", config.listen.https)?];
        if let Some(http) = config.listen.http {
            clients.push(open("listen.http", http)?);
        }
        let admin = open("admin.listen", config.admin.listen)?;
        let offer = upgrade.map(|path| {
            let taken = predecessor.as_mut().and_then(|before| before.unix(path));
            let awaited_on = taken.map_or_else(|| handover::listen(path), Ok);
            awaited_on
                .and_then(|socket| Offer::new(socket, clients.iter().chain([&admin])))
                .map_err(|source| StartError::UpgradeSocket { path: path.to_owned(), source })
        });
        Ok(Self { offer: offer.transpose()?, clients, admin, predecessor })
    }
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

fn conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: config.server.threads,
        // A runtime of its own for each thread: a connection stays on the one that it was given by chance, as with nginx's
        // and Envoy's workers (measured with one proxy thread: docs/performance/gateway.md).
        work_stealing: false,
        upstream_keepalive_pool_size: IDLE_UPSTREAM_CONNECTIONS,
        grace_period_seconds: Some(LONGEST_GRACE.as_secs()),
        ..ServerConf::default()
    }
}
