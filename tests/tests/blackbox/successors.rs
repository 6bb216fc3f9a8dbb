//! Successors that do not take over: whatever holds them up, one process serves, and no request is lost.

use std::{
    fs,
    io::{IoSlice, Read as _, Write as _},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::AsFd as _,
        unix::net::{UnixDatagram, UnixListener, UnixStream},
    },
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::Instant,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tempfile::TempDir;
use todo_tests::{
    origin::{Origin, ok},
    process::{Process, Signal, tier},
    raw::{connect_tls, read_answer, tls_config},
    stack::Gateway,
    wait::eventually,
};
use tokio::{io::AsyncWriteExt as _, sync::Semaphore};

use crate::{
    service::Services,
    upgrade::{Edge, PATIENCE, says, started},
};

/// Of the hand-over.
const VERSION: u8 = 2;

/// The predecessor's side of the hand-over, played by the test: it holds the sockets and accepts nothing.
struct Played {
    awaited_on: UnixListener,
    https: TcpListener,
    http: TcpListener,
    admin: TcpListener,
    manager: UnixDatagram,
    config: PathBuf,
    ca: PathBuf,
    origin: Origin,
    allowed: Arc<Semaphore>,
    folder: TempDir,
}

impl Played {
    async fn start() -> Self {
        let (folder, allowed) = (tempfile::tempdir().unwrap(), Arc::new(Semaphore::new(0)));
        let gate = Arc::clone(&allowed);
        let origin = Origin::start(move |_| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                ok("finished")
            }
        });
        let (origin, socket) = (origin.await.unwrap(), folder.path().join("upgrade.sock"));
        // A real one makes the configuration and the certificates, and leaves.
        let extra = format!("[server]\nupgrade_socket = \"{}\"\n", socket.display());
        let mut real = Gateway::start(folder.path(), &[origin.port], &extra).await.unwrap();
        assert!(real.process.stop(Signal::Terminate).await.success());
        fs::remove_file(&socket).unwrap();
        let bind = |port: u16| TcpListener::bind(("127.0.0.1", port)).unwrap();
        Self {
            awaited_on: UnixListener::bind(&socket).unwrap(),
            https: bind(real.https_port),
            http: bind(real.http_port),
            admin: bind(real.admin_port),
            manager: UnixDatagram::bind(folder.path().join("notify.sock")).unwrap(),
            config: real.config.clone(),
            ca: real.ca(),
            origin,
            allowed,
            folder,
        }
    }

    /// Starts a successor, gives it the sockets, and returns when it says that it serves.
    fn hand_over(&self) -> (Process, UnixStream) {
        let (successor, mut connection) = self.offer(VERSION);
        assert_eq!(heard(&mut connection), b'R', "ready");
        (successor, connection)
    }

    /// Starts a successor, and gives it the sockets in this version of the hand-over.
    fn offer(&self, version: u8) -> (Process, UnixStream) {
        let mut command = tier("todo-gateway").unwrap();
        command.args(["run", "--config"]).arg(&self.config);
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify.sock"));
        let successor = Process::start("successor", self.folder.path(), &mut command).unwrap();
        let (connection, _) = self.awaited_on.accept().unwrap();
        let sockets = [self.https.as_fd(), self.http.as_fd(), self.admin.as_fd(), self.awaited_on.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&sockets)));
        sendmsg(&connection, &[IoSlice::new(&[version])], &mut ancillary, SendFlags::empty()).unwrap();
        (successor, connection)
    }

    /// What the service manager was told so far.
    fn told(&self) -> Option<String> {
        self.manager.set_nonblocking(true).unwrap();
        let mut octets = [0; 256];
        let length = self.manager.recv(&mut octets).ok()?;
        Some(String::from_utf8_lossy(&octets[..length]).into_owned())
    }
}

fn heard(connection: &mut UnixStream) -> u8 {
    let mut octet = [0];
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.read_exact(&mut octet).unwrap();
    octet[0]
}

/// Whether nobody else accepts what comes to this socket.
async fn is_ours(socket: &TcpListener) {
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let mut before = None;
    eventually("the successor to accept nothing more", PATIENCE, async || {
        // Whoever else accepts had the time of a round for it.
        let is_left = before.is_some() && socket.accept().is_ok();
        before = Some(tokio::net::TcpStream::connect(address).await.unwrap());
        is_left.then_some(())
    })
    .await;
}

pub(crate) async fn one_that_was_given_up_serves_whom_it_has_accepted_and_ends(_: &Services) {
    let played = Played::start().await;
    let (mut successor, mut connection) = played.hand_over();
    let config = Arc::new(tls_config(&played.ca, &["http/1.1"]).unwrap());
    let port = played.https.local_addr().unwrap().port();
    let mut client = connect_tls(config, port, "localhost").await.unwrap();
    client.write_all(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    eventually("the request to arrive", PATIENCE, async || (played.origin.requests().len() == 1).then_some(())).await;
    connection.write_all(b"G").unwrap();
    drop(connection);
    is_ours(&played.https).await;
    is_ours(&played.admin).await;
    assert!(successor.ended().is_none(), "it has a request to finish");
    played.allowed.add_permits(1);
    let answer = read_answer(&mut client, false).await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert_eq!(successor.wait(PATIENCE).await.code(), Some(1));
    let said = successor.errors();
    let sentence = said.lines().last().unwrap();
    assert!(sentence.contains("cannot take over") && sentence.contains("server.upgrade_timeout"), "{said}");
    assert_eq!(played.told(), None, "the service manager hears of no process that is not the service");
}

pub(crate) async fn one_that_is_agreed_to_tells_the_manager_first(_: &Services) {
    let played = Played::start().await;
    let (mut successor, mut connection) = played.hand_over();
    assert_eq!(played.told(), None, "nothing is agreed");
    connection.write_all(b"A").unwrap();
    assert_eq!(heard(&mut connection), b'K', "the predecessor may end when the manager knows");
    let told = played.told().unwrap();
    assert!(told.contains(&format!("MAINPID={}", successor.id())), "{told}");
    // One that dies now has let go as well.
    drop(connection);
    says(&successor, "this one is alone").await;
    assert!(successor.stop(Signal::Terminate).await.success());
}

/// Starts a successor and freezes it as soon as it has the sockets; the predecessor, and whether it gave it up. On a bad
/// day the successor is the faster one, and takes over.
async fn freeze(edge: &mut Edge, name: &str) -> (Process, bool) {
    let before = edge.gateway.process.errors().len();
    let mut predecessor = edge.gateway.upgrade(name).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !predecessor.errors()[before..].contains("a successor has the listening sockets") {
        assert!(Instant::now() < deadline, "{}", edge.gateway.process.errors());
    }
    edge.gateway.process.signal(Signal::Freeze);
    let is_given_up = eventually("the predecessor to decide", PATIENCE, async || {
        let said = predecessor.errors();
        let outcome = |sentence| said[before..].contains(sentence);
        outcome("all goes on as before").then_some(true).or(outcome("no new connections").then_some(false))
    })
    .await;
    edge.gateway.process.signal(Signal::Thaw);
    if !is_given_up {
        assert!(predecessor.wait(PATIENCE).await.success());
    }
    (predecessor, is_given_up)
}

pub(crate) async fn one_that_was_frozen_does_not_serve_beside_the_gateway(_: &Services) {
    let mut edge = Edge::start("upgrade_timeout = \"1s\"\n").await;
    let load = edge.load().await;
    let mut rounds = 0;
    let mut successor = loop {
        let process = started(&edge.gateway).await.unwrap();
        let (predecessor, is_given_up) = freeze(&mut edge, &format!("successor-{rounds}")).await;
        if is_given_up {
            let successor = std::mem::replace(&mut edge.gateway.process, predecessor);
            says(&edge.gateway.process, "it took longer than server.upgrade_timeout").await;
            load.more(20).await;
            break (successor, process);
        }
        rounds += 1;
        assert!(rounds < 20, "no successor could be frozen in time");
    };
    assert_eq!(successor.0.wait(PATIENCE).await.code(), Some(1));
    let said = successor.0.errors();
    assert!(said.contains("cannot take over") && !said.contains("this one is alone"), "{said}");
    load.more(20).await;
    assert!(edge.gateway.process.ended().is_none());
    for _ in 0..20 {
        assert_eq!(started(&edge.gateway).await.as_ref(), Some(&successor.1), "one process answers");
    }
    edge.gateway.admin().unwrap().get("/readyz").await.expect(200);
    // It is as good as ever.
    let mut before = edge.gateway.upgrade("good").unwrap();
    says(&edge.gateway.process, "this one is alone").await;
    assert!(before.wait(PATIENCE).await.success());
    let seen = load.end().await;
    assert_eq!((seen.failed, &seen.errors), (0, &Vec::new()), "{seen:?}");
}

pub(crate) async fn one_that_a_signal_started_and_hangs_is_killed(_: &Services) {
    let edge = Edge::start("upgrade_timeout = \"1s\"\n[reload]\nwatch = false\n").await;
    let load = edge.load().await;
    // Whoever reads its configuration from a pipe waits for ever.
    fs::remove_file(&edge.gateway.config).unwrap();
    assert!(Command::new("mkfifo").arg(&edge.gateway.config).status().unwrap().success());
    for times in 1..=2 {
        edge.gateway.process.signal(Signal::User2);
        eventually("the successor to be killed", PATIENCE, async || {
            let said = edge.gateway.process.errors();
            let ended = said.lines().filter(|line| line.contains("the successor ended before it served"));
            let killed = ended.filter(|line| line.contains("signal: 9")).count();
            (killed == times).then_some(())
        })
        .await;
    }
    load.more(20).await;
    let seen = load.end().await;
    assert_eq!((seen.failed, &seen.errors), (0, &Vec::new()), "{seen:?}");
}

pub(crate) async fn one_that_was_agreed_to_is_not_killed_however_long_the_manager_takes(_: &Services) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify.sock");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut octets = [0; 256];
        let length = manager.recv(&mut octets).unwrap();
        String::from_utf8_lossy(&octets[..length]).into_owned()
    };
    let origin = Origin::plain().await.unwrap();
    // Sooner over than what the gateway gives a successor to tell the manager.
    let upgrade = folder.path().join("upgrade.sock");
    let extra = format!("[server]\nupgrade_timeout = \"4s\"\nupgrade_socket = \"{}\"\n", upgrade.display());
    let notify = [("NOTIFY_SOCKET", socket.clone())];
    let mut gateway = Gateway::start_with(folder.path(), &[origin.port], &extra, &notify).await.unwrap();
    assert!(heard().contains("READY=1"));
    // A manager that is held up: nothing more goes into its queue.
    let crowd = UnixDatagram::unbound().unwrap();
    crowd.set_nonblocking(true).unwrap();
    while crowd.send_to(b"full", &socket).is_ok() {}
    gateway.process.signal(Signal::User2);
    let status = gateway.process.wait(PATIENCE).await;
    let said = gateway.process.errors();
    assert!(status.success() && !said.contains("the successor ended before it served"), "{said}");
    // It is alive, and tells as soon as it can.
    let successor = loop {
        let told = heard();
        if let Some(id) = told.lines().find_map(|line| line.strip_prefix("MAINPID=")) {
            break id.to_owned();
        }
    };
    assert_ne!(successor, gateway.process.id().to_string());
    gateway.client().unwrap().get("/v1/x").await.expect(200);
    assert!(Command::new("kill").args(["-TERM", &successor]).status().unwrap().success());
    eventually("the successor to end", PATIENCE, async || {
        tokio::net::TcpStream::connect(("127.0.0.1", gateway.https_port)).await.is_err().then_some(())
    })
    .await;
}

pub(crate) async fn a_peer_of_another_version_is_one_clear_sentence(_: &Services) {
    let played = Played::start().await;
    let (mut successor, _connection) = played.offer(VERSION - 1);
    assert_eq!(successor.wait(PATIENCE).await.code(), Some(1));
    let said = successor.errors();
    let sentence = said.lines().last().unwrap();
    assert!(sentence.contains("cannot take over") && sentence.contains("version 1"), "{said}");
    assert!(sentence.contains("restart"), "what to do: {said}");

    // A successor that does not know our version leaves without a word, having read it.
    let edge = Edge::start("").await;
    let socket = edge.folder().join("upgrade.sock");
    let mut older = UnixStream::connect(&socket).unwrap();
    assert_eq!(heard(&mut older), VERSION);
    drop(older);
    says(&edge.gateway.process, "if it is of another version").await;
}
