//! Accounts, on both engines.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Connection, Engine, access, audit,
    changes::{self, Entity, Op},
    lists, sessions,
};
use crate::{
    auth::Caller,
    domain::{account::Email, time_zone::TimeZone},
    store::{Accounts, Credentials, Event, NewAccount, Origin, Profile, ProfileChange, StoreError},
};

const INSERT: &str = "
    INSERT INTO users (id, email, password_hash, display_name, time_zone, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (email) DO NOTHING";

const CREDENTIALS: &str = "
    SELECT id AS user_id, email, display_name, password_hash FROM users WHERE email = $1";

const OWN_CREDENTIALS: &str = "
    SELECT u.id AS user_id, u.email, u.display_name, u.password_hash
    FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1 AND s.user_id = $2";

const PROFILE: &str = "
    SELECT u.id, u.email, u.display_name, u.time_zone, u.created_at
    FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1 AND s.user_id = $2";

const CHANGE_PROFILE: &str = "
    UPDATE users SET display_name = COALESCE($2, display_name), time_zone = COALESCE($3, time_zone), updated_at = $4
    WHERE id = $1 RETURNING id, email, display_name, time_zone, created_at";

const CHANGE_PASSWORD: &str =
    "UPDATE users SET password_hash = $3, updated_at = $4 WHERE id = $1 AND password_hash = $2";

/// What other members lose with the account: the lists that it owns.
const OTHERS_LOSE: &str = "
    SELECT m.list_id, m.user_id FROM list_members o JOIN list_members m ON m.list_id = o.list_id
    WHERE o.user_id = $1 AND o.role = 'owner' AND m.user_id <> $1 ORDER BY m.user_id, m.list_id";

/// The rest goes by `ON DELETE CASCADE`.
const DELETE: &str = "DELETE FROM users WHERE id = $1";

type ProfileRow = (Uuid, String, String, String, DateTime<Utc>);

fn profile((id, email, display_name, time_zone, created_at): ProfileRow) -> Profile {
    Profile { id, email, display_name, time_zone, created_at }
}

fn credentials((user_id, email, display_name, password_hash): (Uuid, String, String, String)) -> Credentials {
    Credentials { user_id, email, display_name, password_hash }
}

async fn user_changed(connection: &mut Connection, user_id: Uuid, at: DateTime<Utc>) -> Result<(), StoreError> {
    changes::append_for(connection, user_id, (Entity::User, user_id, Op::Upsert), at).await
}

#[async_trait]
impl Accounts for Engine {
    async fn register(&self, account: &NewAccount, origin: &Origin) -> Result<(), StoreError> {
        let NewAccount { email, password_hash, display_name, time_zone, session } = account;
        let mut transaction = self.begin().await?;
        let made = sqlx::query(INSERT)
            .bind(session.user_id)
            .bind(email.as_str())
            .bind(password_hash)
            .bind(display_name.as_str())
            .bind(time_zone.as_str())
            .bind(origin.at)
            .execute(&mut *transaction)
            .await?;
        if made.rows_affected() == 0 {
            return Err(StoreError::Conflict("This address has an account already."));
        }
        lists::insert_inbox(&mut transaction, session.user_id, origin.at).await?;
        sessions::begin(&mut transaction, session, origin.at).await?;
        audit::append(&mut transaction, Event::Registered, Some(session.user_id), Some(session.id), origin).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn credentials(&self, email: &Email) -> Result<Option<Credentials>, StoreError> {
        let mut connection = self.reader().await?;
        let row = sqlx::query_as(CREDENTIALS).bind(email.as_str()).fetch_optional(&mut *connection).await?;
        Ok(row.map(credentials))
    }

    async fn own_credentials(&self, caller: &Caller) -> Result<Credentials, StoreError> {
        let mut connection = self.reader().await?;
        let row = sqlx::query_as(OWN_CREDENTIALS).bind(caller.session_id).bind(caller.user_id);
        row.fetch_optional(&mut *connection).await?.map(credentials).ok_or(StoreError::SessionEnded)
    }

    async fn login_failed(&self, user_id: Option<Uuid>, origin: &Origin) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        audit::append(&mut transaction, Event::LoginFailed, user_id, None, origin).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn profile(&self, caller: &Caller) -> Result<Profile, StoreError> {
        let mut connection = self.reader().await?;
        let row = sqlx::query_as(PROFILE).bind(caller.session_id).bind(caller.user_id);
        row.fetch_optional(&mut *connection).await?.map(profile).ok_or(StoreError::SessionEnded)
    }

    async fn change_profile(
        &self,
        caller: &Caller,
        change: &ProfileChange,
        origin: &Origin,
    ) -> Result<Profile, StoreError> {
        if let ProfileChange { display_name: None, time_zone: None } = change {
            return self.profile(caller).await;
        }
        let mut transaction = self.begin().await?;
        changes::lock_user(&mut transaction, caller.user_id).await?;
        access::active(&mut transaction, caller).await?;
        user_changed(&mut transaction, caller.user_id, origin.at).await?;
        let changed = sqlx::query_as(CHANGE_PROFILE)
            .bind(caller.user_id)
            .bind(change.display_name.as_ref().map(|name| name.as_str().to_owned()))
            .bind(change.time_zone.map(TimeZone::as_str))
            .bind(origin.at)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(profile(changed))
    }

    async fn change_password(
        &self,
        caller: &Caller,
        old_hash: &str,
        new_hash: &str,
        origin: &Origin,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        changes::lock_user(&mut transaction, caller.user_id).await?;
        access::active(&mut transaction, caller).await?;
        let changed = sqlx::query(CHANGE_PASSWORD)
            .bind(caller.user_id)
            .bind(old_hash)
            .bind(new_hash)
            .bind(origin.at)
            .execute(&mut *transaction)
            .await?;
        if changed.rows_affected() == 0 {
            return Err(StoreError::PreconditionFailed);
        }
        sessions::end_others(&mut transaction, caller, origin).await?;
        let (user, session) = (Some(caller.user_id), Some(caller.session_id));
        audit::append(&mut transaction, Event::PasswordChanged, user, session, origin).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn delete_account(&self, caller: &Caller, origin: &Origin) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        changes::lock_user_and_members(&mut transaction, caller.user_id).await?;
        access::active(&mut transaction, caller).await?;
        let lost: Vec<(Uuid, Uuid)> =
            sqlx::query_as(OTHERS_LOSE).bind(caller.user_id).fetch_all(&mut *transaction).await?;
        for (list_id, member) in lost {
            changes::append_for(&mut transaction, member, (Entity::List, list_id, Op::Delete), origin.at).await?;
        }
        sqlx::query(DELETE).bind(caller.user_id).execute(&mut *transaction).await?;
        let (user, session) = (Some(caller.user_id), Some(caller.session_id));
        audit::append(&mut transaction, Event::AccountDeleted, user, session, origin).await?;
        transaction.commit().await?;
        Ok(())
    }
}
