//! The gateway's keys: each changed, and seen to matter.
//!
//! One long file, because it is one table: a key is looked up here by its name, and its proof stands below.

use std::{
    fs,
    io::Read as _,
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use todo_tests::{
    client::Client,
    h2_frames::{Frame, Http2, code, kind},
    origin::{Origin, ok},
    ports,
    process::{Signal, tier},
    raw::{connect_tls, exchange, read_answer, tls_config},
    stack::Gateway,
    stage::Stage,
    wait::eventually,
};
use tokio::io::AsyncWriteExt as _;

mod upstreams;
use upstreams::{
    ejection, ejection_time, failure_rate, max_connection_age, resolver, retries, retry_budget, slow_ejection,
    slow_start, try_timeout, upstream_tls,
};

use crate::{
    bounds,
    config::{PATIENCE, Row, TOKEN, metrics_need_the_token, rows, weak_tokens_are_refused},
    service::Services,
};

pub(super) fn rows() -> Vec<Row> {
    rows! { "gateway";
        ["server.threads"] => threads,
        ["server.stop_delay"] => stop_delay,
        ["server.idle_grace"] => idle_grace,
        ["server.drain_timeout"] => drain_timeout,
        ["server.upgrade_socket"] => upgrade_socket,
        ["server.upgrade_timeout"] => upgrade_timeout,
        ["listen.https", "listen.http", "listen.redirect_port"] => listeners,
        ["listen.proxy_protocol", "listen.proxy_sources"] => proxy_protocol,
        ["listen.http_action"] => http_action,
        ["tls.min_version", "tls.profile"] => min_version,
        ["tls.cipher_suites", "tls.groups"] => suites_and_groups,
        ["tls.ticket_keys"] => ticket_keys,
        ["tls.local_authority", "tls.directory"] => local_authority,
        ["tls.certificates.chain", "tls.certificates.key"] => certificates,
        ["connections.handshake_timeout"] => handshake_timeout,
        ["connections.idle_timeout"] => idle_timeout,
        ["connections.head_timeout"] => head_timeout,
        ["connections.body_timeout", "connections.min_rate"] => body_timeout,
        ["connections.write_timeout"] => write_timeout,
        ["connections.max_age"] => max_age,
        ["connections.max"] => max_connections,
        ["connections.max_per_address"] => max_per_address,
        ["connections.max_per_network", "connections.network_prefix_v4"] => max_per_network,
        ["connections.network_prefix_v6"] => network_prefix_v6,
        ["connections.max_handshakes", "connections.max_handshakes_per_address"] => max_handshakes,
        ["connections.max_streams"] => max_streams,
        ["connections.max_control_frames"] => max_control_frames,
        ["connections.max_resets"] => max_resets,
        ["overload.max_memory", "overload.max_descriptors"] => overload,
        ["connections.max_head", "connections.max_fields", "connections.max_target"] => head_bounds,
        ["hosts.trusted", "hosts.on_untrusted"] => hosts,
        ["client_address.trusted_proxies", "client_address.field"] => client_address,
        [
            "headers.strict_transport_security", "headers.content_security_policy", "headers.content_type_options",
            "headers.frame_options", "headers.referrer_policy", "headers.permissions_policy",
            "headers.cross_origin_opener_policy", "headers.cross_origin_resource_policy",
        ] => headers,
        ["cors.allowed_origins", "cors.allowed_headers", "cors.exposed_headers", "cors.max_age"] => cors,
        ["cors.credentials"] => cors_credentials,
        ["compression.codings", "compression.types", "compression.min_size"] => compression,
        ["compression.zstd_level", "compression.br_level", "compression.gzip_level"] => compression_levels,
        ["compression.max_concurrent"] => compression_bound,
        ["routes.name", "routes.hosts", "routes.paths", "routes.methods", "routes.upstream"] => routes,
        ["routes.timeout"] => route_timeout,
        ["routes.max_body"] => route_body,
        ["routes.stream_idle_timeout"] => route_stream,
        ["routes.compress"] => route_compress,
        ["routes.headers.content_security_policy"] => route_headers,
        ["upstreams.api.addresses"] => addresses,
        ["upstreams.api.connect_timeout"] => connect_timeout,
        ["upstreams.api.idle_timeout"] => upstream_idle_timeout,
        ["upstreams.api.max_connection_age"] => max_connection_age,
        ["upstreams.api.try_timeout"] => try_timeout,
        ["upstreams.api.retries"] => retries,
        ["upstreams.api.retry_percent", "upstreams.api.retry_floor"] => retry_budget,
        ["upstreams.api.eject_after", "upstreams.api.eject_max_percent"] => ejection,
        [
            "upstreams.api.eject_failure_percent", "upstreams.api.eject_interval", "upstreams.api.eject_min_requests",
        ] => failure_rate,
        ["upstreams.api.eject_slow_factor", "upstreams.api.eject_slow_floor"] => slow_ejection,
        ["upstreams.api.eject_time", "upstreams.api.eject_max_time"] => ejection_time,
        ["upstreams.api.slow_start"] => slow_start,
        [
            "upstreams.api.tls.enabled", "upstreams.api.tls.server_name", "upstreams.api.tls.authority",
            "upstreams.api.tls.certificate", "upstreams.api.tls.key",
        ] => upstream_tls,
        ["resolver.servers", "resolver.min_ttl", "resolver.max_ttl", "resolver.timeout"] => resolver,
        ["upstreams.api.health_path"] => health_path,
        ["upstreams.api.health_interval"] => health_interval,
        ["upstreams.api.health_timeout"] => health_timeout,
        ["upstreams.api.healthy_after", "upstreams.api.unhealthy_after"] => health_thresholds,
        ["upstreams.api.panic_threshold"] => panic_threshold,
        ["log.format", "log.level"] => log,
        ["access_log.format", "access_log.output"] => access_log,
        ["access_log.safe_query"] => safe_query,
        ["admin.listen", "admin.token"] => admin,
        ["reload.watch"] => watch,
    }
}

/// A gateway in front of an origin, in a folder that lives as long as it.
struct Edge {
    gateway: Gateway,
    client: Client,
    origin: Origin,
    folder: TempDir,
}

async fn edge(extra: &str) -> Edge {
    let origin = Origin::plain().await.unwrap();
    edge_before(origin, extra).await
}

async fn edge_before(origin: Origin, extra: &str) -> Edge {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[origin.port], extra).await.unwrap();
    let client = gateway.client().unwrap();
    Edge { gateway, client, origin, folder }
}

/// Raw octets over TLS, read until the gateway closes.
async fn raw(gateway: &Gateway, octets: &str) -> todo_tests::raw::Answer {
    let config = Arc::new(tls_config(&gateway.ca(), &["http/1.1"]).unwrap());
    let mut stream = connect_tls(config, gateway.https_port, "localhost").await.unwrap();
    let answer = exchange(&mut stream, octets.as_bytes()).await.unwrap();
    read_answer(&mut answer.as_slice(), false).await.unwrap()
}

/// How long a peer keeps a silent TCP connection open.
async fn closes_after(port: u16) -> Duration {
    let start = Instant::now();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let end = tokio::task::spawn_blocking(move || {
        TcpStream::connect(address).and_then(|mut stream| stream.read_to_end(&mut Vec::new()))
    });
    end.await.unwrap().unwrap();
    start.elapsed()
}

async fn threads(_: &Services) {
    let count = async |threads: u32| {
        let edge = edge(&format!("[server]\nthreads = {threads}\n")).await;
        edge.client.get("/v1/x").await.expect(200);
        fs::read_dir(format!("/proc/{}/task", edge.gateway.process.id())).unwrap().count()
    };
    assert!(count(9).await >= count(1).await + 8);
}

async fn stop_delay(_: &Services) {
    let mut edge = edge("[server]\nstop_delay = \"10min\"\n").await;
    edge.client.get("/v1/x").await.expect(200);
    edge.gateway.process.signal(Signal::Terminate);
    let admin = edge.gateway.admin().unwrap();
    eventually("readiness to say no", PATIENCE, async || (admin.get("/readyz").await.status == 503).then_some(()))
        .await;
    // Whoever has not noticed is served, on kept connections and on new ones; over HTTP/1 it is told not to keep any.
    edge.client.get("/v1/x").await.expect(200);
    edge.gateway.client().unwrap().get("/v1/x").await.expect(200);
    let answer = raw(&edge.gateway, "GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    let answer = raw(&edge.gateway, "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(
        (answer.status, answer.field("connection")),
        (404, Some("close")),
        "also what the gateway answers itself"
    );
    let start = Instant::now();
    assert!(edge.gateway.process.stop(Signal::Interrupt).await.success(), "a second signal ends the delay");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());

    let mut short = self::edge("[server]\nstop_delay = \"500ms\"\n").await;
    let start = Instant::now();
    assert!(short.gateway.process.stop(Signal::Terminate).await.success());
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
    TcpStream::connect(("127.0.0.1", short.gateway.https_port)).expect_err("nobody listens");
}

async fn idle_grace(_: &Services) {
    let mut patient = edge("[server]\nidle_grace = \"10min\"\n").await;
    let config = Arc::new(tls_config(&patient.gateway.ca(), &["http/1.1"]).unwrap());
    let mut idle = connect_tls(config, patient.gateway.https_port, "localhost").await.unwrap();
    let request = b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
    idle.write_all(request).await.unwrap();
    assert_eq!(read_answer(&mut idle, false).await.unwrap().field("connection"), Some("keep-alive"));
    patient.gateway.process.signal(Signal::Terminate);
    eventually("nobody to listen", PATIENCE, async || {
        TcpStream::connect(("127.0.0.1", patient.gateway.https_port)).is_err().then_some(())
    })
    .await;
    idle.write_all(request).await.unwrap();
    let answer = read_answer(&mut idle, false).await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert!(patient.gateway.process.wait(PATIENCE).await.success(), "nothing is left to wait for");

    let edge = edge("[server]\nidle_grace = \"3s\"\n").await;
    let config = Arc::new(tls_config(&edge.gateway.ca(), &["http/1.1"]).unwrap());
    let mut idle = connect_tls(config, edge.gateway.https_port, "localhost").await.unwrap();
    idle.write_all(request).await.unwrap();
    assert_eq!(read_answer(&mut idle, false).await.unwrap().status, 200);
    let start = Instant::now();
    edge.gateway.process.signal(Signal::Terminate);
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut idle, &mut Vec::new()).await;
    assert!(start.elapsed() >= Duration::from_secs(3), "the default is 1 s");
}

async fn upgrade_socket(_: &Services) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("upgrade.sock");
    let mut edge = edge(&format!("[server]\nupgrade_socket = \"{}\"\n", socket.display())).await;
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // What a killed process leaves is in nobody's way; what is no socket is not touched.
    edge.gateway.process.stop(Signal::Kill).await;
    assert!(socket.exists());
    edge.gateway.restart().await.unwrap();
    edge.client.get("/v1/x").await.expect(200);
    edge.gateway.process.stop(Signal::Terminate).await;
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "somebody's").unwrap();
    let error = edge.gateway.restart().await.expect_err("no socket").to_string();
    assert!(error.contains("server.upgrade_socket") && error.contains("no socket"), "{error}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "somebody's");
}

async fn upgrade_timeout(_: &Services) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("upgrade.sock");
    let settings = format!("[server]\nupgrade_socket = \"{}\"\nupgrade_timeout = \"300ms\"\n", socket.display());
    let edge = edge(&settings).await;
    // One that asks for the sockets and says nothing more.
    let mut silent = tokio::net::UnixStream::connect(&socket).await.unwrap();
    let start = Instant::now();
    let mut heard = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut heard).await;
    assert!(start.elapsed() < Duration::from_secs(30), "the default is a minute");
    assert_eq!(heard.last(), Some(&b'G'), "it is told that it was given up");
    edge.client.get("/v1/x").await.expect(200);
}

async fn drain_timeout(_: &Services) {
    let never = Origin::start(async |_| std::future::pending::<String>().await).await.unwrap();
    let mut edge = edge_before(never, "[server]\ndrain_timeout = \"300ms\"\n").await;
    let client = edge.client.clone();
    let waiting = tokio::spawn(async move { client.send("GET", "/v1/x", &[], None).await });
    eventually("the request to arrive", PATIENCE, async || (edge.origin.requests().len() == 1).then_some(())).await;
    let start = Instant::now();
    edge.gateway.process.stop(Signal::Terminate).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}: the default is 30 s", start.elapsed());
    let _ = waiting.await.unwrap();
}

async fn listeners(_: &Services) {
    let port = ports::free().unwrap();
    let edge = edge("[listen]\nredirect_port = 4433\n").await;
    let redirect = Client::http(edge.gateway.http_port)
        .unwrap()
        .send("GET", "/v1/x", &[("host", "localhost")], None)
        .await
        .unwrap();
    assert_eq!(redirect.header("location"), Some("https://localhost:4433/v1/x"));
    // Without a plain listener nothing answers there; the others moved with the file to where this test finds them.
    let mut edge = edge;
    edge.gateway.process.stop(Signal::Terminate).await;
    edge.gateway.reconfigure(&format!("[listen]\nhttp = \"\"\nhttps = \"127.0.0.1:{port}\"\n")).unwrap();
    edge.gateway.restart().await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", edge.gateway.http_port)).is_err());
    Client::https(port, &edge.gateway.ca()).unwrap().get("/v1/x").await.expect(200);
}

async fn proxy_protocol(_: &Services) {
    let required = |sources: &str| format!("[listen]\nproxy_protocol = \"require\"\nproxy_sources = [\"{sources}\"]\n");
    for (text, expected) in [
        ("[listen]\nproxy_protocol = \"maybe\"\n".to_owned(), "expected \"off\" or \"require\""),
        ("[listen]\nproxy_protocol = \"require\"\n".to_owned(), "nobody could connect"),
        (required("::/0"), "invent their address"),
    ] {
        let (code, said) = super::check("todo-gateway", Some(&text), "development", &[]);
        assert!(code == Some(1) && said.contains(expected), "{said}");
    }
    let binary = |block: &[u8]| {
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0".as_slice(), &[u8::try_from(block.len()).unwrap()], block].concat()
    };
    let v4 = [192, 0, 2, 77, 127, 0, 0, 1, 1, 2, 3, 4];
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    let line = b"PROXY TCP6 2001:db8::77 ::1 4711 443\r\n".to_vec();
    let edge = edge(&(required("127.0.0.0/8") + "[connections]\nhead_timeout = \"300ms\"\n")).await;
    for (header, client) in [
        (line, "2001:db8::77"),
        (binary(&v4), "192.0.2.77"),
        (binary(&[&v4[..], &[4, 0, 1, 9]].concat()), "192.0.2.77"),
        (local, "127.0.0.1"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", edge.gateway.https_port)).await.unwrap();
        stream.write_all(&header).await.unwrap();
        let config = Arc::new(tls_config(&edge.gateway.ca(), &["http/1.1"]).unwrap());
        let mut stream = todo_tests::raw::shake_hands(config, stream, "localhost").await.unwrap();
        let path = format!("/v1/{}", header.len());
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = exchange(&mut stream, request.as_bytes()).await.unwrap();
        assert_eq!(read_answer(&mut answer.as_slice(), false).await.unwrap().status, 200);
        let line = eventually("the log line", PATIENCE, async || {
            edge.gateway.access_log().into_iter().find(|line| line["path"] == path)
        });
        assert_eq!(line.await["client"], client);
    }
    // The plain listener asks for it, too.
    let mut plain = tokio::net::TcpStream::connect(("127.0.0.1", edge.gateway.http_port)).await.unwrap();
    let request =
        b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(exchange(&mut plain, request).await.unwrap().starts_with(b"HTTP/1.1 308"));

    let closed = async |edge: &Edge, reason: &str| {
        eventually(reason, PATIENCE, async || {
            let metrics = edge.gateway.admin().unwrap().get("/metrics").await.text;
            let is_counted = metrics.contains(&format!("gateway_connections_closed_total{{reason=\"{reason}\"}} 1"));
            let is_logged = edge.gateway.access_log().iter().any(|line| line["reason"] == reason);
            (is_counted && is_logged).then_some(())
        })
        .await;
    };
    // Without a header, TLS has nothing to begin with.
    connect_tls(Arc::new(tls_config(&edge.gateway.ca(), &[]).unwrap()), edge.gateway.https_port, "localhost")
        .await
        .expect_err("no header");
    closed(&edge, "proxy_header_invalid").await;
    assert!(closes_after(edge.gateway.https_port).await < Duration::from_secs(8), "the default is 10 s");
    closed(&edge, "head_timeout").await;
    // Who is not one of the balancers is not believed, whatever it sends.
    let strict = self::edge(&required("192.0.2.0/24")).await;
    let mut stranger = tokio::net::TcpStream::connect(("127.0.0.1", strict.gateway.http_port)).await.unwrap();
    let octets = exchange(&mut stranger, request).await.unwrap_or_default();
    assert!(octets.is_empty(), "{octets:?}");
    closed(&strict, "proxy_header_invalid").await;
}

async fn http_action(_: &Services) {
    let edge = edge("[listen]\nhttp_action = \"proxy\"\n").await;
    let plain = Client::http(edge.gateway.http_port).unwrap();
    let ask = async || {
        let fields = [("host", "localhost"), ("x-forwarded-proto", "https")];
        plain.send("GET", "/v1/x", &fields, None).await.unwrap()
    };
    let served = ask().await.expect(200);
    assert_eq!((served.text.as_str(), edge.origin.last().field("x-forwarded-proto")), ("hello", Some("http")));
    assert!(!served.headers.contains_key("strict-transport-security"), "RFC 6797 7.2");
    // A balancer that is trusted says how it is spoken to.
    edge.gateway.reconfigure("[client_address]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").unwrap();
    eventually("the balancer to be believed", PATIENCE, async || {
        let secure = ask().await.expect(200).headers.contains_key("strict-transport-security");
        (secure && edge.origin.last().field("x-forwarded-proto") == Some("https")).then_some(())
    })
    .await;
    edge.gateway.reconfigure("[listen]\nhttp_action = \"redirect\"\n").unwrap();
    eventually("the redirect", PATIENCE, async || (ask().await.status == 308).then_some(())).await;
}

/// A client of nothing but this version.
fn only(version: &'static rustls::SupportedProtocolVersion, ca: &Path) -> Arc<rustls::ClientConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_protocol_versions(&[version]);
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn min_version(_: &Services) {
    for extra in ["min_version = \"1.3\"", "profile = \"modern\""] {
        let edge = edge(&format!("[tls]\n{extra}\n")).await;
        edge.client.get("/v1/x").await.expect(200);
        let old = only(&rustls::version::TLS12, &edge.gateway.ca());
        connect_tls(old, edge.gateway.https_port, "localhost").await.expect_err("TLS 1.2 is off");
    }
    let usual = edge("").await;
    let old = only(&rustls::version::TLS12, &usual.gateway.ca());
    connect_tls(old, usual.gateway.https_port, "localhost").await.unwrap();
}

async fn suites_and_groups(_: &Services) {
    let chosen =
        "cipher_suites = [\"TLS_CHACHA20_POLY1305_SHA256\", \"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256\"]\n";
    let edge = edge(&format!("[tls]\n{chosen}groups = [\"secp384r1\"]\n")).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = only(version, &edge.gateway.ca());
        let stream = connect_tls(client, edge.gateway.https_port, "localhost").await.unwrap();
        let session = stream.get_ref().1;
        let suite = session.negotiated_cipher_suite().unwrap().suite();
        assert!(suite.as_str().unwrap().contains("CHACHA20"), "{suite:?}");
        assert_eq!(session.negotiated_key_exchange_group().unwrap().name(), rustls::NamedGroup::secp384r1);
    }
    for (text, expected) in [
        ("cipher_suites = [\"TLS_RSA_WITH_AES_128_CBC_SHA\"]", "is none of"),
        ("cipher_suites = [\"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"]", "no suite of TLS 1.3"),
        ("cipher_suites = [\"TLS_AES_128_GCM_SHA256\"]", "no suite of TLS 1.2"),
        ("groups = [\"X25519MLKEM768\"]", "no group of TLS 1.2"),
        ("groups = [\"x448\"]", "is none of"),
        ("profile = \"old\"", "expected \"intermediate\""),
    ] {
        let (code, said) = super::check("todo-gateway", Some(&format!("[tls]\n{text}\n")), "development", &[]);
        assert!(code == Some(1) && said.contains(expected), "{said}");
    }
    let modern = "[tls]\nprofile = \"modern\"\ncipher_suites = [\"TLS_AES_128_GCM_SHA256\"]\ngroups = [\"x25519\"]\n";
    let (code, said) = super::check("todo-gateway", Some(modern), "development", &[]);
    assert_eq!(code, Some(0), "{said}");
}

/// How sessions are resumed with them is in `renewal`.
async fn ticket_keys(_: &Services) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ticket.keys");
    let text = format!("[tls]\nticket_keys = \"{}\"\n", file.display());
    let (code, said) = super::check("todo-gateway", Some(&text), "development", &[]);
    assert!(code == Some(1) && said.contains("cannot be read"), "{said}");
    let ended = "2026-01-01T00:00:00Z 2026-01-02T00:00:00Z MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";
    fs::write(&file, ended).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = super::check("todo-gateway", Some(&text), "development", &[]);
    assert!(code == Some(0) && said.contains("no ticket key") && said.contains("open to other users"), "{said}");
    assert!(!said.contains("MDEy"), "{said}");
}

async fn local_authority(_: &Services) {
    let edge = edge("").await;
    for file in ["ca.pem", "ca.key", "server.pem", "server.key"] {
        assert!(edge.folder.path().join("tls").join(file).is_file(), "{file}");
    }
    let metrics = edge.gateway.admin().unwrap().get("/metrics").await.expect(200).text;
    assert!(metrics.contains("gateway_certificate_not_after_timestamp_seconds{name=\"localhost\"}"), "{metrics}");
    let empty = tempfile::tempdir().unwrap();
    let mut check = tier("todo-gateway").unwrap();
    let output = check.arg("check").env("TODO_GATEWAY__TLS__DIRECTORY", empty.path().join("tls")).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "a check writes nothing");
    let output =
        tier("todo-gateway").unwrap().arg("check").env("TODO_GATEWAY__TLS__LOCAL_AUTHORITY", "false").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "nothing to serve TLS with");
}

async fn certificates(_: &Services) {
    // Another gateway's local authority serves as the operator's.
    let other = edge("").await;
    let theirs = other.folder.path().join("tls");
    let own = |chain: &Path, key: &Path| {
        format!(
            "[tls]\nlocal_authority = false\n[[tls.certificates]]\nchain = \"{}\"\nkey = \"{}\"\n",
            chain.display(),
            key.display()
        )
    };
    let origin = Origin::plain().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pair = own(&theirs.join("server.pem"), &theirs.join("server.key"));
    let gateway = Gateway::start(folder.path(), &[origin.port], &pair).await.unwrap();
    Client::https(gateway.https_port, &theirs.join("ca.pem")).unwrap().get("/v1/x").await.expect(200);
    // A key that others can read is a warning, and two broken pairs are told at once.
    let key = folder.path().join("open.key");
    fs::copy(theirs.join("server.key"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let check = |text: String| {
        let file = folder.path().join("checked.toml");
        fs::write(&file, text).unwrap();
        let output = tier("todo-gateway").unwrap().args(["check", "--config"]).arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, warning) = check(own(&theirs.join("server.pem"), &key));
    assert!(code == Some(0) && warning.contains("warning: ") && warning.contains("open.key"), "{warning}");
    let second = "[[tls.certificates]]\nchain = \"second.pem\"\nkey = \"second.key\"\n";
    let (code, text) = check(own(Path::new("first.pem"), Path::new("first.key")) + second);
    assert_eq!(code, Some(1));
    assert!(["first.pem", "first.key", "second.pem", "second.key"].iter().all(|file| text.contains(file)), "{text}");
    // A key of another pair, a file that is not there, a file that is no certificate: each is one clear sentence.
    for (chain, key) in [
        ("server.pem", "ca.key"),
        ("missing.pem", "server.key"),
        ("server.key", "server.key"),
        ("server.pem", "server.pem"),
    ] {
        let file = folder.path().join("bad.toml");
        fs::write(&file, own(&theirs.join(chain), &theirs.join(key))).unwrap();
        let output = tier("todo-gateway").unwrap().args(["check", "--config"]).arg(&file).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{chain} {key}: {text}");
        assert!(text.contains(chain) || text.contains(key), "{text}");
    }
}

async fn handshake_timeout(_: &Services) {
    let edge = edge("[connections]\nhandshake_timeout = \"200ms\"\n").await;
    assert!(closes_after(edge.gateway.https_port).await < Duration::from_secs(8), "the default is 10 s");
}

async fn idle_timeout(_: &Services) {
    let edge = edge("[connections]\nidle_timeout = \"200ms\"\n").await;
    assert!(closes_after(edge.gateway.http_port).await < Duration::from_secs(30), "the default is 60 s");
}

async fn head_timeout(_: &Services) {
    let edge = edge("[connections]\nhead_timeout = \"200ms\"\n").await;
    let start = Instant::now();
    let answer = raw(&edge.gateway, "GET / HTTP/1.1\r\nHo").await;
    assert_eq!((answer.status, &answer.json()["code"]), (408, &json!("request_timeout")));
    assert!(start.elapsed() < Duration::from_secs(8), "the default is 10 s");
}

/// Opens two connections to the plain listener; whether both are served.
async fn two_are_served(edge: &Edge) -> bool {
    let mut first = tokio::net::TcpStream::connect(("127.0.0.1", edge.gateway.http_port)).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    first.write_all(request).await.unwrap();
    assert_eq!(read_answer(&mut first, false).await.unwrap().status, 308);
    let mut second = tokio::net::TcpStream::connect(("127.0.0.1", edge.gateway.http_port)).await.unwrap();
    let _ = second.write_all(request).await;
    read_answer(&mut second, false).await.is_ok()
}

async fn max_connections(_: &Services) {
    let bounded = edge("[connections]\nmax = 1\n").await;
    assert!(!two_are_served(&bounded).await);
    assert!(two_are_served(&edge("").await).await);
}

async fn max_per_address(_: &Services) {
    let bounded = edge("[connections]\nmax_per_address = 1\n").await;
    assert!(!two_are_served(&bounded).await);
}

async fn body_timeout(_: &Services) {
    // A KiB every now and then: a pause of this length is no time out, and whether it is paid for depends on the rate.
    let trickle = async |rate: &str| {
        let edge = edge(&format!("[connections]\nbody_timeout = \"500ms\"\nmin_rate = \"{rate}\"\n")).await;
        let config = Arc::new(tls_config(&edge.gateway.ca(), &["http/1.1"]).unwrap());
        let stream = connect_tls(config, edge.gateway.https_port, "localhost").await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let head = "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n";
        writer.write_all(head.as_bytes()).await.unwrap();
        let trickling = async {
            let mut pauses = tokio::time::interval(Duration::from_millis(30));
            for _ in 0..64 {
                pauses.tick().await;
                if writer.write_all(&[b'a'; 1024]).await.is_err() || writer.flush().await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = read_answer(&mut reader, false) => answer.unwrap(),
            () = trickling => unreachable!(),
        }
    };
    let slow = trickle("1GiB").await;
    assert_eq!((slow.status, &slow.json()["code"]), (408, &json!("request_timeout")));
    assert_eq!(trickle("1KiB").await.status, 200);
    // One that stops altogether.
    let edge = edge("[connections]\nbody_timeout = \"200ms\"\n").await;
    let start = Instant::now();
    let answer = raw(&edge.gateway, "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert_eq!((answer.status, &answer.json()["code"]), (408, &json!("request_timeout")));
    assert!(start.elapsed() < Duration::from_secs(8), "the default is 10 s");
}

async fn write_timeout(_: &Services) {
    let large = ok(&"a".repeat(64 << 20));
    let origin = Origin::start(move |_| std::future::ready(large.clone())).await.unwrap();
    let edge = edge_before(origin, "[connections]\nwrite_timeout = \"200ms\"\n").await;
    let config = Arc::new(tls_config(&edge.gateway.ca(), &["http/1.1"]).unwrap());
    let mut stream = connect_tls(config, edge.gateway.https_port, "localhost").await.unwrap();
    stream.write_all(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let start = Instant::now();
    bounds::closed(&edge.gateway, "write_timeout").await;
    assert!(start.elapsed() < Duration::from_secs(25), "the default is 30 s");
}

async fn max_age(_: &Services) {
    let edge = edge("[connections]\nmax_age = \"300ms\"\n").await;
    let config = Arc::new(tls_config(&edge.gateway.ca(), &["http/1.1"]).unwrap());
    let mut http1 = connect_tls(config, edge.gateway.https_port, "localhost").await.unwrap();
    eventually("the last answer", PATIENCE, async || {
        http1.write_all(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        (read_answer(&mut http1, false).await.unwrap().field("connection") == Some("close")).then_some(())
    })
    .await;
    let mut http2 = Http2::connect(&edge.gateway.ca(), edge.gateway.https_port).await.unwrap();
    http2.send(&Frame::get(1, "/v1/x")).await.unwrap();
    assert_eq!(http2.outcome(1).await.unwrap().status, 200);
    let goaway = http2.read_until(kind::GOAWAY).await.unwrap();
    assert_eq!(goaway.and_then(|frame| frame.code()), Some(code::NO_ERROR));
    drop(http2);
    bounds::closed(&edge.gateway, "age_limit").await;
}

async fn max_per_network(_: &Services) {
    // All of 127.0.0.0/8 is this machine.
    let ask = async |edge: &Edge, from: [u8; 4]| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut stream = socket.connect(([127, 0, 0, 1], edge.gateway.http_port).into()).await.unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        read_answer(&mut stream, false).await.is_ok().then_some(stream)
    };
    let narrow = edge("[connections]\nmax_per_network = 1\n").await;
    let _first = ask(&narrow, [127, 0, 0, 1]).await.expect("free");
    assert!(ask(&narrow, [127, 0, 0, 2]).await.is_none(), "the same network");
    assert!(ask(&narrow, [127, 0, 1, 1]).await.is_some(), "another one");
    let wide = edge("[connections]\nmax_per_network = 1\nnetwork_prefix_v4 = 16\n").await;
    let _first = ask(&wide, [127, 0, 0, 1]).await.expect("free");
    assert!(ask(&wide, [127, 0, 1, 1]).await.is_none(), "one network of 16 bits");
}

async fn network_prefix_v6(_: &Services) {
    // A balancer's word gives connections the addresses that this machine has not.
    let two_are_served = async |prefix: &str| {
        let edge = edge(&format!(
            "[listen]\nproxy_protocol = \"require\"\nproxy_sources = [\"127.0.0.1\"]\n[connections]\nmax_per_network = 1\n{prefix}"
        ))
        .await;
        let mut streams = Vec::new();
        for client in ["2001:db8:0:1::1", "2001:db8:0:2::1"] {
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", edge.gateway.http_port)).await.unwrap();
            let octets =
                format!("PROXY TCP6 {client} 2001:db8::ffff 4000 80\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let _ = stream.write_all(octets.as_bytes()).await;
            streams.extend(read_answer(&mut stream, false).await.ok().map(|_| stream));
        }
        streams.len() == 2
    };
    assert!(!two_are_served("").await, "one network of 48 bits");
    assert!(two_are_served("network_prefix_v6 = 64\n").await, "two of 64");
}

async fn max_handshakes(_: &Services) {
    for (key, cap) in [("max_handshakes", "handshakes"), ("max_handshakes_per_address", "address_handshakes")] {
        let edge = edge(&format!("[connections]\n{key} = 1\n")).await;
        let config = Arc::new(tls_config(&edge.gateway.ca(), &["http/1.1"]).unwrap());
        let port = edge.gateway.https_port;
        let all = (0..20).map(|_| tokio::spawn(connect_tls(Arc::clone(&config), port, "localhost")));
        let mut done = 0;
        for handshake in all.collect::<Vec<_>>() {
            done += usize::from(handshake.await.unwrap().is_ok());
        }
        assert!((1..20).contains(&done), "{done} of 20");
        assert!(
            bounds::metric(&edge.gateway, "gateway_connections_refused_total", &format!("cap=\"{cap}\"")).await >= 1,
            "{key}"
        );
        eventually("the next second", PATIENCE, async || {
            connect_tls(Arc::clone(&config), port, "localhost").await.ok()
        })
        .await;
    }
}

async fn max_streams(_: &Services) {
    let never = Origin::start(async |_| std::future::pending::<String>().await).await.unwrap();
    let edge = edge_before(never, "[connections]\nmax_streams = 3\n").await;
    let mut http2 = Http2::connect(&edge.gateway.ca(), edge.gateway.https_port).await.unwrap();
    for stream in [1, 3, 5, 7] {
        http2.send(&Frame::get(stream, "/v1/x")).await.unwrap();
    }
    assert_eq!(http2.outcome(7).await.unwrap().reset, Some(code::REFUSED_STREAM));
    eventually("three requests", PATIENCE, async || (edge.origin.requests().len() == 3).then_some(())).await;
}

async fn max_control_frames(_: &Services) {
    let few = edge("[connections]\nmax_control_frames = 10\n").await;
    let mut http2 = Http2::connect(&few.gateway.ca(), few.gateway.https_port).await.unwrap();
    http2.write(&Frame::ping().octets().repeat(20)).await.unwrap();
    assert_eq!(http2.end().await.unwrap(), Some(code::ENHANCE_YOUR_CALM));
    bounds::closed(&few.gateway, "h2_abuse").await;
    let many = edge("").await;
    let mut http2 = Http2::connect(&many.gateway.ca(), many.gateway.https_port).await.unwrap();
    http2.write(&Frame::ping().octets().repeat(20)).await.unwrap();
    http2.send(&Frame::get(1, "/v1/x")).await.unwrap();
    assert_eq!(http2.outcome(1).await.unwrap().status, 200);
}

async fn max_resets(_: &Services) {
    let resets = async |edge: &Edge| {
        let mut http2 = Http2::connect(&edge.gateway.ca(), edge.gateway.https_port).await.unwrap();
        for stream in (1..=20).step_by(2) {
            http2.send(&Frame::get(stream, "/v1/x")).await.unwrap();
            if http2.send(&Frame::reset(stream, code::CANCEL)).await.is_err() {
                break;
            }
        }
        let _ = http2.send(&Frame::get(21, "/v1/x")).await;
        http2.outcome(21).await.unwrap()
    };
    let ended = resets(&edge("[connections]\nmax_resets = 5\n").await).await;
    assert_eq!((ended.status, ended.goaway), (0, Some(code::ENHANCE_YOUR_CALM)));
    assert_eq!(resets(&edge("").await).await.status, 200);
}

async fn overload(_: &Services) {
    for (key, tiny, resource) in [("max_memory", "1MiB", "memory"), ("max_descriptors", "2", "descriptors")] {
        let edge = edge("").await;
        bounds::an_overloaded_gateway_refuses_and_comes_back(&edge.gateway, key, tiny, resource).await;
    }
}

async fn head_bounds(_: &Services) {
    let edge = edge("[connections]\nmax_head = \"1KiB\"\nmax_fields = 5\nmax_target = \"100B\"\n").await;
    let status = async |target: &str, fields: &str| {
        raw(&edge.gateway, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"))
            .await
            .status
    };
    assert_eq!(status("/v1/x", "").await, 200);
    assert_eq!(status(&format!("/v1/{}", "x".repeat(100)), "").await, 414);
    assert_eq!(status("/v1/x", &format!("A: {}\r\n", "b".repeat(1000))).await, 431);
    assert_eq!(status("/v1/x", &"A: b\r\n".repeat(4)).await, 431);
}

async fn hosts(_: &Services) {
    let ask = async |edge: &Edge, host: &str| {
        let config = Arc::new(tls_config(&edge.gateway.ca(), &["http/1.1"]).unwrap());
        let mut stream = connect_tls(config, edge.gateway.https_port, "localhost").await.unwrap();
        let octets = exchange(
            &mut stream,
            format!("GET /v1/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await
        .unwrap_or_default();
        read_answer(&mut octets.as_slice(), false).await.map_or(0, |answer| answer.status)
    };
    let own = edge("[hosts]\ntrusted = [\"todo.example:*\", \"*.todo.example:444\"]\n").await;
    for (host, status) in [
        ("todo.example", 200),
        ("todo.example:1", 200),
        ("a.todo.example:444", 200),
        ("a.todo.example", 421),
        ("localhost", 421),
    ] {
        assert_eq!(ask(&own, host).await, status, "{host}");
    }
    let dropping = edge("[hosts]\non_untrusted = \"drop\"\n").await;
    assert_eq!(ask(&dropping, "foreign.example").await, 0, "no answer at all");
    assert_eq!(ask(&dropping, "localhost").await, 200);
}

async fn client_address(_: &Services) {
    let client_of = async |extra: &str, headers: &[(&str, &str)]| {
        let edge = edge(extra).await;
        edge.client.send("GET", "/v1/x", headers, None).await.unwrap().expect(200);
        eventually("the log line", PATIENCE, async || {
            edge.gateway.access_log().last().map(|line| line["client"].as_str().unwrap_or_default().to_owned())
        })
        .await
    };
    let forged = [("x-forwarded-for", "198.51.100.7, 203.0.113.9")];
    assert_eq!(client_of("", &forged).await, "127.0.0.1", "nobody is believed");
    assert_eq!(
        client_of("[client_address]\ntrusted_proxies = [\"127.0.0.0/8\"]\n", &forged).await,
        "203.0.113.9",
        "the right-most"
    );
    let both = "[client_address]\ntrusted_proxies = [\"127.0.0.0/8\", \"203.0.113.0/24\"]\n";
    assert_eq!(client_of(both, &forged).await, "198.51.100.7", "the right-most that is not a proxy");
    let forwarded = "[client_address]\ntrusted_proxies = [\"127.0.0.0/8\"]\nfield = \"forwarded\"\n";
    let headers =
        [("x-forwarded-for", "198.51.100.7"), ("forwarded", "for=192.0.2.1;proto=https, for=\"[2001:db8::1]:4711\"")];
    assert_eq!(client_of(forwarded, &headers).await, "2001:db8::1");
}

async fn headers(_: &Services) {
    let changed = [
        ("strict_transport_security", "strict-transport-security", "max-age=60"),
        ("content_security_policy", "content-security-policy", "default-src 'self'"),
        ("content_type_options", "x-content-type-options", ""),
        ("frame_options", "x-frame-options", "SAMEORIGIN"),
        ("referrer_policy", "referrer-policy", "same-origin"),
        ("permissions_policy", "permissions-policy", "camera=()"),
        ("cross_origin_opener_policy", "cross-origin-opener-policy", "same-origin-allow-popups"),
        ("cross_origin_resource_policy", "cross-origin-resource-policy", "same-site"),
    ];
    let keys: Vec<_> = changed.iter().map(|(key, _, value)| format!("{key} = \"{value}\"")).collect();
    let edge = edge(&format!("[headers]\n{}\n", keys.join("\n"))).await;
    let answer = edge.client.get("/v1/x").await.expect(200);
    for (key, field, value) in changed {
        assert_eq!(answer.header(field).unwrap_or_default(), value, "{key}");
    }
    for (key, value) in [
        ("strict_transport_security", "for ever"),
        ("content_type_options", "sniff"),
        ("frame_options", "ALLOW"),
        ("referrer_policy", "whatever"),
        ("cross_origin_opener_policy", "x"),
        ("cross_origin_resource_policy", "x"),
        ("content_security_policy", "default-src\\u0000"),
    ] {
        let (code, text) =
            super::check("todo-gateway", Some(&format!("[headers]\n{key} = \"{value}\"\n")), "development", &[]);
        assert_eq!(code, Some(1), "{key} = {value}: {text}");
    }
}

/// The fields of the CORS protocol that a preflight request is answered with.
async fn preflight(edge: &Edge, origin: &str) -> Vec<String> {
    let fields = [("origin", origin), ("access-control-request-method", "GET")];
    let answer = edge.client.send("OPTIONS", "/v1/x", &fields, None).await.unwrap();
    let said = |name| answer.header(&format!("access-control-{name}")).unwrap_or("none").to_owned();
    ["allow-origin", "allow-headers", "expose-headers", "max-age", "allow-credentials"].map(said).into()
}

async fn cors(_: &Services) {
    let own = edge(
        "[cors]\nallowed_origins = [\"https://a.example\"]\nallowed_headers = [\"X-One\"]\nexposed_headers = [\"X-Two\", \"X-Three\"]\nmax_age = \"1min\"\n",
    )
    .await;
    let said = preflight(&own, "https://a.example").await;
    assert_eq!(said, ["https://a.example", "x-one", "x-two, x-three", "60", "none"]);
    assert_eq!(preflight(&own, "https://b.example").await, ["none"; 5]);
    let any = edge("[cors]\nallowed_origins = [\"*\"]\nallowed_headers = []\nexposed_headers = []\n").await;
    assert_eq!(preflight(&any, "https://b.example").await, ["*", "none", "none", "600", "none"]);
    assert_eq!(preflight(&edge("").await, "https://a.example").await, ["none"; 5]);
}

async fn cors_credentials(_: &Services) {
    let with = edge("[cors]\nallowed_origins = [\"https://a.example\"]\ncredentials = true\n").await;
    assert_eq!(preflight(&with, "https://a.example").await[4], "true");
}

/// The coding and the size of an answer of 20,000 octets.
async fn compressed(edge: &Edge, path: &str, accepted: &str) -> (Option<String>, usize) {
    let answer = edge.client.open("GET", path, &[("accept-encoding", accepted)], None).await.unwrap();
    let coding = answer.headers().get("content-encoding").map(|value| value.to_str().unwrap().to_owned());
    (coding, answer.bytes().await.unwrap().len())
}

/// An origin of answers that shrink, the better the harder one tries.
async fn wordy() -> Origin {
    let numbers = (0..4_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 20).to_string());
    let text = numbers.collect::<Vec<_>>().join(" ");
    Origin::start(move |_| std::future::ready(ok(&text))).await.unwrap()
}

async fn compression(_: &Services) {
    let coding = async |extra: &str| compressed(&edge_before(wordy().await, extra).await, "/v1/x", "gzip, br").await.0;
    assert_eq!(coding("").await.as_deref(), Some("br"));
    assert_eq!(coding("[compression]\ncodings = [\"gzip\", \"br\"]\n").await.as_deref(), Some("gzip"));
    for off in ["codings = []", "codings = [\"zstd\"]", "types = [\"text/html\"]", "min_size = \"1MiB\""] {
        assert_eq!(coding(&format!("[compression]\n{off}\n")).await, None, "{off}");
    }
    assert_eq!(coding("[compression]\ntypes = [\"text/plain\"]\n").await.as_deref(), Some("br"));
    let tiny = edge("[compression]\nmin_size = \"1B\"\n").await;
    assert_eq!(compressed(&tiny, "/v1/x", "gzip").await.0.as_deref(), Some("gzip"));
}

async fn compression_levels(_: &Services) {
    for (key, coding, low, high) in
        [("zstd_level", "zstd", 1, 7), ("br_level", "br", 1, 6), ("gzip_level", "gzip", 1, 9)]
    {
        let size = async |level: u32| {
            let edge = edge_before(wordy().await, &format!("[compression]\n{key} = {level}\n")).await;
            compressed(&edge, "/v1/x", coding).await.1
        };
        let (quick, thorough) = (size(low).await, size(high).await);
        assert!(thorough < quick, "{key}: {thorough} at {high}, {quick} at {low}");
    }
}

async fn compression_bound(_: &Services) {
    let origin = Origin::start(async |request| {
        let length = if request.target() == "/v1/never" { 1 << 20 } else { 2000 };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
        head + &"x".repeat(2000)
    })
    .await
    .unwrap();
    let edge = edge_before(origin, "[compression]\nmax_concurrent = 1\n").await;
    let held = edge.client.open("GET", "/v1/never", &[("accept-encoding", "gzip")], None).await.unwrap();
    assert_eq!(held.headers()["content-encoding"], "gzip");
    assert_eq!(compressed(&edge, "/v1/x", "gzip").await, (None, 2000), "the default is 64");
    let metrics = edge.gateway.admin().unwrap().get("/metrics").await.text;
    for line in ["gateway_compressions_open 1", "gateway_compressions_skipped_total 1"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    drop(held);
    eventually("the place to come free", PATIENCE, async || compressed(&edge, "/v1/x", "gzip").await.0).await;
}

const TWO_ROUTES: &str = r#"
    [[routes]]
    name = "special"
    hosts = ["localhost"]
    paths = ["/special/*"]
    methods = ["GET"]
    upstream = "api"
    timeout = "5s"
    max_body = "1KiB"
    [routes.headers]
    content_security_policy = "default-src 'self'"
    [[routes]]
    name = "other"
    paths = ["/other"]
    methods = ["GET", "POST"]
    upstream = "second"
    timeout = "300ms"
    max_body = "10B"
"#;

async fn routes(_: &Services) {
    let second = Origin::start(async |_| ok("second")).await.unwrap();
    let edge = edge(&format!("{TWO_ROUTES}\n[upstreams.second]\naddresses = [\"127.0.0.1:{}\"]\n", second.port)).await;
    assert_eq!(edge.client.get("/special/a/b").await.expect(200).text, "hello");
    assert_eq!(edge.client.get("/special").await.expect(200).text, "hello");
    assert_eq!(edge.client.get("/other").await.expect(200).text, "second");
    edge.client.get("/specialist").await.expect_problem(404, "not_found");
    edge.client.get("/other/x").await.expect_problem(404, "not_found");
    edge.client.get("/v1/todos").await.expect_problem(404, "not_found");
    let refused = edge.client.post("/special", &json!({})).await;
    refused.expect_problem(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    let by_address = Client::named("127.0.0.1", edge.gateway.https_port, &edge.gateway.ca()).unwrap();
    by_address.get("/special").await.expect_problem(404, "not_found");
    by_address.get("/other").await.expect(200);
    let line = eventually("the log line", PATIENCE, async || {
        edge.gateway.access_log().into_iter().find(|line| line["path"] == "/special/a/b")
    })
    .await;
    assert_eq!(line["route"], "special");
}

/// An origin whose answers to `/other` never come.
async fn slow() -> Origin {
    Origin::start(async |request| if request.target() == "/other" { std::future::pending().await } else { ok("hello") })
        .await
        .unwrap()
}

async fn route_timeout(_: &Services) {
    let second = slow().await;
    let edge = edge(&format!("{TWO_ROUTES}\n[upstreams.second]\naddresses = [\"127.0.0.1:{}\"]\n", second.port)).await;
    let start = Instant::now();
    edge.client.get("/other").await.expect_problem(504, "upstream_timeout");
    assert!(start.elapsed() < Duration::from_secs(8), "the default is 10 s and more");
}

async fn route_body(_: &Services) {
    let second = Origin::start(async |_| ok("second")).await.unwrap();
    let edge = edge(&format!("{TWO_ROUTES}\n[upstreams.second]\naddresses = [\"127.0.0.1:{}\"]\n", second.port)).await;
    edge.client.post("/other", &json!({"a": 1})).await.expect(200);
    edge.client.post("/other", &json!({"a": "12345"})).await.expect_problem(413, "body_too_large");
}

async fn route_stream(_: &Services) {
    // Whether an answer comes whole whose second octet is later than the route's time.
    let is_whole = async |stream: &str| {
        let mut stage = Stage::start().await.unwrap();
        let routes = TWO_ROUTES.replace("max_body = \"10B\"", &format!("max_body = \"10B\"\n{stream}"));
        let edge = edge(&format!("{routes}\n[upstreams.second]\naddresses = [\"127.0.0.1:{}\"]\n", stage.port)).await;
        let mut client = edge.gateway.connect().await.unwrap();
        client.write_all(b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut origin = stage.request().await;
        origin.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh").await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        // The gateway may have left.
        let _ = origin.write_all(b"i").await;
        read_answer(&mut client, false).await.is_ok()
    };
    assert!(!is_whole("").await, "the route's time is 300 ms");
    assert!(is_whole("stream_idle_timeout = \"10s\"").await);
}

async fn route_compress(_: &Services) {
    let routes = TWO_ROUTES.replace("max_body = \"1KiB\"", "max_body = \"1KiB\"\ncompress = false");
    let origin = wordy().await;
    let second = format!("[upstreams.second]\naddresses = [\"127.0.0.1:{}\"]\n", origin.port);
    let edge = edge_before(origin, &format!("{routes}\n{second}")).await;
    assert_eq!(compressed(&edge, "/special", "gzip").await.0, None);
    assert_eq!(compressed(&edge, "/other", "gzip").await.0.as_deref(), Some("gzip"), "unless a route says otherwise");
}

async fn route_headers(_: &Services) {
    let edge = edge(&format!("{TWO_ROUTES}\n[upstreams.second]\naddresses = [\"127.0.0.1:1\"]\n")).await;
    assert_eq!(
        edge.client.get("/special").await.expect(200).header("content-security-policy"),
        Some("default-src 'self'")
    );
    let other = edge.client.get("/nowhere").await.expect(404);
    assert!(other.header("content-security-policy").is_some_and(|policy| policy.contains("'none'")));
}

async fn addresses(_: &Services) {
    let second = Origin::start(async |_| ok("second")).await.unwrap();
    let edge = edge("").await;
    let both =
        format!("[upstreams.api]\naddresses = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\n", edge.origin.port, second.port);
    edge.gateway.reconfigure(&both).unwrap();
    for text in ["second", "hello"] {
        eventually("both to be asked", PATIENCE, async || (edge.client.get("/v1/x").await.text == text).then_some(()))
            .await;
    }
}

async fn connect_timeout(_: &Services) {
    // A listener whose queue is full swallows what would be the next handshake.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    for _ in 0..8 {
        if let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
        {
            queued.push(stream);
        }
    }
    let with = async |timeout: &str| {
        edge(&format!(
            "[upstreams.api]\naddresses = [\"{address}\"]\nconnect_timeout = \"{timeout}\"\nhealth_interval = \"1h\"\n"
        ))
        .await
    };
    let (patient, hasty) = (with("25s").await, with("100ms").await);
    // Several hasty ones in a row are done before a patient one that began first.
    let five = async {
        for _ in 0..5 {
            hasty.client.get("/v1/x").await.expect_problem(504, "upstream_timeout");
        }
    };
    tokio::select! {
        biased;
        answer = patient.client.get("/v1/x") => panic!("{}: before the hasty ones", answer.status),
        () = five => {}
    }
}

async fn upstream_idle_timeout(_: &Services) {
    // The gateway is the one that closes: the origin would keep a connection for ever.
    let idle = edge("[upstreams.api]\nidle_timeout = \"100ms\"\nhealth_interval = \"1h\"\n").await;
    idle.client.get("/v1/x").await.expect(200);
    let start = Instant::now();
    eventually("the unused connection to be closed", PATIENCE, async || (idle.origin.connections() == 0).then_some(()))
        .await;
    assert!(start.elapsed() < Duration::from_secs(15), "the default is 30 s");
    let kept = edge("[upstreams.api]\nhealth_interval = \"1h\"\n").await;
    kept.client.get("/v1/x").await.expect(200);
    // The connection of the health check at start may still be going.
    eventually("one kept connection", PATIENCE, async || (kept.origin.connections() == 1).then_some(())).await;
}

/// The gauge of an address's health, as the metrics show it.
async fn healthy(gateway: &Gateway, port: u16) -> Option<bool> {
    let text = gateway.admin().unwrap().get("/metrics").await.text;
    let line = text.lines().find(|line| line.contains("healthy") && line.contains(&format!(":{port}\"")))?;
    Some(line.ends_with(" 1"))
}

async fn health_path(_: &Services) {
    let origin = Origin::start(async |request| {
        if request.target() == "/well" { ok("") } else { "HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n".to_owned() }
    })
    .await
    .unwrap();
    let edge = edge_before(origin, "[upstreams.api]\nhealth_path = \"/well\"\nhealth_interval = \"50ms\"\n").await;
    eventually("the check to ask for its path", PATIENCE, async || {
        edge.origin.requests().iter().any(|request| request.target() == "/well").then_some(())
    })
    .await;
    assert_eq!(healthy(&edge.gateway, edge.origin.port).await, Some(true));
}

async fn health_interval(_: &Services) {
    let checked = async |interval: &str| {
        edge(&format!("[upstreams.api]\nhealth_path = \"/well\"\nhealth_interval = \"{interval}\"\n")).await
    };
    // By default there would be half as many in this time.
    let (rare, often) = (checked("1h").await, checked("20ms").await);
    eventually("ten checks", Duration::from_secs(10), async || (often.origin.requests().len() > 10).then_some(()))
        .await;
    assert!(rare.origin.requests().len() <= 1);
}

async fn health_timeout(_: &Services) {
    let slow = Origin::start(async |_| {
        tokio::time::sleep(Duration::from_millis(300)).await;
        ok("")
    })
    .await
    .unwrap();
    let settings = |timeout: &str| {
        format!(
            "[upstreams.api]\nhealth_path = \"/slow\"\nhealth_interval = \"50ms\"\nhealth_timeout = \"{timeout}\"\nunhealthy_after = 1\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[slow.port], &settings("5s")).await.unwrap();
    eventually("slow checks to be good", PATIENCE, async || {
        (slow.requests().len() > 3 && healthy(&gateway, slow.port).await == Some(true)).then_some(())
    })
    .await;
    gateway.reconfigure(&settings("50ms")).unwrap();
    eventually("slow checks to be bad", PATIENCE, async || {
        (healthy(&gateway, slow.port).await == Some(false)).then_some(())
    })
    .await;
}

async fn health_thresholds(_: &Services) {
    // The origin answers checks by a script: which answer each one gets is the test's, so the counts are exact.
    let good = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let script = good.clone();
    let origin = Origin::start(move |_| {
        let answer = if script.load(std::sync::atomic::Ordering::Relaxed) {
            ok("")
        } else {
            "HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n".to_owned()
        };
        async move { answer }
    })
    .await
    .unwrap();
    let count_until = async |gateway: &Gateway, to: bool| {
        let before = origin.requests().len();
        good.store(to, std::sync::atomic::Ordering::Relaxed);
        eventually("the verdict to change", PATIENCE, async || {
            (healthy(gateway, origin.port).await == Some(to)).then_some(())
        })
        .await;
        origin.requests().len() - before
    };
    let settings = "[upstreams.api]\nhealth_path = \"/well\"\nhealth_interval = \"100ms\"\nhealthy_after = 5\nunhealthy_after = 6\n";
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[origin.port], settings).await.unwrap();
    assert!(count_until(&gateway, false).await >= 5, "the default is 3");
    assert!(count_until(&gateway, true).await >= 4, "the default is 2");
}

async fn panic_threshold(_: &Services) {
    // One address is healthy, one is not there. With a threshold of 0 the checks are believed; with 100 they are not.
    let edge = edge("").await;
    let dead = ports::free().unwrap();
    let settings = |threshold: u8| {
        format!(
            "[upstreams.api]\naddresses = [\"127.0.0.1:{}\", \"127.0.0.1:{dead}\"]\npanic_threshold = {threshold}\nhealth_interval = \"50ms\"\n",
            edge.origin.port
        )
    };
    edge.gateway.reconfigure(&settings(0)).unwrap();
    eventually("the dead address to be seen", PATIENCE, async || {
        (healthy(&edge.gateway, dead).await == Some(false)).then_some(())
    })
    .await;
    for _ in 0..10 {
        edge.client.get("/v1/x").await.expect(200);
    }
    edge.gateway.reconfigure(&settings(100)).unwrap();
    eventually("both to be used all the same", PATIENCE, async || {
        edge.client.get("/v1/x").await.expect(200);
        (crate::balance::metric(&edge.gateway, "gateway_upstream_retries_total", "").await > 0).then_some(())
    })
    .await;
}

async fn log(_: &Services) {
    let errors = async |extra: &str| {
        let mut edge = edge(extra).await;
        edge.gateway.process.stop(Signal::Terminate).await;
        edge.gateway.process.errors()
    };
    let json = errors("").await;
    assert!(json.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()) && !json.is_empty(), "{json}");
    let human = errors("[log]\nformat = \"human\"\n").await;
    assert!(human.lines().all(|line| serde_json::from_str::<Value>(line).is_err()) && !human.is_empty(), "{human}");
    assert_eq!(errors("[log]\nlevel = \"error\"\n").await, "");
}

async fn access_log(_: &Services) {
    let human = edge("[access_log]\nformat = \"human\"\n").await;
    human.client.get("/v1/x").await.expect(200);
    let line = eventually("the log line", PATIENCE, async || {
        fs::read_to_string(&human.gateway.process.stdout).ok().filter(|text| text.contains("/v1/x"))
    })
    .await;
    assert!(serde_json::from_str::<Value>(&line).is_err(), "{line}");
    let file = human.folder.path().join("access.jsonl");
    let elsewhere = edge(&format!("[access_log]\noutput = \"{}\"\n", file.display())).await;
    elsewhere.client.get("/v1/x").await.expect(200);
    eventually("the log file's line", PATIENCE, async || {
        fs::read_to_string(&file).ok().filter(|text| text.contains("/v1/x"))
    })
    .await;
    assert_eq!(elsewhere.gateway.access_log(), Vec::<Value>::new());
}

async fn safe_query(_: &Services) {
    let logged = async |extra: &str| {
        let edge = edge(extra).await;
        edge.client.get("/v1/x?limit=3&secret=hunter2").await.expect(200);
        eventually("the log line", PATIENCE, async || {
            fs::read_to_string(&edge.gateway.process.stdout).ok().filter(|text| text.contains("/v1/x"))
        })
        .await
    };
    let usual = logged("").await;
    assert!(usual.contains("limit=3") && !usual.contains("hunter2"), "{usual}");
    let none = logged("[access_log]\nsafe_query = []\n").await;
    assert!(!none.contains("limit=3") && !none.contains("hunter2"), "{none}");
}

async fn admin(_: &Services) {
    let mut edge = edge("").await;
    edge.gateway.admin().unwrap().get("/metrics").await.expect(200);
    // With a token it may listen everywhere; who asks for its health asks over loopback, and a stopped one is not well.
    edge.gateway.process.stop(Signal::Terminate).await;
    let token = edge.folder.path().join("token");
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let everywhere =
        format!("[admin]\nlisten = \"0.0.0.0:{}\"\ntoken_file = \"{}\"\n", edge.gateway.admin_port, token.display());
    edge.gateway.reconfigure(&everywhere).unwrap();
    let config = edge.gateway.config.clone();
    let health = || {
        let output = tier("todo-gateway").unwrap().args(["health", "--config"]).arg(&config).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(health().0, Some(1));
    edge.gateway.restart().await.unwrap();
    assert_eq!(health(), (Some(0), "ready\n".to_owned()));
    metrics_need_the_token(edge.gateway.admin_port).await;
    assert!(!edge.gateway.process.errors().contains(TOKEN), "a log holds the token");
    weak_tokens_are_refused("todo-gateway", "TODO_GATEWAY__ADMIN__TOKEN");
}

async fn watch(_: &Services) {
    let edge = edge("[reload]\nwatch = false\n").await;
    let second = Origin::start(async |_| ok("second")).await.unwrap();
    edge.gateway.reconfigure(&format!("[upstreams.api]\naddresses = [\"127.0.0.1:{}\"]\n", second.port)).unwrap();
    // A watching gateway would have noticed by now: the one beside it, whose file changed later, has.
    let watching = self::edge("").await;
    watching.gateway.reconfigure(&format!("[upstreams.api]\naddresses = [\"127.0.0.1:{}\"]\n", second.port)).unwrap();
    eventually("the watching one to notice", PATIENCE, async || {
        (watching.client.get("/v1/x").await.text == "second").then_some(())
    })
    .await;
    assert_eq!(edge.client.get("/v1/x").await.expect(200).text, "hello");
    edge.gateway.process.signal(Signal::HangUp);
    eventually("the signal to be heard", PATIENCE, async || {
        (edge.client.get("/v1/x").await.text == "second").then_some(())
    })
    .await;
}
