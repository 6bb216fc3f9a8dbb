//! All URLs, and nothing else that has to be looked for elsewhere.
//!
//! Handlers name their URL by a constant of [`path`] in their OpenAPI attribute, so that the document and the router
//! cannot disagree.

mod answer;
mod auth;
mod docs;
mod health;
mod keys;
mod lists;
mod me;
mod problems;
mod service;
mod sessions;
mod todos;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    observe::request::{observe, panicked},
    problem::{ApiError, Code},
    state::AppState,
};

/// Every URL.
pub mod path {
    /// What the service is.
    pub const SERVICE: &str = "/";
    /// The process lives.
    pub const HEALTH: &str = "/health";
    /// The process lives.
    pub const LIVEZ: &str = "/livez";
    /// The process takes work.
    pub const READYZ: &str = "/readyz";
    /// The OpenAPI document.
    pub const OPENAPI: &str = "/openapi.json";
    /// The document for people.
    pub const DOCS: &str = "/docs";
    /// Its style sheet.
    pub const DOCS_STYLE: &str = "/docs/style.css";
    /// What a problem means.
    pub const PROBLEM: &str = "/problems/{code}";
    /// The public keys.
    pub const JWKS: &str = "/.well-known/jwks.json";
    /// Makes an account.
    pub const REGISTER: &str = "/v1/auth/register";
    /// Signs in.
    pub const LOGIN: &str = "/v1/auth/login";
    /// Stays signed in.
    pub const REFRESH: &str = "/v1/auth/refresh";
    /// Signs out.
    pub const LOGOUT: &str = "/v1/auth/logout";
    /// Changes the password.
    pub const PASSWORD: &str = "/v1/auth/password";
    /// The caller's account.
    pub const ME: &str = "/v1/me";
    /// The caller's sessions.
    pub const SESSIONS: &str = "/v1/sessions";
    /// One session.
    pub const SESSION: &str = "/v1/sessions/{id}";
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

/// The largest body, in octets. Routes that take more say so themselves.
const LARGEST_BODY: usize = 256 << 10;

#[derive(OpenApi)]
#[openapi(
    info(title = "Todo API", description = "Lists and todos with strict HTTP semantics. Errors are RFC 9457 problem documents."),
    modifiers(&Bearer),
    tags(
        (name = "auth", description = "Registering, signing in, staying signed in, signing out."),
        (name = "account", description = "The caller's account and sessions."),
        (name = "lists", description = "Lists of todos."),
        (name = "todos", description = "Todos."),
        (name = "service", description = "The service itself.")
    )
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.bearer_format = Some("JWT".to_owned());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// Every route of the API, with its part of the document.
pub fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(service::describe))
        .routes(routes!(health::health))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(docs::openapi))
        .routes(routes!(docs::docs))
        .routes(routes!(docs::style))
        .routes(routes!(problems::explain))
        .routes(routes!(keys::jwks))
        .routes(routes!(auth::register))
        .routes(routes!(auth::login))
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::password))
        .routes(routes!(me::show, me::change, me::delete))
        .routes(routes!(sessions::index, sessions::end_others))
        .routes(routes!(sessions::end))
        .routes(routes!(lists::index, lists::create))
        .routes(routes!(lists::show, lists::change, lists::delete))
        .routes(routes!(todos::index, todos::create))
        .routes(routes!(todos::show, todos::change, todos::delete))
        .routes(routes!(todos::restore))
}

/// The router of the API.
pub fn router(state: AppState) -> Router {
    let (router, _document) = api().split_for_parts();
    with_layers(router, state)
}

/// Puts round a router what every request passes.
fn with_layers(router: Router<AppState>, state: AppState) -> Router {
    router
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::new(Code::MethodNotAllowed))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(state.clone(), observe))
        .with_state(state)
}

#[cfg(test)]
mod tests;
