//! The caller's account.

use axum::{Json as Answer, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use todo_shared::token::Scope;
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::check_password;
use crate::{
    auth::Caller,
    domain::{Faults, account::DisplayName, patch::Patch, time, time_zone::TimeZone},
    extract::{Json, MergePatch},
    problem::{ApiError, ProblemDocument},
    routes::path,
    state::AppState,
    store::{Origin, Profile, ProfileChange},
};

/// The account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Me {
    id: Uuid,
    email: String,
    display_name: String,
    /// IANA name.
    time_zone: String,
    #[serde(serialize_with = "time::serialize")]
    created_at: DateTime<Utc>,
}

impl From<Profile> for Me {
    fn from(profile: Profile) -> Self {
        let Profile { id, email, display_name, time_zone, created_at } = profile;
        Self { id, email, display_name, time_zone, created_at }
    }
}

/// What is to be changed; absent keeps, `null` goes back to the default.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MePatch {
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 200)]
    display_name: Patch<String>,
    /// IANA name.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    time_zone: Patch<String>,
}

/// Proof that it is the owner who wants the account erased.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Deletion {
    password: String,
}

/// Show the account.
#[utoipa::path(get, path = path::ME, tag = "account", security(("bearer" = [])), responses(
    (status = 200, body = Me),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
))]
pub(super) async fn show(State(state): State<AppState>, caller: Caller) -> Result<Answer<Me>, ApiError> {
    caller.require(Scope::AccountRead)?;
    Ok(Answer(state.store.profile(&caller).await?.into()))
}

/// Change the account.
#[utoipa::path(patch, path = path::ME, tag = "account", security(("bearer" = [])),
    request_body(content = MePatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, body = Me),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
    )
)]
pub(super) async fn change(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
    MergePatch(body): MergePatch<MePatch>,
) -> Result<Answer<Me>, ApiError> {
    let mut faults = Faults::default();
    let parse_name = |text: String| DisplayName::parse(&text);
    let display_name = body.display_name.parse(&mut faults, "/display_name", parse_name);
    let time_zone = body.time_zone.parse(&mut faults, "/time_zone", |text| TimeZone::parse(&text));
    let change = ProfileChange {
        display_name: display_name.clear_is(DisplayName::default()).set().cloned(),
        time_zone: time_zone.clear_is(TimeZone::UTC).set().copied(),
    };
    let change = faults.finish(Some(change))?;
    Ok(Answer(state.store.change_profile(&caller, &change, &origin).await?.into()))
}

/// Erase the account and everything in it.
#[utoipa::path(delete, path = path::ME, tag = "account", security(("bearer" = [])), responses(
    (status = 204),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
))]
pub(super) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
    Json(body): Json<Deletion>,
) -> Result<StatusCode, ApiError> {
    check_password(&state, &caller, body.password, &origin).await?;
    state.store.delete_account(&caller, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
