//! HTTP/1 requests as raw octets: every kind of body, in every kind of piece.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn pipelined_requests_with_every_kind_of_body_are_served_in_order() {
    let edge = run(Endpoint::Http, |_| ()).await;
    let requests = "\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPOST /3 HTTP/1.1\r\nHost: a\r\n\
                    Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\nT: v\r\n\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(&mut edge.connect().await, requests).await;
    let bodies: Vec<_> = answer
        .lines()
        .filter(|line| line.starts_with("Http1"))
        .map(|line| line.split("HTTP").next().unwrap_or_default())
        .collect();
    assert_eq!(
        bodies,
        ["Http1 plain GET /1 ", "Http1 plain POST /2 abc", "Http1 plain POST /3 def", "Http1 plain GET /4 "],
        "{answer}"
    );
    edge.event("closed - 4").await;
}

#[tokio::test]
async fn octets_may_come_one_by_one() {
    let edge = run(Endpoint::Http, |_| ()).await;
    let mut stream = edge.connect().await;
    stream.set_nodelay(true).expect("a socket");
    let request =
        "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for octet in request.as_bytes() {
        stream.write_all(&[*octet]).await.expect("sent");
        tokio::task::yield_now().await;
    }
    let answer = read_to_end(&mut stream).await;
    assert!(answer.ends_with("POST /1 abc"), "{answer}");
}

#[tokio::test]
async fn what_is_malformed_is_answered_once_and_closed() {
    let edge = run(Endpoint::Http, |_| ()).await;
    let answer =
        exchange(&mut edge.connect().await, "GET / HTTP/1.1\r\nHost : a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
    assert!(answer.starts_with("HTTP/1.1 400") && !answer.contains("Http1"), "{answer}");
    edge.event("refused request_malformed").await;
    // The answer to HEAD has no content, whatever the refusal.
    let answer = exchange(&mut edge.connect().await, "HEAD / HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with("\r\n\r\n"), "{answer}");
    // A request that is whole is served before a malformed one behind it is refused.
    let answer = exchange(&mut edge.connect().await, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET\r\n\r\n").await;
    assert!(answer.contains("GET /1") && answer.contains("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_malformed_chunk_never_reaches_the_proxys_body() {
    let edge = run(Endpoint::Http, |_| ()).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n-1\r\nx\r\n0\r\n\r\n";
    let answer = exchange(&mut edge.connect().await, request).await;
    assert!(!answer.contains("abc"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_requests_than_the_gate_holds_wait_in_the_socket() {
    let edge = run(Endpoint::Http, |_| ()).await;
    let count = 4 * gate::MOST_HELD / "GET /1000 HTTP/1.1\r\nHost: a\r\n\r\n".len();
    let mut requests = String::new();
    for number in 0..count {
        let last = if number + 1 == count { "Connection: close\r\n" } else { "" };
        write!(requests, "GET /{number} HTTP/1.1\r\nHost: a\r\n{last}\r\n").expect("memory");
    }
    let answer = exchange_at_once(edge.connect().await, requests.into_bytes(), &[usize::MAX]).await;
    let expected = (0..count).map(|number| format!("Http1 plain GET /{number} "));
    assert_in_order(&answer, expected);
}

/// One request: whether its body is chunked, in chunks of which size, and the body.
type Post = (Option<usize>, String);

fn post() -> impl Strategy<Value = Post> {
    let length = prop_oneof![Just(0), 0_usize..100, 0_usize..200_000];
    let chunk = proptest::option::of(prop_oneof![1_usize..20, 1_usize..100_000]);
    (chunk, length, "[a-z]{1,7}").prop_map(|(chunk, length, word)| {
        // A chunk of one octet each is for short bodies.
        let chunk = chunk.map(|octets: usize| octets.max(length / 500 + 1));
        (chunk, word.chars().cycle().take(length).collect())
    })
}

fn written(posts: &[Post]) -> Vec<u8> {
    let mut octets = String::new();
    for (number, (chunk, body)) in posts.iter().enumerate() {
        let last = if number + 1 == posts.len() { "Connection: close\r\n" } else { "" };
        write!(octets, "POST /{number} HTTP/1.1\r\nHost: a\r\n{last}").expect("memory");
        match chunk {
            None => write!(octets, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("memory"),
            Some(size) => {
                octets.push_str("Transfer-Encoding: chunked\r\n\r\n");
                for piece in body.as_bytes().chunks(*size) {
                    write!(octets, "{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece)).expect("memory");
                }
                octets.push_str("0\r\nX-Sum: 1\r\n\r\n");
            }
        }
    }
    octets.into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However bodies are framed and however their octets are cut on the way, the proxy reads each one whole.
    #[test]
    fn bodies_come_through_whole_in_whatever_pieces(
        posts in proptest::collection::vec(post(), 1..5),
        pieces in proptest::collection::vec(prop_oneof![1_usize..4, 1000_usize..40_000], 1..6),
        endpoint in prop_oneof![Just(Endpoint::Http), Just(Endpoint::Https)],
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let answer = runtime.block_on(async {
            let edge = run(endpoint, |_| ()).await;
            let octets = written(&posts);
            match endpoint {
                Endpoint::Http => exchange_at_once(edge.connect().await, octets, &pieces).await,
                Endpoint::Https => exchange_at_once(edge.connect_tls(&[]).await, octets, &pieces).await,
            }
        });
        let expected = posts.iter().enumerate().map(|(number, (_, body))| format!("POST /{number} {body}"));
        assert_in_order(&answer, expected);
    }
}

/// Sends octets in pieces of these lengths, over and over, while it reads.
async fn exchange_at_once(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    octets: Vec<u8>,
    pieces: &[usize],
) -> String {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let pieces = pieces.to_vec();
    let sending = tokio::spawn(async move {
        let (mut rest, mut pieces) = (octets.as_slice(), pieces.into_iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(pieces.next().unwrap_or(usize::MAX).min(rest.len()));
            writer.write_all(piece).await.expect("sent");
            writer.flush().await.expect("sent");
            rest = after;
        }
        writer
    });
    let answer = read_to_end(&mut reader).await;
    drop(sending.await.expect("sent"));
    answer
}

fn assert_in_order(answer: &str, expected: impl Iterator<Item = String>) {
    let mut rest = answer;
    for body in expected {
        let beginning: String = body.chars().take(40).collect();
        let at = rest.find(&body);
        assert!(at.is_some(), "{beginning} is not where it should be");
        rest = &rest[at.unwrap_or(0) + body.len()..];
    }
}
