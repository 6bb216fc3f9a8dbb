//! Todos: what one is, the bodies that make and change one, and what a change means.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Fault, Faults,
    patch::Patch,
    position::{Place, Position},
    recurrence::Recurrence,
    text::{DueZone, Notes, Tag, Title, parse_tags},
    time,
};
use crate::problem::ApiError;

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
    fn parse(self) -> Result<Place, Fault> {
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
    position: Option<PlaceBody>,
}

/// A valid [`CreateTodo`].
#[derive(Debug, Clone)]
pub struct NewTodo {
    pub(crate) list_id: Option<Uuid>,
    pub(crate) title: Title,
    pub(crate) notes: Notes,
    pub(crate) priority: Priority,
    pub(crate) due_at: Option<DateTime<Utc>>,
    pub(crate) due_zone: Option<DueZone>,
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
        let due_zone = faults.check_optional("/due_zone", self.due_zone.as_deref().map(DueZone::parse));
        let tags = check_tags(&mut faults, self.tags.as_deref().unwrap_or_default());
        let recurrence = faults.check_optional("/recurrence", self.recurrence.as_deref().map(Recurrence::parse));
        if recurrence.is_some() && self.due_at.is_none() {
            faults.note("/recurrence", Fault::new(RECURRENCE_CODE, RECURRENCE_DETAIL));
        }
        let place = faults.check_optional("/position", self.position.map(PlaceBody::parse));
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

fn check_tags(faults: &mut Faults, texts: &[String]) -> Vec<Tag> {
    parse_tags(texts).unwrap_or_else(|(index, fault)| {
        faults.note(index.map_or_else(|| "/tags".to_owned(), |index| format!("/tags/{index}")), fault);
        Vec::new()
    })
}

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
    position: Patch<PlaceBody>,
}

/// A valid [`PatchTodo`].
#[derive(Debug, Clone)]
pub struct TodoPatch {
    pub(crate) title: Option<Title>,
    pub(crate) notes: Option<Notes>,
    pub(crate) status: Option<Status>,
    pub(crate) priority: Option<Priority>,
    pub(crate) due_at: Patch<DateTime<Utc>>,
    pub(crate) due_zone: Patch<DueZone>,
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
            due_zone: self.due_zone.parse(faults, "/due_zone", |text| DueZone::parse(&text)),
            tags: self.tags.clear_is(Vec::new()).set().map(|texts| check_tags(faults, texts)),
            recurrence: self.recurrence.parse(faults, "/recurrence", |text| Recurrence::parse(&text)),
            list_id: self.list_id.required(faults, "/list_id"),
            place: self.position.parse(faults, "/position", PlaceBody::parse).required(faults, "/position"),
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

impl Todo {
    /// The todo that follows when this one, which recurs, is completed.
    pub(crate) fn successor(&self, id: Uuid, now: DateTime<Utc>) -> Option<Self> {
        let rule = Recurrence::parse(self.recurrence.as_deref()?).ok()?;
        let zone = self.due_zone.as_deref().and_then(|name| DueZone::parse(name).ok());
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
