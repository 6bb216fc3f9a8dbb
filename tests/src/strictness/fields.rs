//! Host and field lines (RFC 9112 sections 3.2 and 5, RFC 9110 sections 5 and 7.2).

use super::{Case, must, should};

pub(super) fn cases() -> Vec<Case> {
    [host(), lines()].concat()
}

/// A GET whose only Host lines are these.
fn hosts(case: Case, lines: &str) -> Case {
    case.send(format!("GET /v1/x HTTP/1.1\r\n{lines}Connection: close\r\n\r\n"))
}

fn host() -> Vec<Case> {
    vec![
        hosts(must("9110 7.2", "Host with a port"), "Host: localhost:8443\r\n")
            .answered(&[200])
            .reaches(&["host: localhost:8443\r\n"]),
        hosts(must("9110 7.2", "Host in capitals"), "HOST: LOCALHOST\r\n")
            .answered(&[200])
            .reaches(&["host: localhost\r\n"]),
        hosts(must("9110 7.2", "Host that is an IPv6 address"), "Host: [::1]\r\n").answered(&[200]),
        hosts(must("9112 3.2", "no Host"), "").refused(400),
        must("9112 3.2", "no Host beside an absolute target")
            .send("GET http://localhost/v1/x HTTP/1.1\r\nConnection: close\r\n\r\n")
            .refused(400),
        must("9112 3.2", "no Host over HTTP/1.0").send("GET /v1/x HTTP/1.0\r\n\r\n").refused(400),
        hosts(must("9112 3.2", "Host twice"), "Host: localhost\r\nHost: localhost\r\n").refused(400),
        hosts(must("9112 3.2", "two Hosts"), "Host: localhost\r\nHost: evil.example\r\n").refused(400),
        hosts(must("9112 3.2", "Host twice in different letters"), "Host: localhost\r\nhOST: localhost\r\n")
            .refused(400),
        hosts(must("9112 3.2", "empty Host"), "Host:\r\n").refused(400),
        hosts(must("9112 3.2", "list in Host"), "Host: localhost, evil.example\r\n").refused(400),
        hosts(must("9112 3.2", "space in Host"), "Host: local host\r\n").refused(400),
        hosts(must("9112 3.2", "userinfo in Host"), "Host: user@localhost\r\n").refused(400),
        hosts(must("9112 3.2", "path in Host"), "Host: localhost/v1\r\n").refused(400),
        hosts(must("9112 3.2", "query in Host"), "Host: localhost?x\r\n").refused(400),
        hosts(must("9112 3.2", "fragment in Host"), "Host: localhost#x\r\n").refused(400),
        hosts(must("9112 3.2", "URI in Host"), "Host: http://localhost\r\n").refused(400),
        hosts(must("9112 3.2", "empty port in Host"), "Host: localhost:\r\n").refused(400),
        hosts(must("9112 3.2", "port that is no number in Host"), "Host: localhost:80a\r\n").refused(400),
        hosts(must("9112 3.2", "two ports in Host"), "Host: localhost:80:80\r\n").refused(400),
        hosts(must("9112 3.2", "half an IPv6 address in Host"), "Host: [::1\r\n").refused(400),
        hosts(must("9112 3.2", "NUL in Host"), "Host: local\0host\r\n").refused(400),
        hosts(must("9112 3.2", "escape in Host"), "Host: local%68ost\r\n").refused(400),
        hosts(must("9110 7.4", "host that is not served"), "Host: evil.example\r\n").refused(421),
        hosts(must("9110 7.4", "host that only begins like ours"), "Host: localhost.evil.example\r\n").refused(421),
        hosts(must("9112 5.2", "Host that is folded"), "Host:\r\n localhost\r\n").refused(400),
        hosts(should("9110 7.2", "Host behind other fields"), "X: y\r\nHost: localhost\r\n").answered(&[200]),
    ]
}

fn lines() -> Vec<Case> {
    let (large, many) = (format!("X: {}\r\n", "a".repeat(40_000)), "X: y\r\n".repeat(200));
    vec![
        must("9112 5", "white space around a value is no part of it")
            .get("X-Pad: \t a b \t\r\n")
            .answered(&[200])
            .reaches(&["x-pad: a b\r\n"]),
        must("9110 5.5", "empty value").get("X-Empty:\r\n").answered(&[200]).reaches(&["x-empty:"]),
        must("9110 5.1", "field that nobody knows is passed on")
            .get("X-New-Thing: 1\r\n")
            .answered(&[200])
            .reaches(&["x-new-thing: 1\r\n"]),
        must("9110 5.3", "order of lines of one name is kept")
            .get("X-Many: a\r\nX-Other: o\r\nX-Many: b\r\n")
            .answered(&[200])
            .reaches(&["x-many: a\r\n", "x-many: b\r\n"]),
        must("9110 5.5", "octets above ASCII in a value")
            .get("X-Name: \u{e9}\r\n")
            .answered(&[200])
            .reaches(&["x-name: \u{e9}\r\n"]),
        must("9112 5.1", "space before the colon").get("X : y\r\n").refused(400),
        must("9112 5.1", "tab before the colon").get("X\t: y\r\n").refused(400),
        must("9112 5.1", "space before the colon of Content-Length")
            .post("Content-Length : 5\r\n", "hello")
            .refused(400),
        must("9112 5.1", "space before the colon of Transfer-Encoding")
            .post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")
            .refused(400),
        must("9112 5.2", "folded field").get("X: y\r\n z\r\n").refused(400),
        must("9112 5.2", "field folded by a tab").get("X: y\r\n\tz\r\n").refused(400),
        must("9112 5.2", "folded Transfer-Encoding")
            .post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")
            .refused(400),
        must("9112 5.2", "folded Content-Length").post("Content-Length: 5\r\n 5\r\n", "hello").refused(400),
        must("9112 5", "line without a colon").get("nonsense\r\n").refused(400),
        must("9112 5", "empty name").get(": y\r\n").refused(400),
        must("9110 5.1", "name with a space").get("X Y: z\r\n").refused(400),
        must("9110 5.1", "name with an octet above ASCII").get("X\u{e9}: z\r\n").refused(400),
        must("9110 5.1", "name with NUL").get("X\0Y: z\r\n").refused(400),
        must("9110 5.1", "name with a slash").get("X/Y: z\r\n").refused(400),
        must("9110 5.1", "name in brackets").get("(X): z\r\n").refused(400),
        must("9110 5.5", "NUL in a value").get("X: a\0b\r\n").refused(400),
        must("9112 2.2", "bare CR in a value").get("X: a\rb\r\n").refused(400),
        must("9112 2.2", "bare CR before a field").get("X: a\r\rY: b\r\n").refused(400),
        should("9112 2.2", "bare LF between two fields").get("X: a\nY: b\r\n").refused(400),
        should("9112 2.2", "bare LF that hides a length").post("X: a\nContent-Length: 5\r\n", "hello").refused(400),
        must("9112 2.2", "CR CR LF").get("X: a\r\r\n").refused(400),
        should("9112 2.2", "head that ends with LF alone")
            .send("GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\n")
            .refused(400),
        should("9110 5.5", "control character in a value").get("X: a\u{1}b\r\n").refused(400),
        should("9110 5.5", "escape character in a value").get("X: \u{1b}[31m\r\n").refused(400),
        should("9110 5.5", "DEL in a value").get("X: a\u{7f}b\r\n").refused(400),
        must("9110 5.6.3", "vertical tab is no white space").get("X: \u{b}y\r\n").refused(400),
        must("9110 5.6.3", "form feed is no white space")
            .post("Transfer-Encoding: \u{c}chunked\r\n", "0\r\n\r\n")
            .refused(400),
        must("6585 5", "field that is too large").get(&large).refused(431),
        must("6585 5", "too many fields").get(&many).refused(431),
    ]
}
