//! Signing keys, on both engines. Rivals are kept apart by a lock of the engine's.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Engine, LOCK_KEYS, audit};
use crate::{
    auth::{key_ring::Sealed, signing_key::StoredKey},
    store::{Event, Origin, SigningKeys, StoreError},
};

const ALL: &str = "
    SELECT kid, public_key, sealed_key, ring_version, created_at, activates_at FROM signing_keys";

/// Keeps the decision that was made on the newest key to the moment in which it still is the newest.
const ADD: &str = "
    INSERT INTO signing_keys (kid, public_key, sealed_key, ring_version, created_at, activates_at)
    SELECT $1, $2, $3, $4, $5, $6
    WHERE COALESCE((SELECT kid FROM signing_keys ORDER BY activates_at DESC, kid DESC LIMIT 1), '') = $7";

const FORGET: &str = "DELETE FROM signing_keys WHERE kid = $1";

type KeyRow = (String, Vec<u8>, Vec<u8>, i32, DateTime<Utc>, DateTime<Utc>);

fn stored((kid, public_key, octets, ring_version, created_at, activates_at): KeyRow) -> StoredKey {
    StoredKey { kid, public_key, sealed: Sealed { ring_version, octets }, created_at, activates_at }
}

#[async_trait]
impl SigningKeys for Engine {
    async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let mut connection = self.reader().await?;
        let rows: Vec<KeyRow> = sqlx::query_as(ALL).fetch_all(&mut *connection).await?;
        Ok(rows.into_iter().map(stored).collect())
    }

    async fn add_signing_key(
        &self,
        key: &StoredKey,
        newest: Option<&str>,
        origin: &Origin,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(LOCK_KEYS).execute(&mut *transaction).await?;
        let added = sqlx::query(ADD)
            .bind(&key.kid)
            .bind(&key.public_key)
            .bind(&key.sealed.octets)
            .bind(key.sealed.ring_version)
            .bind(key.created_at)
            .bind(key.activates_at)
            .bind(newest.unwrap_or_default())
            .execute(&mut *transaction)
            .await?;
        if added.rows_affected() == 0 {
            return Ok(false);
        }
        audit::append(&mut transaction, Event::KeyRotated, None, None, origin).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn forget_signing_keys(&self, kids: &[String]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for kid in kids {
            sqlx::query(FORGET).bind(kid).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
