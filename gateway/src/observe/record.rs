//! One line of the access log: what it holds and how it is written. The schema is documented in `docs/access-log.md`.
//!
//! No token, password or header value can get here: a record has no place for one.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer};
use todo_shared::{request_id::RequestId, telemetry::LogFormat, trace_context::TraceId};

/// The version of the schema: raised when a field changes its meaning or goes.
const SCHEMA: u8 = 1;

/// What the log holds.
#[derive(Debug)]
pub enum Record {
    /// A request and its answer.
    Request(Box<RequestRecord>),
    /// A connection that was closed before it became a request.
    Connection(ConnectionRecord),
}

/// A request and its answer.
#[derive(Debug, Serialize)]
pub struct RequestRecord {
    /// When the answer ended.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The request's id in both tiers.
    #[serde(serialize_with = "text")]
    pub request_id: RequestId,
    /// Its trace.
    #[serde(serialize_with = "text")]
    pub trace_id: TraceId,
    /// Who asked.
    pub client: IpAddr,
    /// How.
    pub method: String,
    /// The host that was asked.
    pub host: String,
    /// The path, in the form the API receives; as it came where it was refused.
    pub path: String,
    /// The query, redacted.
    pub query: String,
    /// The route, if one was found.
    pub route: Option<Arc<str>>,
    /// Reserved for the opaque id of the user.
    pub user: Option<String>,
    /// The status; 0 where there was no answer.
    pub status: u16,
    /// The why-code of a refusal or failure, whichever tier said it.
    pub reason: Option<&'static str>,
    /// Octets of the request's body.
    pub bytes_in: u64,
    /// Octets of the answer's body.
    pub bytes_out: u64,
    /// From the head to the end of the answer.
    #[serde(rename = "duration_us", serialize_with = "microseconds")]
    pub duration: Duration,
    /// From the choice of the upstream to the end of its answer.
    #[serde(rename = "upstream_us", serialize_with = "optional_microseconds")]
    pub upstream_duration: Option<Duration>,
    /// The address that answered.
    pub upstream: Option<SocketAddr>,
    /// Reserved for the cache.
    pub cache: Option<&'static str>,
    /// `http/1.0`, `http/1.1` or `h2`, as in ALPN.
    pub protocol: &'static str,
    /// `1.2` or `1.3`.
    pub tls_version: Option<&'static str>,
    /// Whether the TLS session was resumed.
    pub tls_resumed: Option<bool>,
}

/// A connection that never became a request.
#[derive(Debug, Serialize)]
pub struct ConnectionRecord {
    /// When it was closed.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The peer.
    pub client: IpAddr,
    /// `https` or `http`.
    pub listener: &'static str,
    /// Why: a code of the design's list of closed connections, or the why-code of the raw answer.
    pub reason: &'static str,
    /// The status of the raw answer, where there was one.
    pub status: Option<u16>,
    /// The request id of that answer.
    #[serde(serialize_with = "optional_text")]
    pub request_id: Option<RequestId>,
    /// What was wrong with the head, in our words.
    pub detail: Option<&'static str>,
    /// Octets of a head that had arrived.
    pub bytes_in: u64,
}

#[derive(Serialize)]
struct Line<'a, T> {
    v: u8,
    kind: &'static str,
    #[serde(flatten)]
    record: &'a T,
}

impl Record {
    /// Appends the line, with its end.
    pub fn write(&self, format: LogFormat, line: &mut Vec<u8>) {
        match format {
            LogFormat::Json => {
                let written = match self {
                    Self::Request(record) => {
                        serde_json::to_writer(&mut *line, &Line { v: SCHEMA, kind: "request", record })
                    }
                    Self::Connection(record) => {
                        serde_json::to_writer(&mut *line, &Line { v: SCHEMA, kind: "connection", record })
                    }
                };
                // Text and numbers into memory: this cannot fail.
                debug_assert!(written.is_ok());
            }
            LogFormat::Human => line.extend_from_slice(self.to_string().as_bytes()),
        }
        line.push(b'\n');
    }
}

/// For people. Whatever came from a request is escaped, so that no line can be forged.
impl fmt::Display for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(record) => {
                write!(out, "{} {} ", humantime::format_rfc3339_millis(record.time), record.status)?;
                write!(out, "{} {}", record.method.escape_debug(), record.host.escape_debug())?;
                write!(out, "{}", record.path.escape_debug())?;
                if !record.query.is_empty() {
                    write!(out, "?{}", record.query.escape_debug())?;
                }
                write!(out, " {:.1?} {} {}", record.duration, record.protocol, record.client)?;
                if let Some(route) = &record.route {
                    write!(out, " route={route}")?;
                }
                if let Some(upstream) = record.upstream {
                    write!(out, " upstream={upstream}")?;
                }
                if let Some(reason) = record.reason {
                    write!(out, " reason={reason}")?;
                }
                write!(out, " id={}", record.request_id)
            }
            Self::Connection(record) => {
                let time = humantime::format_rfc3339_millis(record.time);
                write!(out, "{time} {} connection from {}: {}", record.listener, record.client, record.reason)?;
                if let (Some(detail), Some(id)) = (record.detail, &record.request_id) {
                    write!(out, " ({detail}) id={id}")?;
                }
                Ok(())
            }
        }
    }
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_micros(*time))
}

fn text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn optional_text<S: Serializer>(value: &Option<RequestId>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(RequestId::as_str).serialize(serializer)
}

fn whole_microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn microseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(whole_microseconds(*duration))
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn optional_microseconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(whole_microseconds).serialize(serializer)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use todo_shared::trace_context::TraceParent;

    use super::*;

    pub(crate) fn request(path: &str) -> RequestRecord {
        RequestRecord {
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
            request_id: RequestId::accept(b"id-1").expect("id"),
            trace_id: TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
                .expect("trace")
                .trace_id(),
            client: IpAddr::from([127, 0, 0, 1]),
            method: "GET".to_owned(),
            host: "localhost:8443".to_owned(),
            path: path.to_owned(),
            query: "limit=5&q=*".to_owned(),
            route: Some("api".into()),
            user: None,
            status: 200,
            reason: None,
            bytes_in: 0,
            bytes_out: 12,
            duration: Duration::from_micros(1500),
            upstream_duration: Some(Duration::from_micros(1200)),
            upstream: Some(SocketAddr::from(([127, 0, 0, 1], 8000))),
            cache: None,
            protocol: "h2",
            tls_version: Some("1.3"),
            tls_resumed: Some(false),
        }
    }

    fn line(record: &Record, format: LogFormat) -> String {
        let mut line = Vec::new();
        record.write(format, &mut line);
        String::from_utf8(line).expect("UTF-8")
    }

    #[test]
    fn the_schema_is_as_documented() {
        let text = line(&Record::Request(Box::new(request("/v1/todos"))), LogFormat::Json);
        let value: serde_json::Value = serde_json::from_str(&text).expect("one object");
        assert_eq!(
            value,
            serde_json::json!({
                "v": 1, "kind": "request", "time": "2023-11-14T22:13:20.123456Z", "request_id": "id-1",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "client": "127.0.0.1", "method": "GET",
                "host": "localhost:8443", "path": "/v1/todos", "query": "limit=5&q=*", "route": "api", "user": null,
                "status": 200, "reason": null, "bytes_in": 0, "bytes_out": 12, "duration_us": 1500,
                "upstream_us": 1200, "upstream": "127.0.0.1:8000", "cache": null, "protocol": "h2",
                "tls_version": "1.3", "tls_resumed": false
            })
        );
        let document = include_str!("../../../docs/access-log.md");
        for name in value.as_object().expect("object").keys() {
            assert!(document.contains(&format!("| `{name}` |")), "`{name}` is documented");
        }
    }

    #[test]
    fn a_closed_connection_has_a_kind_of_its_own() {
        let record = Record::Connection(ConnectionRecord {
            time: SystemTime::UNIX_EPOCH,
            client: IpAddr::from([192, 0, 2, 1]),
            listener: "https",
            reason: "handshake_timeout",
            status: None,
            request_id: None,
            detail: None,
            bytes_in: 0,
        });
        assert_eq!(
            line(&record, LogFormat::Json),
            "{\"v\":1,\"kind\":\"connection\",\"time\":\"1970-01-01T00:00:00.000000Z\",\"client\":\"192.0.2.1\",\
             \"listener\":\"https\",\"reason\":\"handshake_timeout\",\"status\":null,\"request_id\":null,\"detail\":null,\
             \"bytes_in\":0}\n"
        );
        assert!(line(&record, LogFormat::Human).contains("192.0.2.1: handshake_timeout"));
    }

    proptest! {
        #[test]
        fn a_record_is_one_line_whatever_the_request_holds(path in any::<String>()) {
            let record = Record::Request(Box::new(request(&path)));
            for format in [LogFormat::Json, LogFormat::Human] {
                let text = line(&record, format);
                prop_assert_eq!(text.matches(['\n', '\r']).count(), 1);
            }
        }
    }
}
