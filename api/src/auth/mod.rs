//! Who is calling: passwords, signing keys, access tokens, refresh tokens.
//!
//! Nothing here knows HTTP routes or SQL. Decisions that depend on time take it as a parameter.

pub mod access_token;
mod caller;
pub mod key_ring;
pub mod password;
pub mod refresh;
pub mod rotation;
pub mod signing_key;

pub use caller::Caller;
