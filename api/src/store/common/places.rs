//! Places in a list: a position beside a neighbour, and numbering a list anew when there is no room.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Connection,
    changes::{self, Op},
};
use crate::{
    domain::position::{Place, Position},
    store::StoreError,
};

const POSITION: &str = "SELECT position FROM todos WHERE id = $1 AND list_id = $2 AND deleted_at IS NULL";
const NEXT: &str = "SELECT position FROM todos WHERE list_id = $1 AND deleted_at IS NULL AND id <> $4
    AND (position, id) > ($2, $3) ORDER BY position, id LIMIT 1";
const PREVIOUS: &str = "SELECT position FROM todos WHERE list_id = $1 AND deleted_at IS NULL AND id <> $4
    AND (position, id) < ($2, $3) ORDER BY position DESC, id DESC LIMIT 1";

/// The position of `todo` beside a neighbour in a list whose members are locked.
pub(super) async fn find(
    connection: &mut Connection,
    list: Uuid,
    todo: Uuid,
    place: Place,
    now: DateTime<Utc>,
) -> Result<Position, StoreError> {
    if let Some(position) = between(connection, list, todo, place, now).await? {
        return Ok(position);
    }
    renumber(connection, list, now).await?;
    let position = between(connection, list, todo, place, now).await?;
    position.ok_or_else(|| StoreError::Internal("no room in a list that was numbered anew".into()))
}

async fn between(
    connection: &mut Connection,
    list: Uuid,
    todo: Uuid,
    place: Place,
    now: DateTime<Utc>,
) -> Result<Option<Position>, StoreError> {
    let neighbour = place.neighbour();
    let beside: Option<String> =
        sqlx::query_scalar(POSITION).bind(neighbour).bind(list).fetch_optional(&mut *connection).await?;
    let (pointer, text) = match place {
        Place::Before(_) => ("/position/before", PREVIOUS),
        Place::After(_) => ("/position/after", NEXT),
    };
    let Some(beside) = beside.filter(|_| neighbour != todo) else {
        let detail = "There is no such todo beside it in its list.";
        return Err(StoreError::Invalid { pointer, code: "not_found", detail });
    };
    let beyond: Option<String> = sqlx::query_scalar(text)
        .bind(list)
        .bind(&beside)
        .bind(neighbour)
        .bind(todo)
        .fetch_optional(&mut *connection)
        .await?;
    let (beside, beyond) = (Position::stored(beside), beyond.map(Position::stored));
    Ok(match place {
        Place::Before(_) => Position::between(beyond.as_ref(), Some(&beside), now),
        Place::After(_) => Position::between(Some(&beside), beyond.as_ref(), now),
    })
}

/// See [`crate::domain::position`].
const RENUMBER: &str = "UPDATE todos
    SET position = CAST(4000000000 + numbered.number AS TEXT) || 'V', version = version + 1, updated_at = $2
    FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY position, id) AS number
          FROM todos WHERE list_id = $1 AND deleted_at IS NULL) numbered
    WHERE todos.id = numbered.id";

async fn renumber(connection: &mut Connection, list: Uuid, now: DateTime<Utc>) -> Result<(), StoreError> {
    changes::append_all_todos(connection, list, Op::Upsert, now).await?;
    sqlx::query(RENUMBER).bind(list).bind(now).execute(connection).await?;
    Ok(())
}
