//! The table of raw-octet cases: what a client sends, what an origin says, and what either must see of the other.
//!
//! The cases are written from RFC 9110 and RFC 9112, each with its section and level, and are data: the black-box suite
//! runs them against the gateway over TCP and TLS, and a drill sends the same octets to other proxies to see where they
//! differ (`docs/request-strictness.md`).

mod answers;
mod chunks;
mod fields;
mod forwarding;
mod framing;
mod judge;
mod play;
mod request_line;
mod sequence;

pub use self::{
    judge::judge,
    play::{Pace, Seen, play},
};
use crate::recorder::Says;

/// How strongly the RFC asks for it (RFC 2119).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// The RFC forbids the message, or demands what happens to it.
    Must,
    /// The RFC asks for it, or lets a recipient be lenient (a line that ends with LF alone, a length that is said twice):
    /// what is written here is what this project holds itself to.
    Should,
}

/// One thing that the client does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends these octets at once.
    Send(Vec<u8>),
    /// Waits until it has received these.
    UntilSeen(&'static str),
    /// Waits until the origin has received these.
    UntilOriginSaw(&'static str),
    /// Closes its half of the connection.
    HalfClose,
}

/// What must come of it.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The statuses of all answers in their order, interim ones too.
    pub statuses: Vec<u16>,
    /// Whether the last of them breaks off.
    pub is_cut: bool,
    /// Whether it is a refusal: the gateway's own answer, after which it closes, and nothing reaches the origin.
    pub is_refusal: bool,
    /// How many whole requests reach the origin; none said is one for each final answer that is not a refusal.
    pub requests: Option<usize>,
    /// What stands in what the client receives, compared without regard to case.
    pub shown: Vec<&'static str>,
    /// What does not.
    pub hidden: Vec<&'static str>,
    /// What stands in what the origin receives.
    pub reaches: Vec<&'static str>,
    /// What does not.
    pub kept: Vec<&'static str>,
}

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it tries, in a few words; no two have the same.
    pub name: &'static str,
    /// Where it is written: `9112 6.3`.
    pub section: &'static str,
    /// How strongly.
    pub level: Level,
    /// What the client does.
    pub steps: Vec<Step>,
    /// What the origin says.
    pub says: Says,
    /// Whether the requests are HEAD, whose answers have no content.
    pub is_head: bool,
    /// What must come of it.
    pub expected: Expected,
}

/// What an origin says that has nothing to hide.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

/// A case of this level.
fn case(level: Level, section: &'static str, name: &'static str) -> Case {
    let says = Says { at_end: OK.into(), ..Says::default() };
    Case { name, section, level, steps: Vec::new(), says, is_head: false, expected: Expected::default() }
}

fn must(section: &'static str, name: &'static str) -> Case {
    case(Level::Must, section, name)
}

fn should(section: &'static str, name: &'static str) -> Case {
    case(Level::Should, section, name)
}

impl Case {
    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Sends these octets.
    fn send(self, octets: impl AsRef<[u8]>) -> Self {
        self.step(Step::Send(octets.as_ref().to_vec()))
    }

    /// Sends a GET with these lines behind its Host, after which the connection ends.
    fn get(self, lines: &str) -> Self {
        self.send(format!("GET /v1/x HTTP/1.1\r\nHost: localhost\r\n{lines}Connection: close\r\n\r\n"))
    }

    /// Sends a POST with these lines and this body, after which the connection ends.
    fn post(self, lines: &str, body: &str) -> Self {
        self.send(format!("POST /v1/x HTTP/1.1\r\nHost: localhost\r\n{lines}Connection: close\r\n\r\n{body}"))
    }

    /// Sends a POST in chunks: these octets are its body as it goes over the wire.
    fn chunked(self, body: &str) -> Self {
        self.post("Transfer-Encoding: chunked\r\n", body)
    }

    /// Sends this request line with a Host.
    fn line(self, line: &str) -> Self {
        self.send(format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// The origin says this to a whole request.
    fn origin(mut self, octets: impl AsRef<[u8]>) -> Self {
        self.says.at_end = octets.as_ref().to_vec();
        self
    }

    /// The origin says this as soon as it has a head.
    fn origin_at_head(mut self, octets: impl AsRef<[u8]>) -> Self {
        self.says.at_head = octets.as_ref().to_vec();
        self
    }

    /// And closes.
    fn and_closes(mut self) -> Self {
        self.says.closes = true;
        self
    }

    /// The requests are HEAD.
    fn head(mut self) -> Self {
        self.is_head = true;
        self
    }

    /// The gateway answers with this status itself, closes, and lets nothing through.
    fn refused(mut self, status: u16) -> Self {
        self.expected.statuses = vec![status];
        self.expected.is_refusal = true;
        self
    }

    /// These answers come.
    fn answered(mut self, statuses: &[u16]) -> Self {
        self.expected.statuses = statuses.to_vec();
        self
    }

    /// An answer that was begun is seen to break off.
    fn cut(mut self) -> Self {
        self.expected.is_cut = true;
        self
    }

    /// So many whole requests reach the origin.
    fn requests(mut self, count: usize) -> Self {
        self.expected.requests = Some(count);
        self
    }

    fn shows(mut self, octets: &[&'static str]) -> Self {
        self.expected.shown = octets.to_vec();
        self
    }

    fn hides(mut self, octets: &[&'static str]) -> Self {
        self.expected.hidden = octets.to_vec();
        self
    }

    fn reaches(mut self, octets: &[&'static str]) -> Self {
        self.expected.reaches = octets.to_vec();
        self
    }

    fn keeps(mut self, octets: &[&'static str]) -> Self {
        self.expected.kept = octets.to_vec();
        self
    }
}

/// Every case, by theme.
pub fn cases() -> Vec<Case> {
    [
        request_line::cases(),
        fields::cases(),
        framing::cases(),
        chunks::cases(),
        forwarding::cases(),
        sequence::cases(),
        answers::cases(),
    ]
    .concat()
}

/// The gateway's configuration for the cases: one route for everything, on both listeners.
pub const SETTINGS: &str = r#"
[listen]
http_action = "proxy"
[[routes]]
name = "all"
paths = ["/*"]
methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
upstream = "api"
timeout = "20s"
max_body = "64KiB"
"#;
