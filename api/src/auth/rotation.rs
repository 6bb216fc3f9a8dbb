//! Keeps the signing keys of this process up to date, and makes new ones when they are due.
//!
//! Every replica runs this; the store lets one of several rivals win. A new key is published long before it signs, so a
//! replica that looks every [`INTERVAL`] always knows a key before it meets its first token.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    auth::{
        access_token::AccessTokens,
        key_ring::KeyRing,
        signing_key::{KeyError, KeySet, PUBLISHED_AHEAD, StoredKey, due},
    },
    state::AppState,
    store::{Origin, Store, StoreError},
};

/// How often the keys are looked at: many times within the time for which a key is published before it signs.
const INTERVAL: Duration = Duration::from_secs(30);

/// How soon a failed look is repeated.
const RETRY: Duration = Duration::from_secs(1);

/// The keys could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys or the ring.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Loads the keys, makes the next one if it is due, forgets those that no valid token can name.
pub async fn maintain(
    store: &dyn Store,
    ring: &KeyRing,
    tokens: &AccessTokens,
    origin: &Origin,
) -> Result<(), RotationError> {
    let mut keys = KeySet::open(store.signing_keys().await?, ring)?;
    if let Some(activates_at) = due(keys.newest().map(|(_, activates_at)| activates_at), origin.at) {
        let key = StoredKey::generate(ring, origin.at, activates_at)?;
        let newest = keys.newest().map(|(kid, _)| kid.to_owned());
        if store.add_signing_key(&key, newest.as_deref(), origin).await? {
            tracing::info!(kid = key.kid, %activates_at, "made a signing key");
        }
        // Ours or a rival's.
        keys = KeySet::open(store.signing_keys().await?, ring)?;
    }
    let removed = keys.removed(origin.at);
    if !removed.is_empty() {
        store.forget_signing_keys(&removed).await?;
    }
    tokens.replace_keys(keys);
    Ok(())
}

/// Makes the next key now, whatever the age of the present one. It signs after it has been published for long enough.
pub async fn rotate(store: &dyn Store, ring: &KeyRing, origin: &Origin) -> Result<Option<StoredKey>, RotationError> {
    let keys = KeySet::open(store.signing_keys().await?, ring)?;
    let newest = keys.newest().map(|(kid, _)| kid.to_owned());
    let activates_at = if keys.is_empty() { origin.at } else { origin.at + PUBLISHED_AHEAD };
    let key = StoredKey::generate(ring, origin.at, activates_at)?;
    Ok(store.add_signing_key(&key, newest.as_deref(), origin).await?.then_some(key))
}

/// Maintains the keys for as long as the process runs.
pub async fn task(state: AppState, ring: KeyRing) {
    let mut failing = false;
    loop {
        let wait = match maintain(state.store.as_ref(), &ring, &state.tokens, &Origin::own()).await {
            Ok(()) => {
                failing = false;
                INTERVAL
            }
            Err(error) => {
                // Once for each outage: the readiness check and refused requests say that it lasts.
                if !failing {
                    tracing::warn!(%error, "the signing keys could not be brought up to date");
                }
                failing = true;
                RETRY
            }
        };
        sleep(wait).await;
    }
}
