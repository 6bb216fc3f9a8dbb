//! Each section: what it takes, and what it says about what it does not take.

use std::path::PathBuf;

use super::*;

fn load_text(environment: Environment, text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("folder");
    let path: PathBuf = folder.path().join("gateway.toml");
    std::fs::write(&path, text).expect("written");
    let arguments = ConfigArgs { config: Some(path), environment };
    load_with(&arguments, &variables).map_err(|report| report.to_string())
}

fn mistakes(text: &str) -> String {
    load_text(Environment::Development, text, &[]).expect_err("mistakes")
}

/// A file that makes staging and production whole.
const SERVED: &str = "hosts.trusted = [\"todo.example.org\"]\n[[tls.certificates]]\nchain = \"c\"\nkey = \"k\"\n";

#[test]
fn development_needs_nothing_and_the_others_need_to_be_told_who_they_are() {
    assert!(load_text(Environment::Development, "", &[]).is_ok());
    for environment in [Environment::Staging, Environment::Production] {
        let report = load_text(environment, "", &[]).expect_err("incomplete");
        assert!(report.contains("`hosts.trusted`") && report.contains("`tls.certificates`"), "{report}");
        load_text(environment, SERVED, &[]).expect("complete");
    }
}

#[test]
fn production_refuses_what_is_not_safe_on_the_internet() {
    for (text, key) in [
        ("hosts.trusted = [\"*\"]", "hosts.trusted"),
        ("tls.local_authority = true", "tls.local_authority"),
        ("log.level = \"debug\"", "log.level"),
        ("listen.http_action = \"proxy\"", "listen.http_action"),
    ] {
        assert!(load_text(Environment::Development, text, &[]).is_ok(), "{text}");
        let report = load_text(Environment::Production, text, &[]).expect_err("refused");
        assert!(report.contains(key), "{report}");
    }
}

#[test]
fn production_serves_plain_http_behind_its_own_balancer_only() {
    let proxies = "client_address.trusted_proxies = [\"10.0.0.0/8\"]\nlisten.http_action = \"proxy\"\n";
    load_text(Environment::Production, &format!("{proxies}{SERVED}"), &[]).expect("a balancer that is trusted");
}

#[test]
fn every_mistake_is_shown_in_one_run_with_its_place() {
    let report = mistakes("[server]\ndrain_timeuot = \"1s\"\n[listen]\nhttps = 8443\n[tls]\nmin_version = \"1.1\"\n");
    for part in [
        "gateway.toml:2:1",
        "unknown key `server.drain_timeuot`",
        "did you mean `drain_timeout`?",
        "gateway.toml:4:9",
        "`listen.https`: expected an address",
        "gateway.toml:6:15",
        "older versions are broken",
        "3 mistakes",
    ] {
        assert!(report.contains(part), "{part} in\n{report}");
    }
}

#[test]
fn each_section_refuses_values_without_meaning() {
    for (text, message) in [
        ("server.threads = 0", "at least one thread"),
        ("server.drain_timeout = 5", "expected a duration"),
        ("listen.redirect_port = 0", "not a port"),
        ("listen.http_action = \"serve\"", "expected `redirect` or `proxy`"),
        ("listen = {https = \"127.0.0.1:1\", http = \"127.0.0.1:1\"}", "the same address"),
        ("tls.local_authority = false", "no certificate to serve"),
        ("tls.certificates = [{chain = \"c\"}]", "`tls.certificates.key`: is missing"),
        ("connections.max = 0", "at least 1"),
        ("connections.idle_timeout = \"0s\"", "more than zero"),
        ("connections.max_head = \"1MiB\"", "256B to 512KiB"),
        ("connections.max_target = \"64KiB\"", "a part"),
        ("connections.max_fields = 300", "256 or less"),
        ("hosts.trusted = [\"http://a\"]", "is not a host"),
        ("hosts.trusted = []", "no host is served"),
        ("hosts.on_untrusted = \"ignore\"", "expected `refuse` or `drop`"),
        ("client_address.trusted_proxies = [\"10.0.0.0/33\"]", "is not a network"),
        ("client_address.trusted_proxies = [\"0.0.0.0/0\"]", "lets clients invent"),
        ("client_address.field = \"x-real-ip\"", "expected `x-forwarded-for`"),
        ("headers.frame_options = \"ALLOW\"", "is not one of DENY"),
        ("headers.content_security_policy = \"default-src none\"", "single quotes"),
        ("cors.allowed_origins = [\"https://a.example/\"]", "as browsers do"),
        ("cors.allowed_origins = [\"https://a.example:443\"]", "browsers leave out"),
        ("cors.allowed_origins = [\"null\"]", "cannot be told from a stranger"),
        ("cors.allowed_origins = [\"*\", \"https://a.example\"]", "the others mean nothing"),
        ("cors = {allowed_origins = [\"*\"], credentials = true}", "cannot take credentials"),
        ("cors.allowed_headers = [\"*\"]", "not the name of a header field"),
        ("cors.exposed_headers = [\"a b\"]", "not the name of a header field"),
        ("cors.max_age = \"25h\"", "24h or less"),
        ("compression.codings = [\"deflate\"]", "expected `zstd`, `br` or `gzip`"),
        ("compression.codings = [\"br\", \"br\"]", "stands there twice"),
        ("compression.types = [\"text\"]", "is not a media type"),
        ("compression.types = [\"text/event-stream\"]", "events are never compressed"),
        ("compression.zstd_level = 8", "from 1 to 7"),
        ("compression.br_level = 0", "from 1 to 6"),
        ("compression.gzip_level = 10", "from 1 to 9"),
        ("compression.max_concurrent = 0", "at least 1"),
        ("routes = []", "there is no route"),
        ("upstreams.api.addresses = []", "needs an address"),
        ("upstreams.api.addresses = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "stands there twice"),
        ("upstreams.api.addresses = [\"localhost\"]", "expected an address or a name with a port"),
        ("upstreams.api.health_path = \"readyz\"", "is not a path"),
        ("upstreams.api.panic_threshold = 101", "percentage"),
        ("upstreams.api.healthy_after = 0", "at least 1"),
        ("log.format = \"xml\"", "expected `human` or `json`"),
        ("log.level = \"loud=loud=\"", "expected a level"),
        ("access_log.output = \"\"", "expected `stdout`"),
        ("access_log.safe_query = \"limit\"", "expected a list"),
        ("admin.listen = \"0.0.0.0:9901\"", "must stay on loopback"),
        ("reload.watch = \"yes\"", "expected `true` or `false`"),
        ("nonsense = 1", "unknown key `nonsense`"),
        ("upstreams.api.adresses = []", "did you mean `addresses`?"),
    ] {
        let report = mistakes(text);
        assert!(report.contains(message), "{text}: {report}");
    }
}

/// A route with this text in it, beside an upstream that is there.
fn route(text: &str) -> String {
    format!(
        "[[routes]]\nname = \"r\"\nmethods = [\"GET\"]\nupstream = \"api\"\ntimeout = \"1s\"\nmax_body = \"0B\"\n{text}\n"
    )
}

#[test]
fn routes_are_checked_alone_and_together() {
    load_text(Environment::Development, &route("paths = [\"/*\"]"), &[]).expect("a route");
    for (text, message) in [
        (route(""), "a route needs a path"),
        (route("paths = [\"v1\"]"), "is not a path"),
        (route("paths = [\"/\"]\nhosts = [\"a b\"]"), "is not a host"),
        (route("paths = [\"/\"]").replace("GET", "TRACE"), "no method that a route takes"),
        (route("paths = [\"/\"]").replace("\"api\"", "\"apo\""), "there is no upstream `apo`"),
        (route("paths = [\"/\"]").replace("\"r\"", "\"none\""), "`none` is taken"),
        (route("paths = [\"/\"]\nstream_idle_timeout = \"0s\""), "more than zero"),
        (route("paths = [\"/\"]\ncompress = \"no\""), "expected `true` or `false`"),
        (route("paths = [\"/\"]").repeat(2), "two routes are called `r`"),
        (
            route("paths = [\"/\"]") + &route("paths = [\"/\"]").replace("\"r\"", "\"s\""),
            "routes `r` and `s` both take GET /",
        ),
        (route("paths = [\"/\"]\n[routes.headers]\nframe_options = \"no\""), "is not one of DENY"),
    ] {
        let report = mistakes(&text);
        assert!(report.contains(message), "{text}: {report}");
    }
}

#[test]
fn a_routes_headers_stand_above_the_general_ones_and_empty_leaves_a_field_alone() {
    let text = route("paths = [\"/\"]\n[routes.headers]\nframe_options = \"SAMEORIGIN\"\nreferrer_policy = \"\"");
    let config = load_text(Environment::Development, &text, &[]).expect("good");
    let fields: Vec<_> = config.routes[0].responses.fields(true).collect();
    assert!(fields.iter().any(|(name, value)| name == "x-frame-options" && *value == "SAMEORIGIN"));
    assert!(fields.iter().any(|(name, value)| name == "x-content-type-options" && *value == "nosniff"));
    assert!(!fields.iter().any(|(name, _)| name == "referrer-policy"));
}

#[test]
fn variables_stand_above_files_and_reach_upstreams_by_name() {
    let variables =
        [("TODO_GATEWAY__UPSTREAMS__API__ADDRESSES", "127.0.0.1:1,127.0.0.1:2"), ("TODO_GATEWAY__LISTEN__HTTP", "")];
    let config = load_text(Environment::Development, "listen.http = \"127.0.0.1:9\"", &variables).expect("good");
    assert_eq!(config.upstreams[0].addresses.len(), 2);
    assert_eq!(config.listen.http, None);
}

#[test]
fn an_upstream_of_ones_own_has_the_documented_defaults() {
    let text = "upstreams.second.addresses = [\"127.0.0.1:8000\"]";
    let config = load_text(Environment::Development, text, &[]).expect("good");
    let [api, second] = config.upstreams.as_slice() else { panic!("two upstreams") };
    assert_eq!(UpstreamRule { name: "api".into(), ..second.clone() }, *api);
}

#[test]
fn keys_read_at_start_up_are_named_and_not_applied() {
    let load = |text| load_text(Environment::Development, text, &[]).expect("good");
    let started = load("");
    assert_eq!(load("").keep_started(&started), [""; 0]);
    let mut changed = load(
        "listen.https = \"127.0.0.1:1\"\nadmin.listen = \"127.0.0.1:2\"\nadmin.token = \"0123456789abcdef0123456789abcdef\"\nserver.drain_timeout = \"1s\"",
    );
    assert_eq!(changed.keep_started(&started), ["listen.https", "admin.listen", "admin.token"]);
    assert_eq!((&changed.listen, changed.admin.listen), (&started.listen, started.admin.listen));
    assert!(changed.admin.token.is_none());
    assert_eq!(changed.listen.redirect_port(), 8443);
    assert_ne!(changed.server, started.server, "what can be applied is");
}
