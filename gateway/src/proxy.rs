//! The order of a request's steps, as Pingora calls them. This file delegates only: each step is elsewhere.
//!
//! ```text
//! early_request_filter   who asks, under which id                      request/context.rs
//! request_filter         host, path, route, size                       request/mod.rs
//! upstream_peer          which address                                 upstream/
//! fail_to_connect, error_while_proxy  whether another is asked         upstream/retry.rs
//! upstream_request_filter  what the API is told                        request/{forward,conditions}.rs
//! request_body_filter    size as it comes
//! response_filter        what goes on, and under which policies       response/
//! fail_to_proxy          what the client is told when something breaks failure.rs, reply.rs
//! logging                metrics and the access log                    observe/
//! ```

use std::{
    os::fd::RawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{StatusCode, Version, header};
use pingora::{
    Error, ErrorSource, ErrorType, Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    protocols::Digest,
    proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session},
    upstreams::peer::HttpPeer,
};
use todo_shared::{problem::Code, request_id};

use crate::{
    edge::{Closed, connection_info},
    failure,
    observe::{problem_code::ProblemReader, record::Record},
    reply::{self, Reply},
    request::{self, conditions, context::Context, cors, forward},
    response::{self, compression, compressor},
    runtime::Shared,
    upstream::retry::{self, Stage},
};

/// How long a body may pause once its request is answered.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The steps, and what they share.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
}

impl Proxy {
    /// Steps over this state.
    pub const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

/// Stops a request in the middle with this code.
#[expect(clippy::unnecessary_box_returns, reason = "the filters return boxed errors")]
fn stop(context: &mut Context, code: Code, source: ErrorSource) -> Box<Error> {
    context.failure = Some(code);
    Error::create(ErrorType::Custom(code.as_str()), source, None, None)
}

/// The API has said all it has to say. A client that still sends its request has a moment to end it; then the connection
/// ends, as the answer has told it.
fn end_answer(session: &mut Session, context: &mut Context) {
    context.upstream_ended = Some(Instant::now());
    context.note_whole_answer();
    if !context.body_is_whole {
        session.set_read_timeout(Some(LONGEST_PAUSE));
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(&self.shared)
    }

    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        modules.add_module(Box::new(compressor::Step));
    }

    async fn early_request_filter(&self, session: &mut Session, context: &mut Context) -> Result<()> {
        context.identify(session);
        let is_old = connection_info(session).is_some_and(|info| info.grows_old(context.runtime.edge.max_age));
        if is_old || self.shared.stopping.is_draining() || forward::asks_to_close(&session.req_header().headers) {
            // Whoever answers: the client learns that the connection ends.
            session.set_keepalive(None);
        }
        if context.version == Version::HTTP_2 {
            // A stream waits for its window, which the connection's own deadline cannot see. HTTP/1 has that one alone.
            session.set_write_timeout(Some(context.runtime.edge.write_timeout));
        }
        context.keepalive = session.get_keepalive();
        if context.version == Version::HTTP_10 {
            // Neither interim answers nor their request are known to HTTP/1.0 (RFC 9110 sections 10.1.1 and 15.2).
            session.set_ignore_info_resp(true);
            session.req_header_mut().remove_header(&header::EXPECT);
        }
        let head = session.req_header_mut();
        if head.version == Version::HTTP_2 {
            // Pingora's own subrequests fail on h2 otherwise, and every later step finds one form of request.
            if let (None, Some(authority)) = (head.headers.get(header::HOST), head.uri.authority().cloned()) {
                head.insert_header(header::HOST, authority.as_str())?;
            }
            head.set_version(Version::HTTP_11);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        if self.shared.overload.is_over() {
            session.set_keepalive(None);
            reply::send(session, context, &Reply::refuse(Code::Overloaded)).await?;
            return Ok(true);
        }
        match request::admit(session, context) {
            Ok(()) => Ok(false),
            Err(Reply::Drop) => {
                reply::send(session, context, &Reply::Drop).await?;
                Err(Error::new_down(ErrorType::ConnectionClosed))
            }
            Err(refusal) => {
                reply::send(session, context, &refusal).await?;
                Ok(true)
            }
        }
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut Context,
    ) -> Result<()> {
        let received = body.as_ref().map_or(0, Bytes::len);
        context.receive(received, end_of_stream).map_err(|code| stop(context, code, ErrorSource::Downstream))
    }

    async fn upstream_peer(&self, session: &mut Session, context: &mut Context) -> Result<Box<HttpPeer>> {
        let Some(route) = context.route.clone() else {
            return Err(stop(context, Code::Internal, ErrorSource::Internal));
        };
        // A body that is still to come may be slow, or too large to be kept for another attempt.
        let may_repeat = session.req_header().method.is_idempotent() && session.is_body_done();
        context.begin_attempt(&route, may_repeat).map_err(|code| stop(context, code, ErrorSource::Upstream))
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: RawFd,
        digest: Option<&Digest>,
        context: &mut Context,
    ) -> Result<()> {
        context.note_connection(digest);
        context.await_body(session, &self.shared);
        Ok(())
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        context: &mut Context,
        error: Box<Error>,
    ) -> Box<Error> {
        retry::after(session, context, Stage::Connecting, error)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        context: &mut Context,
        kept: bool,
    ) -> Box<Error> {
        retry::after(session, context, if kept { Stage::Kept } else { Stage::Fresh }, error)
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        conditions::prepare(request)?;
        forward::prepare(request, context)?;
        if context.attempt.as_ref().is_some_and(|attempt| attempt.is_last_use) {
            // The API closes it after the answer (RFC 9112, section 9.6), so that nobody meets a closed one.
            request.insert_header(header::CONNECTION, "close")?;
        }
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut Context,
    ) -> Result<Option<Duration>> {
        if let Some(piece) = body {
            context.problem.read(piece);
        }
        if !end_of_stream && context.answer_is_overdue() {
            return Err(stop(context, Code::UpstreamTimeout, ErrorSource::Upstream));
        }
        if end_of_stream {
            end_answer(session, context);
        }
        Ok(None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        let is_interim = answer.status.is_informational();
        // Nobody asked for 101: no `Upgrade` is passed on. What follows would reach the client as if it were ours.
        if answer.status == StatusCode::SWITCHING_PROTOCOLS
            || !response::forward::is_sound(answer)
            || (is_interim && !response::forward::count_interim(&mut context.interim))
        {
            return Err(stop(context, Code::UpstreamInvalid, ErrorSource::Upstream));
        }
        let ends_with_connection = response::forward::prepare(answer, context.version);
        if is_interim {
            response::hide_telltales(answer);
            return Ok(());
        }
        context.note_answer(answer.status);
        if ends_with_connection || self.shared.stopping.is_draining() {
            // The stop may have begun with the request under way.
            session.set_keepalive(None);
        } else if context.body_is_whole {
            // Pingora gives the connection up with `100 Continue`, because the body is not there yet.
            session.set_keepalive(context.keepalive);
        }
        if response::forward::is_bodiless(answer, &session.req_header().method) {
            end_answer(session, context);
        }
        context.problem = ProblemReader::begin(answer);
        answer.insert_header(request_id::HEADER, context.request_id.as_str())?;
        compression::prepare(session, answer, context)?;
        cors::strip(answer);
        context.apply_policies(answer)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, context: &mut Context) -> FailToProxy {
        let code = context.failure.or_else(|| failure::code_of(error, context.body_is_whole));
        let unanswered = !reply::has_begun(session);
        context.give_body_up();
        // What is left of the request may never come, or may not be what it seems.
        session.set_keepalive(None);
        let status = match code {
            Some(code) if unanswered => {
                context.reason = Some(code.as_str());
                let sent = reply::send(session, context, &Reply::refuse(code)).await;
                sent.map_or(0, |()| code.status().as_u16())
            }
            // The answer was whole before the request; how that ended is no part of it.
            Some(Code::RequestTimeout | Code::RequestMalformed) if context.upstream_ended.is_some() => 0,
            code => {
                let closed = failure::closed_of(connection_info(session), error).map(Closed::as_str);
                // A refusal that could not be sent keeps its own.
                context.reason = closed.or(code.map(Code::as_str)).or(context.reason);
                code.map_or(0, |code| code.status().as_u16())
            }
        };
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, context: &mut Context) {
        let record = context.finish(session, &self.shared.metrics);
        self.shared.access_log.log(Record::Request(Box::new(record)));
    }

    /// The access log and the metrics say it; Pingora's own line would hold the request's target with its query. Only
    /// what is our own fault is news to whoever reads the log.
    fn suppress_error_log(&self, _session: &Session, context: &Context, error: &Error) -> bool {
        match error.esource() {
            ErrorSource::Internal | ErrorSource::Unset => {
                tracing::error!(request_id = %context.request_id, %error, "a request failed");
            }
            // Not the whole error: it may hold the head of an answer, with its secrets.
            ErrorSource::Upstream => {
                tracing::debug!(request_id = %context.request_id, error = error.etype().as_str(), "the upstream failed");
            }
            ErrorSource::Downstream => {}
        }
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Context, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}
