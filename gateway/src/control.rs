//! What runs beside the requests: the admin listener, the health checks, the watch over what the process uses, and reloads.

use std::{convert::Infallible, future::pending, net::TcpListener, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::{server::ShutdownWatch, services::background::BackgroundService};
use todo_shared::cli::ConfigArgs;
use tokio::signal::unix::Signal;

use crate::{
    admin::Admin,
    handover::{self, Offer, Relieved, SuccessorSignals},
    overload, reload,
    runtime::Shared,
    upstream::{dns, health},
};

/// The background work of the gateway; one thread is enough for it.
#[derive(Debug)]
pub struct Control {
    shared: Arc<Shared>,
    arguments: ConfigArgs,
    /// Taken once, when the service starts; so are the next.
    admin: Mutex<Option<TcpListener>>,
    /// For a successor, where there may be one.
    offer: Mutex<Option<Offer>>,
    /// To reload, and those around a successor.
    signals: Mutex<Option<(Signal, SuccessorSignals)>>,
}

impl Control {
    /// Background work over this state, with sockets that are bound already.
    pub fn new(
        shared: Arc<Shared>,
        arguments: ConfigArgs,
        admin: TcpListener,
        offer: Option<Offer>,
        signals: (Signal, SuccessorSignals),
    ) -> Self {
        let (admin, offer, signals) = (Mutex::new(Some(admin)), Mutex::new(offer), Mutex::new(Some(signals)));
        Self { shared, arguments, admin, offer, signals }
    }

    /// Serves operators until another process does.
    async fn serve_until_relieved(&self, mut shutdown: ShutdownWatch) {
        let relieved = tokio::select! {
            relieved = self.await_successor(shutdown.clone()) => Some(relieved),
            // The process before this one has given it up.
            () = self.shared.stopping.relieved() => None,
            () = self.serve_admin() => return,
        };
        // The admin listener is closed by now: whoever asks for readiness asks the other one.
        self.shared.stopping.relieve();
        let _ = shutdown.wait_for(|stopping| *stopping).await;
        drop(relieved);
    }

    async fn await_successor(&self, mut shutdown: ShutdownWatch) -> Relieved {
        let offer = self.offer.lock().take();
        let patience = || self.shared.runtime().config.server.upgrade_timeout;
        if let Some(offer) = offer {
            tokio::select! {
                relieved = offer.until_relieved(patience, |agreed| self.shared.stopping.agree(agreed)) => return relieved,
                // Nothing listens any more, so nothing can be handed over.
                _ = shutdown.wait_for(|stopping| *stopping) => {}
            }
        }
        pending().await
    }

    async fn serve_admin(&self) {
        let Some(listener) = self.admin.lock().take() else { return };
        let listener = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
        let token = self.shared.started.admin.token.clone();
        match listener {
            Ok(listener) => {
                match todo_shared::admin::serve(listener, Admin::new(Arc::clone(&self.shared)), token).await {}
            }
            Err(error) => tracing::error!(%error, "the admin listener cannot be used"),
        }
    }

    /// Checks the health of upstreams and resolves their names, as they are configured now.
    async fn watch_upstreams(&self) -> Infallible {
        let mut swaps = self.shared.swaps();
        loop {
            let runtime = self.shared.runtime();
            tokio::select! {
                never = health::watch(&runtime.upstreams) => match never {},
                never = dns::watch(&runtime.upstreams, &self.shared.registry, &runtime.config.resolver) => match never {},
                // The sender lives as long as `shared`, so this is a swap.
                _ = swaps.changed() => {}
            }
        }
    }
}

#[async_trait]
impl BackgroundService for Control {
    async fn start(&self, shutdown: ShutdownWatch) {
        let Some((hangup, successor)) = self.signals.lock().take() else { return };
        // None of these ends by itself; the process does.
        tokio::join!(
            self.serve_until_relieved(shutdown),
            self.watch_upstreams(),
            overload::watch(&self.shared),
            reload::watch(&self.shared, &self.arguments, hangup),
            handover::keep_starting(&self.shared, successor),
        );
    }
}
