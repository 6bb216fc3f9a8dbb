//! `/`: what this is, for people and scanners alike.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::routes::path;

/// What the service is and where to look next.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Service {
    name: &'static str,
    version: &'static str,
    links: Links,
}

#[derive(Debug, Serialize, ToSchema)]
struct Links {
    openapi: &'static str,
    docs: &'static str,
    health: &'static str,
    jwks: &'static str,
}

/// Describe the service.
#[utoipa::path(get, path = path::SERVICE, tag = "service", responses((status = 200, body = Service)))]
pub(super) async fn describe() -> Json<Service> {
    let links = Links { openapi: path::OPENAPI, docs: path::DOCS, health: path::HEALTH, jwks: path::JWKS };
    Json(Service { name: "todo", version: env!("CARGO_PKG_VERSION"), links })
}
