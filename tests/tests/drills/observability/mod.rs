//! What operators see: a real Prometheus with this project's rules on the running service, every query of the dashboard,
//! an alert from the fault to the message and back, and what may never stand in a metric.

mod alerting;
mod prometheus;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    net::TcpStream,
    ops::Range,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use todo_tests::{
    client::{Account, Client, PASSWORD},
    wait::eventually,
};

pub(crate) use self::alerting::a_dead_replica_is_reported_until_it_is_back;
use self::prometheus::Prometheus;
use crate::{script::root, service::Stack};

const DASHBOARD: &str = "grafana/dashboards/overview.json";

/// The admin listeners, as settings of the stack name them.
const INSTANCES: [&str; 5] = [
    "STACK_API_1_ADMIN_PORT",
    "STACK_API_2_ADMIN_PORT",
    "STACK_API_3_ADMIN_PORT",
    "STACK_GATEWAY_1_ADMIN_PORT",
    "STACK_GATEWAY_2_ADMIN_PORT",
];

/// With a little traffic no panel is empty, no recorded number is missing, and no rule fails.
pub(crate) async fn every_query_of_the_dashboard_returns_data() {
    let stack = Stack::up();
    let prometheus = Prometheus::of(&stack).await;
    let mut silent = dashboard_queries();
    assert!(silent.len() > 30, "{DASHBOARD} was not read: {silent:?}");
    for rule in prometheus.rules().await {
        assert_eq!(rule["health"], "ok", "{rule}");
        if rule["type"] == "recording" {
            let name = rule["name"].as_str().expect("a name").to_owned();
            silent.insert(format!("the rule {name}"), name);
        }
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    while !silent.is_empty() && Instant::now() < deadline {
        for gateway in [1, 2] {
            use_the_service(&stack, gateway).await;
        }
        for (place, query) in silent.clone() {
            if prometheus.query(&query).await.iter().any(|value| value.is_finite()) {
                silent.remove(&place);
            }
        }
    }
    assert!(silent.is_empty(), "with traffic on the service, these show nothing: {silent:#?}");
}

/// Where each query of the dashboard stands, and the query as Grafana would send it with everything selected.
fn dashboard_queries() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join(DASHBOARD)).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut queries = BTreeMap::new();
    let mut add = |place: String, query: &Value| {
        let query = query.as_str().unwrap_or_else(|| panic!("{place} has no query"));
        let query = query.replace("$tier", ".+").replace("$instance", ".+").replace("$__rate_interval", "30s");
        assert!(!query.contains('$'), "{place} uses a variable that this test does not know: {query}");
        queries.insert(place, query);
    };
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            add(format!("panel {} {}", panel["title"], target["legendFormat"]), &target["expr"]);
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        add(format!("annotation {}", annotation["name"]), &annotation["expr"]);
    }
    for variable in list(&dashboard["templating"]["list"]) {
        // Its values are those of a label: `label_values(<selector>, <label>)`.
        let definition = variable["definition"].as_str().unwrap_or_default();
        if let Some((selector, _)) = definition.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(',')) {
            add(format!("variable {}", variable["name"]), &selector.into());
        }
    }
    queries
}

/// What users do and do wrong, and what is no request at all.
async fn use_the_service(stack: &Stack, gateway: u8) {
    let client = stack.client(gateway);
    let account = client.register().await;
    let account = client.login(&account.email).await;
    let todo = account.todo("milk").await;
    let path = format!("/v1/todos/{}", todo["id"].as_str().expect("an id"));
    for path in ["/v1/todos", "/v1/me", &path] {
        account.client.get(path).await.expect(200);
    }
    account.client.delete(&path).await;
    account.client.get("/v1/todos/0").await.expect_problem(404, "not_found");
    client.with_token("forged").get("/v1/me").await.expect_problem(401, "token_invalid");
    // The gateway refuses this one itself.
    client.get("/nowhere").await.expect_problem(404, "not_found");
    let mut plain = TcpStream::connect(("127.0.0.1", https_port(stack, gateway))).expect("a connection");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
}

/// Metrics are for operators only, and nothing that clients write gets into them.
pub(crate) async fn what_is_exported_is_safe() {
    let stack = Stack::up();
    let token = fs::read_to_string(stack.setting("STACK_ADMIN_TOKEN_FILE")).expect("the token");
    metrics_are_told_only_to_who_knows_the_token(&stack, token.trim()).await;
    requests_leave_nothing_in_labels(&stack, token.trim()).await;
}

/// Whatever a client writes into a request, no label takes it up, and the number of series stays what it is.
async fn requests_leave_nothing_in_labels(stack: &Stack, token: &str) {
    const MARK: &str = "q7w3";
    let series = async || -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for instance in INSTANCES {
            let text = admin(stack, instance).with_token(token).get("/metrics").await.expect(200).text;
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            all.extend(lines.filter_map(|line| Some(format!("{instance} {}", line.rsplit_once(' ')?.0))));
        }
        all
    };
    // Every kind often enough to reach every replica: what a kind needs is there after that.
    let account = stack.client(1).register().await;
    be_odd(stack, &account, MARK, 0..6).await;
    let before = series().await;
    be_odd(stack, &account, MARK, 6..20).await;
    let after = series().await;

    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.len() < 14, "requests of known kinds made {} new series: {new:#?}", new.len());
    let mut of_metric = BTreeMap::<&str, usize>::new();
    for line in &after {
        let taken = line.to_ascii_lowercase();
        for secret in [MARK, token, PASSWORD, "@example.org"] {
            assert!(!taken.contains(secret), "a label holds what a client or an operator wrote: {line}");
        }
        *of_metric.entry(line.split('{').next().unwrap_or_default()).or_default() += 1;
    }
    assert!(of_metric.len() > 50, "the metrics were not read: {of_metric:?}");
    for (metric, count) in of_metric {
        assert!(count < 1000, "{metric} has {count} series");
    }
}

/// Requests with this mark, and a number behind it, in every place that a client chooses.
async fn be_odd(stack: &Stack, account: &Account, mark: &str, numbers: Range<u8>) {
    for gateway in [1, 2] {
        let (client, port) = (stack.client(gateway), https_port(stack, gateway));
        let member = client.with_token(account.client.token());
        for number in numbers.clone() {
            let mark = &*format!("{mark}{number}");
            let fields = [("x-request-id", mark), ("user-agent", mark), ("x-forwarded-for", mark), (mark, mark)];
            for path in [format!("/v1/todos/{mark}"), format!("/{mark}"), format!("/v1/todos?{mark}={mark}")] {
                member.send("GET", &path, &fields, None).await.expect("an answer");
            }
            member.post("/v1/todos", &json!({ "title": mark })).await.expect(201);
            client.with_token(mark).get("/v1/me").await.expect(401);
            client.send(&mark.to_ascii_uppercase(), "/v1/todos", &[], None).await.expect("an answer");
            let stranger = Client::misdirected(&format!("{mark}.example"), port).expect("a client");
            stranger.get("/").await.expect_problem(421, "host_untrusted");
        }
    }
}

/// Metrics are for who knows the token, health for everybody; and Prometheus with a wrong token sees what is wrong.
async fn metrics_are_told_only_to_who_knows_the_token(stack: &Stack, token: &str) {
    let prometheus = Prometheus::of(stack).await;
    for instance in INSTANCES {
        let client = admin(stack, instance);
        client.get("/metrics").await.expect(401);
        client.with_token(&token[1..]).get("/metrics").await.expect(401);
        client.with_token(token).get("/metrics").await.expect(200);
        client.get("/livez").await.expect(200);
        client.get("/readyz").await.expect(200);
    }

    let file = stack.folder().join("prometheus/admin-token");
    fs::write(&file, "another token").expect("written");
    let refused = async || {
        let errors = prometheus.scrape_errors().await;
        errors.iter().all(|error| error.contains("401")).then_some(())
    };
    eventually("every scrape to be refused", Duration::from_secs(20), refused).await;
    fs::write(&file, token).expect("written");
    let read = async || prometheus.scrape_errors().await.iter().all(String::is_empty).then_some(());
    eventually("every scrape to succeed again", Duration::from_secs(20), read).await;
}

fn https_port(stack: &Stack, gateway: u8) -> u16 {
    stack.setting(&format!("STACK_GATEWAY_{gateway}_HTTPS_PORT")).parse().expect("a port")
}

fn admin(stack: &Stack, instance: &str) -> Client {
    Client::http(stack.setting(instance).parse().expect("a port")).expect("a client")
}
