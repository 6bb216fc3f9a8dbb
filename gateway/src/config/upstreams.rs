//! `[upstreams.<name>]`: who answers.
//!
//! An upstream of the operator's own needs its addresses only: what else it does not say is as documented for `api`.

use std::{net::SocketAddr, time::Duration};

use todo_shared::config::Section;

use crate::{
    config::connections::positive_or,
    request::path,
    upstream::{UpstreamRule, health::HealthRule},
};

pub(super) fn read(name: &str, section: &Section<'_>) -> Option<UpstreamRule> {
    let addresses = section.list::<SocketAddr>("addresses");
    let connect_timeout = positive_or(section, "connect_timeout", Duration::from_secs(2));
    let idle_timeout = positive_or(section, "idle_timeout", Duration::from_secs(30));
    let path = section.get_or("health_path", "/readyz".to_owned());
    let interval = positive_or(section, "health_interval", Duration::from_secs(2));
    let timeout = positive_or(section, "health_timeout", Duration::from_secs(1));
    let healthy_after = at_least_one(section, "healthy_after", 2);
    let unhealthy_after = at_least_one(section, "unhealthy_after", 3);
    let panic_threshold = section.get_or("panic_threshold", 50_u8);

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

fn at_least_one(section: &Section<'_>, key: &'static str, default: u32) -> Option<u32> {
    let count: u32 = section.get_or(key, default)?;
    if count == 0 {
        section.complain(key, "has to be at least 1", None);
    }
    Some(count)
}
