//! Passwords: the policy, and hashing that cannot be used to exhaust memory.
//!
//! Argon2id with OWASP's parameters (19 MiB, two passes, one lane). Every hash occupies 19 MiB for tens of milliseconds, so
//! a semaphore bounds how many run at once, and a request that would wait longer than a bound is shed with 503 instead of
//! queueing without end. Hashing runs on the blocking pool, never on a thread that serves other requests.

use std::{sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version, password_hash::phc::PasswordHash,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use crate::{observe::metrics::PasswordMetrics, problem::ApiError};

/// Memory of one hash, in KiB; passes; lanes.
const PARAMETERS: (u32, u32, u32) = (19_456, 2, 1);

/// The password that nobody has: what a sign-in with an unknown address is checked against.
const NOBODY: &str = "the password of nobody";

/// Hashes and checks passwords, a bounded number at a time.
#[derive(Debug)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    longest_wait: Duration,
    /// A hash of the same cost as a real one.
    dummy: Arc<str>,
    metrics: PasswordMetrics,
}

impl Passwords {
    /// `parallel` hashes at once; a request waits `longest_wait` for its turn, then gets 503.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new(parallel: usize, longest_wait: Duration, metrics: PasswordMetrics) -> Result<Self, HashError> {
        let dummy = hash(NOBODY)?.into();
        Ok(Self { permits: Arc::new(Semaphore::new(parallel)), longest_wait, dummy, metrics })
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: SecretString) -> Result<String, ApiError> {
        self.run(move || hash(password.expose_secret())).await?.map_err(ApiError::internal)
    }

    /// Whether a password has this PHC string. Without one (no such user) the same work is done and the answer is no.
    pub async fn verify(&self, password: SecretString, phc: Option<String>) -> Result<bool, ApiError> {
        let dummy = Arc::clone(&self.dummy);
        let outcome = self.run(move || {
            let known = phc.is_some();
            let phc = phc.as_deref().unwrap_or(&dummy);
            verify(password.expose_secret(), phc).map(|matches| matches && known)
        });
        outcome.await?.map_err(ApiError::internal)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let start = Instant::now();
        let permit = {
            let _waiting = self.metrics.waiting();
            let Ok(Ok(permit)) = timeout(self.longest_wait, Arc::clone(&self.permits).acquire_owned()).await else {
                self.metrics.shed();
                return Err(ApiError::overloaded());
            };
            permit
        };
        self.metrics.waited(start.elapsed());
        // The permit moves into the work: a client that goes away does not free it before the memory is free.
        let work = tokio::task::spawn_blocking(move || {
            let value = work();
            drop(permit);
            value
        });
        work.await.map_err(ApiError::internal)
    }
}

/// The hash could not be made or read; says nothing about the password.
#[derive(Debug, thiserror::Error)]
#[error("password hashing failed: {0}")]
pub struct HashError(argon2::password_hash::Error);

fn argon2() -> Result<Argon2<'static>, HashError> {
    let (memory, passes, lanes) = PARAMETERS;
    let parameters = Params::new(memory, passes, lanes, None).map_err(|error| HashError(error.into()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

fn hash(password: &str) -> Result<String, HashError> {
    let hash: PasswordHash = argon2()?.hash_password(password.as_bytes()).map_err(HashError)?;
    Ok(hash.to_string())
}

fn verify(password: &str, phc: &str) -> Result<bool, HashError> {
    let parsed = PasswordHash::new(phc).map_err(|error| HashError(error.into()))?;
    match argon2()?.verify_password(password.as_bytes(), &parsed) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(HashError(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(parallel: usize) -> Passwords {
        Passwords::new(parallel, Duration::from_millis(5), PasswordMetrics::default()).expect("randomness")
    }

    #[tokio::test]
    async fn a_password_matches_its_hash_and_no_other() {
        let passwords = passwords(1);
        let phc = passwords.hash("correct horse battery".into()).await.expect("a hash");
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(passwords.verify("correct horse battery".into(), Some(phc.clone())).await.expect("verified"));
        assert!(!passwords.verify("correct horse batterz".into(), Some(phc)).await.expect("verified"));
    }

    #[tokio::test]
    async fn an_unknown_user_is_a_no_even_with_the_dummy_password() {
        assert!(!passwords(1).verify(NOBODY.into(), None).await.expect("verified"));
    }

    #[tokio::test]
    async fn who_would_wait_too_long_is_shed() {
        let error = passwords(0).hash("correct horse battery".into()).await.expect_err("no permits");
        assert_eq!(error.code().as_str(), "overloaded");
    }

    #[tokio::test]
    async fn a_broken_hash_is_our_fault_and_not_a_no() {
        let error = passwords(1).verify("x".into(), Some("not a hash".into())).await.expect_err("broken");
        assert_eq!(error.code().as_str(), "internal");
    }
}
