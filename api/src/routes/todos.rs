//! Todos.

use axum::{
    extract::{OriginalUri, State},
    http::StatusCode,
    response::Response,
};
use todo_shared::token::Scope;
use uuid::Uuid;

use super::{answer, path};
use crate::{
    auth::Caller,
    conditional::{IfMatch, IfNoneMatch, version_tag},
    domain::{
        page::{PageBody, TodoParams},
        todo::{CreateTodo, PatchTodo, Todo},
    },
    extract::{Json, MergePatch, Query, Segment},
    problem::{ApiError, ProblemDocument},
    state::AppState,
    store::Origin,
};

/// List todos.
#[utoipa::path(get, path = path::TODOS, tag = "todos", security(("bearer" = [])),
    params(TodoParams, ("If-None-Match" = Option<String>, Header, description = "Entity tags that the reader has")),
    responses(
        (status = 200, body = PageBody<Todo>, headers(("ETag" = String), ("Link" = String, description = "rel=next"))),
        (status = 304, description = "The reader has this page"),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
    )
)]
pub(super) async fn index(
    State(state): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    reader: IfNoneMatch,
    Query(params): Query<TodoParams>,
) -> Result<Response, ApiError> {
    caller.require(Scope::TodosRead)?;
    let query = params.parse(caller.user_id)?;
    let name = query.fingerprint();
    let page = state.store.todos(&caller, &query, reader.known(name)).await?;
    let next_cursor = page.rows.last().filter(|_| page.more).map(|last| query.cursor_after(last));
    Ok(answer::page(&reader, (page.seq, name), &uri, &PageBody { data: page.rows, next_cursor }))
}

/// Make a todo.
#[utoipa::path(post, path = path::TODOS, tag = "todos", security(("bearer" = [])), request_body = CreateTodo, responses(
    (status = 201, body = Todo, headers(("ETag" = String), ("Location" = String))),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
))]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
    Json(body): Json<CreateTodo>,
) -> Result<Response, ApiError> {
    caller.require(Scope::TodosWrite)?;
    let todo = state.store.create_todo(&caller, &body.parse()?, origin.at).await?;
    Ok(answer::created(&format!("{}/{}", path::TODOS, todo.id), version_tag(todo.version), &todo))
}

/// Show a todo. What is in the trash is not shown here: list it with `trashed=true`, or restore it.
#[utoipa::path(get, path = path::TODO, tag = "todos", security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The todo"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags that the reader has"),
    ),
    responses(
        (status = 200, body = Todo, headers(("ETag" = String))),
        (status = 304, description = "The reader has this version"),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
    )
)]
pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Segment(id): Segment<Uuid>,
    reader: IfNoneMatch,
) -> Result<Response, ApiError> {
    caller.require(Scope::TodosRead)?;
    let todo = state.store.todo(&caller, id).await?;
    if todo.deleted_at.is_some() {
        return Err(ApiError::not_found());
    }
    Ok(answer::item_unless(&reader, version_tag(todo.version), &todo))
}

/// Change a todo. Completing one that recurs makes the next one.
#[utoipa::path(patch, path = path::TODO, tag = "todos", security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The todo"),
        ("If-Match" = Option<String>, Header, description = "Entity tags of the version to change"),
    ),
    request_body(content = PatchTodo, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, body = Todo, headers(("ETag" = String))),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
    )
)]
pub(super) async fn change(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
    Segment(id): Segment<Uuid>,
    expected: IfMatch,
    MergePatch(body): MergePatch<PatchTodo>,
) -> Result<Response, ApiError> {
    caller.require(Scope::TodosWrite)?;
    let todo = state.store.patch_todo(&caller, id, &body.parse()?, &expected, origin.at).await?;
    Ok(answer::item(version_tag(todo.version), &todo))
}

/// Move a todo to the trash, where it stays for 30 days.
#[utoipa::path(delete, path = path::TODO, tag = "todos", security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The todo"),
        ("If-Match" = Option<String>, Header, description = "Entity tags of the version to delete"),
    ),
    responses(
        (status = 204),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
    )
)]
pub(super) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
    Segment(id): Segment<Uuid>,
    expected: IfMatch,
) -> Result<StatusCode, ApiError> {
    caller.require(Scope::TodosWrite)?;
    state.store.delete_todo(&caller, id, &expected, origin.at).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a todo out of the trash; into the inbox if its list is gone.
#[utoipa::path(post, path = path::TODO_RESTORE, tag = "todos", security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The todo"),
        ("If-Match" = Option<String>, Header, description = "Entity tags of the version to restore"),
    ),
    responses(
        (status = 200, body = Todo, headers(("ETag" = String))),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
    )
)]
pub(super) async fn restore(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
    Segment(id): Segment<Uuid>,
    expected: IfMatch,
) -> Result<Response, ApiError> {
    caller.require(Scope::TodosWrite)?;
    let todo = state.store.restore_todo(&caller, id, &expected, origin.at).await?;
    Ok(answer::item(version_tag(todo.version), &todo))
}
