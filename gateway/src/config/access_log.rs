//! `[access_log]`: one line a request.

use todo_shared::{config::Section, telemetry::LogFormat};

use crate::observe::access_log::Output;

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogSettings {
    /// How lines are written.
    pub format: LogFormat,
    /// Where to.
    pub output: Output,
    /// Names of the query whose values may be logged.
    pub safe_query: Vec<String>,
}

pub(super) fn read(section: &Section<'_>) -> Option<AccessLogSettings> {
    let format = section.parsed("format");
    let output = section.parsed("output");
    let safe_query = section.list("safe_query");
    Some(AccessLogSettings { format: format?, output: output?, safe_query: safe_query? })
}
