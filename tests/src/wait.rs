//! Waiting for a condition, never for a time: the time is only how long the condition may take.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// Asks every 20 ms until there is an answer.
///
/// # Panics
/// When there is none within `patience`; the message names `what` was waited for.
pub async fn eventually<T>(what: &str, patience: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    let mut ticks = interval(Duration::from_millis(20));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}");
    }
}
