//! Session tickets (RFC 8446, section 4.6.1; RFC 5077) under keys that several gateways share, so that a client resumes its
//! session at any of them, and after an upgrade.
//!
//! A ticket is the session's state, sealed: key name, salt, ciphertext. Each ticket has a key of its own, derived from the
//! shared one and the salt (HKDF, RFC 5869), so that no nonce is ever used twice however many gateways seal. Which shared
//! key seals is decided by the clock alone: the one that came into force last. Every gateway decides the same.

mod file;

use std::{fmt, time::SystemTime};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
    rand,
};
use rustls::server::ProducesTickets;

pub(super) use self::file::{Entry, load};
pub use self::file::{TicketKeyError, add};

/// Octets of a key's name.
const NAME: usize = 16;

/// Octets of a ticket's salt.
const SALT: usize = 32;

/// A ticket that is longer than this was never ours: it would not fit into a record.
const LONGEST: usize = 1 << 14;

/// What no client may be told as a lifetime (RFC 8446, section 4.6.1), in seconds.
const LONGEST_LIFETIME: u64 = 7 * 24 * 3600;

/// A shared key, ready for use.
struct Key {
    name: [u8; NAME],
    from: SystemTime,
    until: SystemTime,
    secret: Prk,
}

impl Key {
    fn new(entry: &Entry) -> Self {
        let secret = Salt::new(HKDF_SHA256, b"todo-gateway session tickets").extract(&*entry.key);
        let mut name = [0; NAME];
        // SHA-256 is longer than a name, so this cannot fail; a name of zeros would do as well.
        if let Ok(derived) = secret.expand(&[b"name"], NameLength) {
            let _ = derived.fill(&mut name);
        }
        Self { name, from: entry.from, until: entry.until, secret }
    }

    fn is_in_force(&self, now: SystemTime) -> bool {
        self.from <= now && now < self.until
    }

    /// The key of the ticket with this salt.
    fn of_ticket(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let derived = self.secret.expand(&[b"ticket", salt], &AES_256_GCM).map(UnboundKey::from);
        derived.map(LessSafeKey::new).ok()
    }
}

struct NameLength;

impl aws_lc_rs::hkdf::KeyType for NameLength {
    fn len(&self) -> usize {
        NAME
    }
}

/// The keys of a file.
pub(super) struct SharedTickets {
    keys: Vec<Key>,
}

impl SharedTickets {
    pub(super) fn new(entries: &[Entry]) -> Self {
        Self { keys: entries.iter().map(Key::new).collect() }
    }

    /// The key that seals now: the newest one in force.
    fn sealing(&self, now: SystemTime) -> Option<&Key> {
        self.keys.iter().filter(|key| key.is_in_force(now)).max_by_key(|key| (key.from, key.name))
    }

    fn seal(&self, plain: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        let key = self.sealing(now)?;
        let mut salt = [0; SALT];
        rand::fill(&mut salt).ok()?;
        let mut ticket = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        key.of_ticket(&salt)?.seal_in_place_append_tag(nonce, Aad::from(&key.name), &mut ticket).ok()?;
        Some([&key.name, salt.as_slice(), &ticket].concat())
    }

    fn open(&self, ticket: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        if ticket.len() > LONGEST {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (salt, sealed) = rest.split_first_chunk::<SALT>()?;
        // Also before its time: the clock of whoever sealed it may be ahead of ours.
        let key = self.keys.iter().find(|key| key.name == *name && now < key.until)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        // In place: no second copy of a session's secrets stays behind.
        let length = key.of_ticket(salt)?.open_in_place(nonce, Aad::from(name), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

impl fmt::Debug for SharedTickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SharedTickets").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl ProducesTickets for SharedTickets {
    fn enabled(&self) -> bool {
        true
    }

    /// Seconds until the key that seals now ends.
    fn lifetime(&self) -> u32 {
        let now = SystemTime::now();
        let left = self.sealing(now).and_then(|key| key.until.duration_since(now).ok());
        u32::try_from(left.map_or(0, |left| left.as_secs().min(LONGEST_LIFETIME))).unwrap_or_default()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, SystemTime::now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, SystemTime::now())
    }
}

#[cfg(test)]
mod tests;
