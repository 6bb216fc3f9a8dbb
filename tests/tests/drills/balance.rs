//! Three replicas of the API on one database, one of which misbehaves in each way in turn, under readers and writers.
//!
//! The replicas are real, and each has a relay in front that misbehaves in its name: the request is done first, so that
//! one that was sent twice would show as two rows. Checks pass through, or ask too rarely to matter: what is measured is
//! what answers alone tell. The last fault has no relay: replicas are killed and started again, one after the other.
//! `BALANCE_READS` says how many reads follow each ejection.

#![expect(clippy::print_stdout, reason = "the table is what the drill is for")]

use std::{
    collections::HashMap,
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;
use todo_tests::{
    api::Api,
    client::{Account, Client},
    postgres::Postgres,
    process::Signal,
    relay::{Fault, Relay},
    stack::Gateway,
    wait::eventually,
};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_mins(1);

const READERS: usize = 6;
const WRITERS: usize = 2;

/// A replica that is slow is slower than all that is fast by this much.
const LATE: Duration = Duration::from_millis(1500);

const FAULTS: [(&str, Fault); 7] = [
    ("dead", Fault::Dead),
    ("slow", Fault::Slow(LATE)),
    ("answers 500", Fault::Error),
    ("fails every second request", Fault::Half),
    ("breaks its answers off", Fault::Cut),
    ("answers garbage", Fault::Garbage),
    ("closes without an answer", Fault::Silence),
];

/// Each address is asked once at the beginning of an hour, and is set aside for as long as a fault lasts.
const SETTINGS: &str =
    "[upstreams.api]\nhealth_interval = \"1h\"\neject_time = \"1h\"\neject_max_time = \"1h\"\nretry_floor = 100\n";

/// Readers and writers, and what they have seen.
struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    stop: AtomicBool,
    reads: AtomicU64,
    writes: AtomicU64,
    failed_reads: Mutex<Vec<String>>,
    failed_writes: AtomicU64,
    /// The title of the next todo: none is written twice on purpose.
    title: AtomicU64,
}

impl Load {
    fn start(user: &Account, client: &Client, phase: &str) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            failed_reads: Mutex::default(),
            failed_writes: AtomicU64::new(0),
            title: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        let client = client.with_token(user.client.token());
        for _ in 0..READERS {
            tasks.spawn(read(Arc::clone(&shared), client.clone()));
        }
        for _ in 0..WRITERS {
            tasks.spawn(write(Arc::clone(&shared), client.clone(), phase.to_owned()));
        }
        Self { shared, tasks }
    }

    async fn more_reads(&self, reads: u64) {
        let goal = self.shared.reads.load(Ordering::Relaxed) + reads;
        let done = async || (self.shared.reads.load(Ordering::Relaxed) >= goal).then_some(());
        // More reads take longer, on a busy machine far longer.
        let patience = PATIENCE + Duration::from_millis(50 * reads);
        eventually("reads to be answered", patience, done).await;
    }

    fn failed_reads(&self) -> usize {
        self.shared.failed_reads.lock().expect("unpoisoned").len()
    }

    async fn end(mut self) -> Arc<Shared> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no panic");
        }
        self.shared
    }
}

async fn read(shared: Arc<Shared>, client: Client) {
    while !shared.stop.load(Ordering::Relaxed) {
        let answer = client.send("GET", "/v1/todos?limit=5", &[], None).await;
        shared.reads.fetch_add(1, Ordering::Relaxed);
        let problem = match answer {
            Ok(answer) if answer.status == 200 => continue,
            Ok(answer) => format!("{} {}", answer.status, answer.text),
            Err(error) => error.to_string(),
        };
        shared.failed_reads.lock().expect("unpoisoned").push(problem);
    }
}

async fn write(shared: Arc<Shared>, client: Client, phase: String) {
    while !shared.stop.load(Ordering::Relaxed) {
        let title = format!("{phase} {}", shared.title.fetch_add(1, Ordering::Relaxed));
        let answer = client.try_json("POST", "/v1/todos", &[], &json!({"title": title})).await;
        shared.writes.fetch_add(1, Ordering::Relaxed);
        if !answer.is_ok_and(|answer| answer.status == 201) {
            shared.failed_writes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The whole service, as it is under test.
struct Service {
    apis: Vec<Api>,
    relays: Vec<Relay>,
    user: Account,
    _folders: Vec<TempDir>,
    _postgres: Postgres,
}

impl Service {
    async fn start() -> Self {
        let postgres = Postgres::start().await.expect("PostgreSQL");
        let database = postgres.database().expect("a database");
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
        let (mut apis, mut relays) = (Vec::new(), Vec::new());
        for folder in &folders {
            let api = Api::start(folder.path(), &database, "").await.expect("a replica");
            relays.push(Relay::before(api.port).await.expect("a relay"));
            apis.push(api);
        }
        let user = Client::http(apis[0].port).expect("a client").register().await;
        Self { apis, relays, user, _folders: folders, _postgres: postgres }
    }

    /// How many rows are there twice, of those whose title begins like this.
    async fn doubled(&self, phase: &str) -> usize {
        let direct = Client::http(self.apis[0].port).expect("a client").with_token(self.user.client.token());
        let mut rows: HashMap<String, usize> = HashMap::new();
        let mut path = "/v1/todos?limit=200".to_owned();
        loop {
            let page = direct.get(&path).await.expect(200).json();
            for todo in page["data"].as_array().expect("a page") {
                *rows.entry(todo["title"].as_str().expect("a title").to_owned()).or_default() += 1;
            }
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/v1/todos?limit=200&cursor={cursor}");
        }
        rows.iter().filter(|(title, count)| title.starts_with(phase) && **count > 1).count()
    }
}

/// The sum of a metric's series whose labels contain this text.
async fn metric(gateway: &Gateway, name: &str, labels: &str) -> u64 {
    let text = gateway.admin().expect("a client").get("/metrics").await.text;
    let of_it = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(labels);
    text.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Every fault, one after the other.
pub(crate) async fn a_bad_replica_does_not_show_through() {
    let reads = env::var("BALANCE_READS").map_or(500, |text| text.parse().expect("a number of reads"));
    let mut service = Service::start().await;
    println!();
    println!(
        "| replica | reads | writes | reads failed before ejection | after | writes failed | retries | ejected after | rows doubled |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    let ports: Vec<_> = service.relays.iter().map(|relay| relay.port).collect();
    for (number, (name, fault)) in FAULTS.into_iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = Gateway::start(folder.path(), &ports, SETTINGS).await.expect("a gateway");
        let load = Load::start(&service.user, &gateway.client().expect("a client"), name);
        load.more_reads(200).await;
        assert_eq!(load.failed_reads(), 0, "all are well");
        let bad = &service.relays[number % 3];
        let begin = Instant::now();
        bad.set(fault);
        eventually("it to be set aside", PATIENCE, async || {
            (metric(&gateway, "gateway_upstream_ejected", &bad.port.to_string()).await == 1).then_some(())
        })
        .await;
        let ejected = begin.elapsed();
        // Readers whose answer was on its way when it was set aside are done after as many reads as there are readers.
        load.more_reads(READERS as u64 * 2).await;
        let before = load.failed_reads();
        load.more_reads(reads).await;
        let seen = load.end().await;
        bad.set(Fault::None);
        let retries = metric(&gateway, "gateway_upstream_retries_total", "").await;
        let time = format!("{:.1} s", ejected.as_secs_f64());
        report(&service, name, &seen, before, retries, &time).await;
    }

    let ports: Vec<_> = service.apis.iter().map(|api| api.port).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "[upstreams.api]\nhealth_interval = \"100ms\"\neject_time = \"500ms\"\nretry_floor = 100\nslow_start = \"1s\"\n";
    let gateway = Gateway::start(folder.path(), &ports, settings).await.expect("a gateway");
    let name = "killed and started again, each in turn";
    let load = Load::start(&service.user, &gateway.client().expect("a client"), name);
    for number in 0..3 {
        load.more_reads(200).await;
        service.apis[number].process.stop(Signal::Kill).await;
        load.more_reads(100).await;
        service.apis[number].restart().await.expect("it starts");
        let healthy = async || (metric(&gateway, "gateway_upstream_healthy", "").await == 3).then_some(());
        eventually("all to be healthy", PATIENCE, healthy).await;
    }
    load.more_reads(reads).await;
    let seen = load.end().await;
    let retries = metric(&gateway, "gateway_upstream_retries_total", "").await;
    report(&service, name, &seen, 0, retries, "never waited for").await;
}

/// A row of the table, and what must hold in each.
async fn report(service: &Service, name: &str, seen: &Shared, before: usize, retries: u64, time: &str) {
    let failed = seen.failed_reads.lock().expect("unpoisoned").clone();
    let doubled = service.doubled(name).await;
    let after = failed.len() - before;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "| {name} | {} | {} | {before} | {after} | {} | {retries} | {time} | {doubled} |",
        count(&seen.reads),
        count(&seen.writes),
        count(&seen.failed_writes)
    );
    assert_eq!(after, 0, "{name}: {:?}", failed.iter().skip(before).take(3).collect::<Vec<_>>());
    assert_eq!(doubled, 0, "{name}: a write was done twice");
}
