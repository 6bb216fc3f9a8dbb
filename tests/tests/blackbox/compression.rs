//! Compression: what is asked for is what comes, what comes can be read, and entity tags tell the truth about it.

use std::{io::Read as _, time::Duration};

use serde_json::json;
use todo_tests::{
    client::Client,
    origin::{Origin, Request},
    raw::{Answer, read_answer},
    stack::{Gateway, Stack},
    stage::Stage,
    wait::eventually,
};
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::{balance::PATIENCE, service::Services};

/// Octets that shrink, and that an answer holds whole or not at all.
fn text() -> String {
    let line = |number| format!("{{\"number\":{number},\"title\":\"water the plants\"}}\n");
    (0..600).map(line).collect::<Vec<_>>().concat()
}

/// The body without its coding.
fn decoded(coding: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Some("zstd") => zstd::stream::read::Decoder::new(body).unwrap().read_to_end(&mut plain).unwrap(),
        Some("br") => brotli::Decompressor::new(body, 4096).read_to_end(&mut plain).unwrap(),
        Some("gzip") => flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap(),
        other => {
            assert_eq!(other, None);
            return body.to_vec();
        }
    };
    plain
}

/// An answer with these fields and this body.
fn answer(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A gateway in front of an origin.
struct Edge {
    gateway: Gateway,
    client: Client,
    origin: Origin,
    _folder: tempfile::TempDir,
}

async fn edge(extra: &str, answer: impl Fn(Request) -> String + Send + Sync + 'static) -> Edge {
    let origin = Origin::start(move |request| std::future::ready(answer(request))).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[origin.port], extra).await.unwrap();
    let client = gateway.client().unwrap();
    Edge { gateway, client, origin, _folder: folder }
}

impl Edge {
    /// One request over HTTP/1 on a connection of its own.
    async fn ask(&self, line: &str, fields: &[(&str, &str)]) -> Answer {
        let mut stream = self.gateway.connect().await.unwrap();
        let fields = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
        stream.write_all(format!("{line}\r\nHost: localhost\r\n{fields}\r\n").as_bytes()).await.unwrap();
        read_answer(&mut stream, line.starts_with("HEAD")).await.unwrap()
    }

    async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1"), fields).await
    }
}

const JSON: &str = "Content-Type: application/json\r\nETag: \"v3\"\r\n";

fn vary(answer: &Answer) -> Vec<&str> {
    answer.fields.iter().filter(|(name, _)| name == "vary").map(|(_, value)| value.as_str()).collect()
}

pub(crate) async fn what_is_asked_for_comes_and_can_be_read(_: &Services) {
    let edge = edge("", |_| answer("200 OK", JSON, &text())).await;
    for (asked, coding, tag) in [
        ("gzip, deflate, br, zstd", Some("zstd"), "\"v3-zst\""),
        ("gzip, deflate, br", Some("br"), "\"v3-br\""),
        ("gzip", Some("gzip"), "\"v3-gz\""),
        ("GZIP;q=0.5, zstd;q=0.4", Some("gzip"), "\"v3-gz\""),
        ("*;q=0.1, zstd;q=0", Some("br"), "\"v3-br\""),
        ("gzip;q=0", None, "\"v3\""),
        ("identity, gzip;q=0.5", None, "\"v3\""),
        ("compress", None, "\"v3\""),
        ("", None, "\"v3\""),
    ] {
        let answer = edge.get("/v1/x", &[("Accept-Encoding", asked)]).await;
        assert_eq!(
            (answer.status, answer.field("content-encoding"), answer.field("etag")),
            (200, coding, Some(tag)),
            "{asked}"
        );
        assert_eq!(decoded(coding, &answer.body), text().as_bytes(), "{asked}");
        assert_eq!(vary(&answer), ["accept-encoding"], "{asked}");
        assert_eq!(answer.field("content-length").is_some(), coding.is_none(), "{asked}");
        if coding.is_some() {
            assert!(answer.body.len() * 5 < text().len(), "{asked}: {}", answer.body.len());
        }
        assert_eq!(edge.origin.last().field("accept-encoding"), None, "the API is not asked to");
        // The same over HTTP/2.
        let over_h2 = edge.client.open("GET", "/v1/x", &[("accept-encoding", asked)], None).await.unwrap();
        assert_eq!(over_h2.version(), reqwest::Version::HTTP_2);
        let field = |name: &str| over_h2.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        assert_eq!((field("content-encoding").as_deref(), field("etag").as_deref()), (coding, Some(tag)), "{asked}");
        assert_eq!(decoded(coding, &over_h2.bytes().await.unwrap()), text().as_bytes(), "{asked}");
    }
    let without = edge.get("/v1/x", &[]).await;
    assert_eq!((without.field("content-encoding"), vary(&without)), (None, vec!["accept-encoding"]));
    // What GET would say, and nothing else.
    let head = edge.ask("HEAD /v1/x HTTP/1.1", &[("Accept-Encoding", "gzip")]).await;
    assert_eq!((head.field("content-encoding"), head.field("etag")), (Some("gzip"), Some("\"v3-gz\"")));
    let head = edge.ask("HEAD /v1/x HTTP/1.1", &[]).await;
    assert_eq!((head.field("etag"), head.field("content-length")), (Some("\"v3\""), Some(&*text().len().to_string())));
    let metrics = edge.gateway.admin().unwrap().get("/metrics").await.text;
    for line in ["gateway_compressed_answers_total{coding=\"br\"} 4", "gateway_compressions_open 0"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

pub(crate) async fn some_answers_are_left_as_they_are(_: &Services) {
    let large = text();
    let edge = edge("[[routes]]\nname = \"secrets\"\npaths = [\"/secrets\"]\nmethods = [\"GET\"]\nupstream = \"api\"\ntimeout = \"5s\"\nmax_body = \"0B\"\ncompress = false\n[[routes]]\nname = \"rest\"\npaths = [\"/*\"]\nmethods = [\"GET\"]\nupstream = \"api\"\ntimeout = \"5s\"\nmax_body = \"0B\"\n", move |request: Request| match request.target() {
        "/small" => answer("200 OK", JSON, "{}"),
        "/nothing" => answer("200 OK", JSON, ""),
        "/image" => answer("200 OK", "Content-Type: image/png\r\nETag: \"v3\"\r\n", &large),
        "/untyped" => answer("200 OK", "ETag: \"v3\"\r\n", &large),
        "/events" => answer("200 OK", "Content-Type: text/event-stream; charset=utf-8\r\nETag: \"v3\"\r\n", &large),
        "/coded" => answer("200 OK", &format!("{JSON}Content-Encoding: deflate\r\n"), &large),
        "/untouchable" => answer("200 OK", &format!("{JSON}Cache-Control: private, No-Transform\r\n"), &large),
        "/cookie" => answer("200 OK", &format!("{JSON}Set-Cookie: a=b\r\n"), &large),
        "/digest" => answer("200 OK", &format!("{JSON}Content-Digest: sha-256=:x:\r\n"), &large),
        "/part" => answer("206 Partial Content", &format!("{JSON}Content-Range: bytes 0-9/99\r\n"), &large),
        "/two-tags" => answer("200 OK", &format!("{JSON}ETag: \"v4\"\r\n"), &large),
        "/no-tag" => answer("200 OK", "Content-Type: application/json\r\nETag: v3\r\n", &large),
        "/empty" => format!("HTTP/1.1 204 No Content\r\n{JSON}\r\n"),
        _ => answer("200 OK", JSON, &large),
    })
    .await;
    for path in [
        "/small",
        "/nothing",
        "/image",
        "/untyped",
        "/events",
        "/untouchable",
        "/cookie",
        "/digest",
        "/part",
        "/two-tags",
        "/no-tag",
        "/empty",
        "/secrets",
    ] {
        let answer = edge.get(path, &[("Accept-Encoding", "gzip, br, zstd")]).await;
        assert_eq!(answer.field("content-encoding"), None, "{path}");
        assert!(answer.field("etag").is_some_and(|tag| tag.contains("v3") && !tag.contains('-')), "{path}");
    }
    let coded = edge.get("/coded", &[("Accept-Encoding", "gzip, br, zstd")]).await;
    assert_eq!(
        (coded.field("content-encoding"), coded.field("etag")),
        (Some("deflate"), Some("\"v3\"")),
        "one tier only"
    );
    assert_eq!(coded.body, text().as_bytes());
    // The route's word stands above the client's, who may refuse plain octets; a small answer is compressed for it.
    let strict = [("Accept-Encoding", "gzip, identity;q=0")];
    assert_eq!(edge.get("/secrets", &strict).await.field("content-encoding"), None);
    let small = edge.get("/small", &strict).await;
    assert_eq!((small.field("content-encoding"), decoded(Some("gzip"), &small.body)), (Some("gzip"), b"{}".to_vec()));
    // What the request asks for.
    let gzip = ("Accept-Encoding", "gzip");
    for (fields, line) in [
        (vec![gzip, ("Range", "bytes=0-1")], "GET /x HTTP/1.1"),
        (vec![gzip, ("Cache-Control", "no-transform")], "GET /x HTTP/1.1"),
        (vec![gzip], "GET /x HTTP/1.0"),
    ] {
        let answer = edge.ask(line, &fields).await;
        assert_eq!(
            (answer.field("content-encoding"), answer.field("etag")),
            (None, Some("\"v3\"")),
            "{line} {fields:?}"
        );
        assert_eq!(answer.body, text().as_bytes());
    }
    assert_eq!(edge.get("/x", &[gzip]).await.field("content-encoding"), Some("gzip"));
}

pub(crate) async fn conditions_speak_of_what_the_client_has(_: &Services) {
    let edge = edge("", |request: Request| match request.target() {
        "/v1/changed" => answer("412 Precondition Failed", "Content-Type: application/problem+json\r\n", "{}"),
        "/v1/own" => answer("200 OK", "Content-Type: image/png\r\nETag: \"own-gz\"\r\n", "x"),
        _ if request.field("if-none-match").is_some() => "HTTP/1.1 304 Not Modified\r\nETag: \"v3\"\r\n\r\n".to_owned(),
        _ => answer("200 OK", JSON, &text()),
    })
    .await;
    let (gzip, both) = (("Accept-Encoding", "gzip"), ("Accept-Encoding", "gzip, br;q=0.5"));
    for (held, told, tag) in [
        ("\"v3-gz\"", "\"v3\"", "\"v3-gz\""),
        ("\"v2\", W/\"v3-br\"", "\"v2\", W/\"v3\"", "\"v3-br\""),
        ("\"v3-br\", \"v3-gz\"", "\"v3\", \"v3\"", "\"v3-gz\""),
        ("\"v3\"", "\"v3\"", "\"v3\""),
        ("*", "*", "\"v3\""),
    ] {
        let answer = edge.get("/v1/x", &[both, ("If-None-Match", held)]).await;
        assert_eq!((answer.status, answer.field("etag")), (304, Some(tag)), "{held}");
        assert_eq!(vary(&answer), ["accept-encoding"], "{held}");
        assert_eq!(edge.origin.last().field("if-none-match"), Some(told), "{held}");
    }
    // What the client cannot read any more it is not sent back to.
    let fresh = edge.get("/v1/x", &[gzip, ("If-None-Match", "\"v3-br\"")]).await;
    assert_eq!((fresh.status, fresh.field("etag")), (200, Some("\"v3-gz\"")));
    assert_eq!(edge.origin.last().field("if-none-match"), None);
    let failed = edge.get("/v1/changed", &[gzip, ("If-Match", "\"v3-zst\"")]).await;
    assert_eq!((failed.status, edge.origin.last().field("if-match")), (412, Some("\"v3\"")));
    // The rest of compressed octets is nobody's to send: the whole comes.
    edge.get("/v1/x", &[gzip, ("Range", "bytes=5-"), ("If-Range", "\"v3-gz\"")]).await;
    let told = edge.origin.last();
    assert_eq!((told.field("range"), told.field("if-range")), (None, None));
    edge.get("/v1/x", &[gzip, ("Range", "bytes=5-"), ("If-Range", "\"v3\"")]).await;
    assert_eq!(edge.origin.last().field("if-range"), Some("\"v3\""));
    // A tag of the API's own that looks like ours is not cut.
    let own = edge.get("/v1/own", &[gzip]).await;
    assert_eq!(own.field("etag"), Some("\"own-gz-id\""));
    edge.get("/v1/own", &[("If-None-Match", own.field("etag").unwrap())]).await;
    assert_eq!(edge.origin.last().field("if-none-match"), Some("\"own-gz\""));
}

pub(crate) async fn an_answer_that_breaks_off_does_not_look_whole(_: &Services) {
    let mut stage = Stage::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[stage.port], "").await.unwrap();
    for framing in ["Content-Length: 99999", "Transfer-Encoding: chunked"] {
        let mut stream = gateway.connect().await.unwrap();
        stream.write_all(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n").await.unwrap();
        let mut origin = stage.request().await;
        let head = format!("HTTP/1.1 200 OK\r\n{JSON}{framing}\r\n\r\n");
        origin.write_all(format!("{head}4000\r\n{}\r\n", "x".repeat(0x4000)).as_bytes()).await.unwrap();
        drop(origin);
        let error = read_answer(&mut stream, false).await.expect_err("no last chunk");
        assert_ne!(error.kind(), std::io::ErrorKind::TimedOut, "{framing}");
    }
}

/// The head of an answer comes when the request's time is over, and its body with it: the encoder is at work when the
/// gateway answers itself.
pub(crate) async fn a_refusal_in_place_of_an_answer_is_plain(_: &Services) {
    let late = format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n4000\r\n{}\r\n", "x".repeat(0x4000));
    let route = "[[routes]]\nname = \"all\"\npaths = [\"/*\"]\nmethods = [\"POST\"]\nupstream = \"api\"\ntimeout = \"600ms\"\nmax_body = \"1KiB\"\n";
    let edge = edge(route, move |_| late.clone()).await;
    // Each piece of a request gives the API its time anew, and the last one is taken whenever it comes.
    let answer = eventually("a piece before the time is over, and the last one after it", PATIENCE, async || {
        let mut stream = edge.gateway.connect().await.unwrap();
        let head = "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nContent-Length: 3\r\n\r\n";
        for piece in [head, "a", "b", "c"] {
            stream.write_all(piece.as_bytes()).await.ok()?;
            if piece != "c" {
                sleep(Duration::from_millis(250)).await;
            }
        }
        let answer = read_answer(&mut stream, false).await.ok()?;
        (answer.status == 504).then_some(answer)
    })
    .await;
    assert_eq!(answer.field("content-encoding"), None);
    assert_eq!(answer.json()["code"], "upstream_timeout");
}

pub(crate) async fn the_services_own_answers(stack: &Stack) {
    let client = stack.client();
    let gzip = [("accept-encoding", "gzip")];
    for path in ["/openapi.json", "/docs"] {
        let plain = client.get(path).await.expect(200);
        let compressed = client.open("GET", path, &gzip, None).await.unwrap();
        assert_eq!(compressed.headers()["content-encoding"], "gzip", "{path}");
        assert_eq!(decoded(Some("gzip"), &compressed.bytes().await.unwrap()), plain.text.as_bytes(), "{path}");
        // The API by itself compresses nothing.
        let direct = Client::http(stack.api.port).unwrap().send("GET", path, &gzip, None).await.unwrap();
        assert_eq!(
            (direct.status, direct.header("content-encoding"), &direct.text),
            (200, None, &plain.text),
            "{path}"
        );
    }
    // What holds a secret beside a client's words is never compressed, whatever the client says.
    let strict = [("accept-encoding", "gzip, identity;q=0")];
    let email = format!("{}@example.org", uuid::Uuid::now_v7());
    let body = json!({"email": email, "password": todo_tests::client::PASSWORD, "display_name": "a".repeat(90)});
    let registered = client.call("POST", "/v1/auth/register", &strict, Some(&body)).await.expect(201);
    assert!(registered.header("content-encoding").is_none() && registered.text.contains("refresh_token"));

    let user = client.register().await;
    let todo =
        user.client.post("/v1/todos", &json!({"title": "a", "notes": "b".repeat(5000)})).await.expect(201).json();
    let path = format!("/v1/todos/{}", todo["id"].as_str().unwrap());
    let read = user.client.open("GET", &path, &gzip, None).await.unwrap();
    let tag = read.headers()["etag"].to_str().unwrap().to_owned();
    assert!(tag.ends_with("-gz\""), "{tag}");
    assert_eq!(decoded(Some("gzip"), &read.bytes().await.unwrap()), user.client.get(&path).await.text.as_bytes());
    let fresh = user.client.call("GET", &path, &[gzip[0], ("if-none-match", &tag)], None).await.expect(304);
    assert_eq!(fresh.header("etag"), Some(&*tag));
    let change = json!({"title": "c"});
    let patched = user.client.call("PATCH", &path, &[("if-match", &tag)], Some(&change)).await.expect(200);
    assert!(patched.header("etag").is_some_and(|tag| !tag.contains('-')));
    user.client
        .call("PATCH", &path, &[("if-match", &tag)], Some(&change))
        .await
        .expect_problem(412, "precondition_failed");
}
