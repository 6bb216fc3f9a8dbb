//! Who is set aside for its answers, and who is not.

use todo_tests::{
    origin::{CLOSE, Origin, ok},
    raw::read_answer,
    wait::eventually,
};
use tokio::io::AsyncWriteExt as _;

use crate::{
    balance::{PATIENCE, Pair, half_failing, metric},
    service::Services,
};

const EJECTIONS: &str = "gateway_upstream_ejections_total";

/// It never fails often enough in a row.
pub(crate) async fn whoever_fails_half_of_its_requests_is_set_aside(_: &Services) {
    let pair = Pair::start(half_failing().await, "eject_interval = \"1min\"\n").await;
    eventually("it to be set aside", PATIENCE, async || {
        pair.client.get("/v1/x").await;
        (metric(&pair.gateway, EJECTIONS, "failure_rate").await == 1).then_some(())
    })
    .await;
    assert_eq!(pair.bad.requests().len(), 20, "as many as say something");
    for _ in 0..20 {
        pair.client.get("/v1/x").await.expect(200);
    }
    assert_eq!(metric(&pair.gateway, EJECTIONS, "").await, 1);
}

/// Each way in which an answer is none counts once, also where its head looked well.
pub(crate) async fn answers_that_are_not_sound_set_aside(_: &Services) {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let cases = [
        ("cut short", format!("{CLOSE}HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")),
        ("a chunk is missing", format!("{CLOSE}{chunked}5\r\nhello\r\n")),
        ("a chunk is cut short", format!("{CLOSE}{chunked}9\r\nhello")),
        ("a chunk has no size", format!("{chunked}ZZ\r\n")),
        ("500, cut short", format!("{CLOSE}HTTP/1.1 500 no\r\nContent-Length: 9\r\n\r\nhalf")),
        ("no HTTP", "garbage\r\n\r\n".to_owned()),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned()),
        ("101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned()),
        ("103 for ever", format!("{}{}", interim.repeat(100), ok("late"))),
        ("nothing", CLOSE.to_owned()),
    ];
    for (name, answer) in cases {
        let bad = Origin::start(move |_| std::future::ready(answer.clone())).await.unwrap();
        let pair = Pair::start(bad, "eject_after = 3\neject_failure_percent = 0\nretry_floor = 100\n").await;
        eventually(&format!("an address to be set aside: {name}"), PATIENCE, async || {
            let _ = pair.client.send("GET", "/v1/x", &[], None).await;
            (metric(&pair.gateway, EJECTIONS, "errors").await == 1).then_some(())
        })
        .await;
        assert_eq!(pair.bad.requests().len(), 3, "{name}");
    }
}

/// A stream has no end that says it went well; but whoever breaks every one of them off is found out.
pub(crate) async fn streams_that_break_off_set_aside(_: &Services) {
    let cut = format!("{CLOSE}HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let bad = Origin::start(move |_| std::future::ready(cut.clone())).await.unwrap();
    let route = "[[routes]]\nname = \"all\"\npaths = [\"/*\"]\nmethods = [\"GET\"]\nupstream = \"api\"\ntimeout = \"30s\"\nmax_body = \"1KiB\"\nstream_idle_timeout = \"30s\"\n";
    // More than half: its head does not count as an answer that went well, once it has broken off.
    let keys = "eject_failure_percent = 60\neject_min_requests = 6\neject_interval = \"1min\"\n";
    let pair = Pair::start(bad, &format!("{keys}{route}")).await;
    eventually("it to be set aside", PATIENCE, async || {
        let _ = pair.client.send("GET", "/v1/x", &[], None).await;
        (metric(&pair.gateway, EJECTIONS, "failure_rate").await == 1).then_some(())
    })
    .await;
}

pub(crate) async fn a_client_that_leaves_blames_nobody(_: &Services) {
    let large = ok(&"x".repeat(16 << 20));
    let bad = Origin::start(move |_| std::future::ready(large.clone())).await.unwrap();
    let pair = Pair::start(bad, "eject_after = 1\neject_failure_percent = 1\neject_min_requests = 1\n").await;
    eventually("clients to leave in the middle", PATIENCE, async || {
        let mut stream = pair.gateway.connect().await.unwrap();
        stream.write_all(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        read_answer(&mut stream, true).await.unwrap();
        drop(stream);
        (pair.bad.requests().len() >= 5).then_some(())
    })
    .await;
    eventually("the gateway to see them gone", PATIENCE, async || {
        (metric(&pair.gateway, "gateway_upstream_requests_in_flight", "").await == 0).then_some(())
    })
    .await;
    assert_eq!(metric(&pair.gateway, EJECTIONS, "").await, 0);
}
