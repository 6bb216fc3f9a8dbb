//! The table of raw-octet cases ([`todo_tests::strictness`]) against the gateway, over TCP and over TLS, and the cases of
//! HTTP/2, frame by frame.

mod http2;

use std::{fmt::Write as _, io::Write as _, sync::Arc, time::Duration};

use todo_tests::{
    raw::{connect_tls, tls_config},
    recorder::Recorder,
    stack::Gateway,
    strictness::{Case, Level, Pace, SETTINGS, cases, judge, play},
};
use tokio::net::TcpStream;

pub(crate) use self::http2::frames_have_one_reading;
use crate::service::Services;

/// Long, because whatever is waited for has to come.
const PACE: Pace = Pace { quiet: Duration::from_secs(10), patience: Duration::from_secs(10) };

/// A gateway in front of a recording origin.
struct Edge {
    gateway: Gateway,
    origin: Recorder,
    _folder: tempfile::TempDir,
}

async fn edge() -> Edge {
    let origin = Recorder::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[origin.port], SETTINGS).await.unwrap();
    Edge { gateway, origin, _folder: folder }
}

pub(crate) async fn octets_have_one_reading_over_tcp(_: &Services) {
    let edge = edge().await;
    let mut tally = Tally::new("strictness over TCP");
    for case in cases() {
        let stream = TcpStream::connect(("127.0.0.1", edge.gateway.http_port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let seen = play(&case, &edge.origin, stream, PACE).await;
        tally.add(&case, judge(&case, &seen));
    }
    tally.finish();
}

pub(crate) async fn octets_have_one_reading_over_tls(_: &Services) {
    let edge = edge().await;
    let config = Arc::new(tls_config(&edge.gateway.ca(), &["http/1.1"]).unwrap());
    let mut tally = Tally::new("strictness over TLS");
    for case in cases() {
        let stream = connect_tls(config.clone(), edge.gateway.https_port, "localhost").await.unwrap();
        let seen = play(&case, &edge.origin, stream, PACE).await;
        tally.add(&case, judge(&case, &seen));
    }
    tally.finish();
}

/// Cases are told apart in reports by their names.
pub(crate) async fn no_two_cases_have_the_same_name(_: &Services) {
    let mut names: Vec<_> = cases().into_iter().map(|case| case.name).collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// Counts what holds and what does not; everything that is broken is told at once.
struct Tally {
    title: &'static str,
    counts: [(usize, usize); 2],
    /// Cases in which a library does otherwise.
    apart: usize,
    broken: Vec<String>,
}

impl Tally {
    const fn new(title: &'static str) -> Self {
        Self { title, counts: [(0, 0); 2], apart: 0, broken: Vec::new() }
    }

    fn add(&mut self, case: &Case, wrong: Vec<String>) {
        self.count(case.level, case.section, case.name, wrong);
    }

    fn count(&mut self, level: Level, section: &str, name: &str, wrong: Vec<String>) {
        let (total, broken) = &mut self.counts[usize::from(level == Level::Should)];
        *total += 1;
        if !wrong.is_empty() {
            *broken += 1;
            self.broken.push(format!("{level:?} ({section}) {name}: {}", wrong.join("; ")));
        }
    }

    fn count_apart(&mut self, section: &str, name: &str, wrong: Vec<String>) {
        self.apart += 1;
        if !wrong.is_empty() {
            self.broken.push(format!("({section}) {name}: {}", wrong.join("; ")));
        }
    }

    fn finish(self) {
        let [(musts, broken_musts), (shoulds, broken_shoulds)] = self.counts;
        let mut result =
            format!("{}: {broken_musts} of {musts} MUST and {broken_shoulds} of {shoulds} SHOULD broken", self.title);
        if self.apart > 0 {
            let _ = write!(result, ", {} MUST that the h2 library meets in its own way", self.apart);
        }
        // The harness takes what `println!` says.
        let _ = writeln!(std::io::stdout(), "{result}");
        assert!(self.broken.is_empty(), "{result}\n{}", self.broken.join("\n"));
    }
}
