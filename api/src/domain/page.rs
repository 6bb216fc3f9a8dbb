//! Pages: which todos, in which order, how many, from where on.
//!
//! Pages continue after a row (keyset), not after a number of rows: what is inserted or deleted meanwhile neither doubles nor
//! hides another row. The cursor holds the sort key and the id of the last row and is bound to caller, filter and order by a
//! fingerprint. It grants nothing, since each page is authorized by itself; so it is checked, but not signed.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Fault, Faults,
    position::LONGEST,
    text::{MOST_TAGS, Tag},
    time,
    todo::{Priority, Status, Todo},
    words,
};
use crate::problem::ApiError;

/// How many rows a page has if the client does not say.
const USUAL: u16 = 50;
/// How many rows it may have.
const MOST: u16 = 200;

/// What the store found.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The caller's change number as of which the page is; its content cannot change without it.
    pub seq: i64,
    /// The rows; none if the reader knows this number already.
    pub rows: Vec<T>,
    /// Whether more rows follow.
    pub more: bool,
}

/// A page as clients read it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PageBody<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

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

impl Sort {
    fn parse(text: &str) -> Result<Self, Fault> {
        let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
        let key = match name {
            "position" => SortKey::Position,
            "due_at" => SortKey::DueAt,
            "created_at" => SortKey::CreatedAt,
            "updated_at" => SortKey::UpdatedAt,
            "priority" => SortKey::Priority,
            _ => {
                let detail = "Expected position, due_at, created_at, updated_at or priority, with - for descending.";
                return Err(Fault::new("invalid", detail));
            }
        };
        Ok(Self { key, descending })
    }
}

/// The value of a sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyValue {
    /// Of a position.
    Text(String),
    /// Of a date, or the end of time where there is none.
    Time(DateTime<Utc>),
    /// Of a priority.
    Rank(i16),
}

/// The row that a page continues after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// Its sort key.
    pub key: KeyValue,
    /// Its id.
    pub id: Uuid,
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
    binding: Fingerprint,
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

/// Short, stable name of a query: 64 bits of SHA-256. Collisions harm nobody but their maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// Of anything that says by its `Debug` form what it is.
    fn of(what: &impl std::fmt::Debug) -> Self {
        let hash = digest(&SHA256, format!("{what:?}").as_bytes());
        let mut short = [0; 8];
        short.iter_mut().zip(hash.as_ref()).for_each(|(short, &octet)| *short = octet);
        Self(short)
    }

    /// As 16 hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The version of the cursor's form, its first octet.
const CURSOR_FORM: u8 = 1;

impl TodoQuery {
    fn bind(&self, caller: Uuid) -> Fingerprint {
        let filter = (self.list, self.status, &self.tags, self.priority, self.due_before, self.due_after);
        Fingerprint::of(&(caller, filter, &self.words, self.trashed, self.sort))
    }

    /// Names the page that is asked for: filter, order, size and start.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&(self.binding, self.limit, &self.after))
    }

    /// The cursor that continues after this row.
    pub fn cursor_after(&self, last: &Todo) -> String {
        let mut octets = vec![CURSOR_FORM];
        octets.extend(self.binding.0);
        octets.extend(last.id.as_bytes());
        match self.key_of(last) {
            KeyValue::Text(text) => octets.extend(text.as_bytes()),
            KeyValue::Time(time) => octets.extend(time.timestamp_micros().to_be_bytes()),
            KeyValue::Rank(rank) => octets.extend(rank.to_be_bytes()),
        }
        URL_SAFE_NO_PAD.encode(octets)
    }

    fn key_of(&self, todo: &Todo) -> KeyValue {
        match self.sort.key {
            SortKey::Position => KeyValue::Text(todo.position.as_str().to_owned()),
            SortKey::DueAt => KeyValue::Time(todo.due_at.unwrap_or_else(no_due)),
            SortKey::CreatedAt => KeyValue::Time(todo.created_at),
            SortKey::UpdatedAt => KeyValue::Time(todo.updated_at),
            SortKey::Priority => KeyValue::Rank(todo.priority.rank()),
        }
    }

    fn read_cursor(&self, cursor: &str) -> Option<After> {
        // 25 octets before the key; four characters of base 64 hold three octets.
        if cursor.len() > (25 + 2 * LONGEST).div_ceil(3) * 4 {
            return None;
        }
        let octets = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (&form, octets) = octets.split_first()?;
        let (binding, octets) = octets.split_first_chunk::<8>()?;
        let (id, key) = octets.split_first_chunk::<16>()?;
        if form != CURSOR_FORM || *binding != self.binding.0 {
            return None;
        }
        let key = match self.sort.key {
            SortKey::Position => {
                let is_position = !key.is_empty() && key.iter().all(u8::is_ascii_alphanumeric);
                KeyValue::Text(String::from_utf8(key.to_vec()).ok().filter(|_| is_position)?)
            }
            SortKey::Priority => KeyValue::Rank(i16::from_be_bytes(key.try_into().ok()?)),
            SortKey::DueAt | SortKey::CreatedAt | SortKey::UpdatedAt => {
                let time = DateTime::from_timestamp_micros(i64::from_be_bytes(key.try_into().ok()?))?;
                KeyValue::Time(Some(time).filter(|time| (EARLIEST..=LATEST).contains(&time.timestamp()))?)
            }
        };
        Some(After { key, id: Uuid::from_bytes(*id) })
    }
}

/// What both databases can keep: the years 1 to 9999, in seconds since the epoch.
const EARLIEST: i64 = -62_135_596_800;
const LATEST: i64 = 253_402_300_799;

/// The sort key of a todo without a date, the same as in the databases' `due_key`.
fn no_due() -> DateTime<Utc> {
    // 9999-12-31T00:00:00Z
    DateTime::from_timestamp(253_402_214_400, 0).unwrap_or_default()
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
    fn binding(&self) -> Fingerprint {
        Fingerprint::of(&("lists", self.caller))
    }

    /// Names the page that is asked for.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&("lists", self.caller, self.limit, self.after))
    }

    /// The cursor that continues after this list.
    pub fn cursor_after(&self, last: Uuid) -> String {
        let binding = self.binding().0;
        URL_SAFE_NO_PAD.encode([&[CURSOR_FORM], &binding[..], last.as_bytes()].concat())
    }

    fn read_cursor(&self, cursor: &str) -> Option<Uuid> {
        let octets: [u8; 25] =
            URL_SAFE_NO_PAD.decode(cursor.get(..34).filter(|head| *head == cursor)?).ok()?.try_into().ok()?;
        let (&form, octets) = octets.split_first()?;
        let (binding, id) = octets.split_first_chunk::<8>()?;
        (form == CURSOR_FORM && *binding == self.binding().0).then(|| Uuid::from_slice(id).ok())?
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::position::Position;

    fn params(sort: &str) -> TodoParams {
        TodoParams {
            list: None,
            status: None,
            tag: vec![],
            priority: None,
            due_before: None,
            due_after: None,
            q: None,
            trashed: false,
            sort: Some(sort.to_owned()),
            limit: None,
            cursor: None,
        }
    }

    fn todo(id: u128, micros: i64, rank: i16) -> Todo {
        let time = DateTime::from_timestamp_micros(micros).expect("in range");
        Todo {
            id: Uuid::from_u128(id),
            list_id: Uuid::nil(),
            title: String::new(),
            notes: String::new(),
            status: Status::Open,
            completed_at: None,
            priority: Priority::ranked(rank),
            due_at: (rank > 0).then_some(time),
            due_zone: None,
            tags: vec![],
            recurrence: None,
            position: Position::last(time),
            version: 1,
            created_at: time,
            updated_at: time,
            deleted_at: None,
        }
    }

    fn sorts() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["position", "-due_at", "created_at", "-updated_at", "priority"])
    }

    fn code(result: Result<TodoQuery, ApiError>) -> &'static str {
        result.err().map_or("", |error| error.code().as_str())
    }

    #[test]
    fn every_faulty_parameter_is_named() {
        let wrong = TodoParams {
            status: Some("late".into()),
            tag: vec![String::new()],
            q: Some("...".into()),
            limit: Some(201),
            ..params("title")
        };
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

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went(sort in sorts(), id: u128, micros in 0_i64..4_000_000_000_000_000, rank in 0_i16..4) {
            let query = params(sort).parse(Uuid::nil()).expect("valid");
            let last = todo(id, micros, rank);
            let again = TodoParams { cursor: Some(query.cursor_after(&last)), ..params(sort) }.parse(Uuid::nil()).expect("valid");
            prop_assert_eq!(again.after, Some(After { key: query.key_of(&last), id: last.id }));
        }

        #[test]
        fn a_cursor_of_another_listing_is_refused(id: u128, micros in 0_i64..4_000_000_000_000_000) {
            let cursor = params("position").parse(Uuid::nil()).expect("valid").cursor_after(&todo(id, micros, 1));
            let with = |params: TodoParams, caller| TodoParams { cursor: Some(cursor.clone()), ..params }.parse(Uuid::from_u128(caller));
            prop_assert_eq!(code(with(params("position"), 0)), "");
            prop_assert_eq!(code(with(TodoParams { limit: Some(7), ..params("position") }, 0)), "");
            prop_assert_eq!(code(with(params("-position"), 0)), "cursor_invalid");
            prop_assert_eq!(code(with(params("position"), 1)), "cursor_invalid");
            prop_assert_eq!(code(with(TodoParams { trashed: true, ..params("position") }, 0)), "cursor_invalid");
            prop_assert_eq!(code(with(TodoParams { q: Some("milk".into()), ..params("position") }, 0)), "cursor_invalid");
        }

        #[test]
        fn a_tampered_cursor_is_read_strictly_or_refused(sort in sorts(), place: prop::sample::Index, octet: u8, cut: bool) {
            let query = params(sort).parse(Uuid::nil()).expect("valid");
            let mut octets = query.cursor_after(&todo(5, 1_790_000_000_000_000, 2)).into_bytes();
            let place = place.index(octets.len());
            if cut { octets.truncate(place) } else { octets[place] = octet }
            let cursor = String::from_utf8_lossy(&octets).into_owned();
            if let Ok(read) = (TodoParams { cursor: Some(cursor), ..params(sort) }).parse(Uuid::nil()) {
                match read.after.expect("a cursor was given").key {
                    KeyValue::Text(text) => prop_assert!(text.bytes().all(|octet| octet.is_ascii_alphanumeric())),
                    KeyValue::Time(time) => prop_assert!((EARLIEST..=LATEST).contains(&time.timestamp())),
                    KeyValue::Rank(_) => {}
                }
            }
        }
    }
}
