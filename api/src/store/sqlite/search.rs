//! The statement of a page of todos, as SQLite can say it.

use crate::{
    domain::page::TodoQuery,
    store::sql::{PageText, session_active, todo_columns},
};

const TAGS: &str = "NOT EXISTS (
    SELECT 1 FROM json_each($10) w WHERE w.value NOT IN (SELECT value FROM json_each(t.tags)))";
const WORDS: &str = "NOT EXISTS (SELECT 1 FROM json_each($11) w WHERE w.value NOT IN (
    SELECT value FROM json_each(t.title_words) UNION ALL SELECT value FROM json_each(t.notes_words)))";

/// SQLite has no lateral join: all matching rows of the caller's lists are sorted.
pub(super) fn page_text(query: &TodoQuery) -> String {
    let PageText { key, direction, lists, filter } = PageText::of(query, TAGS, WORDS);
    format!(
        concat!(
            "SELECT u.change_seq, page.* FROM users u LEFT JOIN (SELECT ",
            todo_columns!(),
            ", t.{key} AS sort_key FROM list_members m JOIN todos t ON t.list_id = m.list_id
                WHERE m.user_id = $1 {lists}
                AND (SELECT change_seq FROM users WHERE id = $1) <> $3 {filter}
                ORDER BY t.{key} {direction}, t.id {direction} LIMIT $4) page ON TRUE
            WHERE u.id = $1 AND ",
            session_active!(),
            " ORDER BY page.sort_key {direction}, page.id {direction}"
        ),
        key = key,
        direction = direction,
        filter = filter,
        lists = lists,
    )
}

/// All of the words, as a JSON array.
pub(super) fn word_query(words: &[String]) -> String {
    serde_json::json!(words).to_string()
}
