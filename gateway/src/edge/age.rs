//! The end of an old HTTP/1 connection, whatever it carries: reading from it fails, which every answer notices, because its
//! client is watched for leaving. HTTP/2 has a loop of its own, which ends it.

use std::{
    future::Future as _,
    pin::Pin,
    task::Context,
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep_until};

/// When a connection ends. The timer is made when somebody first waits, and stays as it is while the connection is young.
#[derive(Debug, Default)]
pub(super) struct Age {
    end: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Age {
    /// A request begins at `now` on a connection that was opened then: it has the rest of `max_age` and `grace`, and no less
    /// than `grace` where it was on its way to a connection that had grown old.
    pub(super) fn begin(&mut self, opened: Instant, now: Instant, max_age: Duration, grace: Duration) {
        let old = opened.checked_add(max_age).map(|old| old.max(now));
        let end = old.and_then(|old| old.checked_add(grace));
        if end != self.end {
            *self = Self { end, timer: None };
        }
    }

    /// Whether it is over; who waits is woken when it is.
    pub(super) fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let Some(end) = self.end else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end.into())));
        timer.as_mut().poll(context).is_ready()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_rest_of_the_connections_time_and_never_less_than_the_grace() {
        const SECOND: Duration = Duration::from_secs(1);
        let (opened, mut age) = (Instant::now(), Age::default());
        let mut end = |at: u32| {
            age.begin(opened, opened + at * SECOND, 60 * SECOND, 10 * SECOND);
            age.end.map(|end| end - opened)
        };
        assert_eq!([0, 59, 60].map(&mut end), [Some(70 * SECOND); 3]);
        assert_eq!(end(95), Some(105 * SECOND), "it waited past its age");
        age.begin(opened, opened, Duration::MAX, SECOND);
        assert_eq!(age.end, None, "longer than any clock goes");
    }
}
