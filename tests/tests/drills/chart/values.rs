//! What the chart can be told, and what it says to mistakes.

use crate::{
    copy::Copy,
    manifests::{self, Manifests, chart, text},
    script,
};

pub(crate) async fn a_changed_configuration_rolls_its_tier_and_no_other() {
    let checksum = |manifests: &Manifests, component: &str| {
        text(&manifests.pod(component).template["metadata"]["annotations"]["checksum/config"]).to_owned()
    };
    let before = Manifests::rendered_with(&[]);
    let after = Manifests::rendered_with(&["--set-string", "api.config=[log]\nlevel = \"warn\""]);
    assert_ne!(checksum(&before, "api"), checksum(&after, "api"));
    assert_eq!(checksum(&before, "gateway"), checksum(&after, "gateway"));
    assert_eq!(text(&after.one("ConfigMap", "migrations")["data"]["api.toml"]).trim(), "[log]\nlevel = \"warn\"");
}

pub(crate) async fn the_chart_has_the_version_of_what_it_runs() {
    let about = manifests::yaml(&std::fs::read_to_string(chart().join("Chart.yaml")).expect("Chart.yaml")).remove(0);
    for key in ["version", "appVersion"] {
        assert_eq!(about[key], env!("CARGO_PKG_VERSION"), "{key}");
    }
    let released =
        Manifests::rendered_with(&["--set-string", "image.tag=1.2.3,image.registry=registry.example.org/todo"]);
    for (component, tier) in [("api", "api"), ("gateway", "gateway"), ("migrations", "api")] {
        let expected = format!("registry.example.org/todo/todo-{tier}:1.2.3");
        assert_eq!(released.pod(component).container()["image"], expected);
    }
}

pub(crate) async fn a_mistake_in_the_values_is_one_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("values.yaml");
    let check = |values: &str| {
        std::fs::write(&file, values).expect("written");
        let said = script::run(&mut script::command("deploy/bin/check-chart", &[file.to_str().expect("a path")]));
        assert_eq!(said.err.lines().count(), 1, "{values}: {}{}", said.out, said.err);
        said.failed()
    };
    for (values, expected) in [
        ("api: {replicsa: 3}", "/api: additional properties 'replicsa' not allowed (known there: replicas, config"),
        ("gateway: {autoscaling: {maxReplica: 3}}", "(known there: enabled, maxReplicas, targetCPUPercent)"),
        ("enviroment: staging", "additional properties 'enviroment' not allowed"),
        ("environment: prod", "/environment: value must be one of 'staging', 'production'"),
        ("api: {replicas: 0}", "/api/replicas: minimum"),
        ("api: {replicas: 9}", "api.autoscaling.maxReplicas is 5, below api.replicas, which is 9"),
        ("network: {database: {to: []}}", "/network/database/to"),
        ("api: {resources: {limits: {memory: 512}}}", "/api/resources/limits/memory: got number, want string"),
        ("api: {", "failed to parse"),
    ] {
        let said = check(values);
        assert!(said.contains(expected), "{values}: {said}");
    }
    // Helm refuses by itself as well: nobody has to call a script of ours.
    let said = manifests::helm(&["template", "--set", "api.replicsa=3"]);
    assert!(said.code != 0 && said.err.contains("'replicsa' not allowed"), "{}", said.err);
}

pub(crate) async fn a_rendered_file_that_drifts_is_seen_and_mended() {
    let copy = Copy::new();
    copy.run("deploy/bin/render", &["--check"]).succeeded();
    copy.replace("deploy/helm/todo-platform/values.yaml", "maxReplicas: 4", "maxReplicas: 5");
    let said = copy.run("deploy/bin/check-chart", &[]).failed();
    assert!(said.starts_with("deploy/kubernetes/production.yaml is not what the chart renders"), "{said}");
    let said = copy.run("deploy/bin/render", &[]).succeeded();
    assert!(
        said.contains("unchanged deploy/kubernetes/staging.yaml\nwrote deploy/kubernetes/production.yaml"),
        "{said}"
    );
    copy.run("deploy/bin/check-chart", &[]).succeeded();
    copy.replace("deploy/helm/todo-platform/templates/disruption.yaml", "maxUnavailable:", "maxUnavailabel:");
    let said = copy.run("deploy/bin/check-chart", &[]).failed();
    assert!(said.contains("Kubernetes 1.27 would refuse what is rendered"), "{said}");
}

pub(crate) async fn a_missing_or_another_helm_is_one_sentence() {
    let copy = Copy::new();
    let other = copy.path("helm");
    // Stands for a Helm that cannot be had here: it only says its version.
    std::fs::write(&other, "#!/bin/sh\necho v3.14.0\n").expect("written");
    std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    for (helm, expected) in [
        ("/nowhere/helm".to_owned(), "helm is missing: run 'make tools'"),
        (other.display().to_string(), "is v3.14.0 and the chart is made for helm v4"),
    ] {
        for name in ["deploy/bin/render", "deploy/bin/check-chart"] {
            let said = script::run(copy.command(name, &[]).env("HELM", &helm)).failed();
            assert!(said.contains(expected), "{said}");
        }
    }
}
