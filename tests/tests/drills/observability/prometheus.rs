//! Asking the stack's Prometheus over its HTTP API.

use std::time::Duration;

use reqwest::Url;
use serde_json::Value;
use todo_tests::{client::Client, wait::eventually};

use crate::service::Stack;

/// A Prometheus that runs.
pub(crate) struct Prometheus {
    client: Client,
}

impl Prometheus {
    /// That of the stack, once it has seen every instance.
    pub(crate) async fn of(stack: &Stack) -> Self {
        let port = stack.setting("STACK_PROMETHEUS_PORT").parse().expect("a port");
        let prometheus = Self { client: Client::http(port).expect("a client") };
        eventually("Prometheus to read the metrics of all five instances", Duration::from_secs(30), async || {
            let up = prometheus.query(r#"sum(up{tier=~"api|gateway"})"#).await;
            (up == [5.0]).then_some(())
        })
        .await;
        prometheus
    }

    /// The values of an expression now, one for each series; some may be NaN.
    pub(crate) async fn query(&self, expression: &str) -> Vec<f64> {
        let url = Url::parse_with_params("http://localhost/api/v1/query", [("query", expression)]).expect("a URL");
        let answer = self.client.get(&format!("{}?{}", url.path(), url.query().unwrap_or_default())).await;
        assert_eq!(answer.status, 200, "Prometheus refuses {expression}: {}", answer.text);
        let answer = answer.json();
        let series = answer["data"]["result"].as_array().expect("a vector");
        series.iter().filter_map(|series| series["value"][1].as_str()?.parse().ok()).collect()
    }

    /// What it says of its rules: every group's rules, one list.
    pub(crate) async fn rules(&self) -> Vec<Value> {
        let answer = self.client.get("/api/v1/rules").await.expect(200).json();
        let groups = answer["data"]["groups"].as_array().expect("groups");
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// Why each target could not be read the last time; empty where it could.
    pub(crate) async fn scrape_errors(&self) -> Vec<String> {
        let answer = self.client.get("/api/v1/targets?state=active").await.expect(200).json();
        let targets = answer["data"]["activeTargets"].as_array().expect("targets");
        targets.iter().map(|target| target["lastError"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The state of an alert for the instance at a port of loopback: `pending`, `firing`, or nothing.
    pub(crate) async fn alert(&self, name: &str, port: &str) -> Option<String> {
        let answer = self.client.get("/api/v1/alerts").await.expect(200).json();
        let instance = format!("127.0.0.1:{port}");
        let alerts = answer["data"]["alerts"].as_array().expect("alerts");
        let alert = alerts
            .iter()
            .find(|alert| alert["labels"]["alertname"] == name && alert["labels"]["instance"] == instance.as_str())?;
        alert["state"].as_str().map(str::to_owned)
    }
}
