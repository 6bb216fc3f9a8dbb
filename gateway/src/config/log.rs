//! `[log]`: the log of the process, on standard error.

use todo_shared::{
    config::Section,
    environment::Environment,
    telemetry::{LogFormat, LogLevel},
};

/// The log of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How lines are written.
    pub format: LogFormat,
    /// What is written.
    pub level: LogLevel,
}

pub(super) fn read(section: &Section<'_>, environment: Environment) -> Option<Log> {
    let format = section.parsed("format");
    let level = section.parsed::<LogLevel>("level");
    let level = level?;
    if environment == Environment::Production && level.is_debug() {
        section.complain("level", "production does not log at debug or trace", Some("use \"info\""));
    }
    Some(Log { format: format?, level })
}
