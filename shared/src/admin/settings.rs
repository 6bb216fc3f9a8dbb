//! `[admin]`, which is the same in both tiers: where operators look, and what they must know to see the metrics.

use std::net::SocketAddr;

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::config::Section;

/// `[admin]`
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// Where the listener is.
    pub listen: SocketAddr,
    /// What the metrics need; without one everybody who reaches the listener sees them.
    pub token: Option<Token>,
}

impl AdminSettings {
    /// Reads the section.
    pub fn read(section: &Section<'_>) -> Option<Self> {
        const MAKE_ONE: Option<&str> = Some("`openssl rand -hex 32` makes one");
        let listen = section.get::<SocketAddr>("listen");
        let token = match section.secret("token")?.map(Token::new).transpose() {
            Ok(token) => token,
            Err(mistake) => {
                section.complain("token", mistake, MAKE_ONE);
                return None;
            }
        };
        let listen = listen?;
        if token.is_none() && !listen.ip().to_canonical().is_loopback() {
            let message = "without `admin.token` the admin listener must stay on loopback";
            section.complain("listen", message, Some("listen on 127.0.0.1 or [::1], or set `admin.token`"));
        }
        Some(Self { listen, token })
    }
}

/// What operators send to see the metrics. It is not shown, and compared in a time that tells nothing about it.
#[derive(Debug, Clone)]
pub struct Token(SecretString);

impl Token {
    /// Fewer characters could be guessed.
    const SHORTEST: usize = 32;

    /// Takes a token that is long enough and can be sent (RFC 6750 section 2.1).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: SecretString) -> Result<Self, &'static str> {
        let can_be_sent = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~+/=".contains(&octet);
        if text.expose_secret().len() < Self::SHORTEST {
            Err("is too short: at least 32 characters are needed")
        } else if !text.expose_secret().bytes().all(can_be_sent) {
            Err("may hold letters, digits and -._~+/= only, since it is sent in a header field")
        } else {
            Ok(Self(text))
        }
    }

    /// Whether this is the token.
    pub fn is(&self, presented: &str) -> bool {
        self.0.expose_secret().as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_can_be_sent() {
        let token = |text: &str| Token::new(SecretString::from(text.to_owned()));
        assert!(token(&"x".repeat(31)).is_err());
        assert!(token(&format!("{} ", "x".repeat(32))).is_err());
        assert!(token(&format!("{}é", "x".repeat(32))).is_err());
        assert!(token("3VhNkQpO0yq7bXw1cJt4sYfLz9rKmE2uG6aHvTdRxI8=").is_ok());
    }

    #[test]
    fn only_the_token_is_the_token_and_it_is_not_shown() {
        let text = "0123456789abcdef0123456789abcdef";
        let token = Token::new(SecretString::from(text.to_owned())).expect("valid");
        assert!(token.is(text) && token == token.clone());
        for other in ["", "0123456789abcdef0123456789abcdeF", "0123456789abcdef0123456789abcdef0"] {
            assert!(!token.is(other), "{other}");
        }
        assert!(!format!("{token:?}").contains("0123"));
    }
}
