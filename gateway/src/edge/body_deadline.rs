//! The deadline of an HTTP/2 request's body, which only the request's own steps know and only its stream's task can hold.
//!
//! Pingora waits for the next piece of such a body without any deadline, and no hook comes before the piece does. The
//! connection's deadline cannot help: its other streams go on. So the steps say until when they wait, and whoever runs
//! them gives up then. The request is dropped, which resets its stream.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Instant,
};

use tokio::time::{Sleep, sleep_until};

tokio::task_local! {
    static DEADLINE: Cell<Option<Instant>>;
}

/// Says until when the rest of a body is waited for; `None` where it is not.
pub(crate) fn await_body_until(deadline: Option<Instant>) {
    // Over HTTP/1 the connection itself keeps the time.
    let _ = DEADLINE.try_with(|cell| cell.set(deadline));
}

/// Runs a request until it ends, or until the body that it awaits is late: then `None`.
pub(super) async fn run<T>(request: impl Future<Output = T>) -> Option<T> {
    let request = async {
        let mut request = pin!(request);
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = request.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            let Some(deadline) = DEADLINE.with(Cell::get) else { return Poll::Pending };
            let deadline = deadline.into();
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            timer.as_mut().poll(context).map(|()| None)
        })
        .await
    };
    DEADLINE.scope(Cell::new(None), request).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{advance, pause, sleep};

    use super::*;

    const MOMENT: Duration = Duration::from_secs(1);

    fn soon() -> Instant {
        (tokio::time::Instant::now() + MOMENT).into_std()
    }

    #[tokio::test]
    async fn what_awaits_no_body_takes_its_time() {
        pause();
        let request = async {
            sleep(MOMENT).await;
            await_body_until(Some(soon()));
            sleep(MOMENT / 2).await;
            await_body_until(None);
            sleep(100 * MOMENT).await;
        };
        assert_eq!(run(request).await, Some(()));
    }

    #[tokio::test]
    async fn a_late_body_ends_its_request_and_progress_puts_that_off() {
        pause();
        let begun = tokio::time::Instant::now();
        let request = async {
            for _ in 0..10 {
                await_body_until(Some(soon()));
                sleep(MOMENT / 2).await;
            }
            std::future::pending::<()>().await;
        };
        assert_eq!(run(request).await, None);
        assert!(begun.elapsed() >= 5 * MOMENT && begun.elapsed() < 7 * MOMENT);
        advance(MOMENT).await;
        // Outside of a request's task nobody keeps the time, and nothing breaks.
        await_body_until(Some(soon()));
    }
}
