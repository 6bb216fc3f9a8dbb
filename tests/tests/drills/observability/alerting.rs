//! An alert from the fault to the message and back: Prometheus and Alertmanager with this project's configuration, and a
//! listener that stands where the paging service stands.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use todo_tests::{client::Client, origin::Origin, ports, process::Process, wait::eventually};

use super::prometheus::Prometheus;
use crate::{script::root, service::Stack};

const PATIENCE: Duration = Duration::from_secs(30);

/// One replica is killed: `ApplicationDown` is pending at once, fires after its minute, reaches the pager, keeps its tier's
/// other alerts quiet, and clears when the replica is back.
pub(crate) async fn a_dead_replica_is_reported_until_it_is_back() {
    let stack = Stack::up();
    let prometheus = Prometheus::of(&stack).await;
    let pager = Origin::plain().await.expect("a listener");
    let alertmanager = Alertmanager::start(&stack, &pager).await;
    let state = async || prometheus.alert("ApplicationDown", stack.setting("STACK_API_3_ADMIN_PORT")).await;
    assert_eq!(state().await, None, "nothing is wrong yet");

    stack.run("deploy/bin/stack", &["kill", "api-3"]).succeeded();
    let killed = Instant::now();
    eventually("the alert to be pending", PATIENCE, async || (state().await? == "pending").then_some(())).await;
    // There is time until it fires.
    a_configuration_that_was_not_taken_is_noticed(&stack, &prometheus).await;
    every_alert_tells_what_to_do(&prometheus).await;
    let minute = Duration::from_mins(1);
    eventually("the alert to fire", minute + PATIENCE, async || (state().await? == "firing").then_some(())).await;
    assert!(killed.elapsed() >= minute, "it fired after {:?}, a restart would call somebody", killed.elapsed());
    paged(&pager, "firing").await;

    // What else is wrong with the API follows from that; what is wrong with the gateways is told.
    alertmanager.raise(&json!({ "alertname": "DatabaseConnectionsHigh", "tier": "api" })).await;
    alertmanager.raise(&json!({ "alertname": "MemoryHigh", "tier": "gateway" })).await;
    alertmanager.becomes("DatabaseConnectionsHigh", "suppressed").await;
    alertmanager.becomes("MemoryHigh", "active").await;

    stack.run("deploy/bin/stack", &["start", "api-3"]).succeeded();
    eventually("the alert to clear", PATIENCE, async || state().await.is_none().then_some(())).await;
    paged(&pager, "resolved").await;
}

/// A gateway that cannot read its configuration says so until it can.
async fn a_configuration_that_was_not_taken_is_noticed(stack: &Stack, prometheus: &Prometheus) {
    let file = stack.folder().join("config/gateway-2.toml");
    let state =
        async || prometheus.alert("ConfigurationReloadFailed", stack.setting("STACK_GATEWAY_2_ADMIN_PORT")).await;
    assert_eq!(state().await, None);
    let text = fs::read_to_string(&file).expect("read");
    fs::write(&file, format!("{text}\n[no_such_section]\n")).expect("written");
    eventually("the mistake to be noticed", PATIENCE, async || state().await).await;
    fs::write(&file, text).expect("written");
    eventually("the alert to clear", PATIENCE, async || state().await.is_none().then_some(())).await;
}

/// Each alert waits a while, has a severity that Alertmanager knows, words, and a page that exists.
async fn every_alert_tells_what_to_do(prometheus: &Prometheus) {
    let rules = prometheus.rules().await;
    let alerts: Vec<_> = rules.iter().filter(|rule| rule["type"] == "alerting").collect();
    let names: Vec<_> = alerts.iter().filter_map(|alert| alert["name"].as_str()).collect();
    for name in ["ApplicationDown", "ErrorRateHigh", "ResponseTimeHigh", "DatabaseConnectionsHigh", "MemoryHigh"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let index = fs::read_to_string(root().join("docs/runbooks/README.md")).expect("the index of the runbooks");
    for (alert, name) in alerts.iter().zip(names) {
        assert!(alert["duration"].as_f64() > Some(0.0), "{name} does not wait: a moment would call somebody");
        assert!(matches!(alert["labels"]["severity"].as_str(), Some("critical" | "warning")), "{alert}");
        for words in ["summary", "description"] {
            assert!(alert["annotations"][words].as_str().is_some_and(|text| !text.is_empty()), "{name}: no {words}");
        }
        let page = format!("docs/runbooks/{name}.md");
        let link = alert["annotations"]["runbook_url"].as_str().unwrap_or_default();
        assert!(link.starts_with("https://") && link.ends_with(&page), "{name} links {link}");
        assert!(root().join(&page).is_file(), "{page} is missing");
        assert!(index.contains(&format!("({name}.md)")), "the index does not list {name}");
    }
}

/// Waits until the pager was told, by who knows its token.
async fn paged(pager: &Origin, status: &str) {
    let told = eventually(&format!("the pager to be told: {status}"), PATIENCE, async || {
        pager.requests().into_iter().find(|request| {
            let message: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            message["status"] == status && message["commonLabels"]["alertname"] == "ApplicationDown"
        })
    })
    .await;
    assert_eq!(told.field("authorization"), Some("Bearer pager-secret"));
    let message: Value = serde_json::from_slice(&told.body).expect("JSON");
    assert_eq!(message["groupLabels"], json!({ "alertname": "ApplicationDown", "tier": "api" }));
    assert!(message["commonAnnotations"]["summary"].as_str().is_some_and(|summary| summary.contains("is down")));
}

/// A running Alertmanager that the stack's Prometheus sends to.
struct Alertmanager {
    client: Client,
    _process: Process,
}

impl Alertmanager {
    /// Starts it with the project's configuration. Only addresses differ, for which a test has its own, and how long a
    /// group waits before more is told of it: minutes there, a second here.
    async fn start(stack: &Stack, pager: &Origin) -> Self {
        let folder = stack.folder().join("alertmanager");
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("pager-token"), "pager-secret").expect("written");
        let mut text =
            fs::read_to_string(root().join("deploy/monitoring/alertmanager/alertmanager.yml")).expect("read");
        for (theirs, ours) in [
            ("https://pager.example.org/", format!("http://127.0.0.1:{}/", pager.port)),
            // Nothing listens there: mail is not what is looked at.
            ("mail.example.org:587", "127.0.0.1:9".to_owned()),
            ("/etc/alertmanager/", format!("{}/", folder.display())),
            ("group_wait: 10s", "group_wait: 1s".to_owned()),
            ("group_interval: 5m", "group_interval: 1s".to_owned()),
        ] {
            assert!(text.contains(theirs), "alertmanager.yml has no {theirs}");
            text = text.replace(theirs, &ours);
        }
        let config = folder.join("alertmanager.yml");
        fs::write(&config, text).expect("written");

        let port = ports::free().expect("a port");
        let process = Process::start("alertmanager", &folder, &mut command(&config, &folder, port)).expect("started");
        let client = Client::http(port).expect("a client");
        eventually("Alertmanager to be ready", PATIENCE, async || {
            client.send("GET", "/-/ready", &[], None).await.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
        let targets = format!("- targets: ['127.0.0.1:{port}']\n");
        fs::write(stack.folder().join("prometheus/alertmanagers/drill.yml"), targets).expect("written");
        Self { client, _process: process }
    }

    /// Raises an alert that nothing here causes.
    async fn raise(&self, labels: &Value) {
        self.client.post("/api/v2/alerts", &json!([{ "labels": labels }])).await.expect(200);
    }

    /// Waits until it has this state: `active` is told, `suppressed` is not.
    async fn becomes(&self, name: &str, state: &str) {
        eventually(&format!("{name} to be {state}"), PATIENCE, async || {
            let alerts = self.client.get("/api/v2/alerts").await.expect(200).json();
            let alerts = alerts.as_array().cloned().unwrap_or_default();
            let alert = alerts.into_iter().find(|alert| alert["labels"]["alertname"] == name)?;
            (alert["status"]["state"] == state).then_some(())
        })
        .await;
    }
}

fn command(config: &Path, folder: &Path, port: u16) -> Command {
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        // Alone: without an address it finds no others.
        .arg("--cluster.listen-address=");
    command
}
