//! Reloads: on SIGHUP, and on a change of the configuration file or of a certificate.
//!
//! A reload reads everything anew, exactly as a start does, and puts it in force only if there is no mistake in it. The
//! folders of the files are watched rather than the files, because editors, certificate clients and Kubernetes replace
//! a file by renaming another over it. Changes are gathered for a moment, so that a chain and its key, written one
//! after the other, are read together.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use todo_shared::cli::ConfigArgs;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep,
};

use crate::{config::Config, runtime::Shared, server};

/// How long changes are gathered.
const SETTLE: Duration = Duration::from_millis(250);

/// The name that Kubernetes swaps when a mounted volume changes.
const KUBERNETES_DATA: &str = "..data";

/// Reloads whenever there is a reason to; does not end by itself.
pub async fn watch(shared: &Shared, arguments: &ConfigArgs) {
    // One pending change is as good as many.
    let (changed, mut changes) = mpsc::channel(1);
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return tracing::error!(%error, "SIGHUP cannot be received; reloads are off"),
    };
    let mut _watcher = watch_configured(shared, arguments, &changed);
    loop {
        tokio::select! {
            _ = hangup.recv() => {}
            _ = changes.recv() => {
                sleep(SETTLE).await;
                let _ = changes.try_recv();
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

fn reload(shared: &Shared, arguments: &ConfigArgs) {
    let result = match server::load(arguments, &shared.resumption) {
        Ok((mut config, tls)) => {
            let keys = config.keep_started(&shared.started);
            shared.swap(config, tls);
            shared.access_log.reopen();
            tracing::info!("the configuration was reloaded");
            if !keys.is_empty() {
                tracing::warn!(keys = keys.join(", "), "these keys changed and need a restart; the rest is in force");
            }
            "succeeded"
        }
        Err(error) => {
            tracing::error!("the configuration was not reloaded, the old one stays in force:\n{error}");
            "failed"
        }
    };
    shared.metrics.reloads.with_label_values(&[result]).inc();
}

/// Everything that a reload reads.
fn files(arguments: &ConfigArgs, config: &Config) -> Vec<PathBuf> {
    let certificates = config.tls.certificates.iter().flat_map(|files| [files.chain.clone(), files.key.clone()]);
    arguments.config.iter().cloned().chain(certificates).collect()
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
    use super::*;

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
