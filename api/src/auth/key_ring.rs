//! The key ring: what the private halves of the signing keys are encrypted under.
//!
//! The ring is a secret of the configuration, so a stolen database signs nothing. It holds several versions, so that it
//! can be changed without an outage: add a version everywhere, and the newest encrypts while the older ones still
//! decrypt; drop the old one when no stored key names it any more. AES-256-GCM with a random nonce, and the key's name
//! as additional data: a sealed key that is copied to another row does not open.

use std::{collections::BTreeMap, fmt, str::FromStr};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// The length of a ring key and of the nonce in front of a sealed text, in octets.
const KEY: usize = 32;
const NONCE: usize = 12;

/// The key that development uses when none is given. It is public; every other environment refuses it.
const DEVELOPMENT: [u8; KEY] = *b"not a secret: development only!!";

/// Versioned AES-256 keys. Written as `1:<base64 of 32 octets>`, several separated by commas.
#[derive(Clone)]
pub struct KeyRing(BTreeMap<i32, Zeroizing<[u8; KEY]>>);

/// A private key under the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which key of the ring opens it.
    pub ring_version: i32,
    /// Nonce, encrypted text, tag.
    pub octets: Vec<u8>,
}

/// A stored key cannot be opened: its ring version is not there, or it was tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key ring cannot seal or open a signing key (is a version missing from `auth.key_ring`?)")]
pub struct RingError;

impl KeyRing {
    /// The ring of development, which protects nothing.
    pub fn development() -> Self {
        Self(BTreeMap::from([(1, Zeroizing::new(DEVELOPMENT))]))
    }

    /// Whether a key of the ring is public or was plainly not drawn at random.
    pub fn is_weak(&self) -> bool {
        let distinct = |key: &[u8; KEY]| {
            let mut octets = *key;
            octets.sort_unstable();
            1 + octets.windows(2).filter(|pair| pair.first() != pair.last()).count()
        };
        // Of 32 random octets fewer than 16 distinct ones are seen with a probability below 10^-15.
        self.0.values().any(|key| **key == DEVELOPMENT || distinct(key) < 16)
    }

    /// Encrypts under the newest version.
    pub fn seal(&self, kid: &str, private: &[u8]) -> Result<Sealed, RingError> {
        let (version, key) = self.0.last_key_value().ok_or(RingError)?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &**key).map_err(|_| RingError)?;
        let mut text = private.to_vec();
        let nonce = cipher.seal_in_place_append_tag(Aad::from(kid), &mut text).map_err(|_| RingError)?;
        Ok(Sealed { ring_version: *version, octets: [nonce.as_ref().as_slice(), &text].concat() })
    }

    /// Decrypts what was sealed for this `kid`.
    pub fn open(&self, kid: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, RingError> {
        let key = self.0.get(&sealed.ring_version).ok_or(RingError)?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &**key).map_err(|_| RingError)?;
        let (nonce, text) = sealed.octets.split_first_chunk::<NONCE>().ok_or(RingError)?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = cipher.open_in_place(Nonce::from(nonce), Aad::from(kid), &mut text).map_err(|_| RingError)?;
        Ok(Zeroizing::new(opened.to_vec()))
    }
}

impl FromStr for KeyRing {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut ring = BTreeMap::new();
        for entry in text.split(',').map(str::trim) {
            let (version, key) = entry.split_once(':').ok_or("expected `<version>:<base64>`, separated by commas")?;
            let version: i32 = version.parse().map_err(|_| "a version is a number")?;
            let key = Zeroizing::new(STANDARD.decode(key).map_err(|_| "a key is base64")?);
            let key = key.as_slice().try_into().map_err(|_| "a key has 32 octets")?;
            if ring.insert(version, Zeroizing::new(key)).is_some() {
                return Err("a version stands twice");
            }
        }
        Ok(Self(ring))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> String {
        STANDARD.encode(std::array::from_fn::<u8, KEY, _>(|index| {
            seed.wrapping_add(7 * u8::try_from(index).expect("small"))
        }))
    }

    fn ring(text: &str) -> KeyRing {
        text.parse().expect("a ring")
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_kid_only() {
        let ring = ring(&format!("1:{}", key(1)));
        let mut sealed = ring.seal("a", b"private").expect("sealed");
        assert_eq!(ring.open("a", &sealed).expect("opened").as_slice(), b"private");
        assert_eq!(ring.open("b", &sealed).err(), Some(RingError));
        if let Some(octet) = sealed.octets.last_mut() {
            *octet ^= 1;
        }
        assert_eq!(ring.open("a", &sealed).err(), Some(RingError));
        sealed.octets.truncate(5);
        assert_eq!(ring.open("a", &sealed).err(), Some(RingError));
    }

    #[test]
    fn the_newest_version_seals_and_the_older_ones_open() {
        let old = ring(&format!("1:{}", key(1)));
        let both = ring(&format!("2:{}, 1:{}", key(2), key(1)));
        let (before, after) = (old.seal("a", b"x").expect("sealed"), both.seal("a", b"x").expect("sealed"));
        assert_eq!((before.ring_version, after.ring_version), (1, 2));
        assert!(both.open("a", &before).is_ok());
        assert_eq!(old.open("a", &after).err(), Some(RingError));
    }

    #[test]
    fn weak_rings_are_recognised() {
        assert!(KeyRing::development().is_weak());
        assert!(ring(&format!("1:{}", STANDARD.encode([0; KEY]))).is_weak());
        assert!(ring(&format!("1:{},2:{}", key(1), STANDARD.encode(DEVELOPMENT))).is_weak());
        assert!(!ring(&format!("1:{}", key(1))).is_weak());
    }

    #[test]
    fn broken_rings_are_refused() {
        let twice = format!("1:{},1:{}", key(1), key(2));
        for text in ["", "1", "x:aaaa", "1:aaaa", "1:!", &twice] {
            assert!(text.parse::<KeyRing>().is_err(), "{text}");
        }
    }

    #[test]
    fn debug_shows_versions_only() {
        assert_eq!(format!("{:?}", KeyRing::development()), "{1}");
    }
}
