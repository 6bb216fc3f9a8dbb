//! Which build this is, as commands and metrics say it. Both tiers are released together and have one version.

use prometheus::{IntGauge, Opts, Registry};

/// The version of both tiers.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that was built, where the build was told in `TODO_BUILD_COMMIT`.
pub const COMMIT: Option<&str> = option_env!("TODO_BUILD_COMMIT");

/// What `version` of a command line says.
pub fn sentence(binary: &str) -> String {
    describe(binary, known(COMMIT))
}

/// Exports the build as the labels of a gauge that is always 1.
///
/// # Errors
/// Where the name is taken.
pub fn register(registry: &Registry, name: &str) -> prometheus::Result<()> {
    let options = Opts::new(name, "Which build this is; always 1.")
        .const_label("version", VERSION)
        .const_label("commit", known(COMMIT).unwrap_or("unknown"));
    let gauge = IntGauge::with_opts(options)?;
    gauge.set(1);
    registry.register(Box::new(gauge))
}

/// A build argument that was not given is often there and empty.
fn known(commit: Option<&str>) -> Option<&str> {
    commit.filter(|commit| !commit.is_empty())
}

fn describe(binary: &str, commit: Option<&str>) -> String {
    match commit {
        Some(commit) => format!("{binary} {VERSION} ({commit})"),
        None => format!("{binary} {VERSION}"),
    }
}

#[cfg(test)]
mod tests {
    use prometheus::proto::LabelPair;

    use super::*;

    #[test]
    fn the_commit_is_said_where_it_is_known() {
        assert_eq!(describe("todo-api", known(Some("1f2e3d"))), format!("todo-api {VERSION} (1f2e3d)"));
        for unknown in [None, Some("")] {
            assert_eq!(describe("todo-api", known(unknown)), format!("todo-api {VERSION}"));
        }
    }

    #[test]
    fn the_build_is_in_the_labels() {
        let registry = Registry::new();
        register(&registry, "x_build_info").expect("a free name");
        let families = registry.gather();
        let labels = families[0].get_metric()[0].get_label();
        assert_eq!(labels.iter().map(LabelPair::name).collect::<Vec<_>>(), ["commit", "version"]);
        assert!(labels.iter().all(|label| !label.value().is_empty()));
    }
}
