//! What a request says of its own connection: the options of `Connection` (RFC 9110 section 7.6.1) and `Upgrade` (7.8).
//!
//! Whoever forwards a request removes the fields that `Connection` names. A client that names `Authorization`, `Host` or
//! `X-Forwarded-For` there makes one recipient see a field that the next one does not, so such a request is refused. Fields
//! of one connection (`Keep-Alive`, `TE`) and names that nobody knows may stand there, and are removed.

use todo_shared::problem::Code;

use crate::edge::head::{Refusal, is_token, malformed, trim};

/// Fields that are meant for whoever answers, or that the gateway takes from its own proxies. `Content-Length`, `Host`
/// and `Transfer-Encoding` frame and route the message: without them the next recipient reads another one.
const END_TO_END: [&str; 48] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "from",
    "host",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-event-id",
    "max-forwards",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "range",
    "referer",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
    "via",
    "warning",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
];

/// Checks the list of `Connection`.
pub(super) fn check_connection(value: &[u8]) -> Result<(), Refusal> {
    // What nearly everybody sends.
    if value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close") {
        return Ok(());
    }
    for option in value.split(|octet| *octet == b',').map(trim) {
        // A list may have empty elements (RFC 9110 section 5.6.1.2).
        if !option.is_empty() && !is_token(option) {
            return Err(malformed("Connection is not a list of names (RFC 9110 7.6.1)"));
        }
        if END_TO_END.iter().any(|name| option.eq_ignore_ascii_case(name.as_bytes())) {
            return Err(malformed("Connection names an end-to-end field (RFC 9110 7.6.1)"));
        }
    }
    Ok(())
}

/// Refuses `Upgrade: h2c` (RFC 9113 section 3.1): a proxy that passes it on would tunnel requests that nobody has checked.
/// Other protocols are not spoken either; their offer is ignored, as section 7.8 of RFC 9110 lets a server do.
pub(super) fn check_upgrade(value: &[u8]) -> Result<(), Refusal> {
    let is_h2c = |protocol: &[u8]| {
        let name = protocol.split(|octet| *octet == b'/').next().unwrap_or_default();
        [&b"h2c"[..], b"h2"].iter().any(|known| trim(name).eq_ignore_ascii_case(known))
    };
    if value.split(|octet| *octet == b',').any(is_h2c) {
        return Err(Refusal { code: Code::NotImplemented, reason: "an upgrade to h2c (RFC 9113 3.1)" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_of_one_connection_may_be_named_and_others_may_not() {
        for value in ["close", "Keep-Alive", "keep-alive, TE", "upgrade, http2-settings", "x-unknown", ", close ,,", ""]
        {
            assert!(check_connection(value.as_bytes()).is_ok(), "{value:?}");
        }
        for value in ["Authorization", "close, content-length", "close,\tHOST", "transfer-encoding", "a b", "close;x"] {
            assert_eq!(check_connection(value.as_bytes()).map_err(|refusal| refusal.code), Err(Code::RequestMalformed));
        }
    }

    #[test]
    fn h2c_is_refused_wherever_it_stands() {
        for value in ["h2c", "H2C", "websocket, h2c", "h2", "h2c/1", "\th2c "] {
            assert!(check_upgrade(value.as_bytes()).is_err(), "{value:?}");
        }
        for value in ["websocket", "TLS/1.0, IRC/6.9", "h2cx", ""] {
            assert!(check_upgrade(value.as_bytes()).is_ok(), "{value:?}");
        }
    }

    proptest! {
        /// An end-to-end field is found among whatever other options.
        #[test]
        fn company_does_not_hide_a_name(index in 0..END_TO_END.len(), before in "[a-z,\t -]{0,12}", after in "[a-z,\t -]{0,12}") {
            let value = format!("{before},{}\t,{after}", END_TO_END[index]);
            prop_assert!(check_connection(value.as_bytes()).is_err());
        }
    }
}
