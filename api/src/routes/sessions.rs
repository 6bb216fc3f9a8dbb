//! The caller's sessions: where somebody is signed in, and signing out there.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::Serialize;
use todo_shared::token::Scope;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::Caller,
    domain::time,
    extract::Segment,
    problem::{ApiError, ProblemDocument},
    routes::path,
    state::AppState,
    store::Origin,
};

/// All sessions. An account has at most a hundred, so there is one page.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sessions {
    data: Vec<Session>,
    next_cursor: Option<String>,
}

/// One session.
#[derive(Debug, Serialize, ToSchema)]
struct Session {
    id: Uuid,
    device_name: Option<String>,
    /// Whether it is the one of this request.
    current: bool,
    #[serde(serialize_with = "time::serialize")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "time::serialize")]
    last_used_at: DateTime<Utc>,
    #[serde(serialize_with = "time::serialize")]
    expires_at: DateTime<Utc>,
}

/// List the sessions, the one used last first.
#[utoipa::path(get, path = path::SESSIONS, tag = "account", security(("bearer" = [])), responses(
    (status = 200, body = Sessions),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
))]
pub(super) async fn index(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
) -> Result<Json<Sessions>, ApiError> {
    caller.require(Scope::AccountRead)?;
    let sessions = state.store.sessions(&caller, origin.at).await?.into_iter().map(|session| Session {
        current: session.id == caller.session_id,
        id: session.id,
        device_name: session.device_name,
        created_at: session.created_at,
        last_used_at: session.last_used_at,
        expires_at: session.expires_at,
    });
    Ok(Json(Sessions { data: sessions.collect(), next_cursor: None }))
}

/// End one session.
#[utoipa::path(delete, path = path::SESSION, tag = "account", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The session")),
    responses(
        (status = 204),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
    )
)]
pub(super) async fn end(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
    Segment(id): Segment<Uuid>,
) -> Result<StatusCode, ApiError> {
    state.store.end_session(&caller, id, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End all sessions but this one.
#[utoipa::path(delete, path = path::SESSIONS, tag = "account", security(("bearer" = [])), responses(
    (status = 204),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
))]
pub(super) async fn end_others(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
) -> Result<StatusCode, ApiError> {
    state.store.end_other_sessions(&caller, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
