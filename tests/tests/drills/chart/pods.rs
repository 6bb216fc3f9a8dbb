//! What runs: restricted, probed, with configuration and secrets that the real tiers take.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    container::Secrets,
    manifests::{API_ADDRESS, ENVIRONMENTS, Manifests, Pod, component_of, list, text},
};

pub(crate) async fn every_pod_is_restricted() {
    for manifests in ENVIRONMENTS.map(Manifests::of) {
        let components: BTreeSet<_> = manifests.pods().iter().map(|pod| pod.component).collect();
        assert_eq!(components, BTreeSet::from(["api", "backup", "gateway", "migrations"]));
        for pod in manifests.pods() {
            let (component, spec, container) = (pod.component, &pod.template["spec"], pod.container());
            assert_eq!(spec["automountServiceAccountToken"], false, "{component}");
            let security = &spec["securityContext"];
            assert_eq!(security["runAsNonRoot"], true, "{component}");
            assert_eq!(security["runAsUser"], 65532, "{component}");
            assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{component}");
            let expected = json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            });
            assert_eq!(container["securityContext"], expected, "{component}");
            for amount in ["cpu", "memory"] {
                for side in ["requests", "limits"] {
                    assert!(!container["resources"][side][amount].is_null(), "{component}: {side}.{amount}");
                }
            }
            assert_ne!(text(&container["image"]).rsplit_once(':').expect("a tag").1, "latest", "{component}");
            for kind in ["hostPath", "hostNetwork", "hostPID"] {
                assert!(!spec.to_string().contains(kind), "{component}: {kind}");
            }
        }
    }
}

pub(crate) async fn liveness_asks_nobody_else_and_a_stop_has_its_time() {
    for manifests in ENVIRONMENTS.map(Manifests::of) {
        for pod in manifests.pods().iter().filter(|pod| pod.serves) {
            let container = pod.container();
            for (probe, path) in
                [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
            {
                assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "admin"}), "{}", pod.component);
            }
            let variables = pod.variables();
            let seconds = |name: &str| -> u64 {
                let (_, value) = variables.iter().find(|(variable, _)| variable.ends_with(name)).expect("the variable");
                value.strip_suffix('s').and_then(|seconds| seconds.parse().ok()).expect("seconds")
            };
            let grace = pod.template["spec"]["terminationGracePeriodSeconds"].as_u64().expect("a time");
            assert!(grace > seconds("STOP_DELAY") + seconds("DRAIN_TIMEOUT"), "{}: {grace} s", pod.component);
        }
    }
}

pub(crate) async fn secrets_are_named_and_never_held() {
    for manifests in ENVIRONMENTS.map(Manifests::of) {
        assert_eq!(manifests.kind("Secret").count(), 0);
        for pod in manifests.pods() {
            let mounted = pod.secret_files();
            for variable in list(&pod.container()["env"]) {
                let (name, value) = (text(&variable["name"]), text(&variable["value"]));
                let secret = ["URL", "KEY_RING", "TOKEN"].iter().any(|word| name.contains(word));
                assert_eq!(secret, name.ends_with("_FILE"), "{}: {name}", pod.component);
                assert!(!secret || mounted.contains_key(value), "{}: {value} is not mounted", pod.component);
            }
            for volume in list(&pod.template["spec"]["volumes"]) {
                assert!(volume["projected"].is_null() || volume["projected"]["defaultMode"] == 0o440, "{volume}");
            }
        }
    }
    let renamed =
        Manifests::rendered_with(&["--set", "secrets.database.existingSecret=other,secrets.database.caKey=ca.crt"]);
    for component in ["api", "migrations"] {
        let files = renamed.pod(component).secret_files();
        assert_eq!(files.get("/run/secrets/database-url").map(String::as_str), Some("other/url"));
        assert_eq!(files.get("/run/secrets/database-ca").map(String::as_str), Some("other/ca.crt"));
    }
}

pub(crate) async fn the_tiers_take_what_they_are_given() {
    let secrets = Secrets::new();
    for manifests in ENVIRONMENTS.map(Manifests::of) {
        for component in ["api", "gateway", "migrations"] {
            manifests.container(manifests.pod(component)).check(&secrets).succeeded();
        }
        for component in ["api", "gateway"] {
            let config = format!("/etc/todo/{component}.toml");
            assert_eq!(
                manifests.pod(component).container()["args"][2],
                config,
                "deploy/bin/health-check names this file"
            );
        }
    }
}

pub(crate) async fn the_schema_is_migrated_before_anything_else_and_not_on_the_way_back() {
    let manifests = Manifests::of("production");
    let hooks: Vec<_> = manifests.all().filter(|object| component_of(object) == "migrations").collect();
    assert_eq!(hooks.len(), 3, "the job, its configuration and its network policy");
    let weight = |object: &Value| match &object["metadata"]["annotations"]["helm.sh/hook-weight"] {
        Value::Null => 0,
        weight => text(weight).parse::<i32>().expect("a number"),
    };
    let job = manifests.one("Job", "migrations");
    for hook in hooks {
        assert_eq!(hook["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
        assert!(hook == job || weight(hook) < weight(job), "{} is there before the job", hook["kind"]);
    }
    let pod = manifests.pod("migrations");
    assert_eq!(pod.container()["args"][0], "migrate");
    assert_eq!(pod.container()["image"], manifests.pod("api").container()["image"], "of the version that comes");
    for config in pod.config_maps().values() {
        assert_eq!(*config, "todo-platform-migrations", "all it mounts is there before the release is");
    }
}

pub(crate) async fn ports_and_names_agree() {
    for manifests in ENVIRONMENTS.map(Manifests::of) {
        for service in manifests.kind("Service") {
            let pods = manifests.selected(&service["spec"]["selector"]);
            assert_eq!(pods.iter().map(|pod| pod.component).collect::<Vec<_>>(), [component_of(service)]);
            for port in list(&service["spec"]["ports"]) {
                assert!(pods[0].ports().contains_key(text(&port["targetPort"])), "{port}");
            }
        }
        let gateway = &manifests.one("Service", "gateway")["spec"];
        let published: Vec<_> = list(&gateway["ports"]).map(|port| (&port["port"], &port["targetPort"])).collect();
        assert_eq!(published, [(&json!(443), &json!("https")), (&json!(80), &json!("http"))]);
        for (component, listeners) in [
            ("api", vec![("SERVER__LISTEN", "http"), ("ADMIN__LISTEN", "admin")]),
            ("gateway", vec![("LISTEN__HTTPS", "https"), ("LISTEN__HTTP", "http"), ("ADMIN__LISTEN", "admin")]),
        ] {
            let pod = manifests.pod(component);
            let variables = manifests.container(pod).variables;
            for (key, port) in listeners {
                let name = format!("TODO_{}__{key}", component.to_uppercase());
                assert_eq!(variables[&name], format!("0.0.0.0:{}", pod.ports()[port]), "{component}");
            }
        }
        let gateway = manifests.container(manifests.pod("gateway")).variables;
        let api = &manifests.one("Service", "api")["spec"]["ports"][0]["port"];
        assert_eq!(gateway["TODO_GATEWAY__UPSTREAMS__API__ADDRESSES"], format!("{API_ADDRESS}:{api}"));
    }
}

pub(crate) async fn replicas_are_kept_spread_and_scaled() {
    let manifests = Manifests::of("production");
    for (component, replicas) in [("api", 3), ("gateway", 2)] {
        let scaler = &manifests.one("HorizontalPodAutoscaler", component)["spec"];
        let deployment = manifests.one("Deployment", component);
        assert_eq!(scaler["scaleTargetRef"]["name"], deployment["metadata"]["name"]);
        assert_eq!(scaler["minReplicas"], replicas);
        assert!(deployment["spec"]["replicas"].is_null(), "an upgrade must not undo the scaler's work");
        let staging = Manifests::of("staging");
        assert_eq!(staging.kind("HorizontalPodAutoscaler").count(), 0);
        assert_eq!(staging.one("Deployment", component)["spec"]["replicas"], replicas);

        let own = |pods: Vec<Pod<'_>>| pods.iter().map(|pod| pod.component.to_owned()).collect::<Vec<_>>();
        let budget = &manifests.one("PodDisruptionBudget", component)["spec"];
        assert_eq!(budget["maxUnavailable"], 1);
        assert_eq!(own(manifests.selected(&budget["selector"]["matchLabels"])), [component]);
        let spread = &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"];
        assert_eq!(list(spread).count(), 2);
        for constraint in list(spread) {
            assert_eq!(own(manifests.selected(&constraint["labelSelector"]["matchLabels"])), [component]);
        }
    }
    // All that the API may open, with one process more while a version is rolled out, is below PostgreSQL's default.
    let config: toml::Table = text(&manifests.one("ConfigMap", "api")["data"]["api.toml"]).parse().expect("TOML");
    let each = config["database"]["max_connections"].as_integer().expect("a number");
    let most = manifests.one("HorizontalPodAutoscaler", "api")["spec"]["maxReplicas"].as_i64().expect("a number");
    assert!((most + 1) * each <= 97, "({most} + 1) * {each} connections");
}

pub(crate) async fn metrics_are_found_and_read_with_the_token() {
    let manifests = Manifests::rendered_with(&["--set", "monitoring.podMonitor.enabled=true"]);
    let monitor = manifests.kind("PodMonitor").next().expect("a monitor");
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let chosen = manifests.selected(&monitor["spec"]["selector"]["matchLabels"]);
    let admin: Vec<_> = chosen.into_iter().filter(|pod| pod.ports().contains_key(text(&endpoint["port"]))).collect();
    assert_eq!(admin.iter().map(|pod| pod.component).collect::<BTreeSet<_>>(), BTreeSet::from(["api", "gateway"]));
    let credentials = &endpoint["authorization"]["credentials"];
    let token = format!("{}/{}", text(&credentials["name"]), text(&credentials["key"]));
    for pod in admin {
        assert_eq!(pod.secret_files()["/run/secrets/admin-token"], token);
    }
}
