//! Whether load balancers should send requests here.
//!
//! A probe looks at the database every second. One failed look does not matter: an API that is taken out of service for
//! a hiccup moves its load to replicas that have the same database and the same hiccup. Only when the database has been
//! unusable for [`PATIENCE`], or was never reached, or the process is stopping, is it not ready.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use todo_shared::admin::{Check, Readiness as Report};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::{problem::Code, state::AppState, store::NEWEST};

/// How often the database is looked at, and how long one look may take.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the database may be unusable.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the probe has seen, and whether the process is stopping.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
    database: Mutex<Database>,
}

#[derive(Debug, Clone, Default)]
struct Database {
    usable_at: Option<Instant>,
    trouble: Option<String>,
}

impl Readiness {
    /// From now on the process is not ready: it is about to take nothing new.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the process is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Notes the outcome of a look at the database; `trouble` is for operators.
    pub fn note(&self, outcome: Result<(), String>, now: Instant) {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => *database = Database { usable_at: Some(now), trouble: None },
            Err(trouble) => database.trouble = Some(trouble),
        }
    }

    /// Why the process is not ready, as the public endpoint says it.
    pub fn refusal(&self, now: Instant) -> Option<Code> {
        if self.is_draining() {
            Some(Code::Draining)
        } else if self.database().is_usable(now) {
            None
        } else {
            Some(Code::DatabaseUnavailable)
        }
    }

    /// Everything, for operators.
    pub fn report(&self, now: Instant) -> Report {
        let database = self.database();
        let check = |name, ok, detail: String| Check { name, ok, required: true, detail };
        let draining = self.is_draining();
        let stopping = if draining { "the process is stopping" } else { "" };
        Report::of(vec![
            check("database", database.is_usable(now), database.trouble.unwrap_or_default()),
            check("not_draining", !draining, stopping.to_owned()),
        ])
    }

    fn database(&self) -> Database {
        self.database.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Database {
    fn is_usable(&self, now: Instant) -> bool {
        self.usable_at.is_some_and(|usable_at| now.duration_since(usable_at) <= PATIENCE)
    }
}

/// Looks at the database every second, for as long as the process runs.
pub async fn probe(state: AppState) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let outcome = match timeout(INTERVAL, state.store.schema_version()).await {
            Ok(Ok(version)) => {
                state.metrics.schema(version);
                enough(version)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err("the database does not answer within a second".to_owned()),
        };
        state.readiness.note(outcome, Instant::now());
    }
}

/// Whether this build can work with the schema. A newer one serves as well: migrations keep what the version before them
/// needs, so that it can go on beside its successor, and come back after it.
fn enough(version: i64) -> Result<(), String> {
    if version >= NEWEST {
        Ok(())
    } else {
        Err(format!("the schema has version {version} and {NEWEST} is needed: run `todo-api migrate`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_from_the_first_look_until_patience_ends() {
        let (readiness, start) = (Readiness::default(), Instant::now());
        assert_eq!(readiness.refusal(start), Some(Code::DatabaseUnavailable));
        readiness.note(Ok(()), start);
        assert_eq!(readiness.refusal(start), None);
        readiness.note(Err("connection refused".into()), start + INTERVAL);
        assert_eq!(readiness.refusal(start + PATIENCE), None);
        let late = start + PATIENCE + Duration::from_millis(1);
        assert_eq!(readiness.refusal(late), Some(Code::DatabaseUnavailable));
        let report = readiness.report(late);
        assert!(!report.ready && report.checks[0].detail == "connection refused");
        readiness.note(Ok(()), late);
        assert_eq!(readiness.refusal(late), None);
    }

    #[test]
    fn a_stopping_process_is_not_ready() {
        let (readiness, now) = (Readiness::default(), Instant::now());
        readiness.note(Ok(()), now);
        readiness.drain();
        assert_eq!(readiness.refusal(now), Some(Code::Draining));
        assert!(!readiness.report(now).ready);
    }
}
