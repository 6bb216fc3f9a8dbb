//! Where a tier runs. The environment selects the compiled-in overlay and how strict start-up is.

use std::{fmt, str::FromStr};

/// The environment a tier runs in; set by `--environment` or `TODO_ENVIRONMENT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Environment {
    /// One machine, no outside service, readable logs, built-in secrets.
    #[default]
    Development,
    /// Production's parts with room to look inside; refuses missing or weak secrets.
    Staging,
    /// Refuses whatever is not safe on the internet.
    Production,
}

impl Environment {
    /// Every environment, in the order of strictness.
    pub const ALL: [Self; 3] = [Self::Development, Self::Staging, Self::Production];

    /// The name used in folders, variables and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// Whether the built-in development secrets may be used.
    pub const fn allows_default_secrets(self) -> bool {
        matches!(self, Self::Development)
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|environment| environment.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not an environment: use development, staging or production"))
    }
}
