//! What every handler can reach.

use std::sync::Arc;

use crate::auth::access_token::AccessTokens;

/// The parts of the running API, shared by all requests. Cloning it costs a reference count.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Parts>);

/// What stands behind an [`AppState`].
#[derive(Debug)]
pub struct Parts {
    /// Issues and verifies access tokens.
    pub tokens: AccessTokens,
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
