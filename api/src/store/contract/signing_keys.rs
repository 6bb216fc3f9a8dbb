//! Signing keys: of several replicas that make one at once, one succeeds.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Bench, on_both_engines};
use crate::{
    auth::{key_ring::KeyRing, signing_key::StoredKey},
    domain::time,
    store::Origin,
};

on_both_engines!(of_rivals_one_makes_the_key);

fn origin(at: DateTime<Utc>) -> Origin {
    Origin { at, request_id: None }
}

async fn of_rivals_one_makes_the_key(bench: Bench) {
    let ring = KeyRing::development();
    let now = time::now();
    let rivals: Vec<_> = (0..6)
        .map(|_| {
            let (store, key) = (Arc::clone(&bench.store), StoredKey::generate(&ring, now, now).expect("a key"));
            tokio::spawn(async move { store.add_signing_key(&key, None, &origin(now)).await.expect("answers") })
        })
        .collect();
    let mut added = 0;
    for rival in rivals {
        added += usize::from(rival.await.expect("no panic"));
    }
    assert_eq!(added, 1);
    let first = bench.store.signing_keys().await.expect("keys").pop().expect("one");
    let second = StoredKey::generate(&ring, now, now + TimeDelta::minutes(10)).expect("a key");
    assert!(!bench.store.add_signing_key(&second, Some("another"), &origin(now)).await.expect("answers"));
    assert!(bench.store.add_signing_key(&second, Some(&first.kid), &origin(now)).await.expect("answers"));
    bench.store.forget_signing_keys(&[first.kid]).await.expect("forgotten");
    assert_eq!(bench.store.signing_keys().await.expect("keys"), [second]);
}
