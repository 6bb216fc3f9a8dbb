//! The query strings of listings.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use uuid::Uuid;

use super::cursor::{After, Fingerprint};
use crate::{
    domain::{
        Fault, Faults,
        text::{MOST_TAGS, Tag},
        time,
        todo::{Priority, Status},
        words,
    },
    problem::ApiError,
};

/// How many rows a page has if the client does not say.
const USUAL: u16 = 50;
/// How many rows it may have.
const MOST: u16 = 200;

/// What a page is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// The order people gave.
    Position,
    /// No date is the latest date.
    DueAt,
    /// When it was made.
    CreatedAt,
    /// When it was last written.
    UpdatedAt,
    /// From none to high.
    Priority,
}

/// The order of a page; the id decides between equal keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub key: SortKey,
    /// From the greatest.
    pub descending: bool,
}

impl SortKey {
    const ALL: [Self; 5] = [Self::Position, Self::DueAt, Self::CreatedAt, Self::UpdatedAt, Self::Priority];

    /// The name, as the contract has it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Position => "position",
            Self::DueAt => "due_at",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::Priority => "priority",
        }
    }
}

impl Sort {
    fn parse(text: &str) -> Result<Self, Fault> {
        let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
        let key = SortKey::ALL.into_iter().find(|key| key.as_str() == name).ok_or_else(|| {
            let detail = "Expected position, due_at, created_at, updated_at or priority, with - for descending.";
            Fault::new("invalid", detail)
        })?;
        Ok(Self { key, descending })
    }
}

/// The query string of a listing of todos.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TodoParams {
    /// Only todos of this list.
    list: Option<Uuid>,
    /// Only `open` or only `done` ones.
    #[param(value_type = Option<Status>)]
    status: Option<String>,
    /// Only todos with this tag; repeat it for todos that have all of several.
    #[serde(default)]
    #[param(max_items = 20)]
    tag: Vec<String>,
    /// Only todos of this priority.
    #[param(value_type = Option<Priority>)]
    priority: Option<String>,
    /// Only todos that are due before this time.
    #[param(value_type = Option<DateTime<Utc>>)]
    due_before: Option<String>,
    /// Only todos that are due at this time or later.
    #[param(value_type = Option<DateTime<Utc>>)]
    due_after: Option<String>,
    /// Only todos that have all of these words in title or notes.
    #[param(min_length = 1, max_length = 200)]
    q: Option<String>,
    /// What is in the trash instead of what is not.
    #[serde(default)]
    trashed: bool,
    /// `position` (the default), `due_at`, `created_at`, `updated_at` or `priority`; `-` before it for descending.
    sort: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before, with the same filter and order.
    cursor: Option<String>,
}

/// A valid [`TodoParams`].
#[derive(Debug, Clone)]
pub struct TodoQuery {
    pub(crate) list: Option<Uuid>,
    pub(crate) status: Option<Status>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) priority: Option<Priority>,
    pub(crate) due_before: Option<DateTime<Utc>>,
    pub(crate) due_after: Option<DateTime<Utc>>,
    pub(crate) words: Vec<String>,
    pub(crate) trashed: bool,
    pub(crate) sort: Sort,
    pub(crate) limit: u16,
    pub(crate) after: Option<After>,
    pub(super) binding: Fingerprint,
}

impl TodoParams {
    /// Checks every parameter; `caller` is who asks.
    ///
    /// # Errors
    /// 422 with every parameter at fault, or 400 for a cursor of something else.
    pub fn parse(self, caller: Uuid) -> Result<TodoQuery, ApiError> {
        let faults = &mut Faults::default();
        let status = faults.check_optional("?status", self.status.as_deref().map(Status::parse));
        let priority = faults.check_optional("?priority", self.priority.as_deref().map(Priority::parse));
        let due_before = faults.check_optional("?due_before", self.due_before.as_deref().map(time::parse));
        let due_after = faults.check_optional("?due_after", self.due_after.as_deref().map(time::parse));
        let words = faults.check_optional("?q", self.q.as_deref().map(parse_words)).unwrap_or_default();
        let sort = faults.check("?sort", Sort::parse(self.sort.as_deref().unwrap_or("position")));
        let limit = faults.check("?limit", parse_limit(self.limit));
        let tags = if self.tag.len() > MOST_TAGS {
            faults.note("?tag", Fault::new("too_many", "At most 20 tags."));
            Vec::new()
        } else {
            self.tag.iter().filter_map(|tag| faults.check("?tag", Tag::parse(tag.trim()))).collect()
        };
        let (sort, limit) = std::mem::take(faults).finish(sort.zip(limit))?;
        let mut query = TodoQuery {
            list: self.list,
            status,
            tags,
            priority,
            due_before,
            due_after,
            words,
            trashed: self.trashed,
            sort,
            limit,
            after: None,
            binding: Fingerprint::default(),
        };
        query.binding = query.bind(caller);
        query.after =
            self.cursor.map(|cursor| query.read_cursor(&cursor).ok_or_else(ApiError::cursor_invalid)).transpose()?;
        Ok(query)
    }
}

fn parse_limit(limit: Option<u16>) -> Result<u16, Fault> {
    let limit = limit.unwrap_or(USUAL);
    if (1..=MOST).contains(&limit) { Ok(limit) } else { Err(Fault::new("out_of_range", "Expected 1 to 200.")) }
}

fn parse_words(text: &str) -> Result<Vec<String>, Fault> {
    if text.chars().count() > 200 { Err(Fault::new("too_long", "At most 200 characters.")) } else { words::parse(text) }
}

impl TodoQuery {
    fn bind(&self, caller: Uuid) -> Fingerprint {
        let micros = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_micros());
        Fingerprint::of(&json!([
            "todos",
            caller,
            self.list,
            self.status.map(Status::as_str),
            self.priority.map(Priority::rank),
            micros(self.due_before),
            micros(self.due_after),
            self.tags,
            self.words,
            self.trashed,
            self.sort.key.as_str(),
            self.sort.descending,
        ]))
    }

    /// Names the page that is asked for: filter, order, size and start.
    pub fn fingerprint(&self) -> Fingerprint {
        let after = self.after.as_ref().map(|after| self.cursor(after));
        Fingerprint::of(&json!([self.binding.to_hex(), self.limit, after]))
    }
}

/// The query string of a listing of lists.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A valid [`ListParams`].
#[derive(Debug, Clone)]
pub struct ListQuery {
    pub(crate) limit: u16,
    pub(crate) after: Option<Uuid>,
    caller: Uuid,
}

impl ListParams {
    /// Checks every parameter; `caller` is who asks.
    pub fn parse(self, caller: Uuid) -> Result<ListQuery, ApiError> {
        let mut faults = Faults::default();
        let limit = faults.check("?limit", parse_limit(self.limit));
        let limit = faults.finish(limit)?;
        let mut query = ListQuery { limit, after: None, caller };
        query.after =
            self.cursor.map(|cursor| query.read_cursor(&cursor).ok_or_else(ApiError::cursor_invalid)).transpose()?;
        Ok(query)
    }
}

impl ListQuery {
    pub(super) fn binding(&self) -> Fingerprint {
        Fingerprint::of(&json!(["lists", self.caller]))
    }

    /// Names the page that is asked for.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&json!([self.binding().to_hex(), self.limit, self.after]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_faulty_parameter_is_named() {
        let query = json!({"status": "late", "tag": [""], "q": "...", "limit": 201, "sort": "title"});
        let wrong: TodoParams = serde_json::from_value(query).expect("the right types");
        let error = wrong.parse(Uuid::nil()).expect_err("refused");
        let pointers: Vec<_> = error.problem().errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["?status", "?q", "?sort", "?limit", "?tag"]);
    }

    #[test]
    fn lists_continue_after_an_id() {
        let me = Uuid::from_u128(1);
        let query = ListParams { limit: None, cursor: None }.parse(me).expect("valid");
        let cursor = query.cursor_after(Uuid::from_u128(7));
        let again = |cursor: &str, who| ListParams { limit: Some(1), cursor: Some(cursor.to_owned()) }.parse(who);
        assert_eq!(again(&cursor, me).expect("valid").after, Some(Uuid::from_u128(7)));
        assert!(again(&cursor, Uuid::from_u128(2)).is_err());
        assert!(again("é", me).is_err() && again("", me).is_err() && again(&(cursor + "A"), me).is_err());
    }
}
