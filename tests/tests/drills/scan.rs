//! `deploy/bin/scan` finds weak TLS and a weak answer. That it finds the defaults good, `make scan` shows.

use std::{fs, path::Path, process::Command};

use crate::script;

fn scan(folder: &Path) -> Command {
    let mut command = script::command("deploy/bin/scan", &[]);
    command
        .env("TMPDIR", folder)
        .env("SCAN_OUTPUT", folder.join("out"))
        .env_remove("SCAN_CONFIG")
        .env_remove("SCAN_PROFILE");
    command
}

pub(crate) async fn weak_tls_and_a_weak_answer_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let overlay = folder.path().join("weak.toml");
    // TLS 1.2, which the gateway speaks by default, is too weak for this one. That stands in a table that the scan needs, too.
    fs::write(&overlay, "[hosts]\non_untrusted = \"refuse\"\n").expect("a file");
    let mut modern = scan(folder.path());
    let said = script::run(modern.env("SCAN_PROFILE", "modern").env("SCAN_CONFIG", &overlay)).failed();
    assert!(said.starts_with("scan: sslyze finds the gateway not compliant with Mozilla's modern profile"), "{said}");
    let verdict = fs::read_to_string(folder.path().join("out/tls.txt")).expect("sslyze's report");
    assert!(verdict.contains("TLS 1.2") || verdict.contains("TLSv1.2"), "{verdict}");
    let said = script::run(scan(folder.path()).env("SCAN_PROFILE", "old")).failed();
    assert_eq!(said, "SCAN_PROFILE=old is no profile: take intermediate or modern");
    for (weak, expected) in [
        (
            "content_security_policy = \"default-src 'self'\"",
            "the answer 'ok' over http1.1 has a Content-Security-Policy that is not the strictest",
        ),
        (
            "strict_transport_security = \"max-age=86400\"",
            "the answer 'ok' over http1.1 has no Strict-Transport-Security of half a year",
        ),
    ] {
        fs::write(&overlay, format!("[headers]\n{weak}\n")).expect("a file");
        let said = script::run(scan(folder.path()).env("SCAN_CONFIG", &overlay)).failed();
        assert!(said.starts_with(&format!("scan: {expected}")), "{said}");
    }
    let said = script::run(scan(folder.path()).env("SCAN_CONFIG", "/nowhere")).failed();
    assert_eq!(said, "SCAN_CONFIG=/nowhere cannot be read");
    let left: Vec<_> =
        fs::read_dir(folder.path()).expect("the folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left.len(), 2, "the overlay and the report: {left:?}");
}
