//! What the chart renders, as data.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::Value;

use crate::{
    container::Container,
    script::{self, Said},
};

/// What is rendered into `deploy/kubernetes/`.
pub(crate) const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

/// The address that a cluster gives to the first service.
pub(crate) const API_ADDRESS: &str = "10.96.0.10";

/// The objects of one rendering.
#[derive(Debug)]
pub(crate) struct Manifests(Vec<Value>);

/// A pod as one of the objects describes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod<'a> {
    /// `api`, `gateway`, `migrations` or `backup`.
    pub(crate) component: &'a str,
    /// Whether it is to run for good.
    pub(crate) serves: bool,
    /// `metadata` and `spec`.
    pub(crate) template: &'a Value,
}

impl<'a> Pod<'a> {
    /// Its only container.
    pub(crate) fn container(&self) -> &'a Value {
        let containers = self.template["spec"]["containers"].as_array().expect("containers");
        assert_eq!(containers.len(), 1, "{} has one container", self.component);
        &containers[0]
    }

    /// The variables of its container, as they are written.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let variables = list(&self.container()["env"]);
        variables.map(|each| (text(&each["name"]).to_owned(), text(&each["value"]).to_owned())).collect()
    }

    /// The ports of its container, by name.
    pub(crate) fn ports(&self) -> BTreeMap<&'a str, u64> {
        let ports = list(&self.container()["ports"]);
        ports.map(|port| (text(&port["name"]), port["containerPort"].as_u64().expect("a port"))).collect()
    }

    /// The secrets it mounts: the path, and `secret/key`.
    pub(crate) fn secret_files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for (path, volume) in self.mounted() {
            for source in list(&volume["projected"]["sources"]).map(|source| &source["secret"]) {
                for item in list(&source["items"]) {
                    let reference = format!("{}/{}", text(&source["name"]), text(&item["key"]));
                    files.insert(format!("{path}/{}", text(&item["path"])), reference);
                }
            }
        }
        files
    }

    /// The configuration it mounts: the path, and the name of the `ConfigMap`.
    pub(crate) fn config_maps(&self) -> BTreeMap<&'a str, &'a str> {
        let configured = |(path, volume): (&'a str, &'a Value)| Some((path, volume["configMap"]["name"].as_str()?));
        self.mounted().filter_map(configured).collect()
    }

    /// Each path with its volume.
    fn mounted(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let volumes = &self.template["spec"]["volumes"];
        list(&self.container()["volumeMounts"]).map(move |mount| {
            let volume = list(volumes).find(|volume| volume["name"] == mount["name"]).expect("its volume");
            (text(&mount["mountPath"]), volume)
        })
    }
}

/// A file of YAML documents; empty ones are left out.
pub(crate) fn yaml(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// The chart's folder.
pub(crate) fn chart() -> PathBuf {
    script::root().join("deploy/helm/todo-platform")
}

/// Helm itself, on the chart.
pub(crate) fn helm(arguments: &[&str]) -> Said {
    script::run(script::command("target/tools/bin/helm", arguments).arg(chart()))
}

impl Manifests {
    /// What stands in `deploy/kubernetes/` for an environment.
    pub(crate) fn of(environment: &str) -> Self {
        let path = script::root().join(format!("deploy/kubernetes/{environment}.yaml"));
        Self(yaml(&fs::read_to_string(path).expect("the rendered file")))
    }

    /// What the chart renders with production's values and these arguments of Helm.
    pub(crate) fn rendered_with(arguments: &[&str]) -> Self {
        let values = chart().join("values-production.yaml");
        let values = values.to_str().expect("a path");
        Self(yaml(&helm(&[&["template", "todo-platform", "--values", values], arguments].concat()).succeeded()))
    }

    /// Every object.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    /// Every object of a kind.
    pub(crate) fn kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.all().filter(move |object| object["kind"] == kind)
    }

    /// The object of a kind for a component.
    pub(crate) fn one(&self, kind: &str, component: &str) -> &Value {
        let mut found = self.kind(kind).filter(|object| component_of(object) == component);
        let object = found.next().unwrap_or_else(|| panic!("there is no {kind} of {component}"));
        assert!(found.next().is_none(), "there is more than one {kind} of {component}");
        object
    }

    /// Every pod that is described.
    pub(crate) fn pods(&self) -> Vec<Pod<'_>> {
        self.all().filter_map(pod_of).collect()
    }

    /// The pod of a component.
    pub(crate) fn pod(&self, component: &str) -> Pod<'_> {
        let found = self.pods().into_iter().find(|pod| pod.component == component);
        found.unwrap_or_else(|| panic!("there is no pod of {component}"))
    }

    /// What the container of a pod would see in a cluster.
    pub(crate) fn container(&self, pod: Pod<'_>) -> Container {
        let container = pod.container();
        let image = text(&container["image"]).rsplit('/').next().expect("an image");
        let mut files = BTreeMap::new();
        for (path, name) in pod.config_maps() {
            let map = self.kind("ConfigMap").find(|map| map["metadata"]["name"] == name).expect("the ConfigMap");
            for (file, content) in map["data"].as_object().expect("files") {
                files.insert(format!("{path}/{file}"), text(content).to_owned());
            }
        }
        // A pod sees the services of its namespace, unless it does not want to.
        let mut variables = pod.variables();
        if pod.template["spec"]["enableServiceLinks"] != false {
            for (at, service) in self.kind("Service").enumerate() {
                let name = text(&service["metadata"]["name"]).to_uppercase().replace('-', "_");
                let (reference, address) = (format!("$({name}_SERVICE_HOST)"), format!("10.96.0.{}", 10 + at));
                for value in variables.values_mut() {
                    *value = value.replace(&reference, &address);
                }
            }
        }
        Container {
            tier: image.split(':').next().expect("a name").to_owned(),
            arguments: list(&container["args"]).map(|argument| text(argument).to_owned()).collect(),
            variables,
            files,
            secrets: pod.secret_files().into_keys().map(|path| (path.clone(), file_name(&path).to_owned())).collect(),
        }
    }

    /// The pods that a selector chooses.
    pub(crate) fn selected<'a>(&'a self, selector: &Value) -> Vec<Pod<'a>> {
        let wanted = selector.as_object().expect("labels");
        let chosen = |pod: &Pod<'_>| {
            let labels = &pod.template["metadata"]["labels"];
            wanted.iter().all(|(name, value)| &labels[name] == value)
        };
        self.pods().into_iter().filter(chosen).collect()
    }
}

/// The pod that an object describes, if it describes one.
fn pod_of(object: &Value) -> Option<Pod<'_>> {
    let (serves, template) = match object["kind"].as_str()? {
        "Deployment" => (true, &object["spec"]["template"]),
        "Job" => (false, &object["spec"]["template"]),
        "CronJob" => (false, &object["spec"]["jobTemplate"]["spec"]["template"]),
        _ => return None,
    };
    Some(Pod { component: component_of(object), serves, template })
}

/// The component that an object belongs to.
pub(crate) fn component_of(object: &Value) -> &str {
    object["metadata"]["labels"]["app.kubernetes.io/component"].as_str().expect("a component")
}

/// The elements of a list; none where there is no list.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// The last part of a path.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
