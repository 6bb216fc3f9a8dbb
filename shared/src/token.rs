//! Access tokens as both tiers see them: the claims, the scopes and the published keys.
//!
//! The API signs with Ed25519 (RFC 8037) and publishes the public halves as a JWK set; whoever verifies pins that
//! algorithm. Signing and verifying live in the tiers; here stands only what they must agree on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The `typ` of an access token's header (RFC 9068 section 2.1).
pub const TYPE: &str = "at+jwt";

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// The user's id.
    pub sub: String,
    /// The session's id.
    pub sid: String,
    /// The token's own id.
    pub jti: String,
    /// When it was issued, in seconds since the epoch.
    pub iat: i64,
    /// Not valid before, in seconds since the epoch.
    pub nbf: i64,
    /// Not valid from then on, in seconds since the epoch.
    pub exp: i64,
    /// What it allows, separated by spaces.
    pub scope: Scopes,
}

/// One permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read todos.
    TodosRead,
    /// Write todos.
    TodosWrite,
    /// Read lists.
    ListsRead,
    /// Write lists.
    ListsWrite,
    /// Read the change feed.
    ChangesRead,
    /// Read the account.
    AccountRead,
    /// Export everything.
    ExportRead,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 7] = [
        Self::TodosRead,
        Self::TodosWrite,
        Self::ListsRead,
        Self::ListsWrite,
        Self::ChangesRead,
        Self::AccountRead,
        Self::ExportRead,
    ];

    /// The scope as tokens carry it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TodosRead => "todos:read",
            Self::TodosWrite => "todos:write",
            Self::ListsRead => "lists:read",
            Self::ListsWrite => "lists:write",
            Self::ChangesRead => "changes:read",
            Self::AccountRead => "account:read",
            Self::ExportRead => "export:read",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of scopes; one word, so that a check costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u16);

impl Scopes {
    /// What a signed-in person may do: everything.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether the set has this scope.
    pub const fn allows(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for scope in Scope::ALL.into_iter().filter(|scope| self.allows(*scope)) {
            write!(formatter, "{separator}{}", scope.as_str())?;
            separator = " ";
        }
        Ok(())
    }
}

/// A scope that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope")]
pub struct UnknownScope;

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = |word: &str| Scope::ALL.into_iter().find(|scope| scope.as_str() == word).ok_or(UnknownScope);
        text.split(' ').filter(|word| !word.is_empty()).map(known).collect()
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A published Ed25519 key (RFC 8037 section 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// Always `OKP`.
    pub kty: String,
    /// Always `Ed25519`.
    pub crv: String,
    /// The public key, base64url without padding.
    pub x: String,
    /// The key's name: its RFC 7638 thumbprint.
    pub kid: String,
    /// Always `EdDSA`.
    pub alg: String,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: String,
}

impl Jwk {
    /// The published form of a public key.
    pub fn ed25519(kid: impl Into<String>, x: impl Into<String>) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: x.into(),
            kid: kid.into(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
        }
    }
}

/// What `/.well-known/jwks.json` holds (RFC 7517 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct JwkSet {
    /// The keys, newest first.
    pub keys: Vec<Jwk>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_and_read_as_text() {
        let scopes: Scopes = [Scope::TodosRead, Scope::ListsRead].into_iter().collect();
        assert_eq!(scopes.to_string(), "todos:read lists:read");
        assert_eq!(scopes.to_string().parse(), Ok(scopes));
        assert!(scopes.allows(Scope::TodosRead) && !scopes.allows(Scope::TodosWrite));
        assert_eq!("todos:read admin".parse::<Scopes>(), Err(UnknownScope));
        assert_eq!(Scopes::all().to_string().split(' ').count(), Scope::ALL.len());
    }
}
