//! Appends to the audit table, on the connection of the transaction that did it.

use uuid::Uuid;

use super::Connection;
use crate::store::{Event, Origin, StoreError};

const APPEND: &str =
    "INSERT INTO audit (id, user_id, session_id, event, request_id, at) VALUES ($1, $2, $3, $4, $5, $6)";

pub(super) async fn append(
    connection: &mut Connection,
    event: Event,
    user_id: Option<Uuid>,
    session_id: Option<Uuid>,
    origin: &Origin,
) -> Result<(), StoreError> {
    sqlx::query(APPEND)
        .bind(Uuid::now_v7())
        .bind(user_id)
        .bind(session_id)
        .bind(event.as_str())
        .bind(origin.request_id.as_ref().map(|id| id.as_str().to_owned()))
        .bind(origin.at)
        .execute(connection)
        .await?;
    Ok(())
}
