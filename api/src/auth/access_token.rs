//! Access tokens: JWT (RFC 7519, RFC 9068) signed with Ed25519, alive for ten minutes.
//!
//! The library checks structure, algorithm (pinned), signature, issuer and audience. Header details and dates are checked
//! here, with the time as a parameter: `exp` without any leeway, `nbf` and `iat` with [`LEEWAY`], because a replica whose
//! clock is a little behind must not refuse what another one has just issued.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use todo_shared::token::{Claims, JwkSet, Scopes, TYPE};
use uuid::Uuid;

use crate::{auth::signing_key::KeySet, observe::metrics::TokenMetrics};

/// How long an access token lives.
pub const LIFE: TimeDelta = TimeDelta::minutes(10);

/// How far a token's beginning may lie in the future.
pub const LEEWAY: TimeDelta = TimeDelta::seconds(5);

/// The longest token that is looked at, in octets; ours have about 600.
const LONGEST: usize = 2_048;

/// Issues and verifies access tokens with the keys of the moment.
#[derive(Debug)]
pub struct AccessTokens {
    keys: ArcSwap<KeySet>,
    issuer: String,
    audience: String,
    validation: Validation,
    metrics: TokenMetrics,
}

/// A token that was issued. Without `Debug`, because it is a secret.
pub struct Issued {
    /// For the `Authorization` header.
    pub token: String,
    /// How long it is valid, in seconds.
    pub expires_in: i64,
}

/// Why a token is refused. For metrics; a client only reads that its token is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token, or with a header that ours never have.
    #[error("malformed")]
    Malformed,
    /// Signed by a key that is not published.
    #[error("unknown_key")]
    UnknownKey,
    /// The signature, the issuer or the audience is wrong.
    #[error("refused")]
    Refused,
    /// It was valid once.
    #[error("expired")]
    Expired,
    /// It will be valid.
    #[error("early")]
    Early,
    /// There are no keys yet: the database has not been reached since the start.
    #[error("no_keys")]
    NoKeys,
}

impl AccessTokens {
    /// Tokens of this issuer for this audience. There are no keys until [`AccessTokens::replace_keys`].
    pub fn new(issuer: String, audience: String, metrics: TokenMetrics) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&issuer]);
        validation.set_audience(&[&audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // Checked in `verify`, where the time is a parameter.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { keys: ArcSwap::default(), issuer, audience, validation, metrics }
    }

    /// Takes a new set of keys for everything that begins from now on.
    pub fn replace_keys(&self, keys: KeySet) {
        self.keys.store(Arc::new(keys));
    }

    /// The keys of the moment.
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.load_full()
    }

    /// What verifiers may fetch.
    pub fn published(&self, now: DateTime<Utc>) -> JwkSet {
        self.keys.load().published(now)
    }

    /// Issues a token. It never outlives its session, so that an active session is simply one that exists.
    pub fn issue(
        &self,
        user_id: Uuid,
        session_id: Uuid,
        session_expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Issued, TokenError> {
        let keys = self.keys.load();
        let key = keys.active(now).ok_or(TokenError::NoKeys)?;
        let expires_at = (now + LIFE).min(session_expires_at);
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user_id.to_string(),
            sid: session_id.to_string(),
            jti: Uuid::now_v7().to_string(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: expires_at.timestamp(),
            scope: Scopes::all(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.kid.clone());
        let token = encode(&header, &claims, key.encoding()).map_err(|_| TokenError::Refused)?;
        Ok(Issued { token, expires_in: claims.exp - claims.iat })
    }

    /// The claims of a valid token.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, TokenError> {
        let outcome = self.check(token, now);
        self.metrics.verified(outcome.as_ref().err().copied());
        outcome
    }

    fn check(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Malformed);
        }
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        let keys = self.keys.load();
        if keys.is_empty() {
            return Err(TokenError::NoKeys);
        }
        // An extension that must be understood is not understood (RFC 7515 section 4.1.11).
        if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let kid = header.kid.as_deref().ok_or(TokenError::Malformed)?;
        let key = keys.find(kid, now).ok_or(TokenError::UnknownKey)?;
        let claims = decode::<Claims>(token, &key.decoding, &self.validation).map_err(|_| TokenError::Refused)?.claims;
        if claims.exp <= now.timestamp() {
            return Err(TokenError::Expired);
        }
        let latest_start = (now + LEEWAY).timestamp();
        if claims.nbf > latest_start || claims.iat > latest_start {
            return Err(TokenError::Early);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::EncodingKey;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::{key_ring::KeyRing, signing_key::StoredKey};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
    }

    fn tokens() -> AccessTokens {
        let ring = KeyRing::development();
        let tokens = AccessTokens::new("https://issuer".into(), "todo".into(), TokenMetrics::default());
        let stored = StoredKey::generate(&ring, at(0), at(0)).expect("a key");
        tokens.replace_keys(KeySet::open(vec![stored], &ring).expect("opens"));
        tokens
    }

    fn issue(tokens: &AccessTokens) -> String {
        tokens.issue(Uuid::from_u128(1), Uuid::from_u128(2), at(100_000), at(0)).expect("issued").token
    }

    #[test]
    fn an_issued_token_is_valid_for_ten_minutes() {
        let tokens = tokens();
        let token = issue(&tokens);
        let claims = tokens.verify(&token, at(0)).expect("valid");
        assert_eq!((claims.sub, claims.sid), (Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string()));
        assert!(tokens.verify(&token, at(599)).is_ok());
        assert_eq!(tokens.verify(&token, at(600)), Err(TokenError::Expired));
        assert!(tokens.verify(&token, at(-5)).is_ok(), "a clock that is a little behind");
        assert_eq!(tokens.verify(&token, at(-6)), Err(TokenError::Early));
    }

    #[test]
    fn a_token_does_not_outlive_its_session() {
        let tokens = tokens();
        let issued = tokens.issue(Uuid::nil(), Uuid::nil(), at(60), at(0)).expect("issued");
        assert_eq!(issued.expires_in, 60);
        assert_eq!(tokens.verify(&issued.token, at(60)), Err(TokenError::Expired));
    }

    #[test]
    fn without_keys_nothing_is_issued_or_verified() {
        let empty = AccessTokens::new("https://issuer".into(), "todo".into(), TokenMetrics::default());
        assert_eq!(empty.issue(Uuid::nil(), Uuid::nil(), at(1), at(0)).err(), Some(TokenError::NoKeys));
        assert_eq!(empty.verify(&issue(&tokens()), at(0)), Err(TokenError::NoKeys));
    }

    /// Rewrites header and claims of a valid token and signs the result again with `key`, or not at all.
    fn forge(token: &str, change: impl Fn(&mut Value, &mut Value), key: Option<&EncodingKey>) -> String {
        let part = |index: usize| -> Value {
            let text = token.split('.').nth(index).expect("a part");
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
        };
        let (mut header, mut claims) = (part(0), part(1));
        change(&mut header, &mut claims);
        let write = |value: &Value| URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("JSON"));
        let message = format!("{}.{}", write(&header), write(&claims));
        let signature = key.map_or_else(String::new, |key| {
            let algorithm = if header["alg"] == "HS256" { Algorithm::HS256 } else { Algorithm::EdDSA };
            jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).expect("signed")
        });
        format!("{message}.{signature}")
    }

    type Change = fn(&mut Value, &mut Value);

    #[test]
    fn attacks() {
        let tokens = tokens();
        let (valid, keys) = (issue(&tokens), tokens.keys());
        let own = keys.active(at(0)).expect("a key").encoding();
        let public = URL_SAFE_NO_PAD.decode(&tokens.published(at(0)).keys[0].x).expect("base64");
        let other_ring = KeyRing::development();
        let other = StoredKey::generate(&other_ring, at(0), at(0)).expect("a key");
        let other = KeySet::open(vec![other], &other_ring).expect("opens");
        let other = other.active(at(0)).expect("a key").encoding();
        let confusion = EncodingKey::from_secret(&public);

        let same = |_: &mut Value, _: &mut Value| ();
        assert!(tokens.verify(&forge(&valid, same, Some(own)), at(0)).is_ok(), "the forge itself works");
        let refused: [(&str, Change, Option<&EncodingKey>, TokenError); 18] = [
            ("no signature", |_, _| (), None, TokenError::Refused),
            ("alg none", |header, _| header["alg"] = json!("none"), None, TokenError::Malformed),
            ("public key as HMAC key", |h, _| h["alg"] = json!("HS256"), Some(&confusion), TokenError::Refused),
            ("another algorithm's name", |h, _| h["alg"] = json!("ES256"), Some(own), TokenError::Refused),
            ("another key", |_, _| (), Some(other), TokenError::Refused),
            ("an unknown kid", |h, _| h["kid"] = json!("x"), Some(own), TokenError::UnknownKey),
            ("no kid", |h, _| h["kid"] = Value::Null, Some(own), TokenError::Malformed),
            ("a key in the header", |h, _| h["jwk"] = json!({"kty": "OKP"}), Some(other), TokenError::Refused),
            ("an ID token", |h, _| h["typ"] = json!("JWT"), Some(own), TokenError::Malformed),
            ("a critical extension", |h, _| h["crit"] = json!(["x"]), Some(own), TokenError::Malformed),
            ("another issuer", |_, c| c["iss"] = json!("https://other"), Some(own), TokenError::Refused),
            ("another audience", |_, c| c["aud"] = json!("other"), Some(own), TokenError::Refused),
            ("several audiences", |_, c| c["aud"] = json!(["todo", "x"]), Some(own), TokenError::Refused),
            ("no audience", |_, c| c["aud"] = Value::Null, Some(own), TokenError::Refused),
            ("no expiry", |_, c| c["exp"] = Value::Null, Some(own), TokenError::Refused),
            ("an expiry as text", |_, c| c["exp"] = json!("9999999999"), Some(own), TokenError::Refused),
            ("an unknown scope", |_, c| c["scope"] = json!("admin"), Some(own), TokenError::Refused),
            ("issued in the future", |_, c| c["iat"] = json!(1_900_000_000), Some(own), TokenError::Early),
        ];
        for (name, change, key, error) in refused {
            assert_eq!(tokens.verify(&forge(&valid, change, key), at(0)), Err(error), "{name}");
        }
        for text in ["", ".", "..", "a.b.c", &format!("{valid}."), &"a".repeat(3_000)] {
            assert!(tokens.verify(text, at(0)).is_err(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn one_changed_character_is_refused(position in 0_usize..2_000, octet in b'0'..=b'z') {
            let tokens = tokens();
            let valid = issue(&tokens);
            let mut changed = valid.clone().into_bytes();
            let position = position % changed.len();
            changed[position] = octet;
            let changed = String::from_utf8(changed).expect("ASCII");
            prop_assert_eq!(tokens.verify(&changed, at(0)).is_ok(), changed == valid);
        }
    }
}
