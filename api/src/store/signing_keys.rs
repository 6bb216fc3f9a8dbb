//! Signing keys: what the store can do with them.

use async_trait::async_trait;

use super::{Origin, StoreError};
use crate::auth::signing_key::StoredKey;

/// Use cases of signing keys.
#[async_trait]
pub trait SigningKeys {
    /// Every key.
    async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError>;

    /// Adds a key if the newest one is still the one that the decision was made on. Says whether it was added: of
    /// several replicas that rotate at once, one succeeds.
    async fn add_signing_key(&self, key: &StoredKey, newest: Option<&str>, origin: &Origin)
    -> Result<bool, StoreError>;

    /// Deletes keys that no valid token can name.
    async fn forget_signing_keys(&self, kids: &[String]) -> Result<(), StoreError>;
}
