//! What every handler can reach.

use std::{sync::Arc, time::Duration};

use crate::{
    auth::{access_token::AccessTokens, password::Passwords},
    observe::{metrics::Metrics, readiness::Readiness},
    store::Store,
};

/// The parts of the running API, shared by all requests. Cloning it costs a reference count.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Parts>);

/// What stands behind an [`AppState`].
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Arc<dyn Store>,
    /// Issues and verifies access tokens.
    pub tokens: AccessTokens,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Counts.
    pub metrics: Metrics,
    /// Whether requests should come here.
    pub readiness: Readiness,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Whether a write without `If-Match` is refused (428).
    pub require_if_match: bool,
}

impl AppState {
    /// Shares the parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
