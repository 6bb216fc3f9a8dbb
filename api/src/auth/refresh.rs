//! Refresh tokens: opaque, hashed at rest, used once.
//!
//! A token is 256 random bits; the database knows its SHA-256. Every use consumes it and makes a child; all tokens of a
//! session descend from the first. A consumed token that comes back was copied by somebody, and ends the session, with
//! one exception: an answer can be lost on the way, and two tabs can refresh at once. A retry within [`GRACE`] whose
//! children were all unused gets another child instead. The decision is a pure function of the stored facts and the
//! time, so the rules can be tested as a table.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;

/// How long after its use a token may be used again, if nothing came of it.
pub const GRACE: TimeDelta = TimeDelta::seconds(30);

/// How many children one token may have: two tabs and a few lost answers, not a mint.
pub const MOST_CHILDREN: i64 = 5;

/// A token lives this long unless it is used.
pub const IDLE: TimeDelta = TimeDelta::days(14);

/// A session lives this long, whatever happens.
pub const ABSOLUTE: TimeDelta = TimeDelta::days(30);

/// The SHA-256 of a token, as the database stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// A new token: its text for the client, its hash for the database.
pub fn issue() -> Result<(SecretString, TokenHash), aws_lc_rs::error::Unspecified> {
    let mut octets = [0; 32];
    rand::fill(&mut octets)?;
    let text = URL_SAFE_NO_PAD.encode(octets);
    let hash = hash(&text);
    Ok((text.into(), hash))
}

/// The hash of a token's text. A fast hash is enough for 256 random bits.
pub fn hash(text: &str) -> TokenHash {
    let mut hash = [0; 32];
    hash.iter_mut().zip(digest(&SHA256, text.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    TokenHash(hash)
}

/// What the database knows of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Not valid from then on, unless used.
    pub expires_at: DateTime<Utc>,
    /// When it was used first.
    pub consumed_at: Option<DateTime<Utc>>,
    /// How many tokens were made of it.
    pub children: i64,
    /// Whether one of them has been used.
    pub child_used: bool,
    /// When its session ends at the latest.
    pub session_expires_at: DateTime<Utc>,
}

/// What to do with a token that is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Consume it, make a child.
    Rotate,
    /// It is consumed already; make another child.
    Retry,
    /// Refuse. Nothing suspicious, only late.
    Expired,
    /// Refuse and end the session: somebody has a copy.
    Reused,
}

/// Decides about a token at a time.
pub fn judge(facts: &Facts, now: DateTime<Utc>) -> Verdict {
    if now >= facts.session_expires_at {
        return Verdict::Expired;
    }
    match facts.consumed_at {
        None if now >= facts.expires_at => Verdict::Expired,
        None => Verdict::Rotate,
        Some(consumed_at) => {
            let within_grace = now - consumed_at <= GRACE;
            if within_grace && !facts.child_used && facts.children < MOST_CHILDREN {
                Verdict::Retry
            } else {
                Verdict::Reused
            }
        }
    }
}

/// When a token that is issued now expires.
pub fn expiry(now: DateTime<Utc>, session_expires_at: DateTime<Utc>) -> DateTime<Utc> {
    (now + IDLE).min(session_expires_at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
    }

    fn facts(consumed: Option<i64>, children: i64, child_used: bool) -> Facts {
        Facts {
            expires_at: at(1_000),
            consumed_at: consumed.map(at),
            children,
            child_used,
            session_expires_at: at(100_000),
        }
    }

    #[test]
    fn the_rules_as_a_table() {
        let table = [
            (facts(None, 0, false), 0, Verdict::Rotate),
            (facts(None, 0, false), 999, Verdict::Rotate),
            (facts(None, 0, false), 1_000, Verdict::Expired),
            (facts(Some(10), 1, false), 10, Verdict::Retry),
            (facts(Some(10), 1, false), 40, Verdict::Retry),
            (facts(Some(10), 1, false), 41, Verdict::Reused),
            (facts(Some(10), 1, true), 11, Verdict::Reused),
            (facts(Some(10), MOST_CHILDREN, false), 11, Verdict::Reused),
            // A consumed token is a copy even after it would have expired by itself.
            (facts(Some(10), 1, true), 2_000, Verdict::Reused),
            (facts(Some(10), 1, false), 100_000, Verdict::Expired),
            (facts(None, 0, false), 100_000, Verdict::Expired),
        ];
        for (facts, now, verdict) in table {
            assert_eq!(judge(&facts, at(now)), verdict, "{facts:?} at {now}");
        }
    }

    #[test]
    fn tokens_are_opaque_random_and_hashed() {
        let ((first, first_hash), (second, second_hash)) = (issue().expect("random"), issue().expect("random"));
        assert_ne!(first.expose_secret(), second.expose_secret());
        assert_ne!(first_hash, second_hash);
        assert_eq!(hash(first.expose_secret()), first_hash);
        assert_eq!(first.expose_secret().len(), 43);
    }

    /// A family of tokens in memory, as the store keeps it: parent, facts.
    struct Family(Vec<(Option<usize>, Option<i64>)>);

    impl Family {
        fn facts(&self, token: usize) -> Facts {
            let children = || self.0.iter().filter(|(parent, _)| *parent == Some(token));
            let used = children().any(|(_, consumed)| consumed.is_some());
            let count = i64::try_from(children().count()).expect("few");
            Facts { expires_at: at(i64::from(u32::MAX)), ..facts(self.0[token].1, count, used) }
        }

        fn present(&mut self, token: usize, now: i64) -> Verdict {
            let verdict = judge(&self.facts(token), at(now));
            if matches!(verdict, Verdict::Rotate | Verdict::Retry) {
                self.0[token].1.get_or_insert(now);
                self.0.push((Some(token), None));
            }
            verdict
        }
    }

    proptest! {
        /// Whatever a client with one tab and a lossy network does, it is never taken for a thief, if it retries in time.
        #[test]
        fn an_honest_client_is_never_signed_out(lost in proptest::collection::vec(0_i64..4, 1..40)) {
            let (mut family, mut now, mut held) = (Family(vec![(None, None)]), 0, 0);
            for retries in lost {
                now += 600;
                for _ in 0..=retries {
                    prop_assert!(matches!(family.present(held, now), Verdict::Rotate | Verdict::Retry));
                    now += 5;
                }
                held = family.0.len() - 1;
            }
        }

        /// A copied token ends the session as soon as both the owner and the thief have moved on.
        #[test]
        fn a_copy_that_was_used_is_found(steps in 1_usize..10, delay in 0_i64..10_000) {
            let mut family = Family(vec![(None, None)]);
            let mut held = 0;
            for step in 0..=steps {
                prop_assert_eq!(family.present(held, i64::try_from(step).expect("small") * 600), Verdict::Rotate);
                held = family.0.len() - 1;
            }
            let now = i64::try_from(steps).expect("small") * 600 + delay;
            prop_assert_eq!(family.present(0, now), Verdict::Reused);
        }
    }
}
