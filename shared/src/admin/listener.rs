//! The listener itself.
//!
//! It may face a network, so everything about a connection is bounded at once: there are only so many, each serves one
//! request, and none lasts longer than an honest one can.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
    serve::Listener,
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use prometheus::{Encoder as _, TextEncoder};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

use crate::{
    admin::{Inspect, Token},
    bearer,
    problem::{self, Code, Problem},
    request_id::{self, RequestId},
};

/// Connections at the same time; more wait in the system's queue.
const MOST_CONNECTIONS: usize = 64;

/// How long a connection may last, from its first octet to its last.
const LONGEST: Duration = Duration::from_secs(10);

/// What the routes share.
struct Shared<I> {
    inspect: I,
    token: Option<Token>,
}

/// Serves the admin listener for as long as the process runs: a stop is when operators look.
pub async fn serve<I: Inspect>(mut listener: TcpListener, inspect: I, token: Option<Token>) -> Infallible {
    let service = TowerToHyperService::new(router(inspect, token));
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        // Waits and goes on when the system is out of descriptors.
        let (stream, _) = Listener::accept(&mut listener).await;
        let connection =
            http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move {
            // A peer that breaks off or is too slow is no news to anybody.
            let _ = timeout(LONGEST, connection).await;
            drop(slot);
        });
    }
}

fn router<I: Inspect>(inspect: I, token: Option<Token>) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz::<I>))
        .route("/metrics", get(metrics::<I>))
        .with_state(Arc::new(Shared { inspect, token }))
}

async fn readyz<I: Inspect>(State(shared): State<Arc<Shared<I>>>) -> Response {
    let readiness = shared.inspect.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(readiness)).into_response()
}

async fn metrics<I: Inspect>(State(shared): State<Arc<Shared<I>>>, headers: HeaderMap) -> Response {
    if let Some(token) = &shared.token
        && let Err(code) = check(token, &headers)
    {
        return refuse(code);
    }
    let encoder = TextEncoder::new();
    let mut body = Vec::new();
    match encoder.encode(&shared.inspect.metrics().gather(), &mut body) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn check(token: &Token, headers: &HeaderMap) -> Result<(), Code> {
    if token.is(bearer::token(headers)?) { Ok(()) } else { Err(Code::TokenInvalid) }
}

fn refuse(code: Code) -> Response {
    let request_id = RequestId::fresh();
    tracing::info!(request_id = request_id.as_str(), code = code.as_str(), "metrics were refused");
    let document =
        Problem::new(code).detail("The metrics need the token of `admin.token`.").to_json(request_id.as_str());
    let fields = [
        (header::CONTENT_TYPE, problem::CONTENT_TYPE),
        (header::WWW_AUTHENTICATE, bearer::challenge(code)),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static(request_id::HEADER), request_id.as_str()),
    ];
    (code.status(), fields, document).into_response()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use prometheus::Registry;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::admin::Readiness;

    #[derive(Default)]
    struct Tier(Registry);

    impl Inspect for Tier {
        async fn readiness(&self) -> Readiness {
            Readiness::of(Vec::new())
        }

        fn metrics(&self) -> &Registry {
            &self.0
        }
    }

    async fn begun() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, Tier::default(), None));
        address
    }

    #[tokio::test]
    async fn a_connection_serves_one_request() {
        let mut stream = TcpStream::connect(begun().await).await.expect("a connection");
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an end");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("alive\n"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_does_not_keep_others_out() {
        let address = begun().await;
        let mut silent = Vec::new();
        for _ in 0..=MOST_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.expect("a connection"));
        }
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0; 1]).await.expect("closed"), 0);
        }
    }
}
