//! `[upstreams.<name>]`: who answers.

use std::net::SocketAddr;

use todo_shared::config::Section;

use crate::{
    config::connections::positive,
    request::path,
    upstream::{UpstreamRule, health::HealthRule},
};

pub(super) fn read(name: &str, section: &Section<'_>) -> Option<UpstreamRule> {
    let addresses = section.list::<SocketAddr>("addresses");
    let connect_timeout = positive(section, "connect_timeout");
    let idle_timeout = positive(section, "idle_timeout");
    let path = section.get::<String>("health_path");
    let interval = positive(section, "health_interval");
    let timeout = positive(section, "health_timeout");
    let healthy_after = at_least_one(section, "healthy_after");
    let unhealthy_after = at_least_one(section, "unhealthy_after");
    let panic_threshold = section.get::<u8>("panic_threshold");

    let (mut addresses, path) = (addresses?, path?);
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
    if panic_threshold.is_some_and(|percent| percent > 100) {
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
        panic_threshold: panic_threshold?,
        health,
    })
}

fn at_least_one(section: &Section<'_>, key: &'static str) -> Option<u32> {
    let count: u32 = section.get(key)?;
    if count == 0 {
        section.complain(key, "has to be at least 1", None);
    }
    Some(count)
}
