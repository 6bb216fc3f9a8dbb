//! Logs: one set-up for both tiers, human-readable or one JSON object a line, on standard error.
//!
//! Standard output belongs to the access log of the gateway and to the answers of commands.

use std::{
    fmt,
    io::{self, IsTerminal as _},
    str::FromStr,
};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormattedFields,
        format::{FormatEvent, FormatFields, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people at a terminal.
    Human,
    /// One object a line, for machines.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err("expected `human` or `json`".to_owned()),
        }
    }
}

/// A filter such as `info` or `info,sqlx=warn`, checked when the configuration is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// Whether a filter lets through more than `info` anywhere.
    pub fn is_debug(&self) -> bool {
        self.0.contains("debug") || self.0.contains("trace")
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match EnvFilter::builder().parse(text) {
            Ok(_) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            _ => {
                Err("expected a level (error, warn, info, debug, trace) or a filter such as `info,sqlx=warn`"
                    .to_owned())
            }
        }
    }
}

/// Installs the process's logger. The first call decides; later ones (tests) change nothing.
pub fn init(format: LogFormat, level: &LogLevel) {
    let filter = EnvFilter::builder().parse_lossy(&level.0);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let _ = match format {
        LogFormat::Human => builder.with_target(false).with_ansi(io::stderr().is_terminal()).finish().try_init(),
        LogFormat::Json => builder
            .event_format(JsonLine)
            .fmt_fields(tracing_subscriber::fmt::format::JsonFields::new())
            .finish()
            .try_init(),
    };
}

/// One flat JSON object a line: `time`, `level`, `target`, `message` and the event's fields.
///
/// The subscriber's own JSON form adds the source file of events that come through the `log` crate, with the build
/// machine's absolute path; this form leaves it out.
struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields(serde_json::Map::new());
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        fields.0.insert("time".to_owned(), time.into());
        fields.0.insert("level".to_owned(), event.metadata().level().as_str().into());
        fields.0.insert("target".to_owned(), event.metadata().target().into());
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let Some(recorded) = extensions.get::<FormattedFields<N>>() else { continue };
            if let Ok(serde_json::Value::Object(inner)) = serde_json::from_str(recorded) {
                for (name, value) in inner {
                    fields.0.entry(name).or_insert(value);
                }
            }
        }
        event.record(&mut fields);
        let line = serde_json::to_string(&fields.0).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

struct Fields(serde_json::Map<String, serde_json::Value>);

impl Fields {
    fn put(&mut self, field: &tracing::field::Field, value: serde_json::Value) {
        // `log.file`, `log.line`, `log.module_path` and `log.target` describe the build, not the event.
        if !field.name().starts_with("log.") {
            self.0.insert(field.name().to_owned(), value);
        }
    }
}

impl tracing::field::Visit for Fields {
    fn record_bool(&mut self, field: &tracing::field::Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &tracing::field::Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &tracing::field::Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("unpoisoned").extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_json_line_is_flat_and_holds_the_spans_fields() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(JsonLine)
            .fmt_fields(tracing_subscriber::fmt::format::JsonFields::new())
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", request_id = "id-1");
            let _entered = span.enter();
            tracing::info!(status = 200_u64, quoted = "a \"b\"", "served");
        });
        let text = String::from_utf8(buffer.0.lock().expect("unpoisoned").clone()).expect("UTF-8");
        let value: serde_json::Value = serde_json::from_str(&text).expect("one object");
        assert_eq!(value["message"], "served");
        assert_eq!(value["status"], 200);
        assert_eq!(value["quoted"], "a \"b\"");
        assert_eq!(value["request_id"], "id-1");
        assert_eq!(value["level"], "INFO");
    }

    #[test]
    fn levels_are_checked_when_read() {
        assert!("info,sqlx=warn".parse::<LogLevel>().is_ok_and(|level| !level.is_debug()));
        assert!("info,todo_api=debug".parse::<LogLevel>().is_ok_and(|level| level.is_debug()));
        assert!("".parse::<LogLevel>().is_err());
        assert!("info=info=info".parse::<LogLevel>().is_err());
        assert!("loud".parse::<LogFormat>().is_err());
    }
}
