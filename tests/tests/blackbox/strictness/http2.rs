//! HTTP/2 requests that are malformed, frame by frame (RFC 9113 sections 5, 6 and 8): each is reset, answered with a
//! refusal, or ends the connection, and nothing whole reaches the origin.
//!
//! Frames are read by the `h2` library. Where it does something else than the RFC asks, the case says so, holds what is
//! done instead, and is counted apart (`docs/request-strictness.md`).
//!
//! One long file, because it is one table.

use todo_tests::{
    h2_frames::{Frame, Http2, Outcome, code, flag, kind, request},
    recorder::{Says, contains},
    strictness::Level::{self, Must, Should},
};

use super::{Edge, Tally, edge};
use crate::service::Services;

/// What must come of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// An answer with this status; whether its request reaches the origin.
    Answer(u16, bool),
    /// The stream or the connection ends with this code.
    Error(u32),
    /// The connection ends, with `PROTOCOL_ERROR` where the RFC names this code.
    ErrorInsteadOf(u32),
    /// The field goes no further, where the RFC asks for an error.
    Dropped,
}

struct Case {
    level: Level,
    section: &'static str,
    name: &'static str,
    frames: Vec<Frame>,
    end: End,
}

pub(crate) async fn frames_have_one_reading(_: &Services) {
    let edge = edge().await;
    let mut tally = Tally::new("strictness of HTTP/2");
    for case in [fields(), pseudo(), bodies(), frames()].concat_cases() {
        let wrong = play(&edge, &case).await;
        match case.end {
            End::ErrorInsteadOf(_) | End::Dropped => tally.count_apart(case.section, case.name, wrong),
            _ => tally.count(case.level, case.section, case.name, wrong),
        }
    }
    tally.finish();
}

trait ConcatCases {
    fn concat_cases(self) -> Vec<Case>;
}

impl<const COUNT: usize> ConcatCases for [Vec<Case>; COUNT] {
    fn concat_cases(self) -> Vec<Case> {
        self.into_iter().flatten().collect()
    }
}

async fn play(edge: &Edge, case: &Case) -> Vec<String> {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    edge.origin.says(Says { at_end: ok.into(), ..Says::default() });
    let mut http2 = Http2::connect(&edge.gateway.ca(), edge.gateway.https_port).await.unwrap();
    let octets: Vec<u8> = case.frames.iter().flat_map(Frame::octets).collect();
    // The gateway may end the connection before it has everything.
    let _ = http2.write(&octets).await;
    let outcome = http2.outcome(1).await.unwrap();
    let record = edge.origin.record();
    let (is_right, requests) = match case.end {
        End::Answer(status, reaches) => (outcome.status == status && !outcome.is_over, usize::from(reaches)),
        End::Error(code) => (is_error(&outcome, code), 0),
        End::ErrorInsteadOf(_) => (outcome.is_over && is_error(&outcome, code::PROTOCOL_ERROR), 0),
        End::Dropped => (outcome.status == 200, 1),
    };
    let mut wrong = Vec::new();
    if case.end == End::Dropped && record.whole.iter().any(|message| contains(message, b"poison")) {
        wrong.push("it reached the origin".to_owned());
    }
    if !is_right {
        wrong.push(format!("{outcome:?} instead of {:?}", case.end));
    }
    if record.whole.len() != requests {
        let received: Vec<_> = record.whole.iter().map(|message| String::from_utf8_lossy(message)).collect();
        wrong.push(format!("the origin received {received:?}"));
    }
    wrong
}

fn is_error(outcome: &Outcome, code: u32) -> bool {
    outcome.status == 0 && (outcome.reset == Some(code) || outcome.goaway == Some(code))
}

fn case(level: Level, section: &'static str, name: &'static str, frames: Vec<Frame>, end: End) -> Case {
    Case { level, section, name, frames, end }
}

/// A GET with these fields more.
fn with(level: Level, section: &'static str, name: &'static str, fields: &[(&str, &str)], end: End) -> Case {
    let all: Vec<_> = request("GET", "/v1/x").into_iter().chain(fields.iter().copied()).collect();
    case(level, section, name, vec![Frame::headers(1, &all, true)], end)
}

/// A request of exactly these fields.
fn only(level: Level, section: &'static str, name: &'static str, fields: &[(&str, &str)], end: End) -> Case {
    case(level, section, name, vec![Frame::headers(1, fields, true)], end)
}

const MALFORMED: End = End::Error(code::PROTOCOL_ERROR);
const SERVED: End = End::Answer(200, true);
const REFUSED: End = End::Answer(400, false);

fn fields() -> Vec<Case> {
    vec![
        with(Must, "9113 8", "a request", &[], SERVED),
        with(Must, "9113 8.2.2", "te: trailers", &[("te", "trailers")], SERVED),
        with(Must, "9113 8.2", "name in capitals", &[("X-Name", "y")], MALFORMED),
        with(Must, "9113 8.2.1", "empty name", &[("", "y")], MALFORMED),
        with(Must, "9113 8.2.1", "name with a space", &[("x y", "z")], MALFORMED),
        with(Must, "9113 8.2.1", "name with a colon", &[("x:y", "z")], MALFORMED),
        with(Must, "9113 8.2.1", "name with an octet above ASCII", &[("x\u{e9}", "z")], MALFORMED),
        with(Must, "9113 8.2.1", "CR in a value", &[("x", "a\rb")], MALFORMED),
        with(Must, "9113 8.2.1", "LF in a value", &[("x", "a\nb")], MALFORMED),
        with(Must, "9113 8.2.1", "NUL in a value", &[("x", "a\0b")], MALFORMED),
        with(
            Must,
            "9113 8.2.1",
            "request hidden in a value",
            &[("x", "a\r\n\r\nGET /v1/smuggled HTTP/1.1\r\n")],
            MALFORMED,
        ),
        with(Must, "9113 8.2.1", "space before a value", &[("x", " y")], REFUSED),
        with(Must, "9113 8.2.1", "tab behind a value", &[("x", "y\t")], REFUSED),
        with(Must, "9113 8.2.2", "connection", &[("connection", "close")], MALFORMED),
        with(Must, "9113 8.2.2", "keep-alive", &[("keep-alive", "timeout=5")], MALFORMED),
        with(Must, "9113 8.2.2", "proxy-connection", &[("proxy-connection", "close")], MALFORMED),
        with(Must, "9113 8.2.2", "transfer-encoding", &[("transfer-encoding", "chunked")], MALFORMED),
        with(Must, "9113 8.2.2", "upgrade", &[("upgrade", "h2c")], MALFORMED),
        with(Must, "9113 8.2.2", "te with more than trailers", &[("te", "gzip")], MALFORMED),
    ]
}

#[expect(clippy::too_many_lines, reason = "it is one table")]
fn pseudo() -> Vec<Case> {
    let (method, scheme) = ((":method", "GET"), (":scheme", "https"));
    let (authority, path) = ((":authority", "localhost"), (":path", "/v1/x"));
    vec![
        only(Must, "9113 8.3.1", "no method", &[scheme, authority, path], MALFORMED),
        only(Must, "9113 8.3.1", "no scheme", &[method, authority, path], MALFORMED),
        only(Must, "9113 8.3.1", "no path", &[method, scheme, authority], MALFORMED),
        only(Must, "9113 8.3.1", "empty path", &[method, scheme, authority, (":path", "")], MALFORMED),
        only(
            Must,
            "9113 8.3.1",
            "path that does not begin with a slash",
            &[method, scheme, authority, (":path", "v1/x")],
            MALFORMED,
        ),
        only(Must, "9113 8.3.1", "method twice", &[method, method, scheme, authority, path], MALFORMED),
        only(Must, "9113 8.3.1", "path twice", &[method, scheme, authority, path, path], MALFORMED),
        only(Must, "9113 8.3.1", "authority twice", &[method, scheme, authority, authority, path], MALFORMED),
        only(
            Must,
            "9113 8.3",
            "pseudo-header field of an answer",
            &[method, scheme, authority, path, (":status", "200")],
            MALFORMED,
        ),
        only(
            Must,
            "9113 8.3",
            "pseudo-header field that nobody knows",
            &[method, scheme, authority, path, (":new", "x")],
            MALFORMED,
        ),
        only(
            Must,
            "9113 8.3",
            "pseudo-header field behind a field",
            &[method, scheme, authority, ("x", "y"), path],
            MALFORMED,
        ),
        only(
            Must,
            "9113 8.3.1",
            "userinfo in the authority",
            &[method, scheme, (":authority", "user@localhost"), path],
            REFUSED,
        ),
        only(
            Must,
            "9113 8.3.1",
            "Host instead of an authority",
            &[method, scheme, path, ("host", "localhost")],
            SERVED,
        ),
        only(Must, "9110 7.2", "neither authority nor Host", &[method, scheme, path], REFUSED),
        only(
            Must,
            "9113 8.3.1",
            "authority and Host differ",
            &[method, scheme, authority, path, ("host", "evil.example")],
            REFUSED,
        ),
        only(
            Must,
            "9110 7.2",
            "Host twice",
            &[method, scheme, path, ("host", "localhost"), ("host", "localhost")],
            REFUSED,
        ),
        only(
            Must,
            "9110 7.4",
            "authority that is not served",
            &[method, scheme, (":authority", "evil.example"), path],
            End::Answer(421, false),
        ),
        only(
            Must,
            "9110 4.1",
            "fragment in the path",
            &[method, scheme, authority, (":path", "/v1/x#poison")],
            End::Dropped,
        ),
        only(Must, "9113 8.3.1", "space in the path", &[method, scheme, authority, (":path", "/v1/x y")], MALFORMED),
        only(
            Must,
            "9113 8.3.1",
            "request line in the path",
            &[method, scheme, authority, (":path", "/v1/x HTTP/1.1\r\nX: y")],
            MALFORMED,
        ),
        only(Must, "9113 8.3.1", "method that is no token", &[(":method", "GE T"), scheme, authority, path], MALFORMED),
        only(
            Must,
            "9113 8.3.1",
            "request line in the method",
            &[(":method", "GET /v1/smuggled HTTP/1.1\r\nX: y"), scheme, authority, path],
            MALFORMED,
        ),
        only(Must, "9110 9.3.8", "TRACE", &[(":method", "TRACE"), scheme, authority, path], End::Answer(405, false)),
        only(Must, "9110 9.3.6", "CONNECT", &[(":method", "CONNECT"), authority], End::Answer(405, false)),
        only(Must, "9113 8.5", "CONNECT with a path", &[(":method", "CONNECT"), scheme, authority, path], MALFORMED),
        only(
            Must,
            "9112 3.2.4",
            "asterisk for OPTIONS is asked of the gateway",
            &[(":method", "OPTIONS"), scheme, authority, (":path", "*")],
            End::Answer(501, false),
        ),
        only(
            Must,
            "9112 3.2.4",
            "asterisk for GET",
            &[method, scheme, authority, (":path", "*")],
            End::Answer(400, false),
        ),
    ]
}

fn bodies() -> Vec<Case> {
    let post = |length: &str| {
        let fields = [&request("POST", "/v1/x")[..], &[("content-length", length)]].concat();
        Frame::headers(1, &fields, false)
    };
    let trailers =
        |fields: &[(&str, &str)]| vec![post("5"), Frame::data(1, b"hello", false), Frame::headers(1, fields, true)];
    vec![
        case(Must, "9113 8.1", "body of its length", vec![post("5"), Frame::data(1, b"hello", true)], SERVED),
        case(Must, "9113 8.1", "trailers", trailers(&[("x-sum", "1")]), SERVED),
        case(
            Must,
            "9113 8.1.1",
            "body that is shorter than its length",
            vec![post("6"), Frame::data(1, b"hello", true)],
            MALFORMED,
        ),
        case(
            Must,
            "9113 8.1.1",
            "body that is longer than its length",
            vec![post("4"), Frame::data(1, b"hello", true)],
            MALFORMED,
        ),
        case(
            Must,
            "9113 8.1.1",
            "length without a body",
            vec![Frame::headers(1, &[&request("POST", "/v1/x")[..], &[("content-length", "5")]].concat(), true)],
            MALFORMED,
        ),
        case(
            Must,
            "9113 8.1.1",
            "length that is no number",
            vec![post("five"), Frame::data(1, b"hello", true)],
            MALFORMED,
        ),
        case(Must, "9113 8.1.1", "signed length", vec![post("+5"), Frame::data(1, b"hello", true)], MALFORMED),
        case(
            Must,
            "9110 8.6",
            "two lengths",
            vec![
                Frame::headers(
                    1,
                    &[&request("POST", "/v1/x")[..], &[("content-length", "5"), ("content-length", "6")]].concat(),
                    false,
                ),
                Frame::data(1, b"hello", true),
            ],
            MALFORMED,
        ),
        case(Must, "9113 8.1", "pseudo-header field in trailers", trailers(&[(":path", "/v1/poison")]), End::Dropped),
        case(
            Must,
            "9113 8.1",
            "trailers that do not end the stream",
            vec![post("5"), Frame::data(1, b"hello", false), Frame::headers(1, &[("x-sum", "1")], false)],
            MALFORMED,
        ),
        case(Should, "9110 15.5.14", "length beyond the route's", vec![post("999999")], End::Answer(413, false)),
    ]
}

fn frames() -> Vec<Case> {
    let get = || Frame::get(1, "/v1/x");
    let half = Frame::new(kind::HEADERS, flag::END_STREAM, 1, get().payload);
    vec![
        case(Must, "9113 5.1.1", "stream of an even number", vec![Frame::get(2, "/v1/x")], MALFORMED),
        case(Must, "9113 6.2", "HEADERS on stream 0", vec![Frame::get(0, "/v1/x")], MALFORMED),
        case(Must, "9113 6.1", "DATA on stream 0", vec![Frame::data(0, b"x", false)], MALFORMED),
        case(Must, "9113 5.1", "DATA on an idle stream", vec![Frame::data(1, b"x", true)], MALFORMED),
        case(
            Must,
            "9113 6.10",
            "CONTINUATION without HEADERS",
            vec![Frame::new(kind::CONTINUATION, flag::END_HEADERS, 1, get().payload)],
            MALFORMED,
        ),
        case(Must, "9113 6.10", "another frame inside a field block", vec![half.clone(), Frame::ping()], MALFORMED),
        case(
            Must,
            "9113 6.10",
            "CONTINUATION of another stream",
            vec![half, Frame::new(kind::CONTINUATION, flag::END_HEADERS, 3, Vec::new())],
            MALFORMED,
        ),
        case(
            Must,
            "9113 8.4",
            "PUSH_PROMISE of a client",
            vec![Frame::new(kind::PUSH_PROMISE, flag::END_HEADERS, 1, [0, 0, 0, 2])],
            MALFORMED,
        ),
        case(
            Must,
            "9113 6.5",
            "SETTINGS of a length that is none",
            vec![Frame::new(kind::SETTINGS, 0, 0, [0; 5])],
            End::ErrorInsteadOf(code::FRAME_SIZE_ERROR),
        ),
        case(Must, "9113 6.5", "SETTINGS on a stream", vec![Frame::new(kind::SETTINGS, 0, 1, Vec::new())], MALFORMED),
        case(
            Must,
            "9113 6.7",
            "PING of a length that is none",
            vec![Frame::new(kind::PING, 0, 0, [0; 7])],
            End::ErrorInsteadOf(code::FRAME_SIZE_ERROR),
        ),
        case(Must, "9113 6.9", "window update of nothing", vec![Frame::window_update(0, 0)], MALFORMED),
        case(
            Must,
            "9113 6.9.1",
            "window that overflows",
            vec![Frame::window_update(0, 0x7fff_ffff)],
            End::Error(code::FLOW_CONTROL_ERROR),
        ),
        case(
            Must,
            "9113 4.2",
            "frame beyond the largest",
            vec![Frame::new(kind::DATA, 0, 1, vec![0; 20_000])],
            End::Error(code::FRAME_SIZE_ERROR),
        ),
        case(
            Must,
            "9113 4.3",
            "field block that cannot be decoded",
            vec![Frame::new(
                kind::HEADERS,
                flag::END_HEADERS | flag::END_STREAM,
                1,
                [0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            )],
            End::ErrorInsteadOf(code::COMPRESSION_ERROR),
        ),
        case(
            Must,
            "9113 6.1",
            "padding beyond the frame",
            vec![Frame::new(kind::HEADERS, flag::END_HEADERS | flag::PADDED, 1, [200, 0])],
            MALFORMED,
        ),
        case(Must, "9113 5.1", "frame of a type that nobody knows", vec![Frame::new(99, 0, 1, [0; 4]), get()], SERVED),
    ]
}
