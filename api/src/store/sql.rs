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

/// The parts of a page's statement. What has an index to walk (the order, the start, the trash, words) is in the text;
/// what only filters the rows of that walk is `$n IS NULL OR ...`. So there are at most 80 different texts, and fewer
/// than the 100 prepared statements that a connection keeps in any real use.
///
/// Parameters: `$1` user, `$2` session, `$3` known change number or -1, `$4` rows, `$5` list, `$6` status, `$7` priority,
/// `$8` due before, `$9` due from, `$10` tags, `$11` words, `$12` and `$13` key and id of the row before.
pub(super) struct PageText {
    /// The sort key's column.
    pub(super) key: &'static str,
    /// `ASC` or `DESC`.
    pub(super) direction: &'static str,
    /// `AND ...`, over table `t`, but for tags and words.
    pub(super) filter: String,
}

impl PageText {
    pub(super) fn of(query: &TodoQuery) -> Self {
        let key = match query.sort.key {
            SortKey::Position => "position",
            SortKey::DueAt => "due_key",
            SortKey::CreatedAt => "created_at",
            SortKey::UpdatedAt => "updated_at",
            SortKey::Priority => "priority",
        };
        let (direction, beyond) = if query.sort.descending { ("DESC", "<") } else { ("ASC", ">") };
        let mut filter = format!(
            "AND t.deleted_at IS {not} NULL
             AND ($6 IS NULL OR t.status = $6) AND ($7 IS NULL OR t.priority = $7)
             AND ($8 IS NULL OR t.due_at < $8) AND ($9 IS NULL OR t.due_at >= $9)",
            not = if query.trashed { "NOT" } else { "" },
        );
        if query.after.is_some() {
            filter.extend([" AND (t.", key, ", t.id) ", beyond, " ($12, $13)"]);
        }
        Self { key, direction, filter }
    }
}
