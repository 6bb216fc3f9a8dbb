//! Pages of other origins: who may read what, and that the gateway alone says so.

use serde_json::json;
use todo_tests::{
    api::sqlite_url,
    client::{Answer, Client},
    origin::{Origin, Request, ok},
    stack::{Gateway, Stack},
};

use crate::service::Services;

const PAGE: &str = "https://app.example.org";

const ALLOWED: &str = "[cors]\nallowed_origins = [\"https://app.example.org\", \"http://localhost:3000\"]\n";

/// The answer of an origin that has its own ideas about origins.
const OPEN: &str = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Max-Age: 9\r\nVary: Accept\r\nContent-Length: 2\r\n\r\nok";

struct Edge {
    client: Client,
    origin: Origin,
    gateway: Gateway,
    _folder: tempfile::TempDir,
}

async fn edge(extra: &str) -> Edge {
    let origin = Origin::start(async |request: Request| match request.target() {
        "/v1/garbage" => "this is not HTTP\r\n\r\n".to_owned(),
        "/v1/text" => ok("hello"),
        _ => OPEN.to_owned(),
    })
    .await
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[origin.port], extra).await.unwrap();
    Edge { client: gateway.client().unwrap(), origin, gateway, _folder: folder }
}

/// The fields of the protocol, by their names without `access-control-`.
fn said(answer: &Answer) -> Vec<(&str, &str)> {
    let fields = answer
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix("access-control-")?, value.to_str().unwrap())));
    let mut fields: Vec<_> = fields.collect();
    fields.sort_unstable();
    fields
}

fn varies_by_origin(answer: &Answer) -> bool {
    answer.headers.get_all("vary").iter().any(|value| value.to_str().unwrap().eq_ignore_ascii_case("origin"))
}

async fn preflight(client: &Client, path: &str, origin: &str) -> Answer {
    let fields = [
        ("origin", origin),
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "authorization,if-match"),
    ];
    client.call("OPTIONS", path, &fields, None).await
}

const EXPOSED: (&str, &str) = (
    "expose-headers",
    "etag, idempotency-replayed, link, location, ratelimit, ratelimit-policy, retry-after, x-request-id",
);

pub(crate) async fn a_listed_page_reads_everything(_: &Services) {
    let edge = edge(ALLOWED).await;
    for origin in [PAGE, "http://localhost:3000"] {
        let answer = edge.client.call("GET", "/v1/x", &[("origin", origin)], None).await.expect(200);
        assert_eq!(said(&answer), [("allow-origin", origin), EXPOSED]);
        assert!(varies_by_origin(&answer) && answer.header("cross-origin-resource-policy") == Some("same-origin"));
    }
    // The gateway's own refusals and failures: a page that could not read them would only see "network error".
    for (method, path, status) in
        [("GET", "/nothing", 404), ("PUT", "/v1/x", 405), ("GET", "/v1/garbage", 502), ("GET", "/v1//x", 400)]
    {
        let answer = edge.client.call(method, path, &[("origin", PAGE)], None).await.expect(status);
        assert_eq!(said(&answer), [("allow-origin", PAGE), EXPOSED], "{path}");
        assert!(varies_by_origin(&answer) && !answer.code().is_empty(), "{path}");
    }
    let large = [("origin", PAGE), ("content-type", "text/plain")];
    let refused = edge.client.send("POST", "/v1/x", &large, Some("x".repeat(300 << 10))).await.unwrap().expect(413);
    assert_eq!(said(&refused), [("allow-origin", PAGE), EXPOSED]);
}

pub(crate) async fn a_preflight_is_answered_at_the_edge(_: &Services) {
    let edge = edge(ALLOWED).await;
    let answer = preflight(&edge.client, "/v1/x", PAGE).await.expect(204);
    assert_eq!(
        said(&answer),
        [
            ("allow-headers", "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id"),
            ("allow-methods", "DELETE, GET, HEAD, PATCH, POST"),
            ("allow-origin", PAGE),
            EXPOSED,
            ("max-age", "600"),
        ]
    );
    assert!(varies_by_origin(&answer) && answer.text.is_empty() && answer.header("content-length").is_none());
    assert!(answer.headers.contains_key("strict-transport-security"));
    // The methods are those of the path, and a path that is not there is not.
    let public = preflight(&edge.client, "/openapi.json", PAGE).await.expect(204);
    assert!(said(&public).contains(&("allow-methods", "GET, HEAD")));
    preflight(&edge.client, "/nothing", PAGE).await.expect_problem(404, "not_found");
    // Without the method it asks for, it is an ordinary OPTIONS.
    edge.client.call("OPTIONS", "/v1/x", &[("origin", PAGE)], None).await.expect_problem(405, "method_not_allowed");
    assert_eq!(edge.origin.requests().len(), 0, "none of them reached the API");
}

pub(crate) async fn strangers_get_an_ordinary_answer(_: &Services) {
    let edge = edge(ALLOWED).await;
    for origin in ["https://evil.example", "http://app.example.org", "https://app.example.org.evil.example", "null"] {
        let answer = edge.client.call("GET", "/v1/x", &[("origin", origin)], None).await.expect(200);
        assert_eq!(said(&answer), [], "{origin}");
        assert!(varies_by_origin(&answer), "{origin}");
        let refused = preflight(&edge.client, "/v1/x", origin).await;
        refused.expect_problem(405, "method_not_allowed");
        assert!(said(&refused).is_empty() && varies_by_origin(&refused), "{origin}");
    }
    let without = edge.client.get("/v1/x").await.expect(200);
    assert!(said(&without).is_empty() && varies_by_origin(&without), "a cache must not give it to a page");
    assert_eq!(without.headers.get_all("vary").iter().count(), 2, "the API's own word stays");
    let nobody = self::edge("").await;
    let answer = nobody.client.call("GET", "/v1/x", &[("origin", PAGE)], None).await.expect(200);
    assert!(said(&answer).is_empty() && !varies_by_origin(&answer));
}

pub(crate) async fn the_plain_port_serves_alike(_: &Services) {
    let edge = edge(&format!("{ALLOWED}[listen]\nhttp_action = \"proxy\"\n[compression]\nmin_size = \"1B\"\n")).await;
    let client = Client::http(edge.gateway.http_port).unwrap();
    let fields = [("origin", PAGE), ("accept-encoding", "gzip"), ("host", "localhost")];
    let answer = client.open("GET", "/v1/text", &fields, None).await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let varies: Vec<_> = answer.headers().get_all("vary").iter().collect();
    assert_eq!(varies, ["accept-encoding", "origin"]);
}

pub(crate) async fn the_services_refusals_are_readable(_: &Services) {
    let folder = tempfile::tempdir().unwrap();
    let database = sqlite_url(folder.path());
    let stack = Stack::start(folder, database, "", ALLOWED).await.unwrap();
    let refused = stack.client().call("GET", "/v1/todos", &[("origin", PAGE)], None).await;
    refused.expect_problem(401, "token_missing");
    assert_eq!(said(&refused), [("allow-origin", PAGE), EXPOSED]);
    let user = stack.client().register().await;
    let title = json!({"title": "a"});
    let made = user.client.call("POST", "/v1/todos", &[("origin", PAGE)], Some(&title)).await.expect(201);
    assert_eq!(said(&made), [("allow-origin", PAGE), EXPOSED]);
    assert!(made.headers.contains_key("location") && made.headers.contains_key("etag"));
}
