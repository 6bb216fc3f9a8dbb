//! Routes: host + path + method decide which upstream answers, and within which bounds.
//!
//! The most specific route wins: one that names the host before `*.suffix` before any host, an exact path before a prefix, a longer
//! prefix before a shorter one. Among routes of the same host and path the method decides; where none takes it, the
//! answer is 405 with what they take, and never a less specific route, so that a method is not let through by accident.
//! The order is made once, when the configuration is loaded; a request walks it from the top.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc, time::Duration};

use http::{HeaderValue, Method};

use crate::{
    request::{
        authority::Authority,
        host::HostPattern,
        pattern::{Methods, PathPattern},
    },
    response::ResponsePolicy,
    upstream::Upstream,
};

/// A route as the configuration describes it.
#[derive(Debug, Clone)]
pub struct RouteRule {
    /// Its name in metrics and logs.
    pub name: Arc<str>,
    /// Its hosts; none for any trusted host.
    pub hosts: Vec<HostPattern>,
    /// Its paths.
    pub paths: Vec<PathPattern>,
    /// Its methods.
    pub methods: Methods,
    /// The name of the upstream that answers.
    pub upstream: Arc<str>,
    /// From the choice of the upstream to the end of its answer.
    pub timeout: Duration,
    /// The largest request body, in octets.
    pub max_body: u64,
    /// How long an answer that has begun may be silent; it may last as long as it pleases then. Without it `timeout` is
    /// the end of every answer.
    pub stream_idle_timeout: Option<Duration>,
    /// Whether its answers may be compressed.
    pub compress: bool,
    /// The security fields of its answers.
    pub responses: Arc<ResponsePolicy>,
}

/// A route at work: where a request goes and what holds for it on its way.
#[derive(Debug)]
pub struct Route {
    /// What holds.
    pub rule: RouteRule,
    /// Who answers.
    pub upstream: Arc<Upstream>,
}

/// What a look into the table finds.
#[derive(Debug)]
pub enum Match<'a> {
    /// The route.
    Found(&'a Arc<Route>),
    /// No route has this host and path.
    NotFound,
    /// Routes have the path, none takes the method; the value of `Allow`.
    MethodNotAllowed(&'a HeaderValue),
}

#[derive(Debug)]
struct Entry {
    host: Option<HostPattern>,
    path: PathPattern,
    routes: Vec<Arc<Route>>,
    allow: HeaderValue,
}

/// Every route, the most specific first.
#[derive(Debug)]
pub struct RouteTable {
    entries: Vec<Entry>,
}

/// Two routes that take the same requests.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("routes `{first}` and `{second}` both take {method} {path}")]
pub struct RouteConflict {
    first: Arc<str>,
    second: Arc<str>,
    method: Method,
    path: String,
}

/// The first two routes that take the same host, path and method.
pub fn conflict(rules: &[RouteRule]) -> Option<RouteConflict> {
    rules.iter().enumerate().find_map(|(at, first)| {
        rules.iter().skip(at + 1).find_map(|second| {
            let any_host = first.hosts.is_empty() && second.hosts.is_empty();
            let same_host = any_host || first.hosts.iter().any(|host| second.hosts.contains(host));
            let path = first.paths.iter().find(|path| same_host && second.paths.contains(path))?;
            let method = first.methods.0.iter().find(|method| second.methods.contains(method))?;
            let (method, path) = (method.clone(), path.text());
            Some(RouteConflict { first: Arc::clone(&first.name), second: Arc::clone(&second.name), method, path })
        })
    })
}

impl RouteTable {
    /// Puts the routes in order. Of two that take the same request (see [`conflict`]) the first wins.
    pub fn new(routes: Vec<Arc<Route>>) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        for route in routes {
            let hosts: Vec<Option<HostPattern>> = match route.rule.hosts.as_slice() {
                [] => vec![None],
                hosts => hosts.iter().cloned().map(Some).collect(),
            };
            for host in hosts {
                for path in &route.rule.paths {
                    add(&mut entries, host.as_ref(), path, &route);
                }
            }
        }
        for entry in &mut entries {
            entry.allow = allow(&entry.routes);
        }
        entries.sort_by_key(|entry| {
            let breadth = entry.host.as_ref().map_or(u8::MAX, HostPattern::breadth);
            (breadth, entry.path.is_prefix, Reverse(entry.path.path.len()))
        });
        Self { entries }
    }

    /// Finds the route of a request; `path` in the form of [`crate::request::path`].
    pub fn find(&self, host: &Authority<'_>, path: &str, method: &Method) -> Match<'_> {
        let Some(entry) = self.entry(host, path) else { return Match::NotFound };
        entry
            .routes
            .iter()
            .find(|route| route.rule.methods.contains(method))
            .map_or(Match::MethodNotAllowed(&entry.allow), Match::Found)
    }

    /// The methods that are taken there, as a field's value; `None` where no route has this host and path.
    pub fn methods(&self, host: &Authority<'_>, path: &str) -> Option<&HeaderValue> {
        self.entry(host, path).map(|entry| &entry.allow)
    }

    fn entry(&self, host: &Authority<'_>, path: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| {
            entry.path.matches(path) && entry.host.as_ref().is_none_or(|pattern| pattern.matches_name(host))
        })
    }
}

fn add(entries: &mut Vec<Entry>, host: Option<&HostPattern>, path: &PathPattern, route: &Arc<Route>) {
    match entries.iter_mut().find(|entry| entry.host.as_ref() == host && entry.path == *path) {
        Some(entry) => entry.routes.push(Arc::clone(route)),
        None => entries.push(Entry {
            host: host.cloned(),
            path: path.clone(),
            routes: vec![Arc::clone(route)],
            allow: HeaderValue::from_static(""),
        }),
    }
}

/// The value of `Allow` (RFC 9110 section 10.2.1).
fn allow(routes: &[Arc<Route>]) -> HeaderValue {
    let methods: BTreeSet<&str> = routes.iter().flat_map(|route| &route.rule.methods.0).map(Method::as_str).collect();
    let text = methods.into_iter().collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(name: &str, hosts: &[&str], paths: &[&str], methods: &[Method]) -> RouteRule {
        RouteRule {
            name: name.into(),
            hosts: hosts.iter().map(|text| text.parse().expect("host")).collect(),
            paths: paths.iter().map(|text| text.parse().expect("path")).collect(),
            methods: Methods::new(methods.to_vec()),
            upstream: "test".into(),
            timeout: Duration::from_secs(1),
            max_body: 0,
            stream_idle_timeout: None,
            compress: true,
            responses: Arc::default(),
        }
    }

    fn table(rules: impl IntoIterator<Item = RouteRule>) -> RouteTable {
        let upstream = Upstream::for_tests();
        let route = |rule| Arc::new(Route { rule, upstream: Arc::clone(&upstream) });
        RouteTable::new(rules.into_iter().map(route).collect())
    }

    fn found(table: &RouteTable, host: &str, path: &str, method: &Method) -> String {
        match table.find(&Authority::parse(host).expect("authority"), path, method) {
            Match::Found(route) => route.rule.name.to_string(),
            Match::NotFound => "404".to_owned(),
            Match::MethodNotAllowed(allow) => format!("405 {}", allow.to_str().expect("text")),
        }
    }

    #[test]
    fn the_most_specific_route_wins_whatever_the_order() {
        let routes = [
            rule("all", &[], &["/*"], &[Method::GET]),
            rule("v1", &[], &["/v1/*"], &[Method::GET]),
            rule("deep", &[], &["/v1/deep/*"], &[Method::GET]),
            rule("exact", &[], &["/v1/deep/one"], &[Method::GET]),
            rule("host", &["api.h:*"], &["/v1/*"], &[Method::GET]),
        ];
        for order in [routes.to_vec(), routes.iter().rev().cloned().collect()] {
            let table = table(order);
            for (host, path, expected) in [
                ("h", "/", "all"),
                ("h", "/v1", "v1"),
                ("h", "/v1/", "v1"),
                ("h", "/v10", "all"),
                ("h", "/v1/deep/two", "deep"),
                ("h", "/v1/deep/one", "exact"),
                ("api.h:8443", "/v1/deep/one", "host"),
                ("api.h", "/v2", "all"),
            ] {
                assert_eq!(found(&table, host, path, &Method::GET), expected, "{host}{path}");
            }
        }
    }

    #[test]
    fn the_method_decides_among_routes_of_one_path_and_nowhere_else() {
        let table = table([
            rule("read", &[], &["/v1/*"], &[Method::GET]),
            rule("write", &[], &["/v1/*"], &[Method::POST]),
            rule("all", &[], &["/*"], &[Method::DELETE]),
        ]);
        assert_eq!(found(&table, "h", "/v1/x", &Method::HEAD), "read");
        assert_eq!(found(&table, "h", "/v1/x", &Method::POST), "write");
        assert_eq!(found(&table, "h", "/v1/x", &Method::DELETE), "405 GET, HEAD, POST");
        assert_eq!(found(&table, "h", "/x", &Method::GET), "405 DELETE");
    }

    #[test]
    fn two_routes_for_the_same_request_are_a_mistake() {
        let conflict = conflict(&[
            rule("one", &[], &["/a", "/b/*"], &[Method::GET]),
            rule("two", &[], &["/b/*"], &[Method::HEAD]),
        ])
        .expect("a conflict");
        assert_eq!(conflict.to_string(), "routes `one` and `two` both take HEAD /b/*");
    }

    proptest! {
        #[test]
        fn a_prefix_ends_on_a_segment(prefix in "/[a-c]{1,3}", path in "/[a-c/]{0,8}") {
            let table = table([rule("r", &[], &[&format!("{prefix}/*")], &[Method::GET])]);
            let expected = path == prefix || path.starts_with(&format!("{prefix}/"));
            prop_assert_eq!(found(&table, "h", &path, &Method::GET) == "r", expected);
        }
    }
}
