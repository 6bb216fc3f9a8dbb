//! Connections: deadlines, caps, stops, and what filters see of them.

use super::*;

#[tokio::test]
async fn slow_clients_are_cut() {
    let edge = run(Endpoint::Http, |settings| {
        settings.idle_timeout = Duration::from_millis(100);
        settings.head_timeout = Duration::from_millis(200);
    })
    .await;
    assert_eq!(read_to_end(&mut edge.connect().await).await, "");
    edge.event("closed idle_timeout 0").await;
    let answer = exchange(&mut edge.connect().await, "GET / HT").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    edge.event("refused request_timeout").await;
    // A kept connection has the same deadlines.
    let answer = exchange(&mut edge.connect().await, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.ends_with("GET /1 "), "{answer}");
    edge.event("closed idle_timeout 1").await;

    let edge = run(Endpoint::Https, |settings| settings.handshake_timeout = Duration::from_millis(100)).await;
    assert_eq!(read_to_end(&mut edge.connect().await).await, "");
    edge.event("turned away handshake_timeout").await;
}

#[tokio::test]
async fn a_client_that_asks_for_http2_and_says_nothing_is_cut() {
    let edge = run(Endpoint::Https, |settings| settings.head_timeout = Duration::from_millis(100)).await;
    for octets in ["", "PRI * HTTP/2.0\r\n"] {
        let mut stream = edge.connect_tls(&[b"h2"]).await;
        stream.write_all(octets.as_bytes()).await.expect("sent");
        is_cut(stream).await;
        edge.event("closed head_timeout 0").await;
        edge.recorder.events.lock().expect("unpoisoned").clear();
    }
    // A stop does not wait for such a client.
    let edge = run(Endpoint::Https, |_| ()).await;
    let silent = edge.connect_tls(&[b"h2"]).await;
    edge.event("opened Http2 1").await;
    edge.stop.send_replace(true);
    is_cut(silent).await;
    edge.event("closed - 0").await;
}

#[tokio::test]
async fn caps_turn_connections_away_and_slots_come_back() {
    let edge = run(Endpoint::Http, |settings| settings.caps.per_address = 1).await;
    let mut first = edge.connect().await;
    edge.event("opened Http1 1").await;
    assert_eq!(read_to_end(&mut edge.connect().await).await, "");
    edge.event("turned away connections_exceeded address").await;
    let answer = exchange(&mut first, "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("GET /1 "), "{answer}");
    edge.event("closed - 1").await;
    drop(first);
    let answer = exchange(&mut edge.connect().await, "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("GET /2 "), "{answer}");
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_serves_begun_ones() {
    let edge = run(Endpoint::Http, |_| ()).await;
    let (mut idle, mut begun) = (edge.connect().await, edge.connect().await);
    begun.write_all(b"GET /1 HTTP/1.1\r\nHo").await.expect("sent");
    edge.event("opened Http1 2").await;
    // The begun head has been read when an answer to a later connection has come.
    exchange(&mut edge.connect().await, "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    edge.stop.send_replace(true);
    assert_eq!(read_to_end(&mut idle).await, "");
    let answer = exchange(&mut begun, "st: a\r\n\r\n").await;
    assert!(answer.ends_with("GET /1 ") && answer.to_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn filters_see_the_connection_over_tls_and_both_protocols() {
    let edge = run(Endpoint::Https, |_| ()).await;
    for expected in ["Http1 1.3 GET /1 ", "Http1 resumed GET /1 "] {
        let mut stream = edge.connect_tls(&[]).await;
        let answer = exchange(&mut stream, "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(answer.ends_with(expected), "{answer}");
    }
    let (mut client, connection) = h2::client::handshake(edge.connect_tls(&[b"h2"]).await).await.expect("h2");
    let driving = tokio::spawn(connection);
    for path in ["/1", "/2"] {
        let request = http::Request::get(format!("https://localhost{path}")).body(()).expect("a request");
        let (answer, _) = client.send_request(request, true).expect("sent");
        let mut body = answer.await.expect("an answer").into_body();
        let octets = body.data().await.expect("a body").expect("octets");
        assert_eq!(octets, format!("Http2 resumed GET {path} "));
    }
    edge.stop.send_replace(true);
    timeout(Duration::from_secs(20), driving).await.expect("GOAWAY ends it").expect("no panic").expect("no error");
    edge.event("closed - 2").await;

    edge.stop.send_replace(false);
    let mut plain = edge.connect().await;
    let answer = exchange(&mut plain, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
    edge.event("turned away handshake_failed").await;
}

#[tokio::test]
async fn a_panic_in_a_filter_ends_its_connection_and_is_told() {
    let edge = run(Endpoint::Http, |settings| settings.caps.total = 1).await;
    let answer = exchange(&mut edge.connect().await, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer, "");
    edge.event("closed - 1").await;
    let answer = exchange(&mut edge.connect().await, "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("GET /1 "), "the slot is free: {answer}");
}

#[tokio::test]
async fn a_gateway_that_has_no_room_takes_no_connection() {
    let edge = run(Endpoint::Http, |_| ()).await;
    edge.recorder.overloaded.store(true, Ordering::Relaxed);
    assert_eq!(read_to_end(&mut edge.connect().await).await, "");
    edge.event("turned away connections_exceeded overload").await;
    edge.recorder.overloaded.store(false, Ordering::Relaxed);
    let answer = exchange(&mut edge.connect().await, "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("GET /1 "), "{answer}");
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_to_go() {
    let edge = run(Endpoint::Https, |settings| settings.idle_timeout = Duration::from_millis(100)).await;
    let (client, connection) = h2::client::handshake(edge.connect_tls(&[b"h2"]).await).await.expect("h2");
    timeout(Duration::from_secs(20), connection).await.expect("GOAWAY ends it").expect("without an error");
    edge.event("closed idle_timeout 0").await;
    drop(client);
    // One that has nothing to say to it is cut.
    edge.recorder.events.lock().expect("unpoisoned").clear();
    let mut silent = edge.connect_tls(&[b"h2"]).await;
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("sent");
    let read = timeout(Duration::from_secs(20), silent.read_to_end(&mut Vec::new())).await.expect("in time");
    drop(read);
    edge.event("closed idle_timeout 0").await;
}
