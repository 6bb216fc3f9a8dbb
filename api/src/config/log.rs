//! `[log]`: the form and the amount of logs.

use todo_shared::{
    config::Section,
    environment::Environment,
    telemetry::{LogFormat, LogLevel},
};

/// `[log]`
#[derive(Debug, Clone)]
pub struct Log {
    /// Human-readable or JSON.
    pub format: LogFormat,
    /// What is logged.
    pub level: LogLevel,
}

pub(super) fn read(section: &Section<'_>, environment: Environment) -> Option<Log> {
    let format = section.parsed("format");
    let level: Option<LogLevel> = section.parsed("level");
    if environment == Environment::Production && level.as_ref().is_some_and(LogLevel::is_debug) {
        section.complain("level", "debug logging is refused in production", Some("use `info`"));
    }
    Some(Log { format: format?, level: level? })
}
