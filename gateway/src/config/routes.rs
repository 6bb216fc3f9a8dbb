//! `[[routes]]`: which requests go where.

use std::sync::Arc;

use todo_shared::config::{ByteSize, Section};

use crate::{
    config::{
        connections::positive,
        headers::{self, Headers},
    },
    observe::metrics::NO_ROUTE,
    request::{
        host::HostPattern,
        pattern::{Methods, PathPattern, RouteMethod},
        route::{self, RouteRule},
    },
};

/// All routes. `base` and `upstreams` are missing where their own sections have mistakes.
pub(super) fn read_all(
    root: &Section<'_>,
    base: Option<&Headers>,
    upstreams: Option<&[Arc<str>]>,
) -> Option<Vec<RouteRule>> {
    let rules = root.tables("routes", |section| read(section, base, upstreams))?;
    if rules.is_empty() {
        root.complain("routes", "there is no route, so every request would be 404", None);
    }
    let repeated =
        rules.iter().enumerate().find(|(at, rule)| rules.iter().take(*at).any(|other| other.name == rule.name));
    if let Some((_, rule)) = repeated {
        root.complain("routes", format!("two routes are called `{}`", rule.name), None);
    }
    if let Some(conflict) = route::conflict(&rules) {
        root.complain("routes", conflict.to_string(), None);
    }
    Some(rules)
}

fn read(section: &Section<'_>, base: Option<&Headers>, upstreams: Option<&[Arc<str>]>) -> Option<RouteRule> {
    let name = section.get::<String>("name");
    let hosts = section.parsed_list::<HostPattern>("hosts");
    let paths = section.parsed_list::<PathPattern>("paths");
    let methods = section.parsed_list::<RouteMethod>("methods");
    let upstream = section.get::<String>("upstream");
    let timeout = positive(section, "timeout");
    let max_body = section.get::<ByteSize>("max_body");
    let stream_idle_timeout = match section.optional("stream_idle_timeout") {
        Some(Some(_)) => positive(section, "stream_idle_timeout").map(Some),
        absent => absent,
    };
    let compress = section.get_or("compress", true);
    let headers = section.optional_section("headers", headers::read);

    let (name, paths, methods, upstream) = (name?, paths?, methods?, upstream?);
    let is_label =
        !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'));
    if !is_label || name == NO_ROUTE {
        section.complain("name", format!("use letters, digits, `-` and `_`; `{NO_ROUTE}` is taken"), None);
    }
    if paths.is_empty() {
        section.complain("paths", "a route needs a path", Some("`/*` takes every path"));
    }
    if methods.is_empty() {
        section.complain("methods", "a route needs a method", None);
    }
    if let Some(known) = upstreams
        && !known.iter().any(|name| **name == *upstream)
    {
        let help = format!("known are: {}", known.join(", "));
        section.complain("upstream", format!("there is no upstream `{upstream}`"), Some(&help));
    }
    let (headers, base) = (headers?, base?);
    let policy = headers.map_or_else(|| base.policy(), |own| own.over(base).policy());
    Some(RouteRule {
        name: name.into(),
        hosts: hosts?,
        paths,
        methods: Methods::new(methods.into_iter().map(|RouteMethod(method)| method).collect()),
        upstream: upstream.into(),
        timeout: timeout?,
        max_body: max_body?.0,
        stream_idle_timeout: stream_idle_timeout?,
        compress: compress?,
        responses: Arc::new(policy),
    })
}
