//! From Pingora's errors to why-codes: whose fault it was, and what the client is told.

use std::io;

use pingora::{Error, ErrorSource, ErrorType};
use todo_shared::problem::Code;

use crate::edge::{Closed, ConnectionInfo};

/// The why-code of an error; `None` where the client is gone and nobody is left to tell.
///
/// `body_is_whole` says whether the client had sent its body: an API that waits for the rest of one is not slow.
pub fn code_of(error: &Error, body_is_whole: bool) -> Option<Code> {
    use ErrorType::{
        ConnectTimedout, ConnectionClosed, H1Error, H2Error, InvalidH2, InvalidHTTPHeader, ReadError, ReadTimedout,
        TLSHandshakeTimedout, WriteError, WriteTimedout,
    };
    match (error.esource(), error.etype()) {
        (ErrorSource::Upstream, ReadTimedout) if !body_is_whole => Some(Code::RequestTimeout),
        (ErrorSource::Upstream, ConnectTimedout | TLSHandshakeTimedout | ReadTimedout | WriteTimedout) => {
            Some(Code::UpstreamTimeout)
        }
        (ErrorSource::Upstream, InvalidHTTPHeader | H1Error | H2Error | InvalidH2) => Some(Code::UpstreamInvalid),
        (ErrorSource::Upstream, _) => Some(Code::UpstreamUnreachable),
        (ErrorSource::Downstream, ReadTimedout) => Some(Code::RequestTimeout),
        (ErrorSource::Downstream, ReadError) if is_io(error, io::ErrorKind::TimedOut) => Some(Code::RequestTimeout),
        (ErrorSource::Downstream, ReadError) if is_io(error, io::ErrorKind::InvalidData) => {
            Some(Code::RequestMalformed)
        }
        (ErrorSource::Downstream, ReadError | WriteError | ConnectionClosed | WriteTimedout | H2Error) => None,
        (ErrorSource::Downstream, _) => Some(Code::RequestMalformed),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Code::Internal),
    }
}

/// Why the connection ends, where no answer can say it: it was cut, or the client was too slow and the answer has begun.
pub fn closed_of(connection: Option<&ConnectionInfo>, error: &Error) -> Option<Closed> {
    connection.and_then(ConnectionInfo::was_cut_for).or_else(|| was_too_slow(error))
}

fn was_too_slow(error: &Error) -> Option<Closed> {
    use ErrorType::{ReadError, ReadTimedout, WriteError, WriteTimedout};
    if *error.esource() != ErrorSource::Downstream {
        return None;
    }
    match error.etype() {
        WriteTimedout => Some(Closed::WriteTimeout),
        WriteError if is_io(error, io::ErrorKind::TimedOut) => Some(Closed::WriteTimeout),
        ReadTimedout => Some(Closed::BodyTimeout),
        ReadError if is_io(error, io::ErrorKind::TimedOut) => Some(Closed::BodyTimeout),
        _ => None,
    }
}

/// Our own part of the connection reports broken chunk framing as invalid data, and a client that is too slow as a time
/// out.
fn is_io(error: &Error, kind: io::ErrorKind) -> bool {
    error.root_cause().downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == kind)
}

#[cfg(test)]
mod tests {
    use pingora::ErrorTrait;

    use super::*;

    #[expect(clippy::unnecessary_box_returns, reason = "Pingora makes its errors boxed")]
    fn error(source: ErrorSource, kind: ErrorType) -> Box<Error> {
        Error::create(kind, source, None, None)
    }

    #[test]
    fn the_fault_decides_the_code() {
        use ErrorSource::{Downstream, Internal, Upstream};
        for (source, kind, code) in [
            (Upstream, ErrorType::ConnectRefused, Some(Code::UpstreamUnreachable)),
            (Upstream, ErrorType::ConnectionClosed, Some(Code::UpstreamUnreachable)),
            (Upstream, ErrorType::ConnectTimedout, Some(Code::UpstreamTimeout)),
            (Upstream, ErrorType::ReadTimedout, Some(Code::UpstreamTimeout)),
            (Upstream, ErrorType::InvalidHTTPHeader, Some(Code::UpstreamInvalid)),
            (Downstream, ErrorType::ReadTimedout, Some(Code::RequestTimeout)),
            (Downstream, ErrorType::WriteError, None),
            (Downstream, ErrorType::ConnectionClosed, None),
            (Downstream, ErrorType::InvalidHTTPHeader, Some(Code::RequestMalformed)),
            (Internal, ErrorType::InternalError, Some(Code::Internal)),
        ] {
            assert_eq!(code_of(&error(source.clone(), kind.clone()), true), code, "{source:?} {kind:?}");
        }
        assert_eq!(code_of(&error(Upstream, ErrorType::ReadTimedout), false), Some(Code::RequestTimeout));
    }

    #[test]
    fn broken_framing_is_told_from_a_client_that_left() {
        let read_error = |kind: io::ErrorKind| {
            let cause: Box<dyn ErrorTrait + Send + Sync> = Box::new(io::Error::from(kind));
            Error::create(ErrorType::ReadError, ErrorSource::Downstream, None, Some(cause))
        };
        assert_eq!(code_of(&read_error(io::ErrorKind::InvalidData), true), Some(Code::RequestMalformed));
        assert_eq!(code_of(&read_error(io::ErrorKind::TimedOut), true), Some(Code::RequestTimeout));
        assert_eq!(was_too_slow(&read_error(io::ErrorKind::TimedOut)), Some(Closed::BodyTimeout));
        let reset = read_error(io::ErrorKind::ConnectionReset);
        assert_eq!((code_of(&reset, true), was_too_slow(&reset)), (None, None));
    }
}
