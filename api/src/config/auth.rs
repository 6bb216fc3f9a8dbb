//! `[auth]`: who issues tokens, and what protects the keys.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use todo_shared::{config::Section, environment::Environment};

use crate::auth::key_ring::KeyRing;

/// `[auth]`
#[derive(Debug, Clone)]
pub struct Auth {
    /// `iss` of access tokens.
    pub issuer: String,
    /// `aud` of access tokens.
    pub audience: String,
    /// What the signing keys are encrypted under.
    pub key_ring: KeyRing,
    /// How many passwords are hashed at once.
    pub password_parallelism: usize,
    /// How long a request waits for its turn to hash a password.
    pub password_wait: Duration,
}

pub(super) fn read(section: &Section<'_>, environment: Environment) -> Option<Auth> {
    let issuer = section.get::<String>("issuer");
    let audience = section.get::<String>("audience");
    let key_ring = key_ring(section, environment);
    let password_parallelism = section.get("password_parallelism");
    let password_wait = section.get("password_wait");
    if issuer.as_deref().is_some_and(|issuer| !is_issuer(issuer, environment)) {
        section.complain("issuer", "is not an address of the service", Some("write https://host"));
    }
    if audience.as_deref() == Some("") {
        section.complain("audience", "is empty", None);
    }
    if password_parallelism.is_some_and(|count| !(1..=1_024).contains(&count)) {
        section.complain("password_parallelism", "expected 1 to 1024", None);
    }
    Some(Auth {
        issuer: issuer?,
        audience: audience?,
        key_ring: key_ring?,
        password_parallelism: password_parallelism?,
        password_wait: password_wait?,
    })
}

fn is_issuer(text: &str, environment: Environment) -> bool {
    let is_http = |scheme: &str| scheme == "http" && environment == Environment::Development;
    url::Url::parse(text).is_ok_and(|url| url.has_host() && (url.scheme() == "https" || is_http(url.scheme())))
}

fn key_ring(section: &Section<'_>, environment: Environment) -> Option<KeyRing> {
    const HELP: Option<&str> =
        Some("`echo 1:$(openssl rand -base64 32)` makes one; TODO_API__AUTH__KEY_RING_FILE names its file");
    let Some(text) = section.secret("key_ring")? else {
        if environment.allows_default_secrets() {
            return Some(KeyRing::development());
        }
        section.complain("key_ring", "is missing", HELP);
        return None;
    };
    match text.expose_secret().parse::<KeyRing>() {
        Ok(ring) => {
            if ring.is_weak() && !environment.allows_default_secrets() {
                section.complain("key_ring", "is weak: it is the one of development or was not drawn at random", HELP);
            }
            Some(ring)
        }
        Err(message) => {
            section.complain("key_ring", message, HELP);
            None
        }
    }
}
