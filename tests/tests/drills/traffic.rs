//! Users at work while operators do theirs: writes and reads through both gateways, without a single retry.
//!
//! What stands in front of the gateways in production is a load balancer that asks for their readiness; here, a task does
//! that. A request that fails, or is answered with anything but what it should be, is an error that a user would see.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use todo_tests::client::{Answer, Client};
use tokio::{task::JoinSet, time::interval};

use crate::service::Stack;

const USERS: usize = 4;

/// How often the balancer asks each gateway.
const LOOK: Duration = Duration::from_millis(100);

/// What the users have seen.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Requests that were answered as they should be.
    pub(crate) answered: u64,
    /// What went wrong first, in words.
    pub(crate) errors: Vec<String>,
}

/// Users at work.
#[derive(Debug)]
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    gateways: [Client; 2],
    ready: [AtomicBool; 2],
    turn: AtomicU64,
    answered: AtomicU64,
    errors: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Traffic {
    /// Lets users begin; returns when the first of them has been served.
    pub(crate) async fn start(stack: &Stack) -> Self {
        let shared = Arc::new(Shared {
            gateways: [stack.client(1), stack.client(2)],
            ready: [AtomicBool::new(true), AtomicBool::new(true)],
            turn: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            errors: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        for (index, gateway) in ["gateway-1", "gateway-2"].into_iter().enumerate() {
            let (shared, admin) = (Arc::clone(&shared), stack.admin(gateway));
            tasks.spawn(async move { shared.balance(index, &admin).await });
        }
        for _ in 0..USERS {
            let (shared, account) = (Arc::clone(&shared), stack.client(1).register().await);
            tasks.spawn(async move { shared.work(account.client.token()).await });
        }
        let traffic = Self { shared, tasks };
        traffic.more(50).await;
        traffic
    }

    /// Waits for so many more answers.
    pub(crate) async fn more(&self, answers: u64) {
        let goal = self.shared.answered.load(Ordering::Relaxed) + answers;
        todo_tests::wait::eventually("users to be served", Duration::from_secs(30), async || {
            (self.shared.answered.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// Ends the work and says what was seen.
    pub(crate) async fn end(mut self) -> Seen {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a user's work does not panic");
        }
        let errors = std::mem::take(&mut *self.shared.errors.lock().expect("nobody panics with it"));
        Seen { answered: self.shared.answered.load(Ordering::Relaxed), errors }
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn balance(&self, index: usize, admin: &Client) {
        let mut looks = interval(LOOK);
        while !self.stopped() {
            looks.tick().await;
            let ready = admin.send("GET", "/readyz", &[], None).await.is_ok_and(|answer| answer.status == 200);
            self.ready[index].store(ready, Ordering::Relaxed);
        }
    }

    /// The next gateway in turn that is ready; the next in turn when none is.
    fn gateway(&self) -> &Client {
        let turn = usize::from(self.turn.fetch_add(1, Ordering::Relaxed) % 2 == 1);
        let other = 1 - turn;
        let pick = if self.ready[turn].load(Ordering::Relaxed) || !self.ready[other].load(Ordering::Relaxed) {
            turn
        } else {
            other
        };
        &self.gateways[pick]
    }

    async fn work(&self, token: &str) {
        while !self.stopped() {
            let Some(made) = self.ask(token, "POST", "/v1/todos", None, 201).await else { continue };
            let (tag, id) = (made.header("etag").unwrap_or_default().to_owned(), made.json()["id"].clone());
            let path = format!("/v1/todos/{}", id.as_str().unwrap_or_default());
            self.ask(token, "GET", &path, None, 200).await;
            self.ask(token, "PATCH", &path, Some(&tag), 200).await;
            self.ask(token, "GET", "/v1/todos?limit=20", None, 200).await;
        }
    }

    async fn ask(&self, token: &str, method: &str, path: &str, tag: Option<&str>, expected: u16) -> Option<Answer> {
        let client = self.gateway().with_token(token);
        let body = json!({ "title": "written while the service is being replaced" });
        let mut fields = vec![];
        match method {
            "POST" => fields.push(("content-type", "application/json")),
            "PATCH" => fields.push(("content-type", "application/merge-patch+json")),
            _ => {}
        }
        fields.extend(tag.map(|tag| ("if-match", tag)));
        let answer = client.send(method, path, &fields, (method != "GET").then(|| body.to_string())).await;
        match answer {
            Ok(answer) if answer.status == expected => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                return Some(answer);
            }
            Ok(answer) => self.note(format!("{method} {path}: {} {}", answer.status, answer.text)),
            Err(error) => self.note(format!("{method} {path}: {error:?}")),
        }
        None
    }

    fn note(&self, error: String) {
        let mut errors = self.errors.lock().expect("nobody panics with it");
        // The first ones tell the story.
        if errors.len() < 10 {
            errors.push(error);
        }
    }
}
