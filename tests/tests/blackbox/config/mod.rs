//! Configuration: every key does what it says, every mistake is shown, a reload changes everything or nothing.
//!
//! The tables in [`gateway`] and [`api`] hold a row for each key: its name, a changed value, and the difference that is
//! seen from outside. A key of the documented files that no row names fails [`every_key_is_in_the_table`].

mod api;
mod gateway;

use std::{collections::BTreeSet, fs, future::Future, pin::Pin, process::Command, sync::Arc, time::Duration};

use todo_shared::config::reference;
use todo_tests::{client::Client, generated, origin::Origin, process::tier, stack::Gateway, wait::eventually};

use crate::service::Services;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a row of the table does.
pub(crate) type Check = Pin<Box<dyn Future<Output = ()>>>;

/// A row: the keys it proves, and how.
pub(crate) struct Row {
    pub(crate) tier: &'static str,
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [&'static str],
    pub(crate) check: fn(Arc<Services>) -> Check,
}

/// Rows are written as `["section.key", ...] => function`.
macro_rules! rows {
    ($tier:literal; $($keys:expr => $check:ident),+ $(,)?) => {
        vec![$($crate::config::Row {
            tier: $tier,
            name: stringify!($check),
            keys: &$keys,
            check: |services| Box::pin(async move { $check(&services).await }),
        }),+]
    };
}
use rows;

/// Every row of both tiers.
pub(crate) fn table() -> Vec<Row> {
    let mut rows = gateway::rows();
    rows.extend(api::rows());
    rows
}

pub(crate) async fn every_key_is_in_the_table(_: &Services) {
    let documented: BTreeSet<String> = generated::TIERS
        .iter()
        .flat_map(|tier| {
            reference::keys(tier.defaults).into_iter().map(move |key| format!("{} {}", tier.name, key.path))
        })
        .collect();
    let proved: BTreeSet<String> =
        table().iter().flat_map(|row| row.keys.iter().map(|key| format!("{} {key}", row.tier))).collect();
    let missing: Vec<_> = documented.difference(&proved).collect();
    let unknown: Vec<_> = proved.difference(&documented).collect();
    assert!(missing.is_empty(), "keys without a row: {missing:?}");
    assert!(unknown.is_empty(), "rows without a key: {unknown:?}");
}

pub(crate) async fn generated_files_are_current(_: &Services) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (path, text) in generated::files() {
        // Not shown as they are: they are long.
        let is_current = fs::read_to_string(root.join(path)).is_ok_and(|found| found == text);
        assert!(is_current, "{path} is out of date: run `make generate`");
    }
}

/// Runs `<tier> check` and returns its exit code and everything it says.
fn check(tier_name: &str, file: Option<&str>, environment: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command: Command = tier(tier_name).unwrap();
    command
        .arg("check")
        .current_dir(folder.path())
        .env("TODO_ENVIRONMENT", environment)
        .envs(variables.iter().copied());
    if let Some(text) = file {
        let path = folder.path().join("changed.toml");
        fs::write(&path, text).unwrap();
        command.arg("--config").arg(path);
    }
    let output = command.output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

/// A token of operators.
const TOKEN: &str = "3VhNkQpO0yq7bXw1cJt4sYfLz9rKmE2uG6aHvTdRxI8=";

/// An admin listener with [`TOKEN`] shows its metrics to whoever has it, and its health to everybody.
async fn metrics_need_the_token(port: u16) {
    let admin = Client::http(port).unwrap();
    for open in ["/livez", "/readyz"] {
        admin.get(open).await.expect(200);
    }
    let missing = admin.get("/metrics").await;
    missing.expect_problem(401, "token_missing");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
    let too_long = format!("{TOKEN}x");
    for wrong in ["x", &TOKEN[1..], &TOKEN.to_lowercase(), &too_long] {
        let refused = admin.with_token(wrong).get("/metrics").await;
        refused.expect_problem(401, "token_invalid");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert!(!refused.text.contains("# TYPE"));
    }
    let right = admin.with_token(TOKEN).get("/metrics").await.expect(200);
    assert!(right.text.contains("# TYPE"), "{}", right.text);
}

/// A token that is no secret is refused, and shown no more than any other.
fn weak_tokens_are_refused(tier: &str, variable: &str) {
    for weak in ["hunter2", "hunter2-hunter2-hunter2-hunter2", "hunter2 hunter2 hunter2 hunter2 hunter2"] {
        let (code, text) = check(tier, None, "development", &[(variable, weak)]);
        assert!(code == Some(1) && text.contains("`admin.token`"), "{weak}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let (code, text) = check(tier, None, "development", &[(variable, TOKEN)]);
    assert_eq!(code, Some(0), "{text}");
}

pub(crate) async fn commands_report_every_mistake(_: &Services) {
    for (tier, section, file) in [
        (
            "todo-gateway",
            "listen",
            "[listen]\nhttsp = \"127.0.0.1:1\"\nhttp = 7\n[lissten]\nx = 1\n[headers]\nframe_options = \"MAYBE\"\n",
        ),
        (
            "todo-api",
            "server",
            "[server]\nlissten = \"127.0.0.1:1\"\nlisten = 7\n[datbase]\nx = 1\n[log]\nformat = \"loud\"\n",
        ),
    ] {
        let (code, text) = check(tier, Some(file), "development", &[]);
        assert_eq!(code, Some(1), "{text}");
        for expected in [
            &format!("unknown key `{section}."),
            "changed.toml:2:1",
            "did you mean",
            "changed.toml:3:",
            "changed.toml:4:",
            "changed.toml:7:",
            "4 mistakes",
        ] {
            assert!(text.contains(expected), "{tier}: {expected} in:\n{text}");
        }
        assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{text}");
        let (code, text) = check(tier, None, "development", &[]);
        assert_eq!(code, Some(0), "{text}");
        let (code, text) = check(tier, Some("[log]\nlevel = \"warn\"\n"), "development", &[]);
        assert_eq!(code, Some(0), "{text}");
        let output = self::tier(tier).unwrap().args(["check", "--config", "/nowhere/at.all"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("/nowhere/at.all") && text.lines().count() < 5, "{text}");
        let version = self::tier(tier).unwrap().arg("version").output().unwrap();
        assert!(version.status.success());
        // This test is built with the binaries, so it was told the same.
        let commit = option_env!("TODO_BUILD_COMMIT").filter(|commit| !commit.is_empty());
        let commit = commit.map(|commit| format!(" ({commit})")).unwrap_or_default();
        let expected = format!("{tier} {}{commit}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8_lossy(&version.stdout), expected);
        let health = self::tier(tier)
            .unwrap()
            .arg("health")
            .env(
                format!("{}ADMIN__LISTEN", if tier == "todo-api" { "TODO_API__" } else { "TODO_GATEWAY__" }),
                "127.0.0.1:1",
            )
            .output()
            .unwrap();
        assert_eq!(health.status.code(), Some(1), "nothing runs there");
        let help = self::tier(tier).unwrap().arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.to_lowercase().contains("example"), "{help}");
    }
}

pub(crate) async fn environments_refuse_what_is_not_safe(_: &Services) {
    // An admin listener that others can reach, everywhere.
    for environment in ["development", "staging", "production"] {
        for (tier, variable) in
            [("todo-gateway", "TODO_GATEWAY__ADMIN__LISTEN"), ("todo-api", "TODO_API__ADMIN__LISTEN")]
        {
            for listen in ["0.0.0.0:9999", "[::]:9999"] {
                let (code, text) = check(tier, None, environment, &[(variable, listen)]);
                assert!(code == Some(1) && text.contains("without `admin.token`"), "{tier} in {environment}: {text}");
            }
            let token = (&*variable.replace("LISTEN", "TOKEN"), TOKEN);
            let (_, text) = check(tier, None, environment, &[(variable, "0.0.0.0:9999"), token]);
            assert!(!text.contains("admin"), "{tier} in {environment}: {text}");
        }
    }
    let ring = format!("1:{}", "3VhNkQpO0yq7bXw1cJt4sYfLz9rKmE2uG6aHvTdRxI8=");
    let url = "postgres://todo@localhost/todo?host=/run/postgresql";
    let verified = "postgres://todo:hunter2-hunter2@db.example.org/todo?sslmode=verify-full";
    let issuer = ("TODO_API__AUTH__ISSUER", "https://todo.example.org");
    let good = [("TODO_API__AUTH__KEY_RING", ring.as_str()), ("TODO_API__DATABASE__URL", url), issuer];
    let over_tls = [good[0], ("TODO_API__DATABASE__URL", verified), issuer];
    for environment in ["staging", "production"] {
        for valid in [good, over_tls] {
            let (code, text) = check("todo-api", None, environment, &valid);
            assert_eq!(code, Some(0), "{environment}: {text}");
        }
        let (code, text) = check("todo-api", None, environment, &[good[1], issuer]);
        assert!(code == Some(1) && text.contains("key_ring"), "a missing secret in {environment}: {text}");
        let (code, text) =
            check("todo-api", None, environment, &[("TODO_API__AUTH__KEY_RING", "1:c2hvcnQ"), good[1], issuer]);
        assert!(code == Some(1) && text.contains("key_ring"), "a weak secret in {environment}: {text}");
    }
    for (what, variables) in [
        ("SQLite", vec![good[0], issuer, ("TODO_API__DATABASE__URL", "sqlite:///var/lib/todo.sqlite")]),
        (
            "unverified TLS",
            vec![good[0], issuer, ("TODO_API__DATABASE__URL", "postgres://todo@db.example.org/todo?sslmode=require")],
        ),
        ("debug logs", vec![good[0], good[1], issuer, ("TODO_API__LOG__LEVEL", "debug")]),
    ] {
        let (code, text) = check("todo-api", None, "production", &variables);
        assert_eq!(code, Some(1), "{what}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let gateway = "[[tls.certificates]]\nchain = \"chain.pem\"\nkey = \"key.pem\"\n[hosts]\ntrusted = [\"*\"]\n";
    let (code, text) = check("todo-gateway", Some(gateway), "production", &[]);
    assert!(code == Some(1) && text.contains("trusted"), "{text}");
    let (code, text) = check(
        "todo-gateway",
        Some("[hosts]\ntrusted = [\"example.org\"]\n[tls]\nlocal_authority = true\n"),
        "production",
        &[],
    );
    assert!(code == Some(1) && text.contains("local_authority"), "{text}");
}

pub(crate) async fn a_reload_swaps_and_a_broken_file_changes_nothing(_: &Services) {
    let (first, second) = (
        Origin::start(async |_| todo_tests::origin::ok("first")).await.unwrap(),
        Origin::start(async |_| todo_tests::origin::ok("second")).await.unwrap(),
    );
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[first.port], "").await.unwrap();
    let (client, admin) = (gateway.client().unwrap(), gateway.admin().unwrap());
    assert_eq!(client.get("/v1/x").await.expect(200).text, "first");
    let valid = fs::read_to_string(&gateway.config).unwrap();
    let reloads = async |outcome: &str| -> u64 {
        let text = admin.get("/metrics").await.expect(200).text;
        let line =
            text.lines().find(|line| line.contains("reload") && line.contains(outcome) && !line.starts_with('#'));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|count| count.parse().ok()).unwrap_or(0)
    };
    for broken in ["[hosts]\ntrustd = []\n", "[[[", "[upstreams.api]\naddresses = []\n"] {
        let before = reloads("fail").await;
        fs::write(&gateway.config, format!("{broken}\n")).unwrap();
        eventually("the reload to be refused", PATIENCE, async || (reloads("fail").await > before).then_some(())).await;
        assert_eq!(client.get("/v1/x").await.expect(200).text, "first", "{broken}");
    }
    assert!(gateway.process.errors().contains("trustd"), "the log says what is wrong");
    fs::write(&gateway.config, &valid).unwrap();
    gateway.reconfigure(&format!("[upstreams.api]\naddresses = [\"127.0.0.1:{}\"]\n", second.port)).unwrap();
    eventually("the new upstream", PATIENCE, async || (client.get("/v1/x").await.text == "second").then_some(())).await;
    // What needs a restart is said and not half applied.
    gateway.reconfigure("[admin]\nlisten = \"127.0.0.1:1\"\n").unwrap();
    eventually("the sentence about a restart", PATIENCE, async || {
        gateway.process.errors().contains("restart").then_some(())
    })
    .await;
    admin.get("/livez").await.expect(200);
}

pub(crate) async fn taken_ports_are_one_sentence(_: &Services) {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    for (tier, variable) in [
        ("todo-api", "TODO_API__SERVER__LISTEN"),
        ("todo-api", "TODO_API__ADMIN__LISTEN"),
        ("todo-gateway", "TODO_GATEWAY__LISTEN__HTTPS"),
        ("todo-gateway", "TODO_GATEWAY__LISTEN__HTTP"),
        ("todo-gateway", "TODO_GATEWAY__ADMIN__LISTEN"),
    ] {
        let free = || format!("127.0.0.1:{}", todo_tests::ports::free().unwrap());
        let mut command = self::tier(tier).unwrap();
        command
            .arg("run")
            .current_dir(folder.path())
            .env("TODO_API__DATABASE__URL", format!("sqlite://{}/t.sqlite", folder.path().display()));
        command.env("TODO_API__SERVER__LISTEN", free()).env("TODO_API__ADMIN__LISTEN", free());
        command
            .env("TODO_GATEWAY__LISTEN__HTTPS", free())
            .env("TODO_GATEWAY__LISTEN__HTTP", free())
            .env("TODO_GATEWAY__ADMIN__LISTEN", free());
        command.env(variable, &address);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{variable}: {text}");
        let last = text.trim().lines().last().unwrap_or_default().to_owned();
        assert!(last.contains(&address), "{variable}: {text}");
        assert!(!text.contains("panicked") && !text.contains("stack backtrace"), "{text}");
    }
}
