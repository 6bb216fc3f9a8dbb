//! Lists of todos.

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
        list::{CreateList, List, PatchList},
        page::{ListParams, PageBody},
    },
    extract::{Json, MergePatch, Query, Segment},
    problem::{ApiError, ProblemDocument},
    state::AppState,
    store::Origin,
};

/// List the lists, in the order of their making.
#[utoipa::path(get, path = path::LISTS, tag = "lists", security(("bearer" = [])),
    params(ListParams, ("If-None-Match" = Option<String>, Header, description = "Entity tags that the reader has")),
    responses(
        (status = 200, body = PageBody<List>, headers(("ETag" = String), ("Link" = String, description = "rel=next"))),
        (status = 304, description = "The reader has this page"),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
    )
)]
pub(super) async fn index(
    State(state): State<AppState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    reader: IfNoneMatch,
    Query(params): Query<ListParams>,
) -> Result<Response, ApiError> {
    caller.require(Scope::ListsRead)?;
    let query = params.parse(caller.user_id)?;
    let name = query.fingerprint();
    let page = state.store.lists(&caller, query.after, query.limit, reader.known(name)).await?;
    let next_cursor = page.rows.last().filter(|_| page.more).map(|last| query.cursor_after(last.id));
    Ok(answer::page(&reader, (page.seq, name), &uri, &PageBody { data: page.rows, next_cursor }))
}

/// Make a list.
#[utoipa::path(post, path = path::LISTS, tag = "lists", security(("bearer" = [])), request_body = CreateList, responses(
    (status = 201, body = List, headers(("ETag" = String), ("Location" = String))),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
))]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
    Json(body): Json<CreateList>,
) -> Result<Response, ApiError> {
    caller.require(Scope::ListsWrite)?;
    let list = state.store.create_list(&caller, &body.parse()?, origin.at).await?;
    Ok(answer::created(&format!("{}/{}", path::LISTS, list.id), version_tag(list.version), &list))
}

/// Show a list.
#[utoipa::path(get, path = path::LIST, tag = "lists", security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The list"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags that the reader has"),
    ),
    responses(
        (status = 200, body = List, headers(("ETag" = String))),
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
    caller.require(Scope::ListsRead)?;
    let list = state.store.list(&caller, id).await?;
    Ok(answer::item_unless(&reader, version_tag(list.version), &list))
}

/// Change a list.
#[utoipa::path(patch, path = path::LIST, tag = "lists", security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The list"),
        ("If-Match" = Option<String>, Header, description = "Entity tags of the version to change"),
    ),
    request_body(content = PatchList, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, body = List, headers(("ETag" = String))),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
    )
)]
pub(super) async fn change(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
    Segment(id): Segment<Uuid>,
    expected: IfMatch,
    MergePatch(body): MergePatch<PatchList>,
) -> Result<Response, ApiError> {
    caller.require(Scope::ListsWrite)?;
    let list = state.store.patch_list(&caller, id, &body.parse()?, &expected, origin.at).await?;
    Ok(answer::item(version_tag(list.version), &list))
}

/// Delete a list and move its todos to the trash. The inbox cannot be deleted.
#[utoipa::path(delete, path = path::LIST, tag = "lists", security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The list"),
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
    caller.require(Scope::ListsWrite)?;
    state.store.delete_list(&caller, id, &expected, origin.at).await?;
    Ok(StatusCode::NO_CONTENT)
}
