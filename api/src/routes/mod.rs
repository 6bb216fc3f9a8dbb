//! All URLs, and nothing else that has to be looked for elsewhere.
//!
//! Handlers name their URL by a constant of [`path`] in their OpenAPI attribute, so that the document and the router
//! cannot disagree.

use utoipa_axum::router::OpenApiRouter;

use crate::state::AppState;

/// Every URL.
pub mod path {
    /// The caller's account.
    pub const ME: &str = "/v1/me";
    /// All lists of the caller.
    pub const LISTS: &str = "/v1/lists";
    /// One list.
    pub const LIST: &str = "/v1/lists/{id}";
    /// All todos of the caller.
    pub const TODOS: &str = "/v1/todos";
    /// One todo.
    pub const TODO: &str = "/v1/todos/{id}";
    /// Takes a todo out of the trash.
    pub const TODO_RESTORE: &str = "/v1/todos/{id}/restore";
}

/// Every route of the API.
pub fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
}
