//! The caller of a request, as a type: what belongs to somebody cannot be reached without one.
//!
//! Extracting a `Caller` proves the token's signature and dates, without the database. That the session has not been
//! ended is checked by the store inside the statement that does the work, so that both are one round trip; this is why
//! the store's methods take a `Caller` and not a user id.

use axum::{extract::FromRequestParts, http::request::Parts};
use chrono::Utc;
use todo_shared::{
    bearer,
    token::{Scope, Scopes},
};
use uuid::Uuid;

use crate::{auth::access_token::TokenError, problem::ApiError, state::AppState};

/// Who is calling, by a verified access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user_id: Uuid,
    /// The session that the token was issued in.
    pub session_id: Uuid,
    /// What the token allows.
    pub scopes: Scopes,
}

impl Caller {
    /// Refuses with `forbidden` unless the token has this scope.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes.allows(scope) { Ok(()) } else { Err(ApiError::forbidden()) }
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let token = bearer::token(&parts.headers).map_err(ApiError::new)?;
        let claims = state.tokens.verify(token, Utc::now()).map_err(refuse)?;
        let id = |text: &str| Uuid::try_parse(text).map_err(|_| ApiError::token_invalid());
        Ok(Self { user_id: id(&claims.sub)?, session_id: id(&claims.sid)?, scopes: claims.scope })
    }
}

fn refuse(error: TokenError) -> ApiError {
    match error {
        TokenError::NoKeys => ApiError::database_unavailable(error),
        _ => ApiError::token_invalid(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_that_is_not_there_is_forbidden() {
        let scopes = [Scope::TodosRead].into_iter().collect();
        let caller = Caller { user_id: Uuid::nil(), session_id: Uuid::nil(), scopes };
        assert!(caller.require(Scope::TodosRead).is_ok());
        assert_eq!(caller.require(Scope::TodosWrite).expect_err("refused").code().as_str(), "forbidden");
    }
}
