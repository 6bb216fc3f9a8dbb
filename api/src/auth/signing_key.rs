//! The life of a signing key: published, active, retired, removed.
//!
//! A stored key has two times, when it was made and when it becomes active, and everything else follows: the newest key
//! whose time has come signs, older ones are retired since its time. No replica ever has to write a state, so replicas
//! cannot disagree about one. A key is published [`PUBLISHED_AHEAD`] before its first use, so that every verifier has
//! fetched it, and kept [`KEPT_AFTER`] its retirement, so that every token it signed has expired.

use std::sync::Arc;

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{DecodingKey, EncodingKey};
use todo_shared::token::{Jwk, JwkSet};

use crate::auth::key_ring::{KeyRing, RingError, Sealed};

/// How long a key is published before it signs: longer than every verifier caches the key set.
pub const PUBLISHED_AHEAD: TimeDelta = TimeDelta::minutes(10);

/// How long a key is published after its last signature: longer than an access token lives.
pub const KEPT_AFTER: TimeDelta = TimeDelta::minutes(15);

/// How long a key signs.
pub const ROTATED_AFTER: TimeDelta = TimeDelta::days(90);

/// A key as the database holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its name: the RFC 7638 thumbprint.
    pub kid: String,
    /// 32 octets.
    pub public_key: Vec<u8>,
    /// The private half (PKCS #8), encrypted.
    pub sealed: Sealed,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it begins to sign.
    pub activates_at: DateTime<Utc>,
}

/// A signing key cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The ring does not open it.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The library refuses it, or the system has no randomness.
    #[error("a signing key cannot be made or read")]
    Material,
}

impl StoredKey {
    /// A new key.
    pub fn generate(ring: &KeyRing, now: DateTime<Utc>, activates_at: DateTime<Utc>) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Material)?;
        let private = pair.to_pkcs8v1().map_err(|_| KeyError::Material)?;
        let public_key = pair.public_key().as_ref().to_vec();
        let kid = thumbprint(&public_key);
        let sealed = ring.seal(&kid, private.as_ref())?;
        Ok(Self { kid, public_key, sealed, created_at: now, activates_at })
    }
}

/// RFC 7638 section 3 for an Ed25519 key (RFC 8037 section 2): the required members in lexical order, without spaces.
fn thumbprint(public_key: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public_key);
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Can be fetched, does not sign yet.
    Published,
    /// Signs.
    Active,
    /// Verifies what it signed.
    Retired,
    /// Is forgotten.
    Removed,
}

/// The state of a key whose successor becomes active at `replaced_at`.
pub fn state(activates_at: DateTime<Utc>, replaced_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> State {
    match replaced_at {
        Some(replaced_at) if replaced_at + KEPT_AFTER <= now => State::Removed,
        Some(replaced_at) if replaced_at <= now => State::Retired,
        _ if activates_at <= now => State::Active,
        _ => State::Published,
    }
}

/// When the next key has to become active, if it has to be made now; `newest` is the newest key's time.
pub fn due(newest: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match newest {
        None => Some(now),
        Some(activates_at) if activates_at + ROTATED_AFTER <= now + PUBLISHED_AHEAD => Some(now + PUBLISHED_AHEAD),
        Some(_) => None,
    }
}

/// A key that is ready to use.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name.
    pub kid: String,
    /// Verifies.
    pub decoding: Arc<DecodingKey>,
    encoding: Arc<EncodingKey>,
    jwk: Jwk,
    activates_at: DateTime<Utc>,
    replaced_at: Option<DateTime<Utc>>,
}

impl Key {
    fn state(&self, now: DateTime<Utc>) -> State {
        state(self.activates_at, self.replaced_at, now)
    }

    /// Signs.
    pub fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }
}

/// All keys, newest first.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// Opens the stored keys.
    pub fn open(mut stored: Vec<StoredKey>, ring: &KeyRing) -> Result<Self, KeyError> {
        // By time, and by name where times are equal: the same order on every replica.
        stored.sort_by(|a, b| (b.activates_at, &b.kid).cmp(&(a.activates_at, &a.kid)));
        let mut replaced_at = None;
        let mut keys = Vec::with_capacity(stored.len());
        for key in stored {
            let x = URL_SAFE_NO_PAD.encode(&key.public_key);
            let private = ring.open(&key.kid, &key.sealed)?;
            keys.push(Key {
                decoding: Arc::new(DecodingKey::from_ed_components(&x).map_err(|_| KeyError::Material)?),
                encoding: Arc::new(EncodingKey::from_ed_der(&private)),
                jwk: Jwk::ed25519(&key.kid, x),
                kid: key.kid,
                activates_at: key.activates_at,
                replaced_at,
            });
            replaced_at = Some(key.activates_at);
        }
        Ok(Self(keys))
    }

    /// Whether there is no key at all: the database has not been reached yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that signs now.
    pub fn active(&self, now: DateTime<Utc>) -> Option<&Key> {
        self.0.iter().find(|key| key.state(now) == State::Active)
    }

    /// The key of this name, unless it is forgotten.
    pub fn find(&self, kid: &str, now: DateTime<Utc>) -> Option<&Key> {
        self.0.iter().find(|key| key.kid == kid && key.state(now) != State::Removed)
    }

    /// What verifiers may fetch.
    pub fn published(&self, now: DateTime<Utc>) -> JwkSet {
        let keys = self.0.iter().filter(|key| key.state(now) != State::Removed).map(|key| key.jwk.clone());
        JwkSet { keys: keys.collect() }
    }

    /// The names of the keys that the database can forget.
    pub fn removed(&self, now: DateTime<Utc>) -> Vec<String> {
        self.0.iter().filter(|key| key.state(now) == State::Removed).map(|key| key.kid.clone()).collect()
    }

    /// The newest key's name and time.
    pub fn newest(&self) -> Option<(&str, DateTime<Utc>)> {
        self.0.first().map(|key| (key.kid.as_str(), key.activates_at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + 60 * minutes, 0).expect("a time")
    }

    #[test]
    fn a_key_is_published_active_retired_removed() {
        let table = [
            (None, 9, State::Published),
            (None, 10, State::Active),
            (Some(100), 99, State::Active),
            (Some(100), 100, State::Retired),
            (Some(100), 114, State::Retired),
            (Some(100), 115, State::Removed),
        ];
        for (replaced_at, now, expected) in table {
            assert_eq!(state(at(10), replaced_at.map(at), at(now)), expected, "{replaced_at:?} at {now}");
        }
    }

    #[test]
    fn the_first_key_is_needed_at_once_and_the_next_one_in_time() {
        let life = ROTATED_AFTER.num_minutes();
        assert_eq!(due(None, at(0)), Some(at(0)));
        assert_eq!(due(Some(at(0)), at(life - 11)), None);
        assert_eq!(due(Some(at(0)), at(life - 10)), Some(at(life)));
        assert_eq!(due(Some(at(life)), at(life - 10)), None, "a key that is published is not made twice");
    }

    #[test]
    fn the_thumbprint_is_the_one_of_rfc_8037() {
        let public = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").expect("base64");
        assert_eq!(thumbprint(&public), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_set_opens_with_its_ring_only() {
        let ring = KeyRing::development();
        let stored = StoredKey::generate(&ring, at(0), at(0)).expect("a key");
        assert!(KeySet::open(vec![stored.clone()], &ring).is_ok());
        let other = format!("1:{}", base64::engine::general_purpose::STANDARD.encode([7; 32])).parse().expect("a ring");
        assert!(KeySet::open(vec![stored], &other).is_err());
    }

    proptest! {
        /// Rotation as the task does it: at every moment exactly one key signs, and a token that was signed verifies
        /// for as long as it lives.
        #[test]
        fn rotation_never_leaves_a_gap(checks in proptest::collection::vec(1_i64..2_000, 1..60)) {
            let ring = KeyRing::development();
            let (mut stored, mut now) = (Vec::new(), at(0));
            let mut last_signer: Option<(String, DateTime<Utc>)> = None;
            for minutes in checks {
                // The task looks every minute; only the minutes at which it acts matter, so jump between them.
                let newest = stored.iter().map(|key: &StoredKey| key.activates_at).max();
                if let Some(activates_at) = due(newest, now) {
                    stored.push(StoredKey::generate(&ring, now, activates_at).expect("a key"));
                }
                let set = KeySet::open(stored.clone(), &ring).expect("opens");
                let signing = set.0.iter().filter(|key| key.state(now) == State::Active).count();
                prop_assert_eq!(signing, 1);
                if let Some((kid, signed_at)) = &last_signer
                    && now - *signed_at < TimeDelta::minutes(10)
                {
                    prop_assert!(set.find(kid, now).is_some());
                }
                let removed = set.removed(now);
                stored.retain(|key| !removed.contains(&key.kid));
                last_signer = set.active(now).map(|key| (key.kid.clone(), now));
                now += TimeDelta::minutes(minutes * 30);
            }
        }
    }
}
