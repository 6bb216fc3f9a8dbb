//! Pages: which todos, in which order, how many, from where on.
//!
//! Pages continue after a row (keyset), not after a number of rows: what is inserted or deleted meanwhile neither doubles nor
//! hides another row. The cursor holds the sort key and the id of the last row and is bound to caller, filter and order by a
//! fingerprint. It grants nothing, since each page is authorized by itself; so it is checked, but not signed.

mod cursor;
mod query;

use serde::Serialize;
use utoipa::ToSchema;

pub use cursor::{After, Fingerprint, KeyValue};
pub use query::{ListParams, ListQuery, Sort, SortKey, TodoParams, TodoQuery};

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
