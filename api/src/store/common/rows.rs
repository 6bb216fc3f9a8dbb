//! Rows as domain types.

use sqlx::{Row as _, types::Json};

use super::Row;
use crate::domain::{
    list::List,
    position::Position,
    todo::{Priority, Status, Todo},
};

/// A row of `todo_columns!`.
pub(super) fn todo(row: &Row) -> Result<Todo, sqlx::Error> {
    let Json(tags) = row.try_get("tags")?;
    let status: &str = row.try_get("status")?;
    Ok(Todo {
        id: row.try_get("id")?,
        list_id: row.try_get("list_id")?,
        title: row.try_get("title")?,
        notes: row.try_get("notes")?,
        status: Status::parse(status).map_err(|fault| sqlx::Error::Decode(fault.detail.into()))?,
        completed_at: row.try_get("completed_at")?,
        priority: Priority::ranked(row.try_get("priority")?),
        due_at: row.try_get("due_at")?,
        due_zone: row.try_get("due_zone")?,
        tags,
        recurrence: row.try_get("recurrence")?,
        position: Position::stored(row.try_get("position")?),
        version: row.try_get("version")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        deleted_at: row.try_get("deleted_at")?,
    })
}

/// A row of `list_columns!`.
pub(super) fn list(row: &Row) -> Result<List, sqlx::Error> {
    Ok(List {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        color: row.try_get("color")?,
        inbox: row.try_get("inbox")?,
        version: row.try_get("version")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
