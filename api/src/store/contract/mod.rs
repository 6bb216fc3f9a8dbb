//! What both engines must do alike: every test of this folder runs on SQLite, and on PostgreSQL if `TEST_POSTGRES_URL` names a
//! server where databases may be made (one for each test).

mod accounts;
mod changes;
mod conditions;
mod pages;
mod places;
mod signing_keys;
mod strangers;
mod sweep;
mod writes;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgPool, SqlitePool};
use tempfile::TempDir;
use todo_shared::token::Scope;
use uuid::Uuid;

use super::{NEWEST, Settings, Store, StoreError, migrate, open};
use crate::{
    auth::Caller,
    conditional::IfMatch,
    domain::{
        list::CreateList,
        page::{TodoParams, TodoQuery},
        time,
        todo::{CreateTodo, NewTodo, PatchTodo, Todo, TodoPatch},
    },
};

/// Declares the tests of a module for both engines.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::store::contract::Bench::sqlite().await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(bench) = $crate::store::contract::Bench::postgres().await {
                    super::$name(bench).await;
                }
            })+
        }
    };
}
use on_both_engines;

/// Runs the same statements on whichever database it is.
macro_rules! raw {
    ($bench:expr, $pool:ident => $run:expr) => {
        match &$bench.raw {
            $crate::store::contract::Raw::Postgres($pool) => $run,
            $crate::store::contract::Raw::Sqlite($pool) => $run,
        }
    };
}
use raw;

/// A migrated, empty database, the store over it, and a way round the store.
pub(in crate::store) struct Bench {
    pub(in crate::store) store: Arc<dyn Store>,
    pub(in crate::store) raw: Raw,
    /// Where the SQLite file is; removed at the end.
    _folder: Option<TempDir>,
}

pub(in crate::store) enum Raw {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Bench {
    async fn over(url: String, folder: Option<TempDir>) -> Self {
        migrate(&url).await.expect("migrated");
        let raw = if url.starts_with("sqlite") {
            Raw::Sqlite(SqlitePool::connect(&url).await.expect("a pool"))
        } else {
            Raw::Postgres(PgPool::connect(&url).await.expect("a pool"))
        };
        let settings = Settings { url: url.into(), max_connections: 8, statement_timeout: Duration::from_secs(10) };
        let store = open(&settings).expect("a store");
        assert_eq!(store.schema_version().await.expect("answers"), NEWEST);
        Self { store, raw, _folder: folder }
    }

    pub(in crate::store) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("todo.db").display());
        Self::over(url, Some(folder)).await
    }

    pub(in crate::store) async fn postgres() -> Option<Self> {
        let server = std::env::var("TEST_POSTGRES_URL").ok()?;
        let name = format!("contract_{}", Uuid::now_v7().simple());
        let mut connection = sqlx::PgConnection::connect(&server).await.expect("a server");
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("may make databases");
        let mut url = url::Url::parse(&server).expect("a URL");
        url.set_path(&name);
        Some(Self::over(url.into(), None).await)
    }

    /// A new user with a session and an inbox.
    pub(in crate::store) async fn user(&self) -> Caller {
        let (user, session, inbox) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let now = time::now();
        raw!(self, pool => {
            sqlx::query("INSERT INTO users (id, email, password_hash, display_name, time_zone, created_at, updated_at)
                VALUES ($1, $2, '', '', 'UTC', $3, $3)")
                .bind(user).bind(user.to_string()).bind(now).execute(pool).await.expect("a user");
            sqlx::query("INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at) VALUES ($1, $2, $3, $3, $3)")
                .bind(session).bind(user).bind(now).execute(pool).await.expect("a session");
            sqlx::query("INSERT INTO lists (id, owner_id, name, inbox, created_at, updated_at) VALUES ($1, $2, 'Inbox', TRUE, $3, $3)")
                .bind(inbox).bind(user).bind(now).execute(pool).await.expect("an inbox");
        });
        self.join(inbox, user, "owner").await;
        Caller { user_id: user, session_id: session, scopes: Scope::ALL.into_iter().collect() }
    }

    async fn join(&self, list: Uuid, user: Uuid, role: &str) {
        raw!(self, pool => {
            sqlx::query("INSERT INTO list_members (list_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)")
                .bind(list).bind(user).bind(role).bind(time::now()).execute(pool).await.expect("a member");
        });
    }

    async fn end_session(&self, caller: &Caller) {
        raw!(self, pool => {
            sqlx::query("DELETE FROM sessions WHERE id = $1").bind(caller.session_id).execute(pool).await.expect("ended");
        });
    }

    /// The change log of a user: number, entity, id, what happened.
    async fn changes(&self, caller: &Caller) -> Vec<(i64, String, Uuid, String)> {
        raw!(self, pool => {
            sqlx::query_as("SELECT seq, entity, entity_id, op FROM changes WHERE user_id = $1 ORDER BY seq")
                .bind(caller.user_id).fetch_all(pool).await.expect("changes")
        })
    }

    /// A list that the caller owns.
    async fn list(&self, caller: &Caller) -> Uuid {
        let body = serde_json::from_value::<CreateList>(json!({"name": "List"})).expect("a body");
        self.store.create_list(caller, &body.parse().expect("valid"), time::now()).await.expect("a list").id
    }

    /// A todo made of this body.
    async fn todo(&self, caller: &Caller, body: Value) -> Todo {
        self.create(caller, body).await.expect("a todo")
    }

    async fn create(&self, caller: &Caller, body: Value) -> Result<Todo, StoreError> {
        self.store.create_todo(caller, &new(body), time::now()).await
    }

    async fn patch(&self, caller: &Caller, id: Uuid, body: Value) -> Result<Todo, StoreError> {
        self.store.patch_todo(caller, id, &patch(body), &IfMatch::Any, time::now()).await
    }

    async fn delete(&self, caller: &Caller, id: Uuid) -> Result<(), StoreError> {
        self.store.delete_todo(caller, id, &IfMatch::Any, time::now()).await
    }

    /// All todos of a query, page by page.
    async fn all(&self, caller: &Caller, query: &str) -> Vec<Todo> {
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let query = self::query(caller, query, cursor.as_deref());
            let page = self.store.todos(caller, &query, None).await.expect("a page");
            found.extend(page.rows);
            if !page.more {
                return found;
            }
            cursor = found.last().map(|last| query.cursor_after(last));
        }
    }
}

pub(in crate::store) fn new(body: Value) -> NewTodo {
    serde_json::from_value::<CreateTodo>(body).expect("a body").parse().expect("valid")
}

pub(in crate::store) fn patch(body: Value) -> TodoPatch {
    serde_json::from_value::<PatchTodo>(body).expect("a body").parse().expect("valid")
}

pub(in crate::store) fn query(caller: &Caller, text: &str, cursor: Option<&str>) -> TodoQuery {
    let text = cursor.map_or_else(|| text.to_owned(), |cursor| format!("{text}&cursor={cursor}"));
    serde_html_form::from_str::<TodoParams>(&text).expect("a query").parse(caller.user_id).expect("valid")
}

/// The name of what went wrong.
fn refusal<T>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Ok(_) => "nothing",
        Err(StoreError::NotFound) => "not found",
        Err(StoreError::SessionEnded) => "session ended",
        Err(StoreError::Forbidden) => "forbidden",
        Err(StoreError::PreconditionFailed) => "precondition failed",
        Err(StoreError::Conflict(_)) => "conflict",
        Err(StoreError::Invalid { pointer, .. }) => pointer,
        Err(error) => panic!("{error:?}"),
    }
}
