//! The edge changes under load, and nobody notices: configuration, certificates, the binary, the replicas behind it.
//!
//! The load asks over kept connections, over a new one for each request and over HTTP/2, compares every answer's body and
//! tries nothing again that a server may have seen. `EDGE_RELOADS`, `EDGE_CERTIFICATES`, `EDGE_UPGRADES` and
//! `EDGE_RESTARTS` say how often each change is made.

#![expect(clippy::print_stdout, reason = "the table is what the drill is for")]

mod changes;

use std::{env, time::Instant};

use todo_tests::load::Seen;

use self::changes::Edge;

/// A kind of change, and how often it is made unless somebody says otherwise.
const CHANGES: [(&str, &str, u32); 4] = [
    ("reload", "EDGE_RELOADS", 8),
    ("certificate swap", "EDGE_CERTIFICATES", 3),
    ("upgrade", "EDGE_UPGRADES", 2),
    ("replica restart", "EDGE_RESTARTS", 2),
];

/// Answers that each kind of connection gets before and after each kind of change.
const BREATH: u64 = 50;

/// Every change, one kind after the other, under one load.
pub(crate) async fn changes_cost_no_request() {
    let mut edge = Edge::start().await;
    let load = edge.load().await;
    println!();
    println!("| change | times | seconds | answers h1 kept | h1 fresh | h2 | connections | sent anew (h2) | failed |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (name, variable, times) in CHANGES {
        let times = env::var(variable).map_or(times, |text| text.parse().expect("a number of changes"));
        let (before, begin) = (load.seen(), Instant::now());
        load.more(BREATH).await;
        for time in 0..times {
            match name {
                "reload" => edge.reload(time).await,
                "certificate swap" => edge.swap_certificate(time).await,
                "upgrade" => edge.upgrade(time).await,
                _ => edge.restart_replica(time).await,
            }
        }
        load.more(BREATH).await;
        println!("{}", row(name, times, begin.elapsed().as_secs(), &before, &load.seen()));
    }
    let seen = load.end().await;
    assert!(
        seen.failed == 0,
        "{} of {} requests failed: {:#?}",
        seen.failed,
        seen.answered() + seen.failed,
        seen.errors
    );
    println!("edge: {} answers, every body right, 0 failed requests", seen.answered());
}

fn row(name: &str, times: u32, seconds: u64, before: &Seen, after: &Seen) -> String {
    let counts = |seen: &Seen| [seen.kept, seen.fresh, seen.h2, seen.connections, seen.unseen, seen.failed];
    let counts: Vec<_> =
        counts(before).iter().zip(counts(after)).map(|(before, after)| (after - before).to_string()).collect();
    format!("| {name} | {times} | {seconds} | {} |", counts.join(" | "))
}
