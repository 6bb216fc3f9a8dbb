//! `[connections]`: bounds on what one connection may take.

use std::time::Duration;

use todo_shared::config::{ByteSize, Section};

/// Bounds on connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connections {
    /// The longest TLS handshake.
    pub handshake_timeout: Duration,
    /// The longest wait for a request to begin.
    pub idle_timeout: Duration,
    /// The longest time a request's head may take.
    pub head_timeout: Duration,
    /// Open connections in all.
    pub max: usize,
    /// Open connections from one address.
    pub max_per_address: usize,
    /// Octets of a head.
    pub max_head: usize,
    /// Fields of a head.
    pub max_fields: usize,
    /// Octets of a request target.
    pub max_target: usize,
}

/// What Pingora's parser takes at most; beyond it a head would be refused by other rules than ours.
const MOST_FIELDS: usize = 256;

/// The same for the size of a head, in octets.
const LARGEST_HEAD: usize = 1 << 19;

pub(super) fn read(section: &Section<'_>) -> Option<Connections> {
    let handshake_timeout = positive(section, "handshake_timeout");
    let idle_timeout = positive(section, "idle_timeout");
    let head_timeout = positive(section, "head_timeout");
    let max = at_least_one(section, "max");
    let max_per_address = at_least_one(section, "max_per_address");
    let max_head = section.get::<ByteSize>("max_head");
    let max_fields = at_least_one(section, "max_fields");
    let max_target = section.get::<ByteSize>("max_target");
    let (max_head, max_target) = (max_head?.octets(), max_target?.octets());
    if !(256..=LARGEST_HEAD).contains(&max_head) {
        section.complain("max_head", "has to be from 256B to 512KiB", None);
    }
    if max_fields.is_some_and(|fields| fields > MOST_FIELDS) {
        section.complain("max_fields", "has to be 256 or less", None);
    }
    if max_target == 0 || max_target > max_head {
        section.complain("max_target", "has to be from 1B to `max_head`, of which it is a part", None);
    }
    Some(Connections {
        handshake_timeout: handshake_timeout?,
        idle_timeout: idle_timeout?,
        head_timeout: head_timeout?,
        max: max?,
        max_per_address: max_per_address?,
        max_head,
        max_fields: max_fields?,
        max_target,
    })
}

/// A duration that is not zero: as a bound, zero would refuse everything.
pub(super) fn positive(section: &Section<'_>, key: &'static str) -> Option<Duration> {
    let duration = section.get(key)?;
    check_more_than_zero(section, key, duration);
    Some(duration)
}

/// A duration that has a default and is not zero.
pub(super) fn positive_or(section: &Section<'_>, key: &'static str, default: Duration) -> Option<Duration> {
    let duration = section.get_or(key, default)?;
    check_more_than_zero(section, key, duration);
    Some(duration)
}

fn check_more_than_zero(section: &Section<'_>, key: &'static str, duration: Duration) {
    if duration.is_zero() {
        section.complain(key, "has to be more than zero", None);
    }
}

fn at_least_one(section: &Section<'_>, key: &'static str) -> Option<usize> {
    let count: usize = section.get(key)?;
    if count == 0 {
        section.complain(key, "has to be at least 1", None);
    }
    Some(count)
}
