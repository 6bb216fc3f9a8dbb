//! The HTTP/2 part of the load: one connection at a time, several streams at once.

use std::{future::poll_fn, io, sync::Arc};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, header};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    load::{Question, Shared, compare},
    raw::PATIENCE,
};

/// Streams at once on the connection.
const STREAMS: usize = 4;

impl Shared {
    pub(super) async fn ask_over_h2(self: Arc<Self>) {
        while self.goes_on() {
            if let Err(error) = self.use_h2_connection().await {
                self.fail(format!("over HTTP/2: {error}"));
            }
        }
    }

    /// Asks until the connection is to be left.
    async fn use_h2_connection(self: &Arc<Self>) -> io::Result<()> {
        let stream = self.connect(&self.h2).await?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(connection);
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            streams.spawn(Arc::clone(self).ask_h2(sender.clone()));
        }
        streams.join_all().await;
        drop(sender);
        // The server closes it when it is told that nothing more comes; how it does so is not of interest.
        let _ = timeout(PATIENCE, driver).await;
        Ok(())
    }

    async fn ask_h2(self: Arc<Self>, mut sender: SendRequest<Bytes>) {
        while self.goes_on() {
            // After GOAWAY nothing more is sent here: not a failure, and not a request either.
            let Ok(Ok(free)) = timeout(PATIENCE, ready(sender)).await else { return };
            sender = free;
            let question = self.question();
            match timeout(PATIENCE, self.ask_stream(&mut sender, question)).await {
                Ok(Ok(())) => self.note(|seen| seen.h2 += 1),
                Ok(Err(Trouble::Unseen)) => {
                    self.note(|seen| seen.unseen += 1);
                    return;
                }
                Ok(Err(Trouble::Failed(error))) => {
                    self.fail(format!("over HTTP/2: {error}"));
                    return;
                }
                Err(_) => {
                    self.fail("over HTTP/2: no answer".to_owned());
                    return;
                }
            }
        }
    }

    async fn ask_stream(&self, sender: &mut SendRequest<Bytes>, question: &Question) -> Result<(), Trouble> {
        let mut request = Request::get(format!("https://localhost{}", question.path));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(()).map_err(Trouble::other)?;
        let (answer, _) = sender.send_request(request, true).map_err(Trouble::of)?;
        let answer = answer.await.map_err(Trouble::of)?;
        let (status, mut stream) = (answer.status().as_u16(), answer.into_body());
        let mut body = Vec::new();
        while let Some(piece) = stream.data().await {
            let piece = piece.map_err(Trouble::other)?;
            let _ = stream.flow_control().release_capacity(piece.len());
            body.extend_from_slice(&piece);
        }
        compare(question, status, &body).map_err(Trouble::other)
    }
}

/// What may come of a request over HTTP/2 but an answer.
enum Trouble {
    /// It was never sent, or the server said that it has not looked at it.
    Unseen,
    /// Anything else.
    Failed(String),
}

impl Trouble {
    fn other(error: impl std::fmt::Debug) -> Self {
        Self::Failed(format!("{error:?}"))
    }

    fn of(error: h2::Error) -> Self {
        let is_polite = error.reason() == Some(h2::Reason::NO_ERROR) && error.is_go_away();
        if is_polite || error.reason() == Some(h2::Reason::REFUSED_STREAM) { Self::Unseen } else { Self::other(error) }
    }
}

async fn ready(mut sender: SendRequest<Bytes>) -> Result<SendRequest<Bytes>, h2::Error> {
    poll_fn(|context| sender.poll_ready(context)).await?;
    Ok(sender)
}
