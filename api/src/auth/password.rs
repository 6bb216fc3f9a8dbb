//! Passwords: the policy, and hashing that cannot be used to exhaust memory.
//!
//! Argon2id with OWASP's parameters (19 MiB, two passes, one lane). Every hash occupies 19 MiB for tens of milliseconds, so
//! a semaphore bounds how many run at once, and a request that would wait longer than a bound is shed with 503 instead of
//! queueing without end. Hashing runs on the blocking pool, never on a thread that serves other requests.
//!
//! The 19 MiB are allocated once for each hash that may run and used again. Left to the allocator, which keeps a freed block
//! of this size in the arena of the thread that had it, some hundred sign-ins of strangers made a process of 16 MiB one of
//! 1 GiB.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        self,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use zeroize::Zeroize as _;

use crate::{observe::metrics::PasswordMetrics, problem::ApiError};

/// Memory of one hash, in KiB; passes; lanes.
const PARAMETERS: (u32, u32, u32) = (19_456, 2, 1);

/// The password that nobody has: what a sign-in with an unknown address is checked against.
const NOBODY: &str = "the password of nobody";

/// What a hash works in; it grows to what the parameters need.
type Memory = Vec<Block>;

/// Hashes and checks passwords, a bounded number at a time.
#[derive(Debug)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    /// At most one for each permit; whoever has a permit takes one and puts it back.
    memories: Arc<Mutex<Vec<Memory>>>,
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
        let mut memory = Memory::new();
        let dummy = hash(NOBODY, &mut memory)?.into();
        let (permits, memories) = (Arc::new(Semaphore::new(parallel)), Arc::new(Mutex::new(vec![memory])));
        Ok(Self { permits, memories, longest_wait, dummy, metrics })
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: SecretString) -> Result<String, ApiError> {
        self.run(move |memory| hash(password.expose_secret(), memory)).await?.map_err(ApiError::internal)
    }

    /// Whether a password has this PHC string. Without one (no such user) the same work is done and the answer is no.
    pub async fn verify(&self, password: SecretString, phc: Option<String>) -> Result<bool, ApiError> {
        let dummy = Arc::clone(&self.dummy);
        let outcome = self.run(move |memory| {
            let known = phc.is_some();
            let phc = phc.as_deref().unwrap_or(&dummy);
            verify(password.expose_secret(), phc, memory).map(|matches| matches && known)
        });
        outcome.await?.map_err(ApiError::internal)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
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
        let memories = Arc::clone(&self.memories);
        let work = tokio::task::spawn_blocking(move || {
            let mut memory = lock(&memories).pop().unwrap_or_default();
            let value = work(&mut memory);
            lock(&memories).push(memory);
            drop(permit);
            value
        });
        work.await.map_err(ApiError::internal)
    }
}

fn lock(memories: &Mutex<Vec<Memory>>) -> std::sync::MutexGuard<'_, Vec<Memory>> {
    memories.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hash could not be made or read; says nothing about the password.
#[derive(Debug, thiserror::Error)]
#[error("password hashing failed: {0}")]
pub struct HashError(password_hash::Error);

impl<E: Into<password_hash::Error>> From<E> for HashError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

fn hash(password: &str, memory: &mut Memory) -> Result<String, HashError> {
    let (kibibytes, passes, lanes) = PARAMETERS;
    let parameters = Params::new(kibibytes, passes, lanes, None)?;
    let salt = password_hash::try_generate_salt().map_err(|_| password_hash::Error::Crypto)?;
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&parameters)?,
        salt: Some(Salt::new(&salt)?),
        hash: None,
    };
    fill(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters), password, &salt, &mut output, memory)?;
    Ok(PasswordHash { hash: Some(Output::new(&output)?), ..hash }.to_string())
}

fn verify(password: &str, phc: &str, memory: &mut Memory) -> Result<bool, HashError> {
    let known = PasswordHash::new(phc)?;
    let (Some(salt), Some(expected)) = (&known.salt, &known.hash) else {
        return Err(password_hash::Error::EncodingInvalid.into());
    };
    let algorithm = Algorithm::try_from(known.algorithm.as_str())?;
    let version = known.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..expected.len()).ok_or(password_hash::Error::OutputSize)?;
    fill(Argon2::new(algorithm, version, Params::try_from(&known)?), password, salt, output, memory)?;
    // Compares in constant time.
    Ok(Output::new(output)? == *expected)
}

fn fill(
    argon2: Argon2<'_>,
    password: &str,
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Memory,
) -> Result<(), HashError> {
    memory.resize(memory.len().max(argon2.params().block_count()), Block::default());
    let filled = argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, memory.as_mut_slice());
    // What it was worked out from does not stay.
    memory.iter_mut().zeroize();
    Ok(filled?)
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
