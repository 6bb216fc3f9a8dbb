//! Registering, signing in, staying signed in, signing out.
//!
//! An unknown address and a wrong password are answered by the same code, body and work.

use axum::{Json as Answer, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::{Caller, access_token::TokenError, refresh},
    domain::{
        Faults,
        account::{DisplayName, Email, NewPassword, device_name, presented},
        time_zone::TimeZone,
    },
    extract::{Empty, Json},
    problem::{ApiError, ProblemDocument},
    routes::path,
    state::AppState,
    store::{Credentials, NewAccount, NewSession, Origin, StoreError},
};

/// An account to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    email: String,
    /// 15 to 128 characters.
    #[schema(min_length = 15, max_length = 128)]
    password: String,
    #[schema(max_length = 200)]
    display_name: Option<String>,
}

/// Somebody who wants in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    email: String,
    password: String,
    /// What the session is called in the list of sessions.
    #[schema(max_length = 200)]
    device_name: Option<String>,
}

/// A session to be continued.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refresh {
    refresh_token: String,
}

/// A password to be changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    current_password: String,
    /// 15 to 128 characters.
    #[schema(min_length = 15, max_length = 128)]
    new_password: String,
}

/// What a session is continued and proved with.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens {
    access_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
    refresh_token: String,
    user: User,
}

/// Who signed in.
#[derive(Serialize, ToSchema)]
struct User {
    id: Uuid,
    email: String,
    display_name: String,
}

/// Ids, times and the refresh token of a session that is about to begin.
struct Beginning {
    session: NewSession,
    refresh_token: SecretString,
}

impl Beginning {
    fn new(user_id: Uuid, device_name: Option<String>, now: DateTime<Utc>) -> Result<Self, ApiError> {
        let (refresh_token, hash) = refresh::issue().map_err(ApiError::internal)?;
        let expires_at = now + refresh::ABSOLUTE;
        let session = NewSession {
            id: Uuid::now_v7(),
            user_id,
            device_name,
            expires_at,
            refresh_token: hash,
            refresh_expires_at: refresh::expiry(now, expires_at),
        };
        Ok(Self { session, refresh_token })
    }
}

fn tokens(
    state: &AppState,
    user: User,
    (session_id, session_expires_at): (Uuid, DateTime<Utc>),
    refresh_token: &SecretString,
    now: DateTime<Utc>,
) -> Result<Answer<Tokens>, ApiError> {
    let issued = state.tokens.issue(user.id, session_id, session_expires_at, now).map_err(|error| match error {
        TokenError::NoKeys => ApiError::database_unavailable(error),
        _ => ApiError::internal(error),
    })?;
    let tokens = Tokens {
        access_token: issued.token,
        token_type: "Bearer",
        expires_in: issued.expires_in,
        refresh_token: refresh_token.expose_secret().to_owned(),
        user,
    };
    Ok(Answer(tokens))
}

/// Make an account and sign in.
#[utoipa::path(post, path = path::REGISTER, tag = "auth", responses(
    (status = 201, body = Tokens),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
))]
pub(super) async fn register(
    State(state): State<AppState>,
    origin: Origin,
    Json(body): Json<Registration>,
) -> Result<(StatusCode, Answer<Tokens>), ApiError> {
    let mut faults = Faults::default();
    let display_name = body.display_name.as_deref().map(DisplayName::parse);
    let display_name = faults.check_optional("/display_name", display_name).unwrap_or_default();
    let email = faults.check("/email", Email::parse(&body.email));
    let password = NewPassword::parse(&body.password, email.as_ref(), &display_name);
    let password = faults.check("/password", password);
    let (email, password) = faults.finish(email.zip(password))?;

    let password_hash = state.passwords.hash(password.into_secret()).await?;
    let Beginning { session, refresh_token } = Beginning::new(Uuid::now_v7(), None, origin.at)?;
    let user =
        User { id: session.user_id, email: email.as_str().to_owned(), display_name: display_name.as_str().to_owned() };
    let proof = (session.id, session.expires_at);
    // Before the account is made: without a key it would be made and answered with an error.
    let answer = tokens(&state, user, proof, &refresh_token, origin.at)?;
    let account = NewAccount { email, password_hash, display_name, time_zone: TimeZone::UTC, session };
    state.store.register(&account, &origin).await?;
    Ok((StatusCode::CREATED, answer))
}

/// Sign in.
#[utoipa::path(post, path = path::LOGIN, tag = "auth", responses(
    (status = 200, body = Tokens),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
))]
pub(super) async fn login(
    State(state): State<AppState>,
    origin: Origin,
    Json(body): Json<Login>,
) -> Result<Answer<Tokens>, ApiError> {
    let mut faults = Faults::default();
    let device = body.device_name.as_deref().map(device_name);
    let device = faults.check_optional("/device_name", device).flatten();
    faults.finish(Some(()))?;

    // What is not an address is the address of nobody.
    let known = match Email::parse(&body.email) {
        Ok(email) => state.store.credentials(&email).await?,
        Err(_) => None,
    };
    let hash = known.as_ref().map(|known| known.password_hash.clone());
    let matches = state.passwords.verify(presented(body.password), hash).await?;
    let Some(known) = known.as_ref().filter(|_| matches) else {
        state.store.login_failed(known.map(|known| known.user_id), &origin).await?;
        return Err(ApiError::credentials_invalid());
    };
    let Beginning { session, refresh_token } = Beginning::new(known.user_id, device, origin.at)?;
    let user = User { id: known.user_id, email: known.email.clone(), display_name: known.display_name.clone() };
    let answer = tokens(&state, user, (session.id, session.expires_at), &refresh_token, origin.at)?;
    state.store.sign_in(&session, &known.password_hash, &origin).await.map_err(outdated)?;
    Ok(answer)
}

/// The password was right when it was looked at; it may have been changed, or the account deleted, since.
fn outdated(error: StoreError) -> ApiError {
    match error {
        StoreError::PreconditionFailed => ApiError::credentials_invalid(),
        error => error.into(),
    }
}

/// Trade a refresh token for new tokens. Each is good for one use.
#[utoipa::path(post, path = path::REFRESH, tag = "auth", responses(
    (status = 200, body = Tokens),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
))]
pub(super) async fn refresh(
    State(state): State<AppState>,
    origin: Origin,
    Json(body): Json<Refresh>,
) -> Result<Answer<Tokens>, ApiError> {
    let (child, child_hash) = refresh::issue().map_err(ApiError::internal)?;
    let refreshed = state.store.refresh(refresh::hash(&body.refresh_token), child_hash, &origin).await?;
    let user = User { id: refreshed.user_id, email: refreshed.email, display_name: refreshed.display_name };
    tokens(&state, user, (refreshed.session_id, refreshed.session_expires_at), &child, origin.at)
}

/// Sign out: end the session of the token.
#[utoipa::path(post, path = path::LOGOUT, tag = "auth", security(("bearer" = [])), responses(
    (status = 204),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
))]
pub(super) async fn logout(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
    _: Empty,
) -> Result<StatusCode, ApiError> {
    state.store.end_session(&caller, caller.session_id, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Change the password and end all other sessions.
#[utoipa::path(post, path = path::PASSWORD, tag = "auth", security(("bearer" = [])), responses(
    (status = 204),
    (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
))]
pub(super) async fn password(
    State(state): State<AppState>,
    caller: Caller,
    origin: Origin,
    Json(body): Json<PasswordChange>,
) -> Result<StatusCode, ApiError> {
    let own = check_password(&state, &caller, body.current_password, &origin).await?;
    let mut faults = Faults::default();
    let email = Email::parse(&own.email).ok();
    let name = DisplayName::parse(&own.display_name).unwrap_or_default();
    let new = faults.check("/new_password", NewPassword::parse(&body.new_password, email.as_ref(), &name));
    let new = faults.finish(new)?;
    let new_hash = state.passwords.hash(new.into_secret()).await?;
    state.store.change_password(&caller, &own.password_hash, &new_hash, &origin).await.map_err(outdated)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The caller's credentials, if `password` is the caller's.
pub(super) async fn check_password(
    state: &AppState,
    caller: &Caller,
    password: String,
    origin: &Origin,
) -> Result<Credentials, ApiError> {
    let own = state.store.own_credentials(caller).await?;
    if state.passwords.verify(presented(password), Some(own.password_hash.clone())).await? {
        return Ok(own);
    }
    state.store.login_failed(Some(caller.user_id), origin).await?;
    Err(ApiError::credentials_invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_was_changed_meanwhile_is_a_wrong_one() {
        assert_eq!(outdated(StoreError::PreconditionFailed).code().as_str(), "credentials_invalid");
        assert_eq!(outdated(StoreError::SessionEnded).code().as_str(), "token_invalid");
    }
}
