//! The head check: an HTTP/1 head as raw octets, read in one way or refused.
//!
//! Pingora answers a head that it cannot read by itself, without a log line, a metric or our headers, and what it can
//! read it normalises before any filter sees it. So every head is checked here first, and this check is stricter than
//! Pingora in every respect: whatever passes is taken there, and read as the same target, fields and framing, which a
//! property test holds. Section numbers are RFC 9112 unless another RFC is named.
//!
//! [`check`] is the entry: pure, of the octets and the limits only.
//!
//! One file for one grammar: whoever reviews it reads it from the request line to the last octet of a host.

use memchr::memchr;
use todo_shared::problem::Code;

use crate::edge::options;

/// How large a head may be.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// The whole head, in octets; more is 431.
    pub octets: usize,
    /// Its fields; more is 431.
    pub fields: usize,
    /// The request target, in octets; more is 414.
    pub target: usize,
}

/// How the body after a head is framed (section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// This many octets; zero where there is no body.
    Length(u64),
    /// Chunks (section 7.1).
    Chunked,
}

/// What was found at the start of what a client has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing wrong so far, and not yet whole.
    Partial,
    /// A whole head of this many octets.
    Whole {
        /// Its length, the empty line included.
        octets: usize,
        /// What follows it.
        framing: Framing,
    },
    /// A head that must not pass.
    Refused(Refusal),
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told.
    pub code: Code,
    /// What an operator is told; never text from the request.
    pub reason: &'static str,
}

/// The methods that a 405 of the edge names (RFC 9110 15.5.6): CONNECT and TRACE are the ones it refuses.
pub const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

pub(super) const fn malformed(reason: &'static str) -> Refusal {
    Refusal { code: Code::RequestMalformed, reason }
}

const fn refused(code: Code, reason: &'static str) -> Refusal {
    Refusal { code, reason }
}

/// Looks at what a client has sent of a head. Empty lines before it must have been dropped (section 2.2).
pub(super) fn check(octets: &[u8], limits: &HeadLimits) -> Found {
    match check_lines(octets, limits) {
        Ok(None) => Found::Partial,
        Ok(Some((octets, framing))) => Found::Whole { octets, framing },
        Err(refusal) => Found::Refused(refusal),
    }
}

fn check_lines(octets: &[u8], limits: &HeadLimits) -> Result<Option<(usize, Framing)>, Refusal> {
    let mut rest = octets;
    let line = next_line(&mut rest)?;
    // The method and the version take a few octets more than the target. The LF is not counted, so that a line is too
    // long when it is whole if it was before.
    let length = line.map_or(octets.len(), |line| line.len() + 1);
    if length > limits.target + 64 {
        return Err(refused(Code::UriTooLong, "the request line is too long"));
    }
    let Some(line) = line else { return Ok(None) };
    let request_line = RequestLine::read(line, limits)?;
    let mut fields = Fields::default();
    loop {
        let line = next_line(&mut rest)?;
        // A line that is not whole counts as far as it has come.
        let read = if line.is_some() { octets.len() - rest.len() } else { octets.len() };
        if read > limits.octets {
            return Err(refused(Code::HeaderTooLarge, "the head is too large"));
        }
        let Some(line) = line else { return Ok(None) };
        if line.is_empty() {
            return Ok(Some((read, fields.finish(&request_line)?)));
        }
        fields.add(line)?;
        if fields.count > limits.fields {
            return Err(refused(Code::HeaderTooLarge, "too many fields"));
        }
    }
}

/// The next line without its CRLF; `None` when it is not whole yet. A CR or LF that stands alone is refused (2.2).
pub(super) fn next_line<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Refusal> {
    let octets = *rest;
    let (line, after) = match memchr(b'\n', octets) {
        Some(end) => {
            let (line, after) = octets.split_at(end);
            let Some(line) = line.strip_suffix(b"\r") else { return Err(malformed("a line ends without CR")) };
            (line, after.get(1..))
        }
        None => (octets, None),
    };
    let bare = match memchr(b'\r', line) {
        // At the end of what has arrived the LF may still follow.
        Some(at) => after.is_some() || at + 1 < line.len(),
        None => false,
    };
    if bare {
        return Err(malformed("a CR stands alone"));
    }
    let Some(after) = after else { return Ok(None) };
    *rest = after;
    Ok(Some(line))
}

/// What the fields are held against.
struct RequestLine<'a> {
    /// HTTP/1.1, not 1.0.
    is_current: bool,
    /// The authority of an absolute-form target (3.2.2).
    authority: Option<&'a [u8]>,
}

impl<'a> RequestLine<'a> {
    /// `method SP request-target SP HTTP-version` (section 3): exactly one space each.
    fn read(line: &'a [u8], limits: &HeadLimits) -> Result<Self, Refusal> {
        let mut parts = line.split(|octet| *octet == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("the request line does not have three parts"));
        };
        if !is_token(method) {
            return Err(malformed("the method is not a token"));
        }
        let is_current = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(malformed("the version is not HTTP/1.1 or HTTP/1.0")),
        };
        if target.len() > limits.target {
            return Err(refused(Code::UriTooLong, "the request target is too long"));
        }
        // No tunnel and no echo (RFC 9110 9.3.6, 9.3.8): refused whatever their target is.
        if matches!(method, b"CONNECT" | b"TRACE") {
            return Err(refused(Code::MethodNotAllowed, "the method is not served"));
        }
        Ok(Self { is_current, authority: read_target(method, target)? })
    }
}

/// Origin form, absolute form, or `*` for OPTIONS (3.2); returns the authority of an absolute form.
fn read_target<'a>(method: &[u8], target: &'a [u8]) -> Result<Option<&'a [u8]>, Refusal> {
    let (authority, path) = if target == b"*" {
        return if method == b"OPTIONS" { Ok(None) } else { Err(malformed("`*` is a target for OPTIONS only")) };
    } else if target.starts_with(b"/") {
        (None, target)
    } else {
        let after_scheme = strip_scheme(target).ok_or(malformed("the target is neither a path nor an http URI"))?;
        let end = after_scheme.iter().position(|octet| matches!(octet, b'/' | b'?')).unwrap_or(after_scheme.len());
        let (authority, path) = after_scheme.split_at(end);
        // RFC 9110 4.2.4: userinfo in a target is an attempt to mislead; it is no valid host either.
        if !is_host(authority) {
            return Err(malformed("the target's authority is not a host"));
        }
        (Some(authority), path)
    };
    let (path, query) = match memchr(b'?', path) {
        Some(at) => path.split_at(at),
        None => (path, &[][..]),
    };
    if path.iter().all(|octet| is_path(*octet)) && query.iter().all(|octet| is_query(*octet)) {
        Ok(authority)
    } else {
        Err(malformed("the target holds an octet that no URI holds"))
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// The fields as far as framing and the host depend on them.
#[derive(Default)]
struct Fields<'a> {
    count: usize,
    host: Option<&'a [u8]>,
    length: Option<u64>,
    transfer: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// `field-name ":" OWS field-value OWS` (section 5).
    fn add(&mut self, line: &'a [u8]) -> Result<(), Refusal> {
        self.count += 1;
        let (name, value) = split_field(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            if self.host.replace(value).is_some() {
                return Err(malformed("more than one Host (3.2)"));
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.replace(read_length(value)?).is_some() {
                return Err(malformed("more than one Content-Length (6.3)"));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.transfer.replace(value).is_some() {
                return Err(malformed("more than one Transfer-Encoding (6.1)"));
            }
        } else if name.eq_ignore_ascii_case(b"connection") {
            options::check_connection(value)?;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            options::check_upgrade(value)?;
        }
        Ok(())
    }

    fn finish(self, request_line: &RequestLine<'_>) -> Result<Framing, Refusal> {
        match (self.host, request_line.authority) {
            (None, _) if request_line.is_current => return Err(malformed("no Host (3.2)")),
            (Some(host), _) if !is_host(host) => return Err(malformed("the Host is not a host (3.2)")),
            // Two names for the host, of which a cache or a log could believe either.
            (Some(host), Some(authority)) if host != authority => {
                return Err(refused(Code::HostUntrusted, "Host and the target's authority differ"));
            }
            _ => {}
        }
        match (self.transfer, self.length) {
            (None, length) => Ok(Framing::Length(length.unwrap_or(0))),
            (Some(_), Some(_)) => Err(malformed("both Transfer-Encoding and Content-Length (6.1)")),
            (Some(_), None) if !request_line.is_current => Err(malformed("Transfer-Encoding in HTTP/1.0 (6.1)")),
            (Some(codings), None) => read_codings(codings),
        }
    }
}

/// A field line of a head or a trailer, split into its name and its value.
pub(super) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if line.first().is_some_and(|octet| matches!(octet, b' ' | b'\t')) {
        return Err(malformed("a folded field line (5.2)"));
    }
    let colon = memchr(b':', line).ok_or(malformed("a field line without a colon"))?;
    let (name, value) = line.split_at(colon);
    if !is_token(name) {
        // White space before the colon is the best known of these (5.1).
        return Err(malformed("a field name is not a token"));
    }
    let value = trim(value.get(1..).unwrap_or_default());
    if value.iter().all(|octet| is_field_value(*octet)) {
        Ok((name, value))
    } else {
        Err(malformed("a control character in a field value (RFC 9110 5.5)"))
    }
}

/// Without the white space around a field's value (`OWS`, RFC 9110 5.6.3): spaces and tabs, and no other octet that some
/// call white space.
pub(super) fn trim(octets: &[u8]) -> &[u8] {
    let octets = trim_start(octets);
    let end = octets.iter().rposition(|octet| !matches!(octet, b' ' | b'\t')).map_or(0, |last| last + 1);
    octets.get(..end).unwrap_or_default()
}

pub(super) fn trim_start(octets: &[u8]) -> &[u8] {
    let start = octets.iter().position(|octet| !matches!(octet, b' ' | b'\t')).unwrap_or(octets.len());
    octets.get(start..).unwrap_or_default()
}

/// Digits only: no sign, no list, no space (RFC 9110 8.6).
fn read_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(malformed("the Content-Length is not a number (6.3)"));
    }
    Ok(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// `chunked` alone is read; other codings are not implemented, and `chunked` must be the last, once (6.1, 6.3).
fn read_codings(value: &[u8]) -> Result<Framing, Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let mut codings = value.split(|octet| *octet == b',').map(trim).rev();
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if !codings.next().is_some_and(is_chunked) {
        return Err(malformed("the last transfer coding is not chunked (6.3)"));
    }
    if codings.clone().any(|coding| is_chunked(coding) || !is_token(coding)) {
        return Err(malformed("the transfer codings are not a list of names (6.1)"));
    }
    Err(refused(Code::NotImplemented, "a transfer coding other than chunked (6.1)"))
}

/// `tchar` (RFC 9110 5.6.2), one or more.
pub(super) fn is_token(octets: &[u8]) -> bool {
    let is_tchar = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet);
    !octets.is_empty() && octets.iter().all(is_tchar)
}

/// `field-vchar`, spaces and tabs (RFC 9110 5.5).
const fn is_field_value(octet: u8) -> bool {
    matches!(octet, b'\t' | b' '..=b'~' | 0x80..)
}

/// `pchar` and `/` (RFC 3986 3.3). Whether escapes are whole is the path rule's question.
fn is_path(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&octet)
}

/// A path's octets, `?`, and those that browsers leave unescaped in a query (WHATWG URL, query percent-encode set).
fn is_query(octet: u8) -> bool {
    is_path(octet) || b"?[]{}|^`".contains(&octet)
}

/// `uri-host [":" port]` (RFC 9110 7.2), host names and addresses only.
fn is_host(octets: &[u8]) -> bool {
    let is_octet_of_address = |octet: &u8| octet.is_ascii_hexdigit() || b":.".contains(octet);
    let is_octet_of_name = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._".contains(octet);
    let (is_host, port) = if let Some(inner) = octets.strip_prefix(b"[") {
        let Some(end) = memchr(b']', inner) else { return false };
        let (address, rest) = inner.split_at(end);
        (!address.is_empty() && address.iter().all(is_octet_of_address), rest.get(1..).unwrap_or_default())
    } else {
        let (name, rest) = octets.split_at(memchr(b':', octets).unwrap_or(octets.len()));
        (!name.is_empty() && name.iter().all(is_octet_of_name), rest)
    };
    let is_port = match port.split_first() {
        None => true,
        Some((b':', digits)) => matches!(digits.len(), 1..=5) && digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    };
    is_host && is_port
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
