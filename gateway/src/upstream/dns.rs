//! Names as addresses: resolved when the gateway starts, and again whenever an answer's time is over.
//!
//! Hickory asks the servers; nothing is cached there, because this task is the only one that asks. The answer's TTL says
//! when to ask again, within bounds: a TTL of zero must not become a loop, nor one of a week an outage. When nobody
//! answers, or the answer is empty, the last good one stands: servers of a name that cannot be resolved are more likely
//! well than gone, and checks find out if they are not.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fmt,
    net::SocketAddr,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::upstream::{Registry, Upstream};

/// Addresses that are taken from one answer.
const MOST_ADDRESSES: usize = 64;

/// How names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverRule {
    /// Whom to ask; empty for the system's configuration.
    pub servers: Vec<SocketAddr>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// An answer is good for at least this long.
    pub min_ttl: Duration,
    /// And at most for this long.
    pub max_ttl: Duration,
}

/// A host's name and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    host: Arc<str>,
    port: u16,
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// What stands in the list of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A fixed address.
    Address(SocketAddr),
    /// A name that stands for addresses.
    Name(Name),
}

/// Neither an address nor a name, with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an address or a name with a port, such as \"127.0.0.1:8000\", \"[::1]:8000\" or \"api.internal:8000\""
)]
pub struct NotAPlace;

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotAPlace)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(NotAPlace)?;
        let bare = host.strip_suffix('.').unwrap_or(host);
        // RFC 1035, section 2.3.4, and the underscore that names of services have. A name of digits alone would be an
        // address that somebody mistyped.
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
        };
        let is_name = bare.len() <= 253
            && bare.split('.').all(is_label)
            && bare.rsplit('.').next().is_some_and(|last| !last.bytes().all(|octet| octet.is_ascii_digit()));
        if is_name { Ok(Self::Name(Name { host: host.to_ascii_lowercase().into(), port })) } else { Err(NotAPlace) }
    }
}

/// How long to wait before a name is resolved again, after so many failures in a row.
fn pause(rule: &ResolverRule, ttl: Option<Duration>, failures: u32) -> Duration {
    let wait = ttl.unwrap_or_else(|| rule.min_ttl.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))));
    wait.clamp(rule.min_ttl, rule.max_ttl.max(rule.min_ttl))
}

/// Resolves every name of these upstreams, until it is dropped.
pub async fn watch(upstreams: &[Arc<Upstream>], registry: &Arc<Registry>, rule: &ResolverRule) -> Infallible {
    let named = || upstreams.iter().flat_map(|upstream| upstream.rule.names.iter().map(move |name| (upstream, name)));
    while named().next().is_some() {
        match resolver(rule) {
            Ok(resolver) => {
                let mut tasks = JoinSet::new();
                for (upstream, name) in named() {
                    let (resolver, rule) = (resolver.clone(), rule.clone());
                    tasks.spawn(watch_name(resolver, rule, Arc::clone(registry), Arc::clone(upstream), name.clone()));
                }
                // The tasks never end by themselves; dropping the set ends them.
                while tasks.join_next().await.is_some() {}
            }
            Err(error) => {
                tracing::error!(%error, "the system's resolver configuration cannot be used; no name is resolved");
            }
        }
        sleep(pause(rule, None, 1)).await;
    }
    std::future::pending().await
}

fn resolver(rule: &ResolverRule) -> Result<TokioResolver, NetError> {
    let mut builder = if rule.servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = rule.servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        Resolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.timeout = rule.timeout;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

async fn watch_name(
    resolver: TokioResolver,
    rule: ResolverRule,
    registry: Arc<Registry>,
    upstream: Arc<Upstream>,
    name: Name,
) {
    let lookups = &upstream.metrics.upstream_lookups;
    let mut failures = 0_u32;
    loop {
        // Hickory's limit is for one question to one server; it may ask several times.
        let answer = timeout(rule.timeout.saturating_mul(4), resolver.lookup_ip(&*name.host)).await;
        let problem = match answer {
            Ok(Ok(answer)) => {
                let all: BTreeSet<_> = answer.iter().map(|address| SocketAddr::new(address, name.port)).collect();
                // The same ones each time, however the server turns its list.
                let addresses: BTreeSet<_> = all.into_iter().take(MOST_ADDRESSES).collect();
                let ttl = answer.valid_until().saturating_duration_since(Instant::now());
                if addresses.is_empty() { Err("the answer holds no address".to_owned()) } else { Ok((addresses, ttl)) }
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("nobody answered in time".to_owned()),
        };
        let wait = match problem {
            Ok((addresses, ttl)) => {
                failures = 0;
                lookups.with_label_values(&[&*upstream.rule.name, "succeeded"]).inc();
                registry.resolve(&upstream, &name, addresses.into_iter().collect());
                pause(&rule, Some(ttl), 0)
            }
            Err(problem) => {
                failures = failures.saturating_add(1);
                lookups.with_label_values(&[&*upstream.rule.name, "failed"]).inc();
                let upstream = &*upstream.rule.name;
                tracing::warn!(upstream, %name, problem, "the name cannot be resolved; what it stood for before is kept");
                pause(&rule, None, failures)
            }
        };
        sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_and_names_are_told_apart() {
        let name = |host: &str, port| Ok(Place::Name(Name { host: host.into(), port }));
        let address = |text: &str| Ok(Place::Address(text.parse().expect("an address")));
        for (text, expected) in [
            ("127.0.0.1:8000", address("127.0.0.1:8000")),
            ("[::1]:8000", address("[::1]:8000")),
            ("api.internal:8000", name("api.internal", 8000)),
            ("API:1", name("api", 1)),
            ("_http.api.svc.:80", name("_http.api.svc.", 80)),
            ("api", Err(NotAPlace)),
            ("api:0", Err(NotAPlace)),
            ("api:65536", Err(NotAPlace)),
            (":80", Err(NotAPlace)),
            ("a..b:80", Err(NotAPlace)),
            ("a b:80", Err(NotAPlace)),
            ("http://api:80", Err(NotAPlace)),
            ("127.0.0.256:80", Err(NotAPlace)),
            ("::1:80", Err(NotAPlace)),
        ] {
            assert_eq!(text.parse::<Place>(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_pause_is_within_the_bounds(min in 1_u64..100, max in 1_u64..1000, ttl in proptest::option::of(0_u64..100_000), failures: u32) {
            let seconds = Duration::from_secs;
            let rule = ResolverRule { servers: Vec::new(), timeout: seconds(1), min_ttl: seconds(min), max_ttl: seconds(max) };
            let pause = pause(&rule, ttl.map(seconds), failures);
            prop_assert!(pause >= rule.min_ttl && pause <= rule.max_ttl.max(rule.min_ttl));
        }
    }
}
