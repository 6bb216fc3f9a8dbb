//! Who may reach whom.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::manifests::{ENVIRONMENTS, Manifests, list, text};

pub(crate) async fn everything_is_closed_but_what_is_used() {
    let manifests = Manifests::of("production");
    let openings: BTreeSet<_> =
        manifests.kind("NetworkPolicy").flat_map(|policy| openings(&manifests, policy)).collect();
    let expected = [
        "api <- gateway 8000/TCP",
        "api <- monitoring/prometheus 9902/TCP",
        "api -> 10.20.0.10/32 5432/TCP",
        "api -> kube-system/kube-dns 53/TCP",
        "api -> kube-system/kube-dns 53/UDP",
        "backup -> 10.20.0.10/32 5432/TCP",
        "backup -> kube-system/kube-dns 53/TCP",
        "backup -> kube-system/kube-dns 53/UDP",
        "gateway <- anywhere 8080/TCP",
        "gateway <- anywhere 8443/TCP",
        "gateway <- monitoring/prometheus 9901/TCP",
        "gateway -> api 8000/TCP",
        "migrations -> 10.20.0.10/32 5432/TCP",
        "migrations -> kube-system/kube-dns 53/TCP",
        "migrations -> kube-system/kube-dns 53/UDP",
    ];
    assert_eq!(openings, expected.map(str::to_owned).into());
}

pub(crate) async fn every_pod_is_closed_in_both_directions() {
    for manifests in ENVIRONMENTS.map(Manifests::of) {
        let deny = &manifests.one("NetworkPolicy", "default-deny")["spec"];
        let closed = manifests.selected(&deny["podSelector"]["matchLabels"]);
        assert_eq!(closed.len(), manifests.pods().len());
        assert!(deny["ingress"].is_null() && deny["egress"].is_null());
        for policy in manifests.kind("NetworkPolicy") {
            let types: Vec<_> = list(&policy["spec"]["policyTypes"]).map(text).collect();
            assert_eq!(types, ["Ingress", "Egress"]);
        }
    }
}

/// What a policy opens, as `who <- from port` and `who -> to port`.
fn openings(manifests: &Manifests, policy: &Value) -> Vec<String> {
    let spec = &policy["spec"];
    let selected = manifests.selected(&spec["podSelector"]["matchLabels"]);
    let mut found = Vec::new();
    for (rules, peers, arrow) in [("ingress", "from", "<-"), ("egress", "to", "->")] {
        for rule in list(&spec[rules]) {
            let mut others: Vec<_> = list(&rule[peers]).map(|peer| named(manifests, peer)).collect();
            if others.is_empty() {
                others.push("anywhere".to_owned());
            }
            let mut ports: Vec<_> =
                list(&rule["ports"]).map(|port| format!("{}/{}", port["port"], text(&port["protocol"]))).collect();
            if ports.is_empty() {
                ports.push("any port".to_owned());
            }
            for pod in &selected {
                for other in &others {
                    found.extend(ports.iter().map(|port| format!("{} {arrow} {other} {port}", pod.component)));
                }
            }
        }
    }
    found
}

/// A peer in words.
fn named(manifests: &Manifests, peer: &Value) -> String {
    if let Some(cidr) = peer["ipBlock"]["cidr"].as_str() {
        return cidr.to_owned();
    }
    let labels = &peer["podSelector"]["matchLabels"];
    let Some(namespace) = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"].as_str() else {
        return manifests.selected(labels).iter().map(|pod| pod.component).collect::<Vec<_>>().join("+");
    };
    let labels = labels.as_object().expect("labels").values().map(text).collect::<Vec<_>>().join("+");
    format!("{namespace}/{labels}")
}
