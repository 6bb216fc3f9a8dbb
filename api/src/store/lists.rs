//! What the store can do with lists.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::StoreError;
use crate::{
    auth::Caller,
    conditional::IfMatch,
    domain::{
        list::{List, ListPatch, NewList},
        page::Page,
    },
};

/// Lists that the caller is a member of.
#[async_trait]
pub trait Lists {
    /// A page of lists in the order of their making, from the one after `after`. `known` is the change number that the
    /// reader has; a page as of that is left out.
    async fn lists(
        &self,
        caller: &Caller,
        after: Option<Uuid>,
        limit: u16,
        known: Option<i64>,
    ) -> Result<Page<List>, StoreError>;

    /// One list.
    async fn list(&self, caller: &Caller, id: Uuid) -> Result<List, StoreError>;

    /// Makes a list, which the caller owns.
    async fn create_list(&self, caller: &Caller, new: &NewList, now: DateTime<Utc>) -> Result<List, StoreError>;

    /// Changes a list; needs the role of an editor.
    async fn patch_list(
        &self,
        caller: &Caller,
        id: Uuid,
        patch: &ListPatch,
        expected: &IfMatch,
        now: DateTime<Utc>,
    ) -> Result<List, StoreError>;

    /// Deletes a list and moves its todos to the trash; only its owner may. The inbox stays: [`StoreError::Conflict`].
    async fn delete_list(
        &self,
        caller: &Caller,
        id: Uuid,
        expected: &IfMatch,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError>;
}
