//! What the store can do with todos.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::StoreError;
use crate::{
    auth::Caller,
    conditional::IfMatch,
    domain::{
        page::{Page, TodoQuery},
        todo::{NewTodo, Todo, TodoPatch},
    },
};

/// Todos in lists that the caller is a member of.
#[async_trait]
pub trait Todos {
    /// A page of todos. `known` is the change number that the reader has; the rows of a page as of that are left out.
    async fn todos(&self, caller: &Caller, query: &TodoQuery, known: Option<i64>) -> Result<Page<Todo>, StoreError>;

    /// One todo, in the trash or not.
    async fn todo(&self, caller: &Caller, id: Uuid) -> Result<Todo, StoreError>;

    /// Makes a todo; needs the role of an editor.
    async fn create_todo(&self, caller: &Caller, new: &NewTodo, now: DateTime<Utc>) -> Result<Todo, StoreError>;

    /// Changes a todo that is not in the trash; needs the role of an editor. Completing one that recurs makes the next
    /// one in the same transaction.
    async fn patch_todo(
        &self,
        caller: &Caller,
        id: Uuid,
        patch: &TodoPatch,
        expected: &IfMatch,
        now: DateTime<Utc>,
    ) -> Result<Todo, StoreError>;

    /// Moves a todo to the trash; [`StoreError::NotFound`] if it is there.
    async fn delete_todo(
        &self,
        caller: &Caller,
        id: Uuid,
        expected: &IfMatch,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError>;

    /// Takes a todo out of the trash, into the caller's inbox if its list is gone; does nothing if it is not there.
    async fn restore_todo(
        &self,
        caller: &Caller,
        id: Uuid,
        expected: &IfMatch,
        now: DateTime<Utc>,
    ) -> Result<Todo, StoreError>;
}
