//! The running API: build, port, run until stopped. Tests start it by the same way as `main`.

use std::{io, net::SocketAddr, time::Duration};

use axum::serve::ListenerExt as _;
use secrecy::ExposeSecret as _;
use todo_shared::{admin::Token, stop::StopSignals};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};

use crate::{
    auth::{
        access_token::AccessTokens,
        key_ring::KeyRing,
        password::{HashError, Passwords},
        rotation::{self, RotationError},
    },
    config::Config,
    observe::{
        Operator,
        metrics::Metrics,
        readiness::{self, Readiness},
    },
    routes,
    state::{AppState, Parts},
    store::{self, MigrateError, Origin},
    sweep,
};

/// How long the end waits for database connections that are in use.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the API did not start; each is one sentence for the person who started it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address} (`{key}`): {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The key that holds it.
        key: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// The URL of the database cannot be used.
    #[error("cannot use `database.url`: {0}")]
    Database(#[source] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The stored signing keys cannot be used.
    #[error("cannot use the signing keys: {0}")]
    Keys(#[from] RotationError),
    /// The system has no randomness.
    #[error(transparent)]
    Password(#[from] HashError),
    /// Two metrics have the same name.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// An API that is bound to its addresses and ready to run.
#[derive(Debug)]
pub struct Application {
    listener: TcpListener,
    admin: TcpListener,
    address: SocketAddr,
    admin_address: SocketAddr,
    admin_token: Option<Token>,
    state: AppState,
    key_ring: KeyRing,
    stop_delay: Duration,
    drain_timeout: Duration,
}

impl Application {
    /// Binds the addresses and prepares everything. The database may be down; it is then waited for while running.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        // First what fails at once and needs no undoing: a taken address must not migrate a database.
        let (listener, address) = bind(config.server.listen, "server.listen").await?;
        let (admin, admin_address) = bind(config.admin.listen, "admin.listen").await?;
        if config.database.migrate_at_start {
            let migrated = store::migrate(config.database.url.expose_secret()).await?;
            tracing::info!("{migrated}");
        }
        let metrics = Metrics::new()?;
        let settings = store::Settings {
            url: config.database.url,
            max_connections: config.database.max_connections,
            statement_timeout: config.database.statement_timeout,
        };
        let auth = config.auth;
        let state = AppState::new(Parts {
            store: store::open(&settings).map_err(StartError::Database)?,
            tokens: AccessTokens::new(auth.issuer, auth.audience, metrics.tokens.clone()),
            passwords: Passwords::new(auth.password_parallelism, auth.password_wait, metrics.passwords.clone())?,
            metrics,
            readiness: Readiness::default(),
            request_timeout: config.server.request_timeout,
            require_if_match: config.server.require_if_match,
        });
        match rotation::maintain(state.store.as_ref(), &auth.key_ring, &state.tokens, &Origin::own()).await {
            // A wrong ring does not become right by waiting; missing tables and a missing server can.
            Err(error @ RotationError::Key(_)) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "the database is not usable yet"),
            Ok(()) => {}
        }
        Ok(Self {
            listener,
            admin,
            address,
            admin_address,
            admin_token: config.admin.token,
            state,
            key_ring: auth.key_ring,
            stop_delay: config.server.stop_delay,
            drain_timeout: config.server.drain_timeout,
        })
    }

    /// The address of the API itself, with the port that the system chose where none was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the admin listener.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until a signal comes, for the stop delay as one that is not ready, and then finishes what has begun, within
    /// the drain timeout.
    pub async fn run_until_stopped(self, mut signals: StopSignals) -> io::Result<()> {
        let Self { listener, admin, admin_token, state, key_ring, stop_delay, drain_timeout, .. } = self;
        let (sender, stopping) = watch::channel(false);
        let stopped = |mut stopping: watch::Receiver<bool>| async move {
            // The sender lives as long as this function.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        let mut background = JoinSet::new();
        background.spawn(readiness::probe(state.clone()));
        background.spawn(rotation::task(state.clone(), key_ring));
        background.spawn(sweep::task(std::sync::Arc::clone(&state.store)));
        let operator = Operator(state.clone());
        background.spawn(async move { match todo_shared::admin::serve(admin, operator, admin_token).await {} });

        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY cannot be set");
            }
        });
        let router = routes::router(state.clone());
        let server = axum::serve(listener, router).with_graceful_shutdown(stopped(stopping));
        let mut server = tokio::spawn(server.into_future());
        let stop = async {
            signals.next().await;
            state.readiness.drain();
            signals.delay(stop_delay).await;
        };
        tokio::select! {
            // It ends by itself only if it fails.
            ended = &mut server => return ended.map_err(io::Error::other)?,
            () = stop => {}
        }
        tracing::info!("stopping: finishing what has begun");
        let _ = sender.send(true);
        if timeout(drain_timeout, &mut server).await.is_err() {
            tracing::warn!(?drain_timeout, "stopped with requests unfinished");
            server.abort();
        }
        background.shutdown().await;
        // Waits for connections in use, and an unfinished request may still hold one.
        if timeout(CLOSE_TIMEOUT, state.store.close()).await.is_err() {
            tracing::warn!("stopped with database connections in use");
        }
        Ok(())
    }
}

async fn bind(address: SocketAddr, key: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { address, key, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
