//! `[upstreams.<name>]`: who answers.
//!
//! An upstream of the operator's own needs its addresses only: what else it does not say is as documented for `api`.

use std::{path::PathBuf, time::Duration};

use todo_shared::config::Section;

use crate::{
    config::connections::positive_or,
    request::path,
    upstream::{
        UpstreamRule,
        budget::BudgetRule,
        dns::Place,
        health::HealthRule,
        outlier::EjectionRule,
        tls::{TlsFiles, UpstreamTls},
    },
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn read(name: &str, section: &Section<'_>) -> Option<UpstreamRule> {
    let places = section.parsed_list::<Place>("addresses");
    let connect_timeout = positive_or(section, "connect_timeout", seconds(2));
    let try_timeout = positive_or(section, "try_timeout", seconds(5));
    let idle_timeout = positive_or(section, "idle_timeout", seconds(30));
    let max_connection_age = positive_or(section, "max_connection_age", seconds(600));
    let retries = section.get_or("retries", 2_u8);
    let budget = read_budget(section);
    let ejection = read_ejection(section);
    let slow_start = section.get_or("slow_start", seconds(10));
    let panic_threshold = percent(section, "panic_threshold", 50);
    let health = read_health(section);
    let tls = section.optional_section("tls", read_tls);

    let places = places?;
    if places.is_empty() {
        section.complain("addresses", "an upstream needs an address", None);
    }
    let (mut addresses, mut names) = (Vec::new(), Vec::new());
    for place in places {
        let is_new = match place {
            Place::Address(address) => {
                !addresses.contains(&address) && {
                    addresses.push(address);
                    true
                }
            }
            Place::Name(name) => {
                !names.contains(&name) && {
                    names.push(name);
                    true
                }
            }
        };
        if !is_new {
            section.complain("addresses", "an address stands there twice", None);
        }
    }
    if retries.is_some_and(|retries| retries > MOST_RETRIES) {
        section.complain("retries", "has to be 5 or less", None);
    }
    Some(UpstreamRule {
        name: name.into(),
        addresses,
        names,
        connect_timeout: connect_timeout?,
        try_timeout: try_timeout?,
        idle_timeout: idle_timeout?,
        max_connection_age: max_connection_age?,
        retries: retries?,
        budget: budget?,
        ejection: ejection?,
        slow_start: slow_start?,
        panic_threshold: panic_threshold?,
        health: health?,
        tls: match tls? {
            Some(Tls::On(tls)) => Some(*tls),
            Some(Tls::Off) | None => None,
        },
    })
}

/// More would be a loop: Pingora itself ends one at sixteen.
const MOST_RETRIES: u8 = 5;

fn read_budget(section: &Section<'_>) -> Option<BudgetRule> {
    let percent = percent(section, "retry_percent", 20);
    let floor = section.get_or("retry_floor", 10_u32);
    Some(BudgetRule { percent: percent?, floor: floor? })
}

/// No more requests of an interval are told apart.
const MOST_COUNTED: u32 = 1_000_000;

fn read_ejection(section: &Section<'_>) -> Option<EjectionRule> {
    let after = section.get_or("eject_after", 5_u32);
    let failure_percent = percent(section, "eject_failure_percent", 30);
    let interval = positive_or(section, "eject_interval", seconds(10));
    let min_requests = at_least_one(section, "eject_min_requests", 20);
    let slow_factor = section.get_or("eject_slow_factor", 5_u32);
    let slow_floor = section.get_or("eject_slow_floor", seconds(1));
    let time = positive_or(section, "eject_time", seconds(10));
    let max_time = positive_or(section, "eject_max_time", seconds(300));
    let max_percent = percent(section, "eject_max_percent", 50);
    let (time, max_time) = (time?, max_time?);
    if min_requests.is_some_and(|requests| requests > MOST_COUNTED) {
        section.complain("eject_min_requests", "has to be 1000000 or less: no more are counted", None);
    }
    if max_time < time {
        section.complain("eject_max_time", "has to be `eject_time` or more", None);
    }
    Some(EjectionRule {
        after: after?,
        failure_percent: failure_percent?,
        interval: interval?,
        min_requests: min_requests?,
        slow_factor: slow_factor?,
        slow_floor: slow_floor?,
        time,
        max_time,
        max_percent: max_percent?,
    })
}

fn read_health(section: &Section<'_>) -> Option<HealthRule> {
    let path = section.get_or("health_path", "/readyz".to_owned());
    let interval = positive_or(section, "health_interval", seconds(2));
    let timeout = positive_or(section, "health_timeout", seconds(1));
    let healthy_after = at_least_one(section, "healthy_after", 2);
    let unhealthy_after = at_least_one(section, "unhealthy_after", 3);
    let path = path?;
    if path::normalise(&path).is_err() {
        section.complain("health_path", "is not a path such as `/readyz`", None);
    }
    Some(HealthRule {
        path,
        interval: interval?,
        timeout: timeout?,
        healthy_after: healthy_after?,
        unhealthy_after: unhealthy_after?,
    })
}

enum Tls {
    Off,
    On(Box<UpstreamTls>),
}

/// `[upstreams.<name>.tls]`, on or off.
fn read_tls(section: &Section<'_>) -> Option<Tls> {
    let enabled = section.get_or("enabled", false);
    let server_name = section.optional::<String>("server_name");
    let authority = section.optional::<PathBuf>("authority");
    let certificate = section.optional::<PathBuf>("certificate");
    let key = section.optional::<PathBuf>("key");
    let (server_name, authority, certificate, key) = (server_name?, authority?, certificate?, key?);
    if !enabled? {
        return Some(Tls::Off);
    }
    if server_name.is_none() {
        section.complain("server_name", "TLS needs the name that the API's certificate holds", None);
    }
    if authority.is_none() {
        section.complain("authority", "TLS needs the certificate of the authority to trust", None);
    }
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            section.complain("key", "`certificate` needs its private key", None);
            return None;
        }
        (None, Some(_)) => {
            section.complain("certificate", "`key` needs its certificate", None);
            return None;
        }
    };
    let files = TlsFiles { server_name: server_name?, authority: authority?, client };
    UpstreamTls::load(files)
        .map_err(|error| section.complain(error.key, error.to_string(), None))
        .ok()
        .map(Box::new)
        .map(Tls::On)
}

fn percent(section: &Section<'_>, key: &'static str, default: u8) -> Option<u8> {
    let percent = section.get_or(key, default)?;
    if percent > 100 {
        section.complain(key, "is a percentage, from 0 to 100", None);
    }
    Some(percent)
}

fn at_least_one(section: &Section<'_>, key: &'static str, default: u32) -> Option<u32> {
    let count: u32 = section.get_or(key, default)?;
    if count == 0 {
        section.complain(key, "has to be at least 1", None);
    }
    Some(count)
}
