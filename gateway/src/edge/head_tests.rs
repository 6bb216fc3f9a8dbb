use bytes::BytesMut;
use pingora_core::protocols::http::v1::server::HttpSession;
use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { octets: 4096, fields: 20, target: 1024 };

fn code(head: &str) -> Result<Framing, Code> {
    match check(head.as_bytes(), &LIMITS) {
        Found::Whole { octets, framing } => {
            assert_eq!(octets, head.len());
            Ok(framing)
        }
        Found::Refused(refusal) => Err(refusal.code),
        Found::Partial => panic!("{head:?} is whole"),
    }
}

/// `GET / HTTP/1.1` with a Host and these lines.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn what_is_well_formed_passes() {
    for head in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /a/b?c=d&e[]=f HTTP/1.1\r\nHost: localhost:8443\r\n\r\n",
        "GET /%7Ea HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET https://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "X-NEW / HTTP/1.1\r\nHost:a\r\nX:\r\nY: \t b c \r\nZ: \u{e9}\r\n\r\n",
    ] {
        assert_eq!(code(head), Ok(Framing::Length(0)), "{head:?}");
    }
    assert_eq!(code(&with("Content-Length: 42\r\n")), Ok(Framing::Length(42)));
    assert_eq!(code(&with("Transfer-Encoding: CHUNKED\r\n")), Ok(Framing::Chunked));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for (section, head) in [
        ("3", "GET /\r\n\r\n".to_owned()),
        ("3", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("3", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n".to_owned()),
        ("3", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("3.1", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("3.1", " / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("2.3", "GET / HTTP/1.2\r\nHost: a\r\n\r\n".to_owned()),
        ("2.3", "GET / http/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("2.3", "GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned()),
        ("3.2", "GET a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("3.2", "GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("3.2", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("3.2", "GET /\u{0} HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("3.2", "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("3.2", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("3.2", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("9110 4.2.4", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("9110 4.2.1", "GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("3.2", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("3.2", with("Host: a\r\n")),
        ("3.2", "GET / HTTP/1.1\r\nHost: \r\n\r\n".to_owned()),
        ("3.2", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned()),
        ("3.2", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".to_owned()),
        ("3.2", "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n".to_owned()),
        ("3.2", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n".to_owned()),
        ("3.2", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n".to_owned()),
        ("3.2", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n".to_owned()),
        ("5.1", with("X : y\r\n")),
        ("5.1", with("X\u{e9}: y\r\n")),
        ("5", with(": y\r\n")),
        ("5", with("X\r\n")),
        ("5.2", with("X: y\r\n z\r\n")),
        ("5.2", with("X: y\r\n\tz\r\n")),
        ("9110 5.5", with("X: \u{0}\r\n")),
        ("9110 5.5", with("X: \u{7f}\r\n")),
        ("9110 5.6.3", with("X: \u{c}y\r\n")),
        ("9110 5.6.3", "GET / HTTP/1.1\r\nHost: a\u{c}\r\n\r\n".to_owned()),
        ("6.1", with("Transfer-Encoding: \u{c}chunked\r\n")),
        ("6.3", with("Content-Length: 1\u{c}\r\n")),
        ("2.2", with("X: a\rb\r\n")),
        ("2.2", "GET / HTTP/1.1\nHost: a\n\n".to_owned()),
        ("2.2", "GET / HTTP/1.1\r\nHost: a\n\r\n".to_owned()),
        ("6.1", with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")),
        ("6.1", "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()),
        ("6.1", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
        ("6.1", with("Transfer-Encoding: chunked, chunked\r\n")),
        ("6.3", with("Transfer-Encoding: chunked, gzip\r\n")),
        ("6.3", with("Transfer-Encoding: gzip\r\n")),
        ("6.1", with("Transfer-Encoding: \r\n")),
        ("6.1", with("Transfer-Encoding: g p, chunked\r\n")),
        ("6.1", with("Transfer-Encoding: \u{b}chunked\r\n")),
        ("6.3", with("Content-Length: 1\r\nContent-Length: 1\r\n")),
        ("6.3", with("Content-Length: 1, 1\r\n")),
        ("6.3", with("Content-Length: +1\r\n")),
        ("6.3", with("Content-Length: -1\r\n")),
        ("6.3", with("Content-Length: 0x1\r\n")),
        ("6.3", with("Content-Length: 1 1\r\n")),
        ("6.3", with("Content-Length: \r\n")),
        ("6.3", with("Content-Length: 99999999999999999999\r\n")),
    ] {
        assert_eq!(code(&head), Err(Code::RequestMalformed), "{section}: {head:?}");
    }
}

#[test]
fn other_refusals_have_their_own_codes() {
    assert_eq!(code("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), Err(Code::MethodNotAllowed));
    assert_eq!(code("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), Err(Code::MethodNotAllowed));
    // Pingora compares octets, and so do we, or it would answer.
    assert_eq!(code("GET http://a/ HTTP/1.1\r\nHost: A\r\n\r\n"), Err(Code::HostUntrusted));
    assert_eq!(code("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"), Err(Code::HostUntrusted));
    assert_eq!(code(&with("Transfer-Encoding: gzip, chunked\r\n")), Err(Code::NotImplemented));
    assert_eq!(code(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(1024))), Err(Code::UriTooLong));
    assert_eq!(code(&with(&"X: y\r\n".repeat(20))), Err(Code::HeaderTooLarge));
    assert_eq!(code(&with(&format!("X: {}\r\n", "y".repeat(4096)))), Err(Code::HeaderTooLarge));
}

#[test]
fn bounds_hold_before_the_head_is_whole() {
    let refusal = |head: &str| match check(head.as_bytes(), &LIMITS) {
        Found::Refused(refusal) => Some(refusal.code),
        _ => None,
    };
    assert_eq!(refusal(&format!("GET /{}", "a".repeat(1100))), Some(Code::UriTooLong));
    assert_eq!(refusal(&format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(4100))), Some(Code::HeaderTooLarge));
    assert_eq!(refusal("GET / HTTP/1.1\r\nHost: a\r"), None, "the LF may still come");
    assert_eq!(refusal("GET / HTTP/1.1\r\nHost: a\rb"), Some(Code::RequestMalformed), "it cannot any more");
    assert_eq!(refusal("GET / HTTP/1.1\n"), Some(Code::RequestMalformed));
}

/// The longest request line and the largest head that pass do so in whatever pieces they come.
#[test]
fn what_passes_whole_was_never_refused_on_its_way() {
    let line = format!("{} /{} HTTP/1.1\r\n", "M".repeat(53), "a".repeat(LIMITS.target - 1));
    let fill = |name: &str, to: usize| format!("{name}: {}\r\n", "b".repeat(to - name.len() - ": \r\n".len()));
    let longest_line = format!("{line}Host: a\r\n\r\n");
    let start = "GET / HTTP/1.1\r\nHost: a\r\n";
    let largest = format!("{start}{}\r\n", fill("X", LIMITS.octets - start.len() - 2));
    for head in [longest_line, largest] {
        assert_eq!(code(&head), Ok(Framing::Length(0)));
        for end in 0..head.len() {
            assert_eq!(check(&head.as_bytes()[..end], &LIMITS), Found::Partial, "{end} of {}", head.len());
        }
    }
    let too_large = format!("{start}{}\r\n", fill("X", LIMITS.octets - start.len() - 1));
    assert_eq!(code(&too_large), Err(Code::HeaderTooLarge));
    let too_long = format!("{} /{} HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(54), "a".repeat(LIMITS.target - 1));
    assert_eq!(code(&too_long), Err(Code::UriTooLong));
}

fn seed() -> impl Strategy<Value = String> {
    let target = prop_oneof![
        "/[!-~]{0,20}",
        "https?://[a-cA-C0-9.:\\[\\]@-]{1,8}([/?][!-~]{0,9})?",
        "[!-~]{1,9}",
        Just("*".to_owned()),
    ];
    let made = (target, "[a-cA-C0-9.:\\[\\]@-]{1,8}", 0..3).prop_map(|(target, other, kind)| {
        let authority = target.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next());
        let host = match (authority, kind) {
            (Some(authority), 0) => authority.to_owned(),
            (Some(authority), 1) => authority.to_ascii_uppercase(),
            _ => other,
        };
        format!("OPTIONS {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
    });
    prop_oneof![
        Just("GET /a?b=c HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nCookie: a=b\r\n\r\n".to_owned()),
        Just("POST http://a:1/b HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\nX-Y: z\r\n\r\n".to_owned()),
        Just("PUT /x HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n".to_owned()),
        made,
    ]
}

/// What Pingora makes of a head: its target, how many fields it has, its framing.
fn read_by_pingora(head: &[u8]) -> Result<(Vec<u8>, usize, Framing), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (near, _far) = runtime.block_on(async { tokio::io::duplex(64) });
    let mut session = HttpSession::new(Box::new(near));
    session.set_pipelined_prefix(BytesMut::from(head));
    let read = runtime.block_on(session.read_request()).map_err(|error| error.to_string())?;
    if read != Some(head.len()) {
        return Err(format!("{read:?} octets instead of {}", head.len()));
    }
    let request = session.req_header();
    let length = request.headers.get("content-length").map_or("0", |value| value.to_str().expect("digits"));
    let framing = if request.headers.contains_key("transfer-encoding") {
        Framing::Chunked
    } else {
        Framing::Length(length.parse().expect("a number"))
    };
    Ok((request.raw_path().to_vec(), request.headers.len(), framing))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8192, ..ProptestConfig::default() })]

    /// Pingora takes whatever passes, and reads it as we do: what it refuses, it would answer by itself.
    #[test]
    fn pingora_takes_and_reads_alike_what_passes(
        head in seed(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>()), 0..4),
    ) {
        let mut octets = head.into_bytes();
        let favourites = b"\r\n :\t,;#%\\/*@[]\x0b\x0c\x7f";
        for (index, kind, value) in edits {
            let at = index.index(octets.len());
            let octet = if (64..192).contains(&value) { favourites[usize::from(value) % favourites.len()] } else { value };
            match kind {
                0 => octets[at] = octet,
                1 => octets.insert(at, octet),
                2 => { octets.remove(at); }
                _ => { let copy = octets[at..].to_vec(); octets.truncate(at); octets.extend_from_slice(&copy[..copy.len() / 2]); octets.extend_from_slice(&copy); }
            }
            if octets.is_empty() { octets.push(b'G'); }
        }
        if let Found::Whole { octets: length, framing } = check(&octets, &LIMITS) {
            let head = &octets[..length];
            let target = head.split(|octet| *octet == b' ').nth(1).expect("a target").to_vec();
            let fields = head.split(|octet| *octet == b'\n').count() - 3;
            prop_assert_eq!(read_by_pingora(head), Ok((target, fields, framing)));
        }
    }

    /// A verdict on a whole head does not depend on how it was cut into pieces on its way.
    #[test]
    fn a_prefix_is_never_whole_and_what_is_refused_stays_refused(head in seed(), tail in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut octets = head.into_bytes();
        let verdict = check(&octets, &LIMITS);
        let mut is_refused = false;
        for end in 0..octets.len() {
            match check(&octets[..end], &LIMITS) {
                Found::Whole { .. } => prop_assert!(false, "whole at {}", end),
                Found::Refused(_) => is_refused = true,
                Found::Partial => prop_assert!(!is_refused, "taken back at {}", end),
            }
        }
        prop_assert!(!is_refused || matches!(verdict, Found::Refused(_)));
        octets.extend_from_slice(&tail);
        prop_assert_eq!(check(&octets, &LIMITS), verdict);
    }
}
