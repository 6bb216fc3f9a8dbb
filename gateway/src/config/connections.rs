//! `[connections]`: how many connections there may be, and what one may take.

use std::time::Duration;

use todo_shared::config::{ByteSize, Section, Setting};

use crate::edge::{CapLimits, FloodLimits};

/// Bounds on connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connections {
    /// The longest TLS handshake.
    pub handshake_timeout: Duration,
    /// The longest wait for a request to begin.
    pub idle_timeout: Duration,
    /// The longest time a request's head may take.
    pub head_timeout: Duration,
    /// The longest wait for more of a body.
    pub body_timeout: Duration,
    /// The longest wait for a client to take more of an answer.
    pub write_timeout: Duration,
    /// Octets a second that pay for the time they take.
    pub min_rate: u64,
    /// How old a connection may become.
    pub max_age: Duration,
    /// How many there may be.
    pub caps: CapLimits,
    /// HTTP/2 streams of one.
    pub max_streams: u32,
    /// HTTP/2 frames and resets of one.
    pub floods: FloodLimits,
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
    let body_timeout = positive(section, "body_timeout");
    let write_timeout = positive(section, "write_timeout");
    let min_rate = section.get::<ByteSize>("min_rate");
    let max_age = positive(section, "max_age");
    let caps = read_caps(section);
    let max_streams = at_least_one(section, "max_streams");
    let (control_frames, resets) = (at_least_one(section, "max_control_frames"), at_least_one(section, "max_resets"));
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
    if min_rate == Some(ByteSize(0)) {
        section.complain("min_rate", "has to be at least 1B", None);
    }
    Some(Connections {
        handshake_timeout: handshake_timeout?,
        idle_timeout: idle_timeout?,
        head_timeout: head_timeout?,
        body_timeout: body_timeout?,
        write_timeout: write_timeout?,
        min_rate: min_rate?.0,
        max_age: max_age?,
        caps: caps?,
        max_streams: max_streams?,
        floods: FloodLimits { control_frames: control_frames?, resets: resets? },
        max_head,
        max_fields: max_fields?,
        max_target,
    })
}

fn read_caps(section: &Section<'_>) -> Option<CapLimits> {
    let total = at_least_one(section, "max");
    let (per_address, per_network) =
        (at_least_one(section, "max_per_address"), at_least_one(section, "max_per_network"));
    let network_v4 = prefix(section, "network_prefix_v4", 32);
    let network_v6 = prefix(section, "network_prefix_v6", 64);
    let handshakes = at_least_one(section, "max_handshakes");
    let handshakes_per_address = at_least_one(section, "max_handshakes_per_address");
    Some(CapLimits {
        total: total?,
        per_address: per_address?,
        per_network: per_network?,
        network_v4: network_v4?,
        network_v6: network_v6?,
        handshakes: handshakes?,
        handshakes_per_address: handshakes_per_address?,
    })
}

/// The length of a prefix, in bits.
fn prefix(section: &Section<'_>, key: &'static str, longest: u8) -> Option<u8> {
    let length: u8 = section.get(key)?;
    if !(8..=longest).contains(&length) {
        section.complain(key, format!("has to be from 8 to {longest}"), None);
    }
    Some(length)
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

fn at_least_one<T: Setting + Default + PartialEq>(section: &Section<'_>, key: &'static str) -> Option<T> {
    let count: T = section.get(key)?;
    if count == T::default() {
        section.complain(key, "has to be at least 1", None);
    }
    Some(count)
}
