//! The upgrade of the binary: a new process takes the sockets, the old one drains, and nobody notices.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use tempfile::TempDir;
use todo_tests::{
    load::{Load, Question},
    origin::{Origin, ok},
    process::{Process, Signal, tier},
    raw::{connect_tls, read_answer, tls_config},
    stack::Gateway,
    wait::eventually,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixListener, UnixStream},
};

use crate::service::Services;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the origin answers to a target: no other target has the same.
fn body(target: &str) -> String {
    format!("{target}\n").repeat(100)
}

fn questions() -> Vec<Question> {
    (0..50).map(|number| format!("/v1/{number}")).map(|path| Question { body: body(&path), path }).collect()
}

pub(crate) struct Edge {
    pub(crate) gateway: Gateway,
    _origin: Origin,
    folder: TempDir,
}

impl Edge {
    pub(crate) async fn start(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let origin = Origin::start(async |request| ok(&body(request.target()))).await.unwrap();
        let socket = folder.path().join("upgrade.sock");
        let extra = format!("[server]\nupgrade_socket = \"{}\"\n{extra}", socket.display());
        let gateway = Gateway::start(folder.path(), &[origin.port], &extra).await.unwrap();
        Self { gateway, _origin: origin, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn load(&self) -> Load {
        Load::start(self.gateway.https_port, &self.gateway.ca(), None, questions()).await.unwrap()
    }
}

/// Which process answers on the admin listener.
pub(crate) async fn started(gateway: &Gateway) -> Option<String> {
    let metrics = gateway.admin().ok()?.send("GET", "/metrics", &[], None).await.ok()?;
    metrics.text.lines().find(|line| line.starts_with("process_start_time_seconds")).map(str::to_owned)
}

pub(crate) async fn says(process: &Process, sentence: &str) {
    eventually(sentence, PATIENCE, async || process.errors().contains(sentence).then_some(())).await;
}

pub(crate) async fn a_new_process_takes_over_and_no_request_fails(_: &Services) {
    let mut edge = Edge::start("").await;
    let load = edge.load().await;
    // A request that lasts longer than the hand-over, and a connection that waits.
    let config = Arc::new(tls_config(&edge.gateway.ca(), &["http/1.1"]).unwrap());
    let connect = async || connect_tls(config.clone(), edge.gateway.https_port, "localhost").await.unwrap();
    let (mut slow, mut waiting) = (connect().await, connect().await);
    slow.write_all(b"POST /v1/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbo").await.unwrap();
    waiting.write_all(b"GET /v1/1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let answer = read_answer(&mut waiting, false).await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("keep-alive")));

    for round in 0..2 {
        let mut before = edge.gateway.upgrade(&format!("gateway-{round}")).unwrap();
        says(&edge.gateway.process, "this one is alone").await;
        if round == 0 {
            // What was idle is served once more, and told that it was the last time.
            waiting.write_all(b"GET /v1/2 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let answer = read_answer(&mut waiting, false).await.unwrap();
            assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
            load.more(50).await;
            assert!(before.ended().is_none(), "it has a request to finish");
            slow.write_all(b"dy").await.unwrap();
            let answer = read_answer(&mut slow, false).await.unwrap();
            assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
            assert_eq!(answer.body, body("/v1/slow").into_bytes());
        }
        assert!(before.wait(PATIENCE).await.success(), "exit code 0: {}", before.errors());
        load.more(50).await;
    }
    edge.gateway.admin().unwrap().get("/readyz").await.expect(200);
    let seen = load.end().await;
    assert_eq!((seen.failed, &seen.errors), (0, &Vec::new()), "{seen:?}");
}

pub(crate) async fn a_successor_that_fails_changes_nothing(_: &Services) {
    let mut edge = Edge::start("").await;
    let socket = edge.folder.path().join("upgrade.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let load = edge.load().await;
    let process = started(&edge.gateway).await.unwrap();

    // One whose configuration is wrong never asks.
    let valid = fs::read_to_string(&edge.gateway.config).unwrap();
    let broken = edge.folder.path().join("broken.toml");
    let run = |text: String| {
        fs::write(&broken, text).unwrap();
        let output = tier("todo-gateway").unwrap().args(["run", "--config"]).arg(&broken).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run(valid.clone() + "\n[hosts]\ntrustd = []\n");
    assert!(code == Some(1) && text.contains("trustd"), "{text}");
    // One that gets the sockets and cannot bind another ends, and is missed by nobody.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let https = format!("https = \"127.0.0.1:{}\"", edge.gateway.https_port);
    assert!(valid.contains(&https), "{valid}");
    let (code, text) = run(valid.replace(&https, &format!("https = \"{}\"", taken.local_addr().unwrap())));
    assert!(code == Some(1) && text.contains("cannot listen on"), "{text}");
    says(&edge.gateway.process, "all goes on as before").await;
    // So does one that says something else than that it is ready.
    let mut stranger = UnixStream::connect(&socket).await.unwrap();
    stranger.read_u8().await.unwrap();
    stranger.write_u8(b'x').await.unwrap();
    let mut rest = Vec::new();
    let _ = stranger.read_to_end(&mut rest).await;
    load.more(20).await;
    assert_eq!(started(&edge.gateway).await.unwrap(), process, "the same process answers");

    // Somebody who listens there and hands nothing over is one clear sentence.
    let elsewhere = edge.folder.path().join("mute.sock");
    let _mute = UnixListener::bind(&elsewhere).unwrap();
    let mute = valid.replace("upgrade.sock", "mute.sock");
    let said = tokio::task::spawn_blocking({
        let (broken, mute) = (broken.clone(), mute);
        move || {
            fs::write(&broken, mute).unwrap();
            let output = tier("todo-gateway").unwrap().args(["run", "--config"]).arg(&broken).output().unwrap();
            String::from_utf8_lossy(&output.stderr).into_owned()
        }
    });
    let text = said.await.unwrap();
    assert!(text.contains("cannot take over") && text.contains("it does not answer"), "{text}");

    // After all that it can still be relieved.
    let mut before = edge.gateway.upgrade("gateway-good").unwrap();
    says(&edge.gateway.process, "this one is alone").await;
    assert!(before.wait(PATIENCE).await.success());
    let seen = load.end().await;
    assert_eq!((seen.failed, &seen.errors), (0, &Vec::new()), "{seen:?}");
}

pub(crate) async fn a_signal_starts_the_successor_and_the_manager_learns_of_it(_: &Services) {
    // The manager's side of sd_notify(3).
    let folder = tempfile::tempdir().unwrap();
    let manager = tokio::net::UnixDatagram::bind(folder.path().join("notify.sock")).unwrap();
    let said = async || {
        let mut octets = [0; 256];
        let length = tokio::time::timeout(PATIENCE, manager.recv(&mut octets)).await.unwrap().unwrap();
        String::from_utf8_lossy(&octets[..length]).into_owned()
    };
    let main_process = |text: &str| -> u32 {
        assert!(text.lines().any(|line| line == "READY=1"), "{text}");
        text.lines().find_map(|line| line.strip_prefix("MAINPID=")).unwrap().parse().unwrap()
    };
    let origin = Origin::start(async |request| ok(&body(request.target()))).await.unwrap();
    let extra = format!("[server]\nupgrade_socket = \"{}\"\n", folder.path().join("upgrade.sock").display());
    let notify = [("NOTIFY_SOCKET", folder.path().join("notify.sock"))];
    let mut gateway = Gateway::start_with(folder.path(), &[origin.port], &extra, &notify).await.unwrap();
    assert_eq!(main_process(&said().await), gateway.process.id());
    let load = Load::start(gateway.https_port, &gateway.ca(), None, questions()).await.unwrap();
    gateway.process.signal(Signal::User2);
    let successor = main_process(&said().await);
    assert_ne!(successor, gateway.process.id());
    assert!(gateway.process.wait(PATIENCE).await.success());
    load.more(20).await;
    let seen = load.end().await;
    assert_eq!((seen.failed, &seen.errors), (0, &Vec::new()), "{seen:?}");
    // It is nobody's child any more: ended by its id, and looked for by its address.
    assert!(Path::new("/proc").join(successor.to_string()).exists());
    assert!(std::process::Command::new("kill").args(["-TERM", &successor.to_string()]).status().unwrap().success());
    eventually("the successor to end", PATIENCE, async || {
        TcpStream::connect(("127.0.0.1", gateway.https_port)).await.is_err().then_some(())
    })
    .await;
}
