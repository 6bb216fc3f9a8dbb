//! The public keys (RFC 7517), for whoever verifies our access tokens.

use axum::{Json, extract::State, http::header};
use chrono::Utc;
use todo_shared::token::JwkSet;

use crate::{
    problem::{ApiError, Code},
    routes::path,
    state::AppState,
};

/// Shorter than a key is published before it signs, so that no verifier meets an unknown key.
const MAX_AGE: &str = "public, max-age=300";

/// List the public keys that access tokens are signed with.
#[utoipa::path(get, path = path::JWKS, tag = "service", responses((status = 200, body = Value, description = "A JWK set")))]
pub(super) async fn jwks(
    State(state): State<AppState>,
) -> Result<([(header::HeaderName, &'static str); 1], Json<JwkSet>), ApiError> {
    let keys = state.tokens.published(Utc::now());
    if keys.keys.is_empty() {
        // An empty set that is kept for five minutes would refuse every token for as long.
        return Err(ApiError::not_ready(Code::DatabaseUnavailable));
    }
    Ok(([(header::CACHE_CONTROL, MAX_AGE)], Json(keys)))
}
