//! Who is calling: passwords, signing keys, access tokens, refresh tokens.

mod caller;
mod verifier;

pub use caller::Caller;
pub use verifier::Verifier;
