//! The request line: method, target, version, and what may stand before it (RFC 9112 sections 2 and 3).

use super::{Case, Step, must, should};

const END: &str = "\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[expect(clippy::too_many_lines, reason = "it is one table")]
pub(super) fn cases() -> Vec<Case> {
    let long = "a".repeat(20_000);
    vec![
        // What is right passes.
        must("9112 3.2.1", "origin form")
            .line("GET /v1/x?y=z HTTP/1.1")
            .answered(&[200])
            .reaches(&["get /v1/x?y=z http/1.1\r\n"]),
        must("9112 3.2.2", "absolute form")
            .send("GET http://localhost/v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .answered(&[200])
            .reaches(&["get /v1/x http/1.1\r\n", "host: localhost\r\n"]),
        must("9112 3.2.2", "absolute form without a path")
            .send("GET http://localhost?q HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .answered(&[200])
            .reaches(&["get /?q http/1.1\r\n"]),
        must("9110 4.2.3", "scheme in capitals")
            .send("GET HTTP://localhost/v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .answered(&[200])
            .reaches(&["get /v1/x http/1.1\r\n"]),
        should("9112 2.2", "empty line before a request")
            .send("\r\nGET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .answered(&[200])
            .reaches(&["get /v1/x"]),
        must("9112 2.3", "HTTP/1.0")
            .send("GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .answered(&[200])
            .reaches(&["get /v1/x http/1.1\r\n"]),
        must("9110 9.1", "method in small letters is another method").line("get /v1/x HTTP/1.1").refused(405),
        // Section 3: exactly one space each, three parts.
        must("9112 3", "no version").line("GET /v1/x").refused(400),
        must("9112 3", "HTTP/0.9").send("GET /v1/x\r\n\r\n").refused(400),
        must("9112 3", "method alone").line("GET").refused(400),
        should("9112 3", "two spaces after the method").line("GET  /v1/x HTTP/1.1").refused(400),
        should("9112 3", "two spaces before the version").line("GET /v1/x  HTTP/1.1").refused(400),
        should("9112 3", "space after the version").line("GET /v1/x HTTP/1.1 ").refused(400),
        should("9112 3", "space before the method").line(" GET /v1/x HTTP/1.1").refused(400),
        should("9112 3", "tab between the parts").line("GET\t/v1/x\tHTTP/1.1").refused(400),
        should("9112 3", "vertical tab between the parts").line("GET\u{b}/v1/x HTTP/1.1").refused(400),
        should("9112 3", "CR between the parts").line("GET\r/v1/x HTTP/1.1").refused(400),
        should("9112 3", "four parts").line("GET /v1/x y HTTP/1.1").refused(400),
        // Section 2.2: line ends, and white space where a field should begin.
        should("9112 2.2", "lines that end with LF alone")
            .send("GET /v1/x HTTP/1.1\nHost: localhost\nConnection: close\n\n")
            .refused(400),
        should("9112 2.2", "request line that ends with LF alone")
            .send(format!("GET /v1/x HTTP/1.1\n{}", &END[2..]))
            .refused(400),
        must("9112 2.2", "request line with a bare CR").line("GET /v1/\rx HTTP/1.1").refused(400),
        must("9112 2.2", "space before the first field")
            .send(" GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .refused(400),
        must("9112 2.2", "white space between request line and first field")
            .send("GET /v1/x HTTP/1.1\r\n Host: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .refused(400),
        should("9112 2.2", "many empty lines before a request")
            .send(format!("{}GET /v1/x HTTP/1.1{END}", "\r\n".repeat(20)))
            .refused(400),
        should("9112 2.2", "octet order mark before a request")
            .send(format!("\u{feff}GET /v1/x HTTP/1.1{END}"))
            .refused(400),
        // Section 3.1: the method.
        must("9112 3.1", "method that is no token").line("GE(T /v1/x HTTP/1.1").refused(400),
        must("9112 3.1", "method with a colon").line("GET: /v1/x HTTP/1.1").refused(400),
        must("9112 3.1", "method with an octet above ASCII")
            .send(b"G\xc9T /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .refused(400),
        must("9112 3.1", "method with NUL").line("GE\0T /v1/x HTTP/1.1").refused(400),
        should("9110 9.1", "method that nobody knows").line("BREW /v1/x HTTP/1.1").refused(405).shows(&["\r\nallow: "]),
        must("9110 9.3.6", "CONNECT")
            .send("CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n")
            .refused(405)
            .shows(&["\r\nallow: "]),
        must("9110 9.3.6", "CONNECT with a path").line("CONNECT /v1/x HTTP/1.1").refused(405),
        must("9110 9.3.8", "TRACE").line("TRACE /v1/x HTTP/1.1").refused(405).shows(&["\r\nallow: "]),
        must("9110 9.3.8", "TRACE with secrets")
            .send("TRACE /v1/x HTTP/1.1\r\nHost: localhost\r\nCookie: secret=1\r\n\r\n")
            .refused(405)
            .hides(&["secret"]),
        // Section 2.3: the version.
        must("9112 2.3", "version in small letters").line("GET /v1/x http/1.1").refused(400),
        must("9112 2.3", "HTTP/1.2").line("GET /v1/x HTTP/1.2").refused(400),
        must("9112 2.3", "HTTP/2.0").line("GET /v1/x HTTP/2.0").refused(400),
        must("9112 2.3", "HTTP/0.9 by name").line("GET /v1/x HTTP/0.9").refused(400),
        must("9112 2.3", "version with two digits").line("GET /v1/x HTTP/1.10").refused(400),
        must("9112 2.3", "version with a leading zero").line("GET /v1/x HTTP/01.1").refused(400),
        must("9112 2.3", "version without a number").line("GET /v1/x HTTP/").refused(400),
        must("9112 2.3", "version without a dot").line("GET /v1/x HTTP/11").refused(400),
        must("9112 2.3", "version with a sign").line("GET /v1/x HTTP/+1.1").refused(400),
        must("9112 2.3", "another protocol").line("GET /v1/x ICAP/1.1").refused(400),
        must("9113 3.3", "preface of HTTP/2 without TLS").send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").refused(400),
        // Section 3.2: the target.
        must("9112 3.2", "target that is neither path nor URI").line("GET v1/x HTTP/1.1").refused(400),
        must("9112 3.2", "authority form for GET").line("GET localhost:80 HTTP/1.1").refused(400),
        must("9112 3.2.4", "asterisk for GET").line("GET * HTTP/1.1").refused(400),
        must("9112 3.2.4", "asterisk for OPTIONS is asked of the gateway").line("OPTIONS * HTTP/1.1").refused(501),
        must("9112 3.2.4", "asterisk and more").line("OPTIONS *x HTTP/1.1").refused(400),
        must("9112 3.2", "fragment in the target").line("GET /v1/x#y HTTP/1.1").refused(400),
        must("9112 3.2", "fragment in an absolute target").line("GET http://localhost/v1/x#y HTTP/1.1").refused(400),
        must("9112 3.2", "NUL in the target").line("GET /v1/\0x HTTP/1.1").refused(400),
        must("9112 3.2", "DEL in the target").line("GET /v1/\u{7f}x HTTP/1.1").refused(400),
        must("9112 3.2", "octet above ASCII in the target")
            .send(b"GET /v1/\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .refused(400),
        must("9112 3.2", "backslash in the target").line("GET /v1\\x HTTP/1.1").refused(400),
        must("9112 3.2", "quote in the target").line("GET /v1/\"x\" HTTP/1.1").refused(400),
        must("9112 3.2", "angle brackets in the target").line("GET /v1/<x> HTTP/1.1").refused(400),
        must("3986 2.1", "half an escape in the path").line("GET /v1/%4 HTTP/1.1").refused(400),
        must("3986 2.1", "escape that is no number in the path").line("GET /v1/%zz HTTP/1.1").refused(400),
        should("3986 6.2.2.2", "escaped letter is that letter")
            .line("GET /v1/%78 HTTP/1.1")
            .answered(&[200])
            .reaches(&["get /v1/x http/1.1"]),
        should("3986 6.2.2.3", "dot segments in the path").line("GET /v1/../admin HTTP/1.1").refused(400),
        should("3986 6.2.2.3", "escaped dot segments in the path").line("GET /v1/%2e%2e/admin HTTP/1.1").refused(400),
        should("3986 3.3", "escaped slash in the path").line("GET /v1%2fx HTTP/1.1").refused(400),
        should("3986 3.3", "escaped NUL in the path").line("GET /v1/%00 HTTP/1.1").refused(400),
        should("3986 3.3", "empty segment in the path").line("GET /v1//x HTTP/1.1").refused(400),
        must("9110 4.2.1", "absolute form without a host").line("GET http:///v1/x HTTP/1.1").refused(400),
        must("9110 4.2.4", "userinfo in the target").line("GET http://user@localhost/v1/x HTTP/1.1").refused(400),
        must("9110 4.2.4", "userinfo that looks like the host")
            .line("GET http://localhost@evil.example/v1/x HTTP/1.1")
            .refused(400),
        must("9110 7.4", "another scheme").line("GET ftp://localhost/v1/x HTTP/1.1").refused(400),
        must("9112 3.2.2", "target and Host name different hosts")
            .line("GET http://evil.example/v1/x HTTP/1.1")
            .refused(421),
        must("9112 3.2", "port that is too long").line("GET http://localhost:123456/v1/x HTTP/1.1").refused(400),
        must("9112 3", "target that is too long").line(&format!("GET /v1/{long} HTTP/1.1")).refused(414),
        should("9112 3", "method that is too long").send(format!("{long} /v1/x HTTP/1.1{END}")).refused(414),
        must("9112 2.2", "half a request, then the end of the connection")
            .send("GET /v1/x HTTP/1.1\r\nHost: local")
            .step(Step::HalfClose)
            .answered(&[]),
        must("9112 9.6", "nothing, then the end of the connection").step(Step::HalfClose).answered(&[]),
    ]
}
