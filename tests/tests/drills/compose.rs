//! The Compose files, from outside: that they name what there is, and that the tiers take what they are given.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use todo_tests::generated::TIERS;

use crate::{
    container::{Container, Secrets},
    copy::Copy,
    manifests::{list, text, yaml},
    script,
};

const DEVELOPMENT: &str = "compose.yml";
const PRODUCTION: &str = "compose.production.yml";

/// One of the files.
fn compose(name: &str) -> Value {
    yaml(&fs::read_to_string(folder().join(name)).expect("the file")).remove(0)
}

fn folder() -> PathBuf {
    script::root().join("deploy/compose")
}

fn services(compose: &Value) -> impl Iterator<Item = (&str, &Value)> {
    compose["services"].as_object().expect("services").iter().map(|(name, service)| (name.as_str(), service))
}

/// The name of the tier that a service runs, if it runs one.
fn tier(service: &Value) -> Option<&str> {
    let name = match service["build"]["dockerfile"].as_str() {
        Some(dockerfile) => dockerfile.rsplit('/').next()?.strip_suffix(".Dockerfile")?,
        None => service["image"].as_str()?.split(':').next()?.strip_prefix("todo-")?,
    };
    ["api", "gateway"].contains(&name).then_some(name)
}

/// What Compose makes of `${NAME:-default}`, and of `${NAME:?sentence}` when the operator has set it.
fn interpolated(value: &str) -> String {
    let Some((before, rest)) = value.split_once("${") else { return value.to_owned() };
    let (expression, after) = rest.split_once('}').expect("an end");
    let value = match expression.split_once(":-") {
        Some((_, default)) => default,
        None if expression.starts_with("TODO_HOST:?") => "todo.example.org",
        None => panic!("${{{expression}}} has no value and no sentence"),
    };
    format!("{before}{value}{}", interpolated(after))
}

/// What a service's container would see.
fn container(compose: &Value, service: &Value) -> Container {
    let environment = service["environment"].as_object().expect("variables");
    let file = |config: &Value| {
        let path = folder().join(text(&compose["configs"][text(&config["source"])]["file"]));
        (text(&config["target"]).to_owned(), fs::read_to_string(path).expect("the configuration"))
    };
    let mut arguments: Vec<_> = list(&service["command"]).map(|argument| text(argument).to_owned()).collect();
    if arguments.is_empty() {
        arguments.push("run".to_owned());
    }
    Container {
        tier: format!("todo-{}", tier(service).expect("a tier")),
        arguments,
        variables: environment.iter().map(|(name, value)| (name.clone(), interpolated(text(value)))).collect(),
        files: list(&service["configs"]).map(file).collect(),
        secrets: list(&service["secrets"])
            .map(|name| (format!("/run/secrets/{}", text(name)), text(name).to_owned()))
            .collect(),
    }
}

pub(crate) async fn the_tiers_take_what_they_are_given() {
    let secrets = Secrets::new();
    for (file, expected) in [
        (DEVELOPMENT, vec!["api", "gateway"]),
        (PRODUCTION, vec!["api-1", "api-2", "api-3", "gateway-1", "gateway-2", "migrations"]),
    ] {
        let compose = compose(file);
        let tiers: BTreeMap<_, _> = services(&compose).filter(|(_, service)| tier(service).is_some()).collect();
        assert_eq!(tiers.keys().copied().collect::<Vec<_>>(), expected);
        for service in tiers.values() {
            container(&compose, service).check(&secrets).succeeded();
        }
    }
}

pub(crate) async fn what_the_files_name_is_there() {
    for compose in [DEVELOPMENT, PRODUCTION].map(compose) {
        let mut paths: Vec<_> = ["configs"]
            .iter()
            .flat_map(|kind| compose[kind].as_object().into_iter().flatten())
            .map(|(_, entry)| folder().join(text(&entry["file"])))
            .collect();
        for (_, service) in services(&compose) {
            if let Some(dockerfile) = service["build"]["dockerfile"].as_str() {
                paths.push(folder().join(text(&service["build"]["context"])).join(dockerfile));
            }
            for volume in list(&service["volumes"]).map(text) {
                let (source, _) = volume.split_once(':').expect("a source");
                if source.starts_with("${") {
                    continue; // the operator's own
                }
                if source.starts_with('.') {
                    paths.push(folder().join(source));
                } else {
                    assert!(compose["volumes"].get(source).is_some(), "{source} is no volume");
                }
            }
            for network in service["networks"].as_object().into_iter().flat_map(|networks| networks.keys()) {
                assert!(compose["networks"].get(network).is_some(), "{network} is no network");
            }
        }
        for path in paths {
            assert!(path.exists(), "{} is not there", path.display());
        }
    }
}

pub(crate) async fn every_container_of_production_is_restricted() {
    let compose = compose(PRODUCTION);
    for (name, service) in services(&compose) {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{name}");
        let tag = text(&service["image"]).split_once(':').expect("a tag").1;
        assert!(tag.starts_with("${TODO_VERSION:?") || tag.contains('.'), "{name}: {tag} is no version");
        for limit in ["cpus", "memory", "pids"] {
            assert!(!service["deploy"]["resources"]["limits"][limit].is_null(), "{name}: {limit}");
        }
        if name == "migrations" {
            assert_eq!(service["restart"], "no");
            continue;
        }
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        let test: Vec<_> = list(&service["healthcheck"]["test"]).map(text).collect();
        if let Some(tier) = tier(service) {
            assert_eq!(test[..3], ["CMD", &format!("/usr/local/bin/todo-{tier}"), "health"], "{name}");
            // It has to read what the process reads.
            let command: Vec<_> = list(&service["command"]).map(text).collect();
            assert_eq!(test[3..], *command.get(1..).unwrap_or_default(), "{name}");
        }
        assert!(test.len() > 1, "{name} is not watched");
    }
}

pub(crate) async fn secrets_are_files() {
    let compose = compose(PRODUCTION);
    let known: BTreeSet<_> = compose["secrets"].as_object().expect("secrets").keys().map(String::as_str).collect();
    let mut used = BTreeSet::new();
    for (name, service) in services(&compose) {
        let own: Vec<_> =
            list(&service["secrets"]).map(|secret| secret["source"].as_str().unwrap_or_else(|| text(secret))).collect();
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let secret = ["PASSWORD", "URL", "KEY_RING", "TOKEN"].iter().any(|word| variable.contains(word));
            let file = text(value).strip_prefix("/run/secrets/");
            assert_eq!(secret, file.is_some(), "{name}: {variable}");
            assert!(file.is_none_or(|file| own.contains(&file)), "{name} does not have {value}");
        }
        used.extend(own);
    }
    assert_eq!(known, used, "every secret is somebody's");
    for secret in known {
        assert_eq!(compose["secrets"][secret]["file"], format!("./secrets/{secret}"));
    }
    let path = "deploy/compose/secrets/key-ring";
    let mut git = Command::new("git");
    git.args(["check-ignore", path]).current_dir(script::root());
    assert_eq!(script::run(&mut git).succeeded().trim(), path);
}

pub(crate) async fn what_watches_finds_its_secrets() {
    let compose = compose(PRODUCTION);
    for (service, file, folder) in [
        ("alertmanager", "alertmanager/alertmanager.yml", ""),
        // Its paths are relative to the file.
        ("prometheus", "prometheus/prometheus.yml", "/etc/prometheus/"),
    ] {
        let text_of_it = fs::read_to_string(script::root().join("deploy/monitoring").join(file)).expect("the file");
        let named = text_of_it.lines().filter_map(|line| line.trim().split_once("_file: "));
        let named: BTreeSet<_> = named.map(|(_, path)| format!("{folder}{path}")).collect();
        let mounted = list(&compose["services"][service]["secrets"]).map(|secret| text(&secret["target"]).to_owned());
        assert_eq!(named, mounted.collect(), "{service}");
    }
}

pub(crate) async fn the_schema_comes_first_and_the_gateway_last() {
    let compose = compose(PRODUCTION);
    let waits = |service: &str, other: &str| compose["services"][service]["depends_on"][other]["condition"].clone();
    assert_eq!(compose["services"]["migrations"]["command"], json!(["migrate"]));
    assert_eq!(waits("migrations", "postgres"), "service_healthy");
    for api in ["api-1", "api-2", "api-3"] {
        assert_eq!(waits(api, "migrations"), "service_completed_successfully");
        for gateway in ["gateway-1", "gateway-2"] {
            assert_eq!(waits(gateway, api), "service_healthy");
        }
    }
}

pub(crate) async fn addresses_and_ports_agree() {
    let compose = compose(PRODUCTION);
    let replicas: Vec<_> = services(&compose)
        .filter_map(|(_, service)| service["networks"]["service"]["ipv4_address"].as_str())
        .map(|address| format!("{address}:8000"))
        .collect();
    assert_eq!(replicas.len(), 3);
    for gateway in ["gateway-1", "gateway-2"] {
        let variables = container(&compose, &compose["services"][gateway]).variables;
        assert_eq!(variables["TODO_GATEWAY__UPSTREAMS__API__ADDRESSES"], replicas.join(","));
    }
    let listeners: BTreeSet<_> = services(&compose)
        .filter(|(_, service)| {
            service["networks"].get("monitoring").is_some()
                || list(&service["networks"]).any(|name| name == "monitoring")
        })
        .filter_map(|(name, service)| Some((name, tier(service)?)))
        .map(|(name, tier)| {
            let variable = format!("TODO_{}__ADMIN__LISTEN", tier.to_uppercase());
            let listen = text(&compose["services"][name]["environment"][&variable]);
            format!("{tier} {name}:{}", listen.rsplit(':').next().expect("a port"))
        })
        .collect();
    let targets = fs::read_to_string(folder().join("prometheus/targets/tiers.yml")).expect("targets");
    let watched: BTreeSet<_> = list(&yaml(&targets)[0])
        .flat_map(|group| {
            list(&group["targets"]).map(|target| format!("{} {}", text(&group["labels"]["tier"]), text(target)))
        })
        .collect();
    assert_eq!(watched, listeners);
    assert_eq!(watched.len(), 5);
}

pub(crate) async fn a_stop_has_the_time_it_needs() {
    let compose = compose(PRODUCTION);
    for known in TIERS {
        let own: toml::Table = known.overlays[2].parse().expect("TOML");
        let defaults: toml::Table = known.defaults.parse().expect("TOML");
        let seconds = |key: &str| {
            let value =
                own.get("server").and_then(|server| server.get(key)).unwrap_or_else(|| &defaults["server"][key]);
            value.as_str().and_then(|value| value.strip_suffix('s')?.parse::<u64>().ok()).expect("seconds")
        };
        let needed = Duration::from_secs(seconds("stop_delay") + seconds("drain_timeout"));
        for (name, service) in services(&compose).filter(|(_, service)| tier(service) == Some(known.name)) {
            let grace =
                text(&service["stop_grace_period"]).strip_suffix('s').expect("seconds").parse().expect("a number");
            assert!(Duration::from_secs(grace) > needed, "{name}: {grace} s, and it needs {needed:?}");
        }
    }
}

pub(crate) async fn secrets_are_made_once_and_belong_to_their_readers() {
    use std::os::unix::fs::MetadataExt as _;
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("secrets");
    let make = || script::run(&mut script::command("deploy/bin/compose-secrets", &[folder.to_str().expect("a path")]));
    let said = make().succeeded();
    assert!(
        said.contains("still missing in") && said.contains("pager-token smtp-password tls-chain tls-key"),
        "{said}"
    );
    let all = || -> BTreeMap<_, _> {
        let entries = fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("an entry"));
        entries
            .map(|entry| (entry.file_name().into_string().expect("a name"), fs::read(entry.path()).expect("read")))
            .collect()
    };
    let first = all();
    assert_eq!(first.len(), 9);
    for name in first.keys() {
        let about = fs::metadata(folder.join(name)).expect("metadata");
        assert_eq!(about.mode() & 0o007, 0, "others cannot read {name}");
        let root = fs::metadata(&folder).expect("metadata").uid() == 0;
        assert!(!root || about.uid() != 0, "{name} belongs to a container's user");
    }
    assert!(make().succeeded().contains("made 0 in"));
    assert_eq!(all(), first);
    // The certificate and what it is verified with are one thing.
    fs::remove_file(folder.join("database-ca")).expect("removed");
    fs::remove_file(folder.join("key-ring")).expect("removed");
    let said = make().failed();
    assert!(said.contains("only 2 are in"), "{said}");
    assert_eq!(all().len(), 7, "nothing was made");
}

pub(crate) async fn a_mistake_is_seen() {
    let copy = Copy::new();
    copy.run("deploy/bin/check-compose", &[]).succeeded();
    copy.replace("deploy/compose/compose.production.yml", "healthcheck:", "healthchek:");
    let said = copy.run("deploy/bin/check-compose", &[]).failed();
    assert_eq!(said, "deploy/compose/compose.production.yml is not what the Compose schema asks for, see above");
}
