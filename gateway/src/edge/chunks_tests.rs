use proptest::prelude::*;

use super::*;

/// Reads a body in one piece: how much passes and whether that is all of it.
fn read(body: &[u8]) -> Result<(usize, bool), &'static str> {
    let mut chunks = Chunks::new();
    let passed = chunks.advance(body).map_err(|refusal| refusal.reason)?;
    Ok((passed, chunks.is_done()))
}

#[test]
fn whole_bodies_pass_to_their_last_octet() {
    for body in [
        "0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "A;x=\"y z\" ;w\r\n0123456789\r\n00\r\nX-Sum: 1\r\n\r\n",
        "3 ;a\r\nabc\r\n0\r\n\r\n",
        "3;a = b;c=\"\\\"\t;\"\r\nabc\r\n0;d\r\n\r\n",
    ] {
        assert_eq!(read(body.as_bytes()), Ok((body.len(), true)), "{body:?}");
        assert_eq!(read(format!("{body}GET /").as_bytes()), Ok((body.len(), true)), "{body:?} and the next request");
    }
}

#[test]
fn lines_wait_until_they_are_whole() {
    for (body, passed) in [("3", 0), ("3\r", 0), ("3\r\nab", 5), ("3\r\nabc\r", 6), ("0\r\nX: y\r\n\r", 9)] {
        assert_eq!(read(body.as_bytes()), Ok((passed, false)), "{body:?}");
    }
}

#[test]
fn the_longest_line_may_come_in_any_pieces() {
    let body = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(LONGEST_SIZE_LINE - 2));
    let mut chunks = Chunks::new();
    let refused = (1..=body.len()).any(|end| {
        let mut chunks = Chunks::new();
        chunks.advance(&body.as_bytes()[..end]).is_err()
    });
    assert!(!refused && chunks.advance(body.as_bytes()).is_ok_and(|passed| passed == body.len()));
}

#[test]
fn tricks_are_refused() {
    for body in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\n",
        "1 \r\n",
        "1\t\r\n",
        "1\u{c};a\r\n",
        "1a g\r\n",
        "1\n",
        "1\r2\r\n",
        "1000000000000000\r\n",
        "1;\u{0}\r\n",
        "1;\u{e9}\r\n",
        "1;\r\n",
        "1;;a\r\n",
        "1;=b\r\n",
        "1;a=\r\n",
        "1;a=\"b\r\n",
        "1;a=\"b\"c\r\n",
        "1;a b\r\n",
        "1; \r\n",
        "0\r\nTE: trailers\r\n",
        "0\r\nCookie: a=b\r\n",
        "1\r\nab\r\n",
        "1\r\na\n",
        "1\r\nab",
        "0\r\nX : y\r\n",
        "0\r\n X: y\r\n",
        "0\r\nContent-Length: 1\r\n",
        "0\r\nhost: a\r\n",
        "0\r\nX\r\n",
        "0\r\nX: y\n",
    ] {
        assert!(read(body.as_bytes()).is_err(), "{body:?}");
    }
    assert!(read(format!("1;{}", "a".repeat(300)).as_bytes()).is_err(), "an endless extension");
    assert!(read(format!("0\r\nX: {}", "a".repeat(9000)).as_bytes()).is_err(), "endless trailers");
    assert!(read(format!("0\r\n{}", "X: y\r\n".repeat(3000)).as_bytes()).is_err(), "endless trailers");
}

proptest! {
    /// Cutting a body into pieces changes neither what passes nor the verdict.
    #[test]
    fn pieces_read_like_the_whole(
        data in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..5),
        spoil in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in 1_usize..9,
    ) {
        let mut body = Vec::new();
        for chunk in &data {
            body.extend_from_slice(format!("{:x};n=v\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\nT: v\r\n\r\n");
        if let Some((index, octet)) = spoil { let at = index.index(body.len()); body[at] = octet; }
        let whole = read(&body);
        let (mut chunks, mut passed, mut arrived) = (Chunks::new(), 0, 0);
        let pieces = loop {
            if arrived == body.len() { break Ok((passed, chunks.is_done())); }
            arrived = (arrived + cut).min(body.len());
            match chunks.advance(&body[passed..arrived]) {
                Ok(octets) => passed += octets,
                Err(refusal) => break Err(refusal.reason),
            }
        };
        prop_assert_eq!(pieces.is_err(), whole.is_err());
        if whole.is_ok() { prop_assert_eq!(pieces, whole); }
    }

    /// Whatever comes, no more passes than is there, and nothing after the end.
    #[test]
    fn any_octets_are_survived(octets in proptest::collection::vec(any::<u8>(), 0..200), line in "[0-9a-fA-F]{0,3}[ ;=a\"\\\\]{0,12}\r?\n") {
        for body in [octets.clone(), [line.as_bytes(), &octets].concat()] {
            let mut chunks = Chunks::new();
            if let Ok(passed) = chunks.advance(&body) {
                prop_assert!(passed <= body.len());
                if chunks.is_done() {
                    prop_assert_eq!(chunks.advance(&octets), Ok(0));
                }
            }
        }
    }

    /// What passes for extensions is that, and cannot be taken for the end of the line.
    #[test]
    fn extensions_are_the_grammars(names in proptest::collection::vec("[a-z!#]{1,5}( ?= ?([a-z]{1,4}|\"([a-z ;=]|\\\\[\"\\\\]){0,5}\"))?", 0..4), spoil in "[\r\n\0\"(]") {
        let extensions = names.iter().fold(String::new(), |all, name| format!("{all} ; {name}"));
        prop_assert!(is_extensions(extensions.as_bytes()), "{}", extensions);
        let spoilt = format!("{extensions};{spoil}");
        prop_assert!(!is_extensions(spoilt.as_bytes()));
    }
}
