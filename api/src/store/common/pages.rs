//! Pages of todos, in one statement: the caller's change number, whether the session is active, and the rows.

use sqlx::{AssertSqlSafe, Row as _, types::Json};
use uuid::Uuid;

use super::{Connection, access, page_text, rows, word_query};
use crate::{
    auth::Caller,
    domain::{
        page::{KeyValue, Page, TodoQuery},
        todo::{Priority, Status, Todo},
    },
    store::StoreError,
};

const MEMBER: &str = "SELECT EXISTS (SELECT 1 FROM list_members WHERE list_id = $1 AND user_id = $2)";

/// One page. An empty one of a list that is not the caller's is [`StoreError::NotFound`].
pub(super) async fn page(
    connection: &mut Connection,
    caller: &Caller,
    query: &TodoQuery,
    known: Option<i64>,
) -> Result<Page<Todo>, StoreError> {
    // Safe: the text is put together from constants; everything that was sent is a parameter.
    let text = AssertSqlSafe(page_text(query));
    let statement = sqlx::query(text)
        .bind(caller.user_id)
        .bind(caller.session_id)
        .bind(known.unwrap_or(-1))
        .bind(i64::from(query.limit) + 1)
        .bind(query.list)
        .bind(query.status.map(Status::as_str))
        .bind(query.priority.map(Priority::rank))
        .bind(query.due_before)
        .bind(query.due_after)
        .bind((!query.tags.is_empty()).then_some(Json(&query.tags)))
        .bind(word_query(&query.words));
    let statement = match &query.after {
        None => statement,
        Some(after) => match &after.key {
            KeyValue::Text(key) => statement.bind(key),
            KeyValue::Time(key) => statement.bind(key),
            KeyValue::Rank(key) => statement.bind(key),
        }
        .bind(after.id),
    };
    let found = statement.fetch_all(&mut *connection).await?;
    let seq = found.first().ok_or(StoreError::SessionEnded)?.try_get("change_seq")?;
    let mut todos = Vec::with_capacity(found.len());
    for row in &found {
        if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
            todos.push(rows::todo(row)?);
        }
    }
    if let (true, Some(list)) = (todos.is_empty() && known.is_none(), query.list) {
        let member: bool =
            sqlx::query_scalar(MEMBER).bind(list).bind(caller.user_id).fetch_one(&mut *connection).await?;
        if !member {
            return access::miss(connection, caller).await;
        }
    }
    let more = todos.len() > usize::from(query.limit);
    todos.truncate(query.limit.into());
    Ok(Page { seq, rows: todos, more })
}
