//! What runs beside the requests: the admin listener, the health checks, the watch over what the process uses, and reloads.

use std::{convert::Infallible, net::TcpListener, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::{server::ShutdownWatch, services::background::BackgroundService};
use todo_shared::cli::ConfigArgs;

use crate::{admin::Admin, overload, reload, runtime::Shared, upstream::health};

/// The background work of the gateway; one thread is enough for it.
#[derive(Debug)]
pub struct Control {
    shared: Arc<Shared>,
    arguments: ConfigArgs,
    /// Taken once, when the service starts.
    admin: Mutex<Option<TcpListener>>,
}

impl Control {
    /// Background work over this state, with the admin listener already bound.
    pub const fn new(shared: Arc<Shared>, arguments: ConfigArgs, admin: TcpListener) -> Self {
        Self { shared, arguments, admin: Mutex::new(Some(admin)) }
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

    async fn check_health(&self) -> Infallible {
        let mut swaps = self.shared.swaps();
        loop {
            let runtime = self.shared.runtime();
            tokio::select! {
                never = health::watch(&runtime.upstreams) => match never {},
                // The sender lives as long as `shared`, so this is a swap.
                _ = swaps.changed() => {}
            }
        }
    }
}

#[async_trait]
impl BackgroundService for Control {
    async fn start(&self, _shutdown: ShutdownWatch) {
        // None of these ends by itself; the process does.
        tokio::join!(
            self.serve_admin(),
            self.check_health(),
            overload::watch(&self.shared),
            reload::watch(&self.shared, &self.arguments)
        );
    }
}
