//! Accounts, sessions and refresh tokens; the time of a use case is its `Origin`'s.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Bench, on_both_engines, raw, refusal};
use crate::{
    auth::{
        Caller,
        refresh::{self, TokenHash},
    },
    domain::{
        account::{DisplayName, Email},
        time,
        time_zone::TimeZone,
    },
    store::{MOST_SESSIONS, NewAccount, NewSession, Origin, ProfileChange},
};

on_both_engines!(
    an_account_begins_with_an_inbox_a_session_and_a_trace,
    an_address_is_taken_once,
    a_session_begins_only_with_the_present_password,
    a_profile_is_changed_and_announced,
    a_token_is_used_once_and_a_copy_ends_the_session,
    a_lost_answer_is_forgiven_within_the_grace,
    two_tabs_may_refresh_at_once,
    rivals_for_one_token_are_judged_one_after_the_other,
    tokens_and_sessions_expire,
    sessions_are_ended_by_their_user_only,
    the_session_used_longest_ago_makes_room,
    a_new_password_ends_the_other_sessions,
    an_erased_account_leaves_nothing_but_its_trace,
);

fn at(now: DateTime<Utc>) -> Origin {
    Origin { at: now, request_id: None }
}

fn session(user_id: Uuid, now: DateTime<Utc>) -> (NewSession, TokenHash) {
    let (_, refresh_token) = refresh::issue().expect("random");
    let expires_at = now + refresh::ABSOLUTE;
    let refresh_expires_at = refresh::expiry(now, expires_at);
    let id = Uuid::now_v7();
    let device_name = Some("laptop".to_owned());
    (NewSession { id, user_id, device_name, expires_at, refresh_token, refresh_expires_at }, refresh_token)
}

fn fresh() -> TokenHash {
    refresh::issue().expect("random").1
}

struct Somebody {
    caller: Caller,
    email: Email,
    token: TokenHash,
    now: DateTime<Utc>,
}

impl Bench {
    async fn somebody(&self) -> Somebody {
        let now = time::now();
        let email = Email::parse(&format!("{}@example.org", Uuid::now_v7())).expect("an address");
        let (session, token) = session(Uuid::now_v7(), now);
        let caller =
            Caller { user_id: session.user_id, session_id: session.id, scopes: todo_shared::token::Scopes::all() };
        self.store.register(&account(email.clone(), session), &at(now)).await.expect("registered");
        Somebody { caller, email, token, now }
    }

    async fn sign_in(&self, user: &Somebody, now: DateTime<Utc>) -> (Caller, TokenHash) {
        let (session, token) = session(user.caller.user_id, now);
        let caller = Caller { session_id: session.id, ..user.caller };
        self.store.sign_in(&session, "hash", &at(now)).await.expect("signed in");
        (caller, token)
    }

    async fn events(&self, user: Uuid) -> Vec<String> {
        raw!(self, pool => {
            sqlx::query_scalar("SELECT event FROM audit WHERE user_id = $1 ORDER BY id")
                .bind(user).fetch_all(pool).await.expect("events")
        })
    }
}

fn account(email: Email, session: NewSession) -> NewAccount {
    NewAccount {
        email,
        password_hash: "hash".to_owned(),
        display_name: DisplayName::parse("Ada").expect("a name"),
        time_zone: TimeZone::UTC,
        session,
    }
}

async fn an_account_begins_with_an_inbox_a_session_and_a_trace(bench: Bench) {
    let user = bench.somebody().await;
    let profile = bench.store.profile(&user.caller).await.expect("a profile");
    assert_eq!((profile.id, profile.email.as_str()), (user.caller.user_id, user.email.as_str()));
    assert_eq!((profile.display_name.as_str(), profile.time_zone.as_str()), ("Ada", "UTC"));
    assert_eq!(profile.created_at, user.now);
    let changes = bench.changes(&user.caller).await;
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].0, changes[0].1.as_str(), changes[0].3.as_str()), (1, "list", "upsert"));
    assert_eq!(bench.events(user.caller.user_id).await, ["registered"]);
    let known = bench.store.credentials(&user.email).await.expect("answers").expect("known");
    assert_eq!((known.user_id, known.password_hash.as_str()), (user.caller.user_id, "hash"));
    let stranger = Email::parse("nobody@example.org").expect("an address");
    assert!(bench.store.credentials(&stranger).await.expect("answers").is_none());
}

async fn an_address_is_taken_once(bench: Bench) {
    let user = bench.somebody().await;
    let (again, _) = session(Uuid::now_v7(), user.now);
    let id = again.user_id;
    assert_eq!(refusal(bench.store.register(&account(user.email, again), &at(user.now)).await), "conflict");
    assert!(bench.events(id).await.is_empty(), "nothing of it stays");
}

async fn a_session_begins_only_with_the_present_password(bench: Bench) {
    let user = bench.somebody().await;
    let (late, _) = session(user.caller.user_id, user.now);
    assert_eq!(refusal(bench.store.sign_in(&late, "old hash", &at(user.now)).await), "precondition failed");
    bench.sign_in(&user, user.now).await;
    assert_eq!(bench.store.sessions(&user.caller, user.now).await.expect("sessions").len(), 2);
    assert_eq!(bench.events(user.caller.user_id).await, ["registered", "login_succeeded"]);
}

async fn a_profile_is_changed_and_announced(bench: Bench) {
    let user = bench.somebody().await;
    let berlin = ProfileChange { time_zone: TimeZone::parse("Europe/Berlin").ok(), ..ProfileChange::default() };
    let profile = bench.store.change_profile(&user.caller, &berlin, &at(user.now)).await.expect("changed");
    assert_eq!((profile.display_name.as_str(), profile.time_zone.as_str()), ("Ada", "Europe/Berlin"));
    assert_eq!(bench.store.profile(&user.caller).await.expect("a profile"), profile);
    let told = bench.changes(&user.caller).await;
    assert_eq!(told.last().expect("told").1, "user");
    let nothing = bench.store.change_profile(&user.caller, &ProfileChange::default(), &at(user.now)).await;
    assert_eq!(nothing.expect("answers"), profile);
    assert_eq!(bench.changes(&user.caller).await, told, "nothing has changed");
}

async fn a_token_is_used_once_and_a_copy_ends_the_session(bench: Bench) {
    let user = bench.somebody().await;
    let (second, third, fourth) = (fresh(), fresh(), fresh());
    let first = bench.store.refresh(user.token, second, &at(user.now)).await.expect("refreshed");
    assert_eq!((first.user_id, first.session_id), (user.caller.user_id, user.caller.session_id));
    bench.store.refresh(second, third, &at(user.now)).await.expect("refreshed");
    assert_eq!(refusal(bench.store.refresh(user.token, fourth, &at(user.now)).await), "session ended");
    assert_eq!(refusal(bench.store.refresh(third, fresh(), &at(user.now)).await), "session ended");
    assert_eq!(refusal(bench.store.profile(&user.caller).await), "session ended");
    let last = bench.changes(&user.caller).await.pop().expect("told");
    assert_eq!((last.1.as_str(), last.2, last.3.as_str()), ("session", user.caller.session_id, "delete"));
    let events = bench.events(user.caller.user_id).await;
    assert_eq!(events, ["registered", "refreshed", "refreshed", "reuse_detected"]);
}

async fn a_lost_answer_is_forgiven_within_the_grace(bench: Bench) {
    let user = bench.somebody().await;
    let late = user.now + refresh::GRACE;
    let (lost, second) = (fresh(), fresh());
    bench.store.refresh(user.token, lost, &at(user.now)).await.expect("refreshed");
    bench.store.refresh(user.token, second, &at(late)).await.expect("forgiven");
    // Both children are good until one of them is used.
    bench.store.refresh(second, fresh(), &at(late)).await.expect("refreshed");
    let later = late + TimeDelta::seconds(1);
    assert_eq!(refusal(bench.store.refresh(user.token, fresh(), &at(later)).await), "session ended");
}

async fn two_tabs_may_refresh_at_once(bench: Bench) {
    let user = bench.somebody().await;
    let tabs: Vec<_> = (0..4)
        .map(|_| {
            let (store, token, origin) = (Arc::clone(&bench.store), user.token, at(user.now));
            tokio::spawn(async move { store.refresh(token, fresh(), &origin).await.map(drop) })
        })
        .collect();
    for tab in tabs {
        tab.await.expect("no panic").expect("refreshed");
    }
    bench.store.profile(&user.caller).await.expect("still signed in");
}

async fn rivals_for_one_token_are_judged_one_after_the_other(bench: Bench) {
    let user = bench.somebody().await;
    let rivals: Vec<_> = (0..8)
        .map(|_| {
            let (store, token, origin) = (Arc::clone(&bench.store), user.token, at(user.now));
            tokio::spawn(async move { refusal(store.refresh(token, fresh(), &origin).await) })
        })
        .collect();
    let mut refreshed = 0;
    for rival in rivals {
        refreshed += i64::from(rival.await.expect("no panic") == "nothing");
    }
    assert_eq!(refreshed, refresh::MOST_CHILDREN);
    assert_eq!(refusal(bench.store.profile(&user.caller).await), "session ended");
    let reused = bench.events(user.caller.user_id).await.into_iter().filter(|event| event == "reuse_detected");
    assert_eq!(reused.count(), 1);
}

async fn tokens_and_sessions_expire(bench: Bench) {
    let user = bench.somebody().await;
    let idle = user.now + refresh::IDLE;
    assert_eq!(refusal(bench.store.refresh(user.token, fresh(), &at(idle)).await), "session ended");
    let (mut token, mut now) = (user.token, user.now);
    let end = user.now + refresh::ABSOLUTE;
    while now < end {
        let child = fresh();
        bench.store.refresh(token, child, &at(now)).await.expect("refreshed");
        (token, now) = (child, now + refresh::IDLE - TimeDelta::seconds(1));
    }
    assert_eq!(refusal(bench.store.refresh(token, fresh(), &at(end)).await), "session ended");
    assert!(bench.store.sessions(&user.caller, end).await.expect("its row is there still").is_empty());
}

async fn sessions_are_ended_by_their_user_only(bench: Bench) {
    let (user, stranger) = (bench.somebody().await, bench.somebody().await);
    let (other, _) = bench.sign_in(&user, user.now).await;
    let end = async |caller: &Caller, id| refusal(bench.store.end_session(caller, id, &at(user.now)).await);
    assert_eq!(end(&stranger.caller, other.session_id).await, "not found");
    let before = bench.changes(&stranger.caller).await.len();
    assert_eq!(before, 1, "a refused end leaves no change");
    assert_eq!(end(&user.caller, other.session_id).await, "nothing");
    assert_eq!(refusal(bench.store.profile(&other).await), "session ended");
    assert_eq!(end(&other, user.caller.session_id).await, "session ended");
    bench.sign_in(&user, user.now).await;
    bench.store.end_other_sessions(&user.caller, &at(user.now)).await.expect("ended");
    let left = bench.store.sessions(&user.caller, user.now).await.expect("sessions");
    assert_eq!(left.iter().map(|session| session.id).collect::<Vec<_>>(), [user.caller.session_id]);
}

async fn the_session_used_longest_ago_makes_room(bench: Bench) {
    let user = bench.somebody().await;
    let mut now = user.now;
    let mut newest = user.caller;
    for _ in 0..MOST_SESSIONS {
        now += TimeDelta::seconds(1);
        (newest, _) = bench.sign_in(&user, now).await;
    }
    let left = bench.store.sessions(&newest, now).await.expect("sessions");
    assert_eq!(i64::try_from(left.len()).expect("few"), MOST_SESSIONS);
    assert_eq!(refusal(bench.store.profile(&user.caller).await), "session ended", "the first one made room");
}

async fn a_new_password_ends_the_other_sessions(bench: Bench) {
    let user = bench.somebody().await;
    let (other, token) = bench.sign_in(&user, user.now).await;
    let change = async |old: &str| refusal(bench.store.change_password(&user.caller, old, "new", &at(user.now)).await);
    assert_eq!(change("another hash").await, "precondition failed");
    bench.store.profile(&other).await.expect("nothing has happened");
    assert_eq!(change("hash").await, "nothing");
    assert_eq!(bench.store.own_credentials(&user.caller).await.expect("signed in").password_hash, "new");
    assert_eq!(refusal(bench.store.profile(&other).await), "session ended");
    assert_eq!(refusal(bench.store.refresh(token, fresh(), &at(user.now)).await), "session ended");
}

async fn an_erased_account_leaves_nothing_but_its_trace(bench: Bench) {
    let (user, member) = (bench.somebody().await, bench.somebody().await);
    let list = bench.list(&user.caller).await;
    bench.join(list, member.caller.user_id, "editor").await;
    bench.todo(&user.caller, serde_json::json!({"title": "gone soon", "list_id": list})).await;
    bench.store.delete_account(&user.caller, &at(user.now)).await.expect("erased");
    for table in ["users", "sessions", "lists", "changes", "list_members"] {
        let column = match table {
            "users" => "id",
            "lists" => "owner_id",
            _ => "user_id",
        };
        let count: i64 = raw!(bench, pool => {
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table} WHERE {column} = $1")))
                .bind(user.caller.user_id).fetch_one(pool).await.expect("a count")
        });
        assert_eq!(count, 0, "{table}");
    }
    assert_eq!(bench.events(user.caller.user_id).await, ["registered", "account_deleted"]);
    let told = bench.changes(&member.caller).await.pop().expect("told");
    assert_eq!((told.1.as_str(), told.2, told.3.as_str()), ("list", list, "delete"));
    let (again, _) = session(Uuid::now_v7(), user.now);
    bench.store.register(&account(user.email, again), &at(user.now)).await.expect("the address is free");
}
