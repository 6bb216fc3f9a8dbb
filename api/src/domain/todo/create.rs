//! The body that makes a todo.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Priority, Status, Todo};
use crate::{
    domain::{
        Fault, Faults,
        object::Object,
        position::{Place, Position},
        recurrence::Recurrence,
        text::{Notes, Tag, Title, parse_tags},
        time,
        time_zone::TimeZone,
    },
    problem::ApiError,
};

/// A place, as a client says it: one of the two.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceBody {
    /// Right before this todo of the same list.
    before: Option<Uuid>,
    /// Right after this todo of the same list.
    after: Option<Uuid>,
}

impl PlaceBody {
    pub(super) fn parse(self) -> Result<Place, Fault> {
        match (self.before, self.after) {
            (Some(id), None) => Ok(Place::Before(id)),
            (None, Some(id)) => Ok(Place::After(id)),
            _ => Err(Fault::new("invalid", "Expected before or after, and not both.")),
        }
    }
}

/// The body that makes a todo.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTodo {
    /// One line, not blank.
    #[schema(min_length = 1, max_length = 500)]
    title: String,
    /// The list it goes to; the caller's inbox if there is none.
    list_id: Option<Uuid>,
    /// Free text.
    #[schema(max_length = 10000)]
    notes: Option<String>,
    /// `none` (the default), `low`, `medium` or `high`.
    #[schema(value_type = Option<Priority>)]
    priority: Option<String>,
    /// RFC 3339.
    #[schema(value_type = Option<DateTime<Utc>>)]
    due_at: Option<String>,
    /// An IANA time zone.
    due_zone: Option<String>,
    /// Different words, each one line and not blank.
    #[schema(max_items = 20)]
    tags: Option<Vec<String>>,
    /// FREQ, INTERVAL, BYDAY, BYMONTHDAY, COUNT, UNTIL of RFC 5545; needs `due_at`.
    #[schema(max_length = 300)]
    recurrence: Option<String>,
    /// Where in the list; the end if not said.
    #[schema(value_type = Option<PlaceBody>)]
    position: Option<Object<PlaceBody>>,
}

/// A valid [`CreateTodo`].
#[derive(Debug, Clone)]
pub struct NewTodo {
    pub(crate) list_id: Option<Uuid>,
    pub(crate) title: Title,
    pub(crate) notes: Notes,
    pub(crate) priority: Priority,
    pub(crate) due_at: Option<DateTime<Utc>>,
    pub(crate) due_zone: Option<TimeZone>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) recurrence: Option<Recurrence>,
    pub(crate) place: Option<Place>,
}

impl NewTodo {
    /// The todo that it makes, at the end of its list. Without a list, the id of the list is nil.
    pub(crate) fn todo(&self, id: Uuid, now: DateTime<Utc>) -> Todo {
        Todo {
            id,
            list_id: self.list_id.unwrap_or_default(),
            title: self.title.as_str().to_owned(),
            notes: self.notes.as_str().to_owned(),
            status: Status::Open,
            completed_at: None,
            priority: self.priority,
            due_at: self.due_at,
            due_zone: self.due_zone.map(|zone| zone.as_str().to_owned()),
            tags: self.tags.clone(),
            recurrence: self.recurrence.as_ref().map(ToString::to_string),
            position: Position::last(now),
            version: 1,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }
}

impl CreateTodo {
    /// Checks every member.
    pub fn parse(self) -> Result<NewTodo, ApiError> {
        let mut faults = Faults::default();
        let title = faults.check("/title", Title::parse(&self.title));
        let notes = faults.check("/notes", Notes::parse(self.notes.as_deref().unwrap_or_default()));
        let priority = faults.check_optional("/priority", self.priority.as_deref().map(Priority::parse));
        let due_at = faults.check_optional("/due_at", self.due_at.as_deref().map(time::parse));
        let due_zone = faults.check_optional("/due_zone", self.due_zone.as_deref().map(TimeZone::parse));
        let tags = check_tags(&mut faults, self.tags.as_deref().unwrap_or_default());
        let recurrence = faults.check_optional("/recurrence", self.recurrence.as_deref().map(Recurrence::parse));
        if recurrence.is_some() && self.due_at.is_none() {
            faults.note("/recurrence", Fault::new(RECURRENCE_CODE, RECURRENCE_DETAIL));
        }
        let place = faults.check_optional("/position", self.position.map(|Object(place)| place.parse()));
        let built = title.zip(notes).map(|(title, notes)| NewTodo {
            list_id: self.list_id,
            title,
            notes,
            priority: priority.unwrap_or_default(),
            due_at,
            due_zone,
            tags,
            recurrence,
            place,
        });
        faults.finish(built)
    }
}

/// What is said of a recurrence without a date, when it is noticed here and when only the database can.
pub(crate) const RECURRENCE_CODE: &str = "due_at_missing";
/// See [`RECURRENCE_CODE`].
pub(crate) const RECURRENCE_DETAIL: &str = "A todo that recurs needs due_at.";

pub(super) fn check_tags(faults: &mut Faults, texts: &[String]) -> Vec<Tag> {
    parse_tags(texts).unwrap_or_else(|(index, fault)| {
        faults.note(index.map_or_else(|| "/tags".to_owned(), |index| format!("/tags/{index}")), fault);
        Vec::new()
    })
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
    fn every_fault_of_a_body_is_named() {
        let body: CreateTodo = serde_json::from_value(json!({
            "title": "", "notes": "n".repeat(10_001), "priority": "urgent", "due_at": "tomorrow", "due_zone": "Mars",
            "tags": ["a", ""], "recurrence": "FREQ=NEVER", "position": {},
        }))
        .expect("the right types");
        assert_eq!(
            pointers(body.parse()),
            ["/title", "/notes", "/priority", "/due_at", "/due_zone", "/tags/1", "/recurrence", "/position"]
        );
    }
}
