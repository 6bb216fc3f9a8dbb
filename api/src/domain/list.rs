//! Lists of todos.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Faults,
    patch::Patch,
    text::{Color, ListName},
    time,
};
use crate::problem::ApiError;

/// A list of todos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct List {
    /// `UUIDv7`.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// `#rrggbb`.
    #[schema(required = true)]
    pub color: Option<String>,
    /// Whether it is the one that new todos go to; it cannot be deleted.
    pub inbox: bool,
    /// Counts the writes; the entity tag is `"v<version>"`.
    pub version: i64,
    /// When it was made.
    #[serde(serialize_with = "time::serialize")]
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    #[serde(serialize_with = "time::serialize")]
    pub updated_at: DateTime<Utc>,
}

/// The body that makes a list.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateList {
    /// One line, not blank.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `#rrggbb`.
    #[schema(pattern = "^#[0-9a-fA-F]{6}$")]
    color: Option<String>,
}

/// A valid [`CreateList`].
#[derive(Debug, Clone)]
pub struct NewList {
    pub(crate) name: ListName,
    pub(crate) color: Option<Color>,
}

impl CreateList {
    /// Checks every member.
    pub fn parse(self) -> Result<NewList, ApiError> {
        let mut faults = Faults::default();
        let name = faults.check("/name", ListName::parse(&self.name));
        let color = faults.check_optional("/color", self.color.as_deref().map(Color::parse));
        faults.finish(name.map(|name| NewList { name, color }))
    }
}

/// The merge-patch of a list.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchList {
    /// One line, not blank.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, nullable = false)]
    name: Patch<String>,
    /// `#rrggbb`, or null for none.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^#[0-9a-fA-F]{6}$")]
    color: Patch<String>,
}

/// A valid [`PatchList`].
#[derive(Debug, Clone)]
pub struct ListPatch {
    pub(crate) name: Option<ListName>,
    pub(crate) color: Patch<Color>,
}

impl PatchList {
    /// Checks every member.
    pub fn parse(self) -> Result<ListPatch, ApiError> {
        let mut faults = Faults::default();
        let name = self.name.parse(&mut faults, "/name", |text| ListName::parse(&text)).required(&mut faults, "/name");
        let color = self.color.parse(&mut faults, "/color", |text| Color::parse(&text));
        faults.finish(Some(ListPatch { name, color }))
    }
}

impl ListPatch {
    /// Whether nothing is to change.
    pub(crate) fn is_empty(&self) -> bool {
        self.name.is_none() && self.color.is_keep()
    }
}
