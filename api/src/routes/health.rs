//! Liveness looks at nothing: a process that answers is alive. Readiness says whether requests should come here; why not
//! is for operators, on the admin listener.

use axum::{Json, extract::State};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::{
    problem::{ApiError, ProblemDocument},
    routes::path,
    state::AppState,
};

/// A state in one word.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    status: &'static str,
}

const ALIVE: Json<Status> = Json(Status { status: "alive" });

/// Say whether the process lives.
#[utoipa::path(get, path = path::HEALTH, tag = "service", responses((status = 200, body = Status)))]
pub(super) async fn health() -> Json<Status> {
    ALIVE
}

/// Say whether the process lives.
#[utoipa::path(get, path = path::LIVEZ, tag = "service", responses((status = 200, body = Status)))]
pub(super) async fn livez() -> Json<Status> {
    ALIVE
}

/// Say whether the process takes work.
#[utoipa::path(get, path = path::READYZ, tag = "service", responses(
    (status = 200, body = Status),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Not ready"),
))]
pub(super) async fn readyz(State(state): State<AppState>) -> Result<Json<Status>, ApiError> {
    match state.readiness.refusal(Instant::now()) {
        None => Ok(Json(Status { status: "ready" })),
        Some(code) => Err(ApiError::not_ready(code)),
    }
}
