//! Keeps the promise of the trash: what was deleted is erased after 30 days. Expired sessions go along.
//!
//! Every replica sweeps; each transaction is small and locks what it touches as every other writer does.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::sleep;

use crate::{
    domain::time,
    store::{Store, StoreError, Swept},
};

/// How long the trash keeps a todo.
const TRASH_KEEPS: TimeDelta = TimeDelta::days(30);
/// How often it is looked through.
const INTERVAL: Duration = Duration::from_hours(1);
/// The wait between two batches, so that a mass of trash does not crowd out requests.
const BREATH: Duration = Duration::from_millis(100);

/// Sweeps for as long as the process runs.
pub async fn task(store: std::sync::Arc<dyn Store>) {
    loop {
        let wait = match batch(store.as_ref(), time::now()).await {
            Ok((swept, more)) => {
                if swept != Swept::default() {
                    tracing::info!(?swept, "erased what had expired");
                }
                if more { BREATH } else { INTERVAL }
            }
            Err(error) => {
                tracing::warn!(%error, "the sweep failed");
                INTERVAL
            }
        };
        sleep(wait).await;
    }
}

/// One bounded sweep as of `now`.
async fn batch(store: &dyn Store, now: DateTime<Utc>) -> Result<(Swept, bool), StoreError> {
    store.sweep(now - TRASH_KEEPS, now).await
}
