//! Where the next page begins, as an opaque text that is bound to its listing.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::query::{ListQuery, SortKey, TodoQuery};
use crate::domain::{position::LONGEST, todo::Todo};

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

/// Short, stable name of a query: 64 bits of SHA-256. Collisions harm nobody but their maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// Of values that every build writes alike: cursors and entity tags outlive a deployment.
    pub(super) fn of(what: &serde_json::Value) -> Self {
        let hash = digest(&SHA256, what.to_string().as_bytes());
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
    /// The cursor that continues after this row.
    pub fn cursor_after(&self, last: &Todo) -> String {
        self.cursor(&After { key: self.key_of(last), id: last.id })
    }

    pub(super) fn cursor(&self, after: &After) -> String {
        let mut octets = vec![CURSOR_FORM];
        octets.extend(self.binding.0);
        octets.extend(after.id.as_bytes());
        match &after.key {
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

    pub(super) fn read_cursor(&self, cursor: &str) -> Option<After> {
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

impl ListQuery {
    /// The cursor that continues after this list.
    pub fn cursor_after(&self, last: Uuid) -> String {
        let binding = self.binding().0;
        URL_SAFE_NO_PAD.encode([&[CURSOR_FORM], &binding[..], last.as_bytes()].concat())
    }

    pub(super) fn read_cursor(&self, cursor: &str) -> Option<Uuid> {
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
    use serde_json::{Value, json};

    use super::{super::TodoParams, *};
    use crate::{
        domain::{
            position::Position,
            todo::{Priority, Status},
        },
        problem::ApiError,
    };

    fn query(parameters: Value, caller: u128) -> Result<TodoQuery, ApiError> {
        serde_json::from_value::<TodoParams>(parameters).expect("the right types").parse(Uuid::from_u128(caller))
    }

    fn by(sort: &str) -> TodoQuery {
        query(json!({ "sort": sort }), 0).expect("valid")
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

    #[test]
    fn cursors_of_earlier_builds_are_read() {
        // A change here is felt by everybody who is in the middle of a listing: then count `CURSOR_FORM` up.
        let filter = json!({"list": Uuid::from_u128(9), "status": "done", "priority": "high", "tag": ["a", "b"], "q": "milk",
            "due_before": "2030-01-01T00:00:00Z", "due_after": "2029-01-01T00:00:00Z", "trashed": true, "sort": "-due_at"});
        let cursor = query(filter, 1).expect("valid").cursor_after(&todo(5, 1_790_000_000_000_000, 2));
        assert_eq!(cursor, "AVtst9bA2s1yAAAAAAAAAAAAAAAAAAAABQAGW_7aJeAA");
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went(sort in sorts(), id: u128, micros in 0_i64..4_000_000_000_000_000, rank in 0_i16..4) {
            let last = todo(id, micros, rank);
            let again = query(json!({"sort": sort, "cursor": by(sort).cursor_after(&last)}), 0).expect("valid");
            let expected = After { key: again.key_of(&last), id: last.id };
            prop_assert_eq!(again.after, Some(expected));
        }

        #[test]
        fn a_cursor_of_another_listing_is_refused(id: u128, micros in 0_i64..4_000_000_000_000_000) {
            let cursor = by("position").cursor_after(&todo(id, micros, 1));
            let with = |mut parameters: Value, caller| {
                parameters["cursor"] = json!(cursor);
                query(parameters, caller).err().map_or("", |error| error.code().as_str())
            };
            prop_assert_eq!(with(json!({}), 0), "");
            prop_assert_eq!(with(json!({"limit": 7}), 0), "");
            prop_assert_eq!(with(json!({}), 1), "cursor_invalid");
            for other in [json!({"sort": "-position"}), json!({"trashed": true}), json!({"q": "milk"}), json!({"tag": ["a"]})] {
                prop_assert_eq!(with(other, 0), "cursor_invalid");
            }
        }

        #[test]
        fn a_tampered_cursor_is_read_strictly_or_refused(sort in sorts(), place: prop::sample::Index, octet: u8, cut: bool) {
            let mut octets = by(sort).cursor_after(&todo(5, 1_790_000_000_000_000, 2)).into_bytes();
            let place = place.index(octets.len());
            if cut { octets.truncate(place) } else { octets[place] = octet }
            let cursor = String::from_utf8_lossy(&octets).into_owned();
            if let Ok(read) = query(json!({"sort": sort, "cursor": cursor}), 0) {
                match read.after.expect("a cursor was given").key {
                    KeyValue::Text(text) => prop_assert!(text.bytes().all(|octet| octet.is_ascii_alphanumeric())),
                    KeyValue::Time(time) => prop_assert!((EARLIEST..=LATEST).contains(&time.timestamp())),
                    KeyValue::Rank(_) => {}
                }
            }
        }
    }
}
