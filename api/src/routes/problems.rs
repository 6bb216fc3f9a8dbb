//! What stands behind a problem's `type`: an explanation for people.

use axum::response::Html;
use todo_shared::problem::Code;

use crate::{
    extract::Segment,
    problem::{ApiError, ProblemDocument},
    routes::path,
};

/// Explain a problem type.
#[utoipa::path(get, path = path::PROBLEM, tag = "service",
    params(("code" = String, Path, description = "A why-code")),
    responses(
        (status = 200, body = String, content_type = "text/html"),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json", description = "Problem"),
    )
)]
pub(super) async fn explain(Segment(code): Segment<String>) -> Result<Html<String>, ApiError> {
    let code: Code = code.parse().map_err(|_| ApiError::not_found())?;
    let (title, meaning, status) = (code.title(), code.meaning().trim(), code.status());
    Ok(Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n\
         <p><code>{code}</code>, {status}</p>\n<p>{}</p>\n</html>\n",
        meaning.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    )))
}
