//! The OpenAPI document, generated from the handlers, and the same for people: a page made here, of plain HTML with one
//! style sheet beside it, so that it works under a strict content security policy and without any other host.
#![expect(clippy::indexing_slicing, reason = "indexing a JSON value by a name that is not there gives null")]

use std::{fmt::Write as _, sync::LazyLock};

use axum::{
    http::{HeaderName, header},
    response::Html,
};
use serde_json::Value;

use crate::routes::{api, path};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(api().into_openapi()).unwrap_or_default());
static TEXT: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_string());
static PAGE: LazyLock<String> = LazyLock::new(|| page(&DOCUMENT));

/// The document of the API (OpenAPI 3.1).
#[utoipa::path(get, path = path::OPENAPI, tag = "service", responses((status = 200, body = Value)))]
pub(super) async fn openapi() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], &TEXT)
}

/// The document for people.
#[utoipa::path(get, path = path::DOCS, tag = "service",
    responses((status = 200, body = String, content_type = "text/html")))]
pub(super) async fn docs() -> Html<&'static str> {
    Html(&PAGE)
}

/// The style sheet of the page.
#[utoipa::path(get, path = path::DOCS_STYLE, tag = "service",
    responses((status = 200, body = String, content_type = "text/css")))]
pub(super) async fn style() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("docs.css"))
}

/// The page: every operation with its parameters, body and answers, then every schema.
fn page(document: &Value) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"{style}\">\n</head>\n<body>\n<h1>{title}</h1>\n<p>{about}</p>\n\
         <p><a href=\"{openapi}\">{openapi}</a></p>\n",
        title = text(&document["info"]["title"]),
        about = text(&document["info"]["description"]),
        style = path::DOCS_STYLE,
        openapi = path::OPENAPI,
    );
    for tag in document["tags"].as_array().into_iter().flatten() {
        let _ = write!(page, "<h2>{}</h2>\n<p>{}</p>\n", text(&tag["name"]), text(&tag["description"]));
        for (url, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if operation["tags"].as_array().is_some_and(|tags| tags.contains(&tag["name"])) {
                    write_operation(&mut page, method, url, operation);
                }
            }
        }
    }
    page.push_str("<h2>Schemas</h2>\n");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let pretty = serde_json::to_string_pretty(schema).unwrap_or_default();
        let _ =
            write!(page, "<section id=\"{0}\"><h3>{0}</h3>\n<pre>{1}</pre></section>\n", escape(name), escape(&pretty));
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn write_operation(page: &mut String, method: &str, url: &str, operation: &Value) {
    let secured = operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
    let _ = write!(
        page,
        "<section><h3><span class=\"method\">{}</span> <code>{}</code></h3>\n<p>{}{}</p>\n<table>\n",
        escape(&method.to_uppercase()),
        escape(url),
        text(&operation["summary"]),
        if secured { " Needs an access token." } else { "" },
    );
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
        let _ =
            writeln!(page, "<tr><td>{place} <code>{name}</code></td><td>{}</td></tr>", text(&parameter["description"]));
    }
    for (media_type, body) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let _ = writeln!(page, "<tr><td>body {}</td><td>{}</td></tr>", escape(media_type), schema_link(body));
    }
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let bodies = answer["content"].as_object().into_iter().flatten().map(|(_, body)| schema_link(body));
        let bodies = bodies.collect::<Vec<_>>().join(" ");
        let _ =
            writeln!(page, "<tr><td>{}</td><td>{} {bodies}</td></tr>", escape(status), text(&answer["description"]));
    }
    page.push_str("</table></section>\n");
}

fn schema_link(body: &Value) -> String {
    match body["schema"]["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        Some(name) => format!("<a href=\"#{0}\">{0}</a>", escape(name)),
        None => String::new(),
    }
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_as_reviewed() {
        insta::assert_json_snapshot!(&*DOCUMENT);
    }

    #[test]
    fn the_page_shows_every_operation_and_loads_nothing_from_elsewhere() {
        let operations = DOCUMENT["paths"].as_object().expect("paths").values();
        let operations: usize = operations.map(|item| item.as_object().expect("an item").len()).sum();
        assert_eq!(PAGE.matches("class=\"method\"").count(), operations);
        assert!(!PAGE.contains("//") && !PAGE.contains("<script") && !PAGE.contains("style="));
    }
}
