//! Clients that write without a pause and remember what was acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use serde_json::json;
use todo_tests::{client::Account, wait::eventually};
use tokio::task::JoinSet;

use crate::service::Stack;

/// A state of a todo that the service has acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) todo: String,
    pub(super) version: u64,
    pub(super) title: String,
    pub(super) acknowledged: SystemTime,
}

/// What one client has seen.
#[derive(Debug)]
pub(super) struct History {
    pub(super) account: Account,
    pub(super) writes: Vec<Write>,
    /// When and how a request failed; the client then ended.
    pub(super) failed: Option<(SystemTime, String)>,
}

/// The clients while they write.
pub(super) struct Writers {
    clients: JoinSet<History>,
    acknowledged: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Writers {
    /// Starts clients, in turns on one gateway and the other.
    pub(super) async fn start(stack: &Stack, count: usize) -> Self {
        let mut writers = Self { clients: JoinSet::new(), acknowledged: Arc::default(), stop: Arc::default() };
        for gateway in [1, 2].into_iter().cycle().take(count) {
            let account = stack.client(gateway).register().await;
            writers.clients.spawn(write(account, Arc::clone(&writers.acknowledged), Arc::clone(&writers.stop)));
        }
        writers
    }

    /// Waits until so many more writes are acknowledged.
    pub(super) async fn go_on(&self, count: usize) {
        let goal = self.acknowledged.load(Relaxed) + count;
        let reached = async || (self.acknowledged.load(Relaxed) >= goal).then_some(());
        eventually("writes to be acknowledged", Duration::from_mins(1), reached).await;
    }

    /// Ends the clients and returns what they have seen.
    pub(super) async fn stop(self) -> Vec<History> {
        self.stop.store(true, Relaxed);
        self.clients.join_all().await
    }
}

/// Makes todos and gives each another title.
async fn write(account: Account, acknowledged: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> History {
    let mut history = History { account, writes: Vec::new(), failed: None };
    for number in 0.. {
        if stop.load(Relaxed) {
            break;
        }
        let client = &history.account.client;
        let title = format!("todo {number}");
        let outcome = match history.writes.last().filter(|last: &&Write| last.version == 1) {
            Some(last) => {
                let path = format!("/v1/todos/{}", last.todo);
                let fields = [("content-type", "application/merge-patch+json")];
                client.send("PATCH", &path, &fields, Some(json!({ "title": title }).to_string())).await
            }
            None => client.try_json("POST", "/v1/todos", &[], &json!({ "title": title })).await,
        };
        match outcome {
            Ok(answer) if matches!(answer.status, 200 | 201) => {
                let body = answer.json();
                let todo = body["id"].as_str().expect("an id").to_owned();
                let version = body["version"].as_u64().expect("a version");
                history.writes.push(Write { todo, version, title, acknowledged: SystemTime::now() });
                acknowledged.fetch_add(1, Relaxed);
            }
            Ok(answer) => history.failed = Some((SystemTime::now(), format!("{} {}", answer.status, answer.text))),
            Err(error) => history.failed = Some((SystemTime::now(), error.to_string())),
        }
        if history.failed.is_some() {
            break;
        }
    }
    history
}
