//! SQL text that both engines share, where it is more than one statement's.

use crate::domain::page::{SortKey, TodoQuery};

/// The columns of a todo, of table `t`. A macro, so that statements are put together when compiling.
macro_rules! todo_columns {
    () => {
        "t.id, t.list_id, t.title, t.notes, t.status, t.completed_at, t.priority, t.due_at, t.due_zone, t.tags, \
         t.recurrence, t.position, t.version, t.created_at, t.updated_at, t.deleted_at"
    };
}

/// The columns of a list, of table `l`.
macro_rules! list_columns {
    () => {
        "l.id, l.name, l.color, l.inbox, l.version, l.created_at, l.updated_at"
    };
}

/// That the caller's session has not been ended. Parameters: `$1` user, `$2` session.
macro_rules! session_active {
    () => {
        "EXISTS (SELECT 1 FROM sessions s WHERE s.id = $2 AND s.user_id = $1)"
    };
}

pub(super) use {list_columns, session_active, todo_columns};

/// The parts of a page's statement. A filter that is not asked for is not in the text: `$n IS NULL OR ...` would be one
/// text for all, but PostgreSQL keeps one plan for it, made without knowing which filters are there, and sorts whole lists.
/// Clients use a handful of combinations; the rare rest takes turns in the connection's cache of 100 statements.
///
/// Parameters: `$1` user, `$2` session, `$3` known change number or -1, `$4` rows, `$5` list, `$6` status, `$7` priority,
/// `$8` due before, `$9` due from, `$10` tags, `$11` words, `$12` and `$13` key and id of the row before.
pub(super) struct PageText {
    /// The sort key's column.
    pub(super) key: &'static str,
    /// `ASC` or `DESC`.
    pub(super) direction: &'static str,
    /// `AND ...`, over the membership `m`.
    pub(super) lists: &'static str,
    /// `AND ...`, over the todo `t`.
    pub(super) filter: String,
}

impl PageText {
    /// `tags` and `words` are what the engine says for having all of `$10` and `$11`.
    pub(super) fn of(query: &TodoQuery, tags: &'static str, words: &'static str) -> Self {
        let key = match query.sort.key {
            SortKey::Position => "position",
            SortKey::DueAt => "due_key",
            SortKey::CreatedAt => "created_at",
            SortKey::UpdatedAt => "updated_at",
            SortKey::Priority => "priority",
        };
        let (direction, beyond) = if query.sort.descending { ("DESC", "<") } else { ("ASC", ">") };
        let filters = [
            (query.status.is_some(), "t.status = $6"),
            (query.priority.is_some(), "t.priority = $7"),
            (query.due_before.is_some(), "t.due_at < $8"),
            (query.due_after.is_some(), "t.due_at >= $9"),
            (!query.tags.is_empty(), tags),
            (!query.words.is_empty(), words),
        ];
        let mut filter = format!("AND t.deleted_at IS {}NULL", if query.trashed { "NOT " } else { "" });
        for (_, text) in filters.into_iter().filter(|(is_there, _)| *is_there) {
            filter.extend([" AND ", text]);
        }
        if query.after.is_some() {
            filter.extend([" AND (t.", key, ", t.id) ", beyond, " ($12, $13)"]);
        }
        let lists = if query.list.is_some() { "AND m.list_id = $5" } else { "" };
        Self { key, direction, lists, filter }
    }
}
