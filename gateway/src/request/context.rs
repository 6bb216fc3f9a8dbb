//! What is known about one request while it is worked on.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Instant, SystemTime},
};

use http::{Method, StatusCode, Version};
use pingora::{http::ResponseHeader, proxy::Session};
use prometheus::IntGauge;
use todo_shared::{
    problem::Code,
    request_id::{self, RequestId},
    trace_context::{self, TraceParent},
};

use crate::{
    edge::{Closed, connection_info},
    observe::{
        metrics::{Metrics, NO_ROUTE, method_label, status_class},
        problem_code::ProblemReader,
        query,
        record::RequestRecord,
    },
    request::{body::Awaited, cors::Grant, route::Route},
    response::ResponsePolicy,
    runtime::{Runtime, Shared},
    upstream::{Attempt, Target},
};

/// One request.
#[derive(Debug)]
pub struct Context {
    /// The configuration it works with, from beginning to end.
    pub runtime: Arc<Runtime>,
    /// When its head was whole.
    started: Instant,
    /// Its id.
    pub request_id: RequestId,
    /// Its place in a trace.
    pub trace: TraceParent,
    /// Whether that trace began before us: only then is the rest of what came with it ours to pass on.
    pub trace_is_continued: bool,
    /// Who asks.
    pub client: IpAddr,
    /// How long the client's connection may wait for its next request, as Pingora counts it; `None` where it ends with this
    /// one.
    pub keepalive: Option<u64>,
    /// The version the client speaks; Pingora's own is rewritten for h2.
    pub version: Version,
    /// TLS version and whether the session was resumed; `None` on the plain port.
    pub tls: Option<(TlsName, bool)>,
    /// Whether a trusted proxy says that it speaks TLS with the client.
    tls_ends_before: bool,
    /// What the page that asks may read, if it comes from an allowed origin.
    pub grant: Option<Grant>,
    /// The host it asks for, as the API is told once it is found trusted.
    pub host: String,
    /// Where it goes, once that is known.
    pub route: Option<Arc<Route>>,
    /// Who is asked, once that is chosen.
    pub attempt: Option<Attempt>,
    /// Who was asked before.
    pub(super) asked: Vec<SocketAddr>,
    /// Who is asked next, where a retry was granted.
    pub(super) next: Option<Arc<Target>>,
    /// When the first address was chosen.
    pub(super) upstream_began: Option<Instant>,
    /// The status that the upstream answered with.
    pub(super) answered: Option<StatusCode>,
    /// When the last of the upstream's answer came.
    pub upstream_ended: Option<Instant>,
    /// The why-code of what the gateway answered itself.
    pub reason: Option<&'static str>,
    /// The problem document that the API sent, if it is one.
    pub problem: ProblemReader,
    /// Interim answers (1xx) of the API so far.
    pub interim: u8,
    /// Why the request was stopped in the middle, where a filter did that.
    pub failure: Option<Code>,
    /// Octets of the body so far.
    pub(super) body_received: u64,
    /// The rest of the body, while it is waited for over HTTP/2.
    pub(super) awaited: Option<Awaited>,
    /// Whether the body is whole.
    pub body_is_whole: bool,
    /// When the last of a body came: what the client took for it is not the upstream's time.
    pub(super) body_ended: Option<Instant>,
    _in_flight: InFlight,
}

/// What was asked and how much of it passed, however it is known.
pub(super) struct Exchange<'a> {
    pub(super) method: &'a Method,
    pub(super) target: &'a [u8],
    /// Zero where no answer has begun.
    pub(super) status: u16,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Whether the connection was ended with all that was on it.
    pub(super) is_cut: bool,
}

/// A version of TLS by its usual name.
pub type TlsName = &'static str;

/// Counts a request for as long as it is worked on, however it ends.
#[derive(Debug)]
struct InFlight(IntGauge);

impl InFlight {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Context {
    /// The context of a request that has just arrived.
    pub fn new(shared: &Shared) -> Self {
        Self {
            runtime: shared.runtime(),
            started: Instant::now(),
            request_id: RequestId::fresh(),
            trace: TraceParent::fresh(),
            trace_is_continued: false,
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            keepalive: None,
            version: Version::HTTP_11,
            tls: None,
            tls_ends_before: false,
            grant: None,
            host: String::new(),
            route: None,
            attempt: None,
            asked: Vec::new(),
            next: None,
            upstream_began: None,
            upstream_ended: None,
            reason: None,
            problem: ProblemReader::default(),
            interim: 0,
            failure: None,
            body_received: 0,
            awaited: None,
            answered: None,
            body_is_whole: false,
            body_ended: None,
            _in_flight: InFlight::new(shared.metrics.in_flight.clone()),
        }
    }

    /// Finds out who asks, and under which names this request goes. A request id and a trace are taken over from our
    /// own proxies only: a stranger could otherwise write into our logs and traces under somebody else's name.
    pub fn identify(&mut self, session: &Session) {
        let head = session.req_header();
        self.version = head.version;
        let connection = connection_info(session);
        self.tls = connection.and_then(|info| info.tls.as_ref()).map(|tls| (tls.version, tls.resumed));
        let peer = connection.map_or(self.client, |info| info.peer.ip());
        let rule = &self.runtime.config.client_address;
        self.client = rule.resolve(peer, &head.headers);
        self.grant = self.runtime.config.cors.grant(&head.headers);
        if rule.trusts(peer) {
            self.tls_ends_before = rule.says_tls(&head.headers);
            let inbound = |name: &str| head.headers.get(name).map(http::HeaderValue::as_bytes);
            if let Some(id) = inbound(request_id::HEADER).and_then(RequestId::accept) {
                self.request_id = id;
            }
            if let Some(parent) = inbound(trace_context::HEADER).and_then(TraceParent::parse) {
                self.trace = parent.child();
                self.trace_is_continued = true;
            }
        }
    }

    /// Whether the client speaks TLS, with us or with the load balancer before us.
    pub const fn over_tls(&self) -> bool {
        self.tls.is_some() || self.tls_ends_before
    }

    /// Puts an answer to this request under the policies that hold for it, whoever made it.
    ///
    /// # Errors
    /// Those of Pingora's header map, which has a bound of its own.
    pub fn apply_policies(&self, answer: &mut ResponseHeader) -> pingora::Result<()> {
        self.responses().apply(answer, self.over_tls())?;
        self.runtime.config.cors.apply(answer, self.grant.as_ref())
    }

    fn responses(&self) -> &ResponsePolicy {
        self.route.as_ref().map_or(&self.runtime.config.responses, |route| &route.rule.responses)
    }

    /// Whether the route's time is over.
    pub(super) fn is_overdue(&self) -> bool {
        match (&self.route, self.upstream_began) {
            (Some(route), Some(began)) => began.elapsed() >= route.rule.timeout,
            _ => false,
        }
    }

    /// Whether the answer should have ended by now. One that streams ends when it pleases.
    pub fn answer_is_overdue(&self) -> bool {
        let streams = self.route.as_ref().is_some_and(|route| route.rule.stream_idle_timeout.is_some());
        !streams && self.is_overdue()
    }

    /// Counts the finished request, and writes it down.
    pub fn finish(&mut self, session: &Session, metrics: &Metrics) -> RequestRecord {
        self.give_body_up();
        let head = session.req_header();
        let answer = session.response_written().filter(|answer| !answer.status.is_informational());
        let exchange = Exchange {
            method: &head.method,
            target: head.raw_path(),
            status: answer.map_or(0, |answer| answer.status.as_u16()),
            bytes_in: u64::try_from(session.body_bytes_read()).unwrap_or(u64::MAX),
            bytes_out: u64::try_from(session.body_bytes_sent()).unwrap_or(u64::MAX),
            is_cut: connection_info(session).is_some_and(|connection| connection.was_cut_for().is_some()),
        };
        self.record(&exchange, metrics)
    }

    pub(super) fn record(&self, exchange: &Exchange<'_>, metrics: &Metrics) -> RequestRecord {
        let status = exchange.status;
        let duration = self.started.elapsed();
        let route = self.route.as_ref().map(|route| Arc::clone(&route.rule.name));
        let labels = [route.as_deref().unwrap_or(NO_ROUTE), method_label(exchange.method), status_class(status)];
        metrics.requests.with_label_values(&labels).inc();
        metrics.request_seconds.with_label_values(&labels).observe(duration.as_secs_f64());
        match self.reason {
            // A connection with all that is on it: the edge counts that, once.
            Some(_) if exchange.is_cut => {}
            Some(reason) if Closed::ALL.iter().any(|closed| closed.as_str() == reason) => {
                metrics.connections_closed.with_label_values(&[reason]).inc();
            }
            Some(reason) => metrics.refusals.with_label_values(&[reason]).inc(),
            None => {}
        }
        self.count_attempt(self.reason.unwrap_or(status_class(status)), metrics);

        let ended = self.upstream_ended.unwrap_or_else(Instant::now);
        let target = String::from_utf8_lossy(exchange.target);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        RequestRecord {
            time: SystemTime::now(),
            request_id: self.request_id.clone(),
            trace_id: self.trace.trace_id(),
            client: self.client,
            method: exchange.method.as_str().to_owned(),
            host: self.host.clone(),
            path: path.to_owned(),
            query: query::redact(query, &self.runtime.config.access_log.safe_query),
            route,
            user: None,
            status,
            reason: self.reason.or_else(|| self.problem.code().map(Code::as_str)),
            bytes_in: exchange.bytes_in,
            bytes_out: exchange.bytes_out,
            duration,
            upstream_duration: self.upstream_began.map(|began| ended.saturating_duration_since(began)),
            upstream: self.attempt.as_ref().map(|attempt| attempt.endpoint.address),
            cache: None,
            protocol: protocol_name(self.version),
            tls_version: self.tls.map(|(version, _)| version),
            tls_resumed: self.tls.map(|(_, resumed)| resumed),
        }
    }
}

const fn protocol_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "h2",
        Version::HTTP_10 => "http/1.0",
        _ => "http/1.1",
    }
}
