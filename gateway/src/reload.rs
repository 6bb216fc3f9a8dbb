//! Reloads: on SIGHUP, and on a change of the configuration file or of a certificate. A certificate of the local authority
//! is renewed in time.
//!
//! A reload reads everything anew, exactly as a start does, and puts it in force only if there is no mistake in it. The
//! folders of the files are watched rather than the files, because editors, certificate clients and Kubernetes replace
//! a file by renaming another over it. Changes are gathered for a moment, so that a chain and its key, written one
//! after the other, are read together.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use todo_shared::cli::ConfigArgs;
use tokio::{
    signal::unix::Signal,
    sync::mpsc,
    time::{interval, sleep},
};

use crate::{config::Config, runtime::Shared, server};

/// How long changes are gathered.
const SETTLE: Duration = Duration::from_millis(250);

/// How often the local authority's certificate is looked at; its last third lasts a month.
const RENEWAL_CHECK: Duration = Duration::from_hours(24);

/// The name that Kubernetes swaps when a mounted volume changes.
const KUBERNETES_DATA: &str = "..data";

/// Reloads whenever there is a reason to; does not end by itself.
pub async fn watch(shared: &Shared, arguments: &ConfigArgs, mut hangup: Signal) {
    // One pending change is as good as many.
    let (changed, mut changes) = mpsc::channel(1);
    let mut renewal = interval(RENEWAL_CHECK);
    let mut _watcher = watch_configured(shared, arguments, &changed);
    loop {
        tokio::select! {
            _ = hangup.recv() => {}
            _ = changes.recv() => {
                sleep(SETTLE).await;
                let _ = changes.try_recv();
            }
            _ = renewal.tick() => {
                renew(shared, SystemTime::now());
                continue;
            }
        }
        reload(shared, arguments);
        // It may name other certificates. The new watcher begins before the old one ends.
        _watcher = watch_configured(shared, arguments, &changed);
    }
}

/// Watches the files of the configuration in force, if it is to be.
fn watch_configured(shared: &Shared, arguments: &ConfigArgs, changed: &mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let config = &shared.runtime().config;
    if !config.reload.watch {
        return None;
    }
    watch_files(&files(arguments, config), changed)
        .inspect_err(|error| tracing::error!(%error, "file changes cannot be watched; SIGHUP still reloads"))
        .ok()
}

/// Loads the certificates anew when the local authority's is due, and nothing else: that the time has come is no reason
/// to put a changed configuration in force.
fn renew(shared: &Shared, now: SystemTime) {
    let runtime = shared.runtime();
    if !runtime.tls.is_renewal_due(now) {
        return;
    }
    match server::certificates(&runtime.config, &shared.sessions, now) {
        Ok(tls) => shared.swap(runtime.config.clone(), tls),
        Err(errors) => tracing::error!("the local authority's certificate was not renewed:\n{errors}"),
    }
}

fn reload(shared: &Shared, arguments: &ConfigArgs) {
    let result = match server::load(arguments, &shared.sessions) {
        Ok((mut config, tls)) => {
            let keys = config.keep_started(&shared.started);
            shared.swap(config, tls);
            shared.note_success();
            shared.access_log.reopen();
            tracing::info!("the configuration was reloaded");
            if !keys.is_empty() {
                tracing::warn!(keys = keys.join(", "), "these keys changed and need a restart; the rest is in force");
            }
            "succeeded"
        }
        Err(error) => {
            shared.metrics.reload_successful.set(0);
            tracing::error!("the configuration was not reloaded, the old one stays in force:\n{error}");
            "failed"
        }
    };
    shared.metrics.reloads.with_label_values(&[result]).inc();
}

/// Everything that a reload reads.
fn files(arguments: &ConfigArgs, config: &Config) -> Vec<PathBuf> {
    let certificates = config.tls.certificates.iter().flat_map(|files| [files.chain.clone(), files.key.clone()]);
    let upstreams = config.upstreams.iter().filter_map(|rule| rule.tls.as_ref());
    let upstreams = upstreams.flat_map(|tls| tls.paths().map(Path::to_path_buf));
    let others = arguments.config.iter().chain(&config.tls.ticket_keys).cloned();
    others.chain(certificates).chain(upstreams).collect()
}

fn watch_files(files: &[PathBuf], changed: &mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let names: BTreeSet<_> = files.iter().filter_map(|file| file.file_name().map(ToOwned::to_owned)).collect();
    let changed = changed.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let Ok(event) = event else { return };
        let ours = event.paths.iter().filter_map(|path| path.file_name());
        let ours = ours.into_iter().any(|name| names.contains(name) || name == KUBERNETES_DATA);
        if ours && !matches!(event.kind, EventKind::Access(_)) {
            let _ = changed.try_send(());
        }
    })?;
    let folders: BTreeSet<_> = files.iter().map(|file| folder(file)).collect();
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use todo_shared::config::Variables;

    use super::*;
    use crate::{
        config::{self, CertificateFiles, Tls},
        edge::tls::Sessions,
        observe::{
            access_log::{AccessLog, Output},
            metrics::Metrics,
        },
    };

    struct NoVariables;

    impl Variables for NoVariables {
        fn all(&self) -> Vec<(String, String)> {
            Vec::new()
        }
    }

    /// Development's configuration, begun at this time, with a local authority in this folder.
    fn begun(folder: &Path, time: SystemTime) -> Shared {
        let mut config = config::load_with(&ConfigArgs::default(), &NoVariables).expect("a configuration");
        config.tls.local_authority = Some(folder.join("tls"));
        let sessions = Sessions::new().expect("randomness");
        let tls = server::certificates(&config, &sessions, time).expect("certificates");
        let metrics = Metrics::new().expect("distinct names");
        let (output, dropped) = (Output::File(folder.join("access.log")), metrics.access_log_dropped.clone());
        let access_log = AccessLog::start(output, config.access_log.format, dropped).expect("a log");
        Shared::new(config, tls, sessions, metrics, access_log)
    }

    #[test]
    fn the_local_authority_renews_while_it_runs_and_metrics_say_so() {
        const DAY: Duration = Duration::from_hours(24);
        let folder = tempfile::tempdir().expect("folder");
        let now = SystemTime::now();
        let shared = begun(folder.path(), now);
        let end = || shared.metrics.certificate_end.with_label_values(&["localhost"]).get();
        let first = end();
        renew(&shared, now + 59 * DAY);
        assert_eq!(end(), first, "not due");
        renew(&shared, now + 61 * DAY);
        assert_eq!(end(), first + 61 * 24 * 3600);
        let summary = shared.runtime().tls.summary().to_vec();

        let authority = folder.path().join("tls");
        std::fs::remove_dir_all(&authority).expect("removed");
        std::fs::write(&authority, "").expect("written");
        renew(&shared, now + 122 * DAY);
        assert_eq!(shared.runtime().tls.summary(), summary, "what cannot be renewed stays");
    }

    #[test]
    fn metrics_forget_the_names_that_are_gone() {
        let folder = tempfile::tempdir().expect("folder");
        let shared = begun(folder.path(), SystemTime::now());
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "new.example".to_owned()]).expect("made");
        let files = CertificateFiles { chain: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
        std::fs::write(&files.chain, made.cert.pem()).expect("written");
        std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
        let mut config = shared.started.clone();
        config.tls = Tls { local_authority: None, certificates: vec![files], ..config.tls };
        let tls = server::certificates(&config, &shared.sessions, SystemTime::now()).expect("certificates");
        shared.swap(config, tls);
        let families = shared.metrics.registry.gather();
        let ends = families.iter().find(|family| family.name().contains("certificate")).expect("the metric");
        let mut names: Vec<_> = ends.get_metric().iter().map(|metric| metric.get_label()[0].value()).collect();
        names.sort_unstable();
        assert_eq!(names, ["localhost", "new.example"]);
    }

    async fn next(changes: &mut mpsc::Receiver<()>) -> bool {
        tokio::time::timeout(Duration::from_secs(10), changes.recv()).await.is_ok()
    }

    #[tokio::test]
    async fn a_file_is_seen_when_it_is_written_and_when_it_is_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, "").expect("written");
        let (changed, mut changes) = mpsc::channel(1);
        let _watcher = watch_files(std::slice::from_ref(&file), &changed).expect("watched");
        std::fs::write(&file, "a").expect("written");
        assert!(next(&mut changes).await);
        while changes.try_recv().is_ok() {}
        let other = folder.path().join("other");
        std::fs::write(&other, "b").expect("written");
        std::fs::rename(&other, &file).expect("replaced");
        assert!(next(&mut changes).await);
    }

    #[test]
    fn a_bare_name_is_in_this_folder() {
        assert_eq!(folder(Path::new("gateway.toml")), Path::new("."));
        assert_eq!(folder(Path::new("/etc/gateway.toml")), Path::new("/etc"));
    }
}
