//! The statement of a page of todos, as PostgreSQL walks it best.

use crate::{
    domain::page::TodoQuery,
    store::sql::{PageText, session_active, todo_columns},
};

const TAGS: &str = "t.tags @> $10";
const WORDS: &str = "(t.title_words || t.notes_words) @@ CAST($11 AS TSQUERY)";

/// For each list of the caller, the first rows of the list by the index of the sort; then the first of those. The work is
/// bounded by the number of lists times the size of a page, whatever the number of todos.
pub(super) fn page_text(query: &TodoQuery) -> String {
    let PageText { key, direction, lists, filter } = PageText::of(query, TAGS, WORDS);
    format!(
        concat!(
            "SELECT u.change_seq, page.* FROM users u LEFT JOIN LATERAL (
                SELECT t.* FROM list_members m CROSS JOIN LATERAL (
                    SELECT ",
            todo_columns!(),
            ", t.{key} AS sort_key FROM todos t
                    WHERE t.list_id = m.list_id {filter}
                    ORDER BY t.{key} {direction}, t.id {direction} LIMIT $4) t
                WHERE m.user_id = $1 {lists}
                AND (SELECT change_seq FROM users WHERE id = $1) <> $3
                ORDER BY t.sort_key {direction}, t.id {direction} LIMIT $4) page ON TRUE
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

/// All of the words, as text of type `tsquery`. Words are letters and digits, so quotes around them are enough.
pub(super) fn word_query(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" & ")
}
