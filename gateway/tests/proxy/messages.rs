//! What of a message ends at the gateway, in either direction: what belongs to one connection or one version of HTTP.

use http::StatusCode;

use crate::{
    GET, code,
    harness::{self, Gateway},
    origin::Origin,
};

#[tokio::test]
async fn what_speaks_of_the_connection_to_the_api_ends_at_the_gateway() {
    let origin = Origin::answering(
        "HTTP/1.1 103 Early Hints\r\nServer: x\r\nLink: </a>\r\n\r\n\
         HTTP/1.0 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = Gateway::before(&origin, "").await;
    let octets = gateway.octets(&format!("{GET}Connection: close\r\n\r\n")).await;
    let answer = String::from_utf8(octets).expect("text").to_lowercase();
    assert!(answer.starts_with("http/1.1 103 early hints\r\nlink: </a>\r\n\r\nhttp/1.1 200 ok\r\n"), "{answer}");
    assert!(!answer.contains("x-hop") && !answer.contains("keep-alive") && !answer.contains("server"), "{answer}");
}

#[tokio::test]
async fn a_client_of_http_1_0_is_spoken_to_in_its_own_words() {
    let origin = Origin::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    )
    .await;
    let gateway = Gateway::before(&origin, "").await;
    let request = GET.replace("HTTP/1.1", "HTTP/1.0") + "Connection: keep-alive\r\nExpect: 100-continue\r\n\r\n";
    let answer = String::from_utf8(gateway.octets(&request).await).expect("text").to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert!(answer.contains("connection: close") && !answer.contains("transfer-encoding"), "{answer}");
    assert!(!origin.heads().await[0].to_lowercase().contains("expect"));
}

#[tokio::test]
async fn max_forwards_is_counted_down_and_ends_at_nothing() {
    let origin = Origin::answering("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").await;
    let gateway = Gateway::before(&origin, &harness::route("timeout = \"30s\"").replace("POST", "OPTIONS")).await;
    let request = |left: u8| format!("{}Max-Forwards: {left}\r\n\r\n", GET.replace("GET", "OPTIONS"));
    assert_eq!(code(&gateway.ask(&request(0)).await), "not_implemented");
    let answer = gateway.ask(&request(2)).await;
    assert!(answer.status == StatusCode::NO_CONTENT && !answer.headers.contains_key("content-length"));
    let heads = origin.heads().await;
    assert!(heads.len() == 1 && heads[0].to_lowercase().contains("max-forwards: 1\r\n"), "{heads:?}");
}

#[tokio::test]
async fn cookies_that_http2_cut_up_are_one_field_again() {
    let origin = Origin::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let gateway = Gateway::before(&origin, "").await;
    let request = http::Request::get("https://localhost/v1/x").header("cookie", "a=1").header("cookie", "b=2");
    gateway.ask_http2(request.body(Vec::new()).expect("request")).await;
    let head = origin.heads().await.remove(0).to_lowercase();
    assert!(head.contains("\r\ncookie: a=1; b=2\r\n") && head.matches("cookie").count() == 1, "{head}");
}
