//! `make demo`: a user's first five minutes, through the gateway, with each request and answer shown.
//!
//! It starts a service of its own on free ports, so that it neither needs a running one nor leaves anything in it.

#![expect(clippy::print_stdout, reason = "showing is what a demo is for")]

use std::{io, process::ExitCode};

use serde_json::{Value, json};
use todo_tests::{
    client::{Answer, Client, PASSWORD},
    stack::Stack,
};

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match play().await {
        Ok(()) => {
            println!("\ndemo: passed, everything it started has ended");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("\ndemo: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn play() -> io::Result<()> {
    println!("starting a service of its own on free ports ...");
    let stack = Stack::sqlite().await?;
    println!("it answers at https://localhost:{}", stack.gateway.https_port);
    let client = stack.client();

    chapter("Register an account");
    let credentials = json!({"email": "ada@example.org", "password": PASSWORD, "display_name": "Ada"});
    step(&client, "POST", "/v1/auth/register", &[], Some(&credentials), 201).await?;

    chapter("Sign in; the access token goes with every request from here on");
    let login = json!({"email": "ada@example.org", "password": PASSWORD, "device_name": "demo"});
    let signed_in = step(&client, "POST", "/v1/auth/login", &[], Some(&login), 200).await?;
    let ada = client.with_token(text(&signed_in.json(), "access_token"));

    chapter("An account begins with an inbox; add a list of one's own");
    step(&ada, "GET", "/v1/lists", &[], None, 200).await?;
    let list =
        step(&ada, "POST", "/v1/lists", &[], Some(&json!({"name": "Garden", "color": "#44aa44"})), 201).await?.json();
    let list_id = text(&list, "id");

    chapter("Write todos down");
    let mut body = json!({"title": "Water the tomatoes", "list_id": list_id, "priority": "high", "tags": ["daily"]});
    let todo = step(&ada, "POST", "/v1/todos", &[], Some(&body), 201).await?;
    for title in ["Order seeds", "Sharpen the shears"] {
        body = json!({"title": title, "list_id": list_id});
        step(&ada, "POST", "/v1/todos", &[], Some(&body), 201).await?;
    }

    chapter("Two devices change the same todo: the second is told, and nothing is lost");
    let path = format!("/v1/todos/{}", text(&todo.json(), "id"));
    let tag = todo.header("etag").unwrap_or_default().to_owned();
    step(&ada, "PATCH", &path, &[("if-match", &tag)], Some(&json!({"status": "done"})), 200).await?;
    step(&ada, "PATCH", &path, &[("if-match", &tag)], Some(&json!({"title": "Water the peppers"})), 412).await?;

    chapter("Read page by page");
    let first = step(&ada, "GET", "/v1/todos?sort=-created_at&limit=2", &[], None, 200).await?.json();
    let next = format!("/v1/todos?sort=-created_at&limit=2&cursor={}", text(&first, "next_cursor"));
    step(&ada, "GET", &next, &[], None, 200).await?;

    chapter("What has not changed is not sent again");
    let tag = step(&ada, "GET", &path, &[], None, 200).await?.header("etag").unwrap_or_default().to_owned();
    step(&ada, "GET", &path, &[("if-none-match", &tag)], None, 304).await?;

    chapter("Delete, and think again");
    step(&ada, "DELETE", &path, &[], None, 204).await?;
    step(&ada, "GET", &path, &[], None, 404).await?;
    step(&ada, "POST", &format!("{path}/restore"), &[], None, 200).await?;

    chapter("Sign out: the token ends with its session");
    step(&ada, "POST", "/v1/auth/logout", &[], None, 204).await?;
    step(&ada, "GET", "/v1/todos", &[], None, 401).await?;
    Ok(())
}

fn chapter(title: &str) {
    println!("\n== {title}");
}

/// Sends a request, shows it and its answer, and insists on the status.
async fn step(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
    status: u16,
) -> io::Result<Answer> {
    println!("\n> {method} {}", short(path));
    let mut fields = headers.to_vec();
    if body.is_some() {
        fields.push(("content-type", "application/json"));
    }
    for (name, value) in &fields {
        println!("> {name}: {value}");
    }
    if let Some(body) = body {
        println!("> {}", hide(body));
    }
    let answer = client.send(method, path, &fields, body.map(Value::to_string)).await?;
    println!("< {}", answer.status);
    for name in ["location", "etag", "link", "content-type"] {
        if let Some(value) = answer.header(name) {
            println!("< {name}: {}", short(value));
        }
    }
    if !answer.text.is_empty() {
        let shown = serde_json::to_string_pretty(&hide(&answer.json()))?;
        for line in shown.lines() {
            println!("<   {line}");
        }
    }
    if answer.status == status {
        Ok(answer)
    } else {
        Err(io::Error::other(format!("{method} {path}: expected {status}, got {}", answer.status)))
    }
}

/// Secrets are shown by their first characters only, here as anywhere.
fn hide(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let hidden = |name: &str| ["password", "access_token", "refresh_token"].contains(&name);
            members
                .iter()
                .map(|(name, value)| (name.clone(), if hidden(name) { json!("...") } else { hide(value) }))
                .collect()
        }
        Value::Array(items) => items.iter().map(hide).collect(),
        other => other.clone(),
    }
}

/// Long cursors make lines unreadable.
fn short(text: &str) -> String {
    if text.chars().count() <= 100 { text.to_owned() } else { text.chars().take(97).chain("...".chars()).collect() }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}
