//! A client of the service as a program would write one: JSON in, status, fields and JSON out.

use std::{io, net::SocketAddr, path::Path};

use reqwest::{Certificate, Method, header::HeaderMap};
use serde_json::{Value, json};

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
    /// The protocol it came over, such as `HTTP/2.0`.
    pub version: String,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// A header field as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The problem's code, or nothing where the answer is no problem document.
    pub fn code(&self) -> String {
        let is_problem = self.header("content-type") == Some("application/problem+json");
        if is_problem { self.json()["code"].as_str().unwrap_or_default().to_owned() } else { String::new() }
    }

    /// Fails unless the status is the expected one; the message shows the body.
    ///
    /// # Panics
    /// When the status differs.
    #[expect(clippy::return_self_not_must_use, reason = "often the check is all that is wanted")]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Fails unless this is the problem of this code.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.text);
    }
}

/// A client of one base URL, signed in or not.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of `https://localhost:<port>` that trusts one CA.
    ///
    /// # Errors
    /// When the CA cannot be read.
    pub fn https(port: u16, ca: &Path) -> io::Result<Self> {
        Self::named("localhost", port, ca)
    }

    /// A client that calls the gateway by another name.
    ///
    /// # Errors
    /// When the CA cannot be read.
    pub fn named(host: &str, port: u16, ca: &Path) -> io::Result<Self> {
        let certificates = Certificate::from_pem_bundle(&std::fs::read(ca)?).map_err(io::Error::other)?;
        let http = builder()
            .tls_certs_only(certificates)
            .resolve(host, SocketAddr::from(([127, 0, 0, 1], port)))
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { http, base: format!("https://{host}:{port}"), token: None })
    }

    /// A client that believes the gateway to be another host, whatever its certificate says.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn misdirected(host: &str, port: u16) -> io::Result<Self> {
        let builder =
            builder().tls_danger_accept_invalid_certs(true).resolve(host, SocketAddr::from(([127, 0, 0, 1], port)));
        let http = builder.build().map_err(io::Error::other)?;
        Ok(Self { http, base: format!("https://{host}:{port}"), token: None })
    }

    /// A client of a plain listener.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn http(port: u16) -> io::Result<Self> {
        let http = builder().build().map_err(io::Error::other)?;
        Ok(Self { http, base: format!("http://127.0.0.1:{port}"), token: None })
    }

    /// The same client with an access token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same client without its token.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// The access token in use.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// One request, with whatever header fields and body.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> io::Result<Answer> {
        let response = self.open(method, path, headers, body).await?;
        let (status, headers, version) =
            (response.status().as_u16(), response.headers().clone(), format!("{:?}", response.version()));
        let text = response.text().await.map_err(io::Error::other)?;
        Ok(Answer { status, headers, text, version })
    }

    /// As [`Client::send`], with an answer whose body is still to come.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> io::Result<reqwest::Response> {
        let method = Method::from_bytes(method.as_bytes()).map_err(io::Error::other)?;
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.map_err(io::Error::other)
    }

    /// As [`Client::send`] with a JSON body.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn try_json(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> io::Result<Answer> {
        let fields: Vec<_> = headers.iter().copied().chain([("content-type", "application/json")]).collect();
        self.send(method, path, &fields, Some(body.to_string())).await
    }

    /// GET.
    ///
    /// # Panics
    /// When no answer came; so do the methods below.
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[], Some(body)).await
    }

    /// PATCH with a merge-patch.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, &[("content-type", "application/merge-patch+json")], Some(body)).await
    }

    /// DELETE without a body.
    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], None).await
    }

    /// Any method, with header fields; a body gets `application/json` unless they say otherwise.
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut fields = headers.to_vec();
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            fields.push(("content-type", "application/json"));
        }
        match self.send(method, path, &fields, body.map(Value::to_string)).await {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path}: {error:?}"),
        }
    }

    /// Registers a fresh account and returns it signed in.
    ///
    /// # Panics
    /// When the service refuses.
    pub async fn register(&self) -> Account {
        let email = format!("{}@example.org", uuid::Uuid::now_v7());
        let body = json!({ "email": email, "password": PASSWORD });
        Account::of(self, self.post("/v1/auth/register", &body).await.expect(201), email)
    }

    /// Signs an account in again.
    ///
    /// # Panics
    /// When the service refuses.
    pub async fn login(&self, email: &str) -> Account {
        let body = json!({ "email": email, "password": PASSWORD });
        Account::of(self, self.post("/v1/auth/login", &body).await.expect(200), email.to_owned())
    }
}

/// The password of every account that tests make.
pub const PASSWORD: &str = "a plain long sentence";

/// A signed-in account.
#[derive(Debug, Clone)]
pub struct Account {
    /// The client, with the access token.
    pub client: Client,
    /// The address.
    pub email: String,
    /// The user's id.
    pub id: String,
    /// The refresh token.
    pub refresh_token: String,
}

impl Account {
    fn of(client: &Client, answer: Answer, email: String) -> Self {
        let body = answer.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            client: client.with_token(&text(&body["access_token"])),
            email,
            id: text(&body["user"]["id"]),
            refresh_token: text(&body["refresh_token"]),
        }
    }

    /// Creates a todo with this title.
    ///
    /// # Panics
    /// When the service refuses.
    pub async fn todo(&self, title: &str) -> Value {
        self.client.post("/v1/todos", &json!({ "title": title })).await.expect(201).json()
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(crate::raw::PATIENCE)
}
