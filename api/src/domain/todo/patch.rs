//! The merge-patch of a todo, and what it does to one.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Priority, Status, Todo,
    create::{PlaceBody, check_tags},
};
use crate::{
    domain::{
        Faults,
        object::Object,
        patch::Patch,
        position::Place,
        recurrence::Recurrence,
        text::{Notes, Tag, Title},
        time,
        time_zone::TimeZone,
    },
    problem::ApiError,
};

/// The merge-patch of a todo.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchTodo {
    /// One line, not blank.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 500, nullable = false)]
    title: Patch<String>,
    /// Free text; null empties it.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 10000)]
    notes: Patch<String>,
    /// `done` completes; a recurring todo then gets a successor.
    #[serde(default)]
    #[schema(value_type = Option<Status>, nullable = false)]
    status: Patch<String>,
    /// Null is `none`.
    #[serde(default)]
    #[schema(value_type = Option<Priority>)]
    priority: Patch<String>,
    /// RFC 3339.
    #[serde(default)]
    #[schema(value_type = Option<DateTime<Utc>>)]
    due_at: Patch<String>,
    /// An IANA time zone.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    due_zone: Patch<String>,
    /// Replaces all tags.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, max_items = 20)]
    tags: Patch<Vec<String>>,
    /// FREQ, INTERVAL, BYDAY, BYMONTHDAY, COUNT, UNTIL of RFC 5545; needs `due_at`.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 300)]
    recurrence: Patch<String>,
    /// Moves it to another list.
    #[serde(default)]
    #[schema(value_type = Option<Uuid>, nullable = false)]
    list_id: Patch<Uuid>,
    /// Moves it within its (new) list.
    #[serde(default)]
    #[schema(value_type = Option<PlaceBody>, nullable = false)]
    position: Patch<Object<PlaceBody>>,
}

/// A valid [`PatchTodo`].
#[derive(Debug, Clone)]
pub struct TodoPatch {
    pub(crate) title: Option<Title>,
    pub(crate) notes: Option<Notes>,
    pub(crate) status: Option<Status>,
    pub(crate) priority: Option<Priority>,
    pub(crate) due_at: Patch<DateTime<Utc>>,
    pub(crate) due_zone: Patch<TimeZone>,
    pub(crate) tags: Option<Vec<Tag>>,
    pub(crate) recurrence: Patch<Recurrence>,
    pub(crate) list_id: Option<Uuid>,
    pub(crate) place: Option<Place>,
}

impl PatchTodo {
    /// Checks every member.
    pub fn parse(self) -> Result<TodoPatch, ApiError> {
        let faults = &mut Faults::default();
        let patch = TodoPatch {
            title: self.title.parse(faults, "/title", |text| Title::parse(&text)).required(faults, "/title"),
            notes: (self.notes.clear_is(String::new()).parse(faults, "/notes", |text| Notes::parse(&text)))
                .required(faults, "/notes"),
            status: self.status.parse(faults, "/status", |text| Status::parse(&text)).required(faults, "/status"),
            priority: (self.priority.parse(faults, "/priority", |text| Priority::parse(&text)))
                .clear_is(Priority::None)
                .required(faults, "/priority"),
            due_at: self.due_at.parse(faults, "/due_at", |text| time::parse(&text)),
            due_zone: self.due_zone.parse(faults, "/due_zone", |text| TimeZone::parse(&text)),
            tags: self.tags.clear_is(Vec::new()).set().map(|texts| check_tags(faults, texts)),
            recurrence: self.recurrence.parse(faults, "/recurrence", |text| Recurrence::parse(&text)),
            list_id: self.list_id.required(faults, "/list_id"),
            place: self
                .position
                .parse(faults, "/position", |Object(place)| place.parse())
                .required(faults, "/position"),
        };
        std::mem::take(faults).finish(Some(patch))
    }
}

impl TodoPatch {
    /// Whether nothing is to change.
    pub(crate) fn is_empty(&self) -> bool {
        self.title.is_none()
            && self.notes.is_none()
            && self.status.is_none()
            && self.priority.is_none()
            && self.due_at.is_keep()
            && self.due_zone.is_keep()
            && self.tags.is_none()
            && self.recurrence.is_keep()
            && !self.moves()
    }

    /// Whether the todo changes its place.
    pub(crate) fn moves(&self) -> bool {
        self.list_id.is_some() || self.place.is_some()
    }

    /// Applies everything but the place. The version is the store's to count.
    pub(crate) fn apply(&self, todo: &mut Todo, now: DateTime<Utc>) {
        if let Some(title) = &self.title {
            title.as_str().clone_into(&mut todo.title);
        }
        if let Some(notes) = &self.notes {
            notes.as_str().clone_into(&mut todo.notes);
        }
        if let Some(status) = self.status {
            todo.completed_at = match status {
                Status::Open => None,
                Status::Done => todo.completed_at.or(Some(now)),
            };
            todo.status = status;
        }
        todo.priority = self.priority.unwrap_or(todo.priority);
        self.due_at.apply(&mut todo.due_at);
        match self.due_zone {
            Patch::Keep => {}
            Patch::Clear => todo.due_zone = None,
            Patch::Set(zone) => todo.due_zone = Some(zone.as_str().to_owned()),
        }
        if let Some(tags) = &self.tags {
            todo.tags.clone_from(tags);
        }
        match &self.recurrence {
            Patch::Keep => {}
            Patch::Clear => todo.recurrence = None,
            Patch::Set(rule) => todo.recurrence = Some(rule.to_string()),
        }
        todo.updated_at = now;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers<T>(result: Result<T, ApiError>) -> Vec<String> {
        result
            .err()
            .map_or_else(Vec::new, |error| error.problem().errors.iter().map(|error| error.pointer.clone()).collect())
    }

    #[test]
    fn null_clears_what_may_be_absent_and_nothing_else() {
        let patch = |value| serde_json::from_value::<PatchTodo>(value).expect("the right types").parse();
        let cleared =
            patch(json!({"notes": null, "priority": null, "due_at": null, "tags": null})).expect("may be cleared");
        assert_eq!(cleared.notes.map(|notes| notes.as_str().to_owned()).as_deref(), Some(""));
        assert_eq!(
            (cleared.priority, cleared.due_at, cleared.tags),
            (Some(Priority::None), Patch::Clear, Some(vec![]))
        );
        assert_eq!(
            pointers(patch(json!({"title": null, "status": null, "list_id": null, "position": null}))),
            ["/title", "/status", "/list_id", "/position"]
        );
        assert!(patch(json!({})).is_ok_and(|patch| patch.is_empty()));
        assert!(serde_json::from_value::<PatchTodo>(json!({"version": 2})).is_err());
    }
}
