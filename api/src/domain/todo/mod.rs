//! Todos: what one is, and the one that follows it.

mod create;
mod patch;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub use create::{CreateTodo, NewTodo, PlaceBody};
pub(crate) use create::{RECURRENCE_CODE, RECURRENCE_DETAIL};
pub use patch::{PatchTodo, TodoPatch};

use super::{Fault, position::Position, recurrence::Recurrence, text::Tag, time, time_zone::TimeZone};

/// Whether a todo is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Still to do.
    Open,
    /// Done.
    Done,
}

impl Status {
    /// Reads `open` or `done`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "open" => Ok(Self::Open),
            "done" => Ok(Self::Done),
            _ => Err(Fault::new("invalid", "Expected open or done.")),
        }
    }

    /// The name, as the contract and the database have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
        }
    }
}

/// How much a todo matters; sorts as declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Not said.
    #[default]
    None,
    /// Can wait.
    Low,
    /// In between.
    Medium,
    /// First.
    High,
}

impl Priority {
    /// Reads `none`, `low`, `medium` or `high`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "none" => Ok(Self::None),
            "low" => Ok(Self::Low),
            "medium" => Ok(Self::Medium),
            "high" => Ok(Self::High),
            _ => Err(Fault::new("invalid", "Expected none, low, medium or high.")),
        }
    }

    /// The number that the database sorts by, 0 to 3.
    pub(crate) fn rank(self) -> i16 {
        self as i16
    }

    /// The priority of a [`Priority::rank`].
    pub(crate) fn ranked(rank: i16) -> Self {
        match rank {
            1 => Self::Low,
            2 => Self::Medium,
            3 => Self::High,
            _ => Self::None,
        }
    }
}

/// A todo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Todo {
    /// `UUIDv7`.
    pub id: Uuid,
    /// The list it is in.
    pub list_id: Uuid,
    /// What is to be done.
    pub title: String,
    /// Free text; empty if there is none.
    pub notes: String,
    /// Whether it is done.
    pub status: Status,
    /// When it was done.
    #[serde(serialize_with = "time::serialize_optional")]
    #[schema(required = true)]
    pub completed_at: Option<DateTime<Utc>>,
    /// How much it matters.
    pub priority: Priority,
    /// When it is due.
    #[serde(serialize_with = "time::serialize_optional")]
    #[schema(required = true)]
    pub due_at: Option<DateTime<Utc>>,
    /// The IANA time zone that the due date was meant in; null for UTC.
    #[schema(required = true)]
    pub due_zone: Option<String>,
    /// Words to find it by.
    #[schema(value_type = Vec<String>)]
    pub tags: Vec<Tag>,
    /// How it recurs: FREQ, INTERVAL, BYDAY, BYMONTHDAY, COUNT, UNTIL of RFC 5545.
    #[schema(required = true)]
    pub recurrence: Option<String>,
    /// Its place in the list: sorts in byte order, and means nothing else.
    pub position: Position,
    /// Counts the writes; the entity tag is `"v<version>"`.
    pub version: i64,
    /// When it was made.
    #[serde(serialize_with = "time::serialize")]
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    #[serde(serialize_with = "time::serialize")]
    pub updated_at: DateTime<Utc>,
    /// When it went to the trash; it is erased 30 days later.
    #[serde(serialize_with = "time::serialize_optional")]
    #[schema(required = true)]
    pub deleted_at: Option<DateTime<Utc>>,
}

impl Todo {
    /// The todo that follows when this one, which recurs, is completed.
    pub(crate) fn successor(&self, id: Uuid, now: DateTime<Utc>) -> Option<Self> {
        let rule = Recurrence::parse(self.recurrence.as_deref()?).ok()?;
        let zone = self.due_zone.as_deref().and_then(|name| TimeZone::parse(name).ok());
        let (due_at, rule) = rule.next(self.due_at?, zone)?;
        Some(Self {
            id,
            status: Status::Open,
            completed_at: None,
            due_at: Some(due_at),
            recurrence: Some(rule.to_string()),
            version: 1,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            ..self.clone()
        })
    }
}
