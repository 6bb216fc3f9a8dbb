//! `[upstreams.<name>]`: who answers. An upstream of the operator's own needs its addresses only; the rest has the same
//! defaults as the one that is documented, which a test compares.

use std::{net::SocketAddr, time::Duration};

use todo_shared::config::Section;

use crate::{
    request::path,
    upstream::{UpstreamRule, health::HealthRule},
};

pub(super) fn read(name: &str, section: &Section<'_>) -> Option<UpstreamRule> {
    let addresses = section.list::<SocketAddr>("addresses");
    let connect_timeout = positive(section, "connect_timeout", Duration::from_secs(2));
    let idle_timeout = positive(section, "idle_timeout", Duration::from_secs(30));
    let path = section.optional::<String>("health_path");
    let interval = positive(section, "health_interval", Duration::from_secs(2));
    let timeout = positive(section, "health_timeout", Duration::from_secs(1));
    let healthy_after = at_least_one(section, "healthy_after", 2);
    let unhealthy_after = at_least_one(section, "unhealthy_after", 3);
    let panic_threshold = section.optional::<u8>("panic_threshold");

    let (mut addresses, path) = (addresses?, path?.unwrap_or_else(|| "/readyz".to_owned()));
    let panic_threshold = panic_threshold?.unwrap_or(50);
    if addresses.is_empty() {
        section.complain("addresses", "an upstream needs an address", None);
    }
    let count = addresses.len();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.len() < count {
        section.complain("addresses", "an address stands there twice", None);
    }
    if path::normalise(&path).is_err() {
        section.complain("health_path", "is not a path such as `/readyz`", None);
    }
    if panic_threshold > 100 {
        section.complain("panic_threshold", "is a percentage, from 0 to 100", None);
    }
    let health = HealthRule {
        path,
        interval: interval?,
        timeout: timeout?,
        healthy_after: healthy_after?,
        unhealthy_after: unhealthy_after?,
    };
    Some(UpstreamRule {
        name: name.into(),
        addresses,
        connect_timeout: connect_timeout?,
        idle_timeout: idle_timeout?,
        panic_threshold,
        health,
    })
}

fn positive(section: &Section<'_>, key: &'static str, default: Duration) -> Option<Duration> {
    let duration = section.optional::<Duration>(key)?.unwrap_or(default);
    if duration.is_zero() {
        section.complain(key, "has to be more than zero", None);
    }
    Some(duration)
}

fn at_least_one(section: &Section<'_>, key: &'static str, default: u32) -> Option<u32> {
    let count = section.optional::<u32>(key)?.unwrap_or(default);
    if count == 0 {
        section.complain(key, "has to be at least 1", None);
    }
    Some(count)
}
