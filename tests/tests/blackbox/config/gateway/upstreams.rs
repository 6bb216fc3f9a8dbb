//! The keys of upstreams that need more than one address, TLS or DNS to be seen.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use todo_tests::{
    certificates::{Authority, write},
    client::Client,
    dns::Dns,
    origin::{Origin, ok},
    ports,
    stack::Gateway,
    tls_origin::TlsOrigin,
    wait::eventually,
};

use crate::{
    balance::{NEVER_SET_ASIDE, Pair, failing, half_failing, metric, silent},
    config::PATIENCE,
    service::Services,
};

pub(super) async fn max_connection_age(_: &Services) {
    let fields = async |age: &str| {
        let pair = Pair::start(silent().await, &format!("max_connection_age = \"{age}\"\n")).await;
        pair.client.get("/v1/x").await.expect(200);
        pair.client.get("/v1/x").await.expect(200);
        pair.good.last().field("connection").map(str::to_owned)
    };
    assert_eq!(fields("1ms").await.as_deref(), Some("close"));
    assert_ne!(fields("1h").await.as_deref(), Some("close"));
}

pub(super) async fn try_timeout(_: &Services) {
    let hanging = Origin::start(async |_| std::future::pending::<String>().await).await.unwrap();
    let pair = Pair::start(hanging, "try_timeout = \"200ms\"\n").await;
    let start = Instant::now();
    pair.until_bad(async |client| drop(client.get("/v1/x").await.expect(200))).await;
    assert!(start.elapsed() < Duration::from_secs(4), "the default is 5 s");
}

pub(super) async fn retries(_: &Services) {
    let pair = Pair::start(silent().await, &format!("retries = 0\n{NEVER_SET_ASIDE}")).await;
    pair.until_bad(async |client| drop(client.send("GET", "/v1/x", &[], None).await)).await;
    assert_eq!(metric(&pair.gateway, "gateway_upstream_retries_total", "").await, 0);
    assert!(metric(&pair.gateway, "gateway_refusals_total", "upstream_unreachable").await > 0);
}

pub(super) async fn retry_budget(_: &Services) {
    let none = format!("retry_percent = 0\nretry_floor = 0\n{NEVER_SET_ASIDE}");
    let pair = Pair::start(silent().await, &none).await;
    pair.until_bad(async |client| drop(client.get("/v1/x").await)).await;
    assert!(metric(&pair.gateway, "gateway_upstream_retries_refused_total", "").await > 0);
    assert_eq!(metric(&pair.gateway, "gateway_upstream_retries_total", "").await, 0);
    // Either of the two is enough.
    for some in ["retry_percent = 100\nretry_floor = 0\n", "retry_percent = 0\nretry_floor = 5\n"] {
        let pair = Pair::start(silent().await, &format!("{some}{NEVER_SET_ASIDE}")).await;
        pair.until_bad(async |client| drop(client.get("/v1/x").await.expect(200))).await;
        assert!(metric(&pair.gateway, "gateway_upstream_retries_total", "").await > 0, "{some}");
    }
}

pub(super) async fn ejection(_: &Services) {
    let asked = async |settings: &str| {
        let pair = Pair::start(failing().await, settings).await;
        for _ in 0..40 {
            pair.client.get("/v1/x").await;
        }
        pair.bad.requests().len()
    };
    assert_eq!(asked("eject_after = 2\n").await, 2);
    assert!(asked(NEVER_SET_ASIDE).await > 5, "never");
    assert!(asked("eject_after = 2\neject_max_percent = 49\n").await > 5, "one of two would be too many");
}

pub(super) async fn failure_rate(_: &Services) {
    let ejections = async |settings: &str| {
        let pair = Pair::start(half_failing().await, &format!("eject_after = 0\n{settings}")).await;
        for _ in 0..60 {
            pair.client.get("/v1/x").await;
        }
        metric(&pair.gateway, "gateway_upstream_ejections_total", "failure_rate").await
    };
    let (few, long) = ("eject_min_requests = 4\n", "eject_interval = \"1h\"\n");
    assert_eq!(ejections(&format!("{few}{long}eject_failure_percent = 50\n")).await, 1);
    assert_eq!(ejections(&format!("{few}{long}eject_failure_percent = 51\n")).await, 0, "half is not so many");
    assert_eq!(ejections(&format!("{few}eject_interval = \"1ms\"\n")).await, 0, "never four in a millisecond");
    assert_eq!(ejections(&format!("eject_min_requests = 1000\n{long}")).await, 0, "nor as many in all");
}

pub(super) async fn slow_ejection(_: &Services) {
    let asked = async |settings: &str| {
        let slow = Origin::start(async |_| {
            tokio::time::sleep(Duration::from_millis(60)).await;
            ok("late")
        });
        let pair = Pair::start(slow.await.unwrap(), &format!("eject_after = 2\n{settings}")).await;
        for _ in 0..60 {
            pair.client.get("/v1/x").await.expect(200);
        }
        metric(&pair.gateway, "gateway_upstream_ejections_total", "latency").await
    };
    assert_eq!(asked("eject_slow_floor = \"50ms\"\neject_slow_factor = 2\n").await, 1);
    assert_eq!(asked("eject_slow_floor = \"50ms\"\neject_slow_factor = 0\n").await, 0);
    assert_eq!(asked("eject_slow_factor = 2\n").await, 0, "the default floor is a second");
}

pub(super) async fn ejection_time(_: &Services) {
    let ejections = async |settings: &str, enough: u64| {
        let pair = Pair::start(failing().await, &format!("eject_after = 1\nslow_start = \"0s\"\n{settings}")).await;
        eventually("ejections", PATIENCE, async || {
            pair.client.get("/v1/x").await;
            (metric(&pair.gateway, "gateway_upstream_ejections_total", "errors").await >= enough).then_some(())
        })
        .await;
    };
    // Ten at the default of ten seconds each would take far longer than the patience, and so would they if each were
    // twice as long as the one before.
    ejections("eject_time = \"50ms\"\neject_max_time = \"100ms\"\n", 10).await;
    // The second of three would come after ten seconds, the third after twenty more.
    ejections("eject_time = \"50ms\"\n", 3).await;
}

pub(super) async fn slow_start(_: &Services) {
    let share = async |settings: &str| {
        let second = Origin::plain().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(folder.path(), &[second.port], settings).await.unwrap();
        let joins = Origin::plain().await.unwrap();
        let both =
            format!("[upstreams.api]\naddresses = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\n", second.port, joins.port);
        gateway.reconfigure(&both).unwrap();
        eventually("both to be there", PATIENCE, async || {
            (metric(&gateway, "gateway_upstream_addresses", "").await == 2).then_some(())
        })
        .await;
        let client = gateway.client().unwrap();
        for _ in 0..200 {
            client.get("/v1/x").await.expect(200);
        }
        joins.requests().len()
    };
    let (slowly, at_once) =
        (share("[upstreams.api]\nslow_start = \"1h\"\n").await, share("[upstreams.api]\nslow_start = \"0s\"\n").await);
    assert!(slowly < 50 && at_once > 60, "{slowly} and {at_once} of 200");
}

pub(super) async fn upstream_tls(_: &Services) {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (ours, theirs) = (folder_of(&folder, "ours"), folder_of(&folder, "theirs"));
    let (authority, strangers) = (Authority::new(&ours).unwrap(), Authority::new(&theirs).unwrap());
    let client = authority.issue().unwrap();
    write(&place("chain.pem"), &client.chain).unwrap();
    write(&place("key.pem"), &client.key).unwrap();
    let origin = TlsOrigin::start(&authority.issue().unwrap(), &ours.join("ca.pem")).await.unwrap();
    let settings = |server_name: &str, ca: &Path, with_client: bool| {
        let mut text = format!(
            "[upstreams.api]\nhealth_interval = \"50ms\"\n[upstreams.api.tls]\nenabled = true\nserver_name = \"{server_name}\"\nauthority = \"{}\"\n",
            ca.display()
        );
        if with_client {
            let (chain, key) = (place("chain.pem"), place("key.pem"));
            text = format!("{text}certificate = \"{}\"\nkey = \"{}\"\n", chain.display(), key.display());
        }
        text
    };
    let start = async |settings: &str| {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(folder.path(), &[origin.port], settings).await.unwrap();
        (gateway, folder)
    };
    let ca = ours.join("ca.pem");
    let (gateway, _folder) = start(&settings("localhost", &ca, true)).await;
    gateway.client().unwrap().get("/v1/x").await.expect(200);
    eventually("a check over TLS", PATIENCE, async || (origin.checks() > 2).then_some(())).await;
    assert_eq!(metric(&gateway, "gateway_upstream_healthy", "").await, 1);
    for wrong in [
        settings("other.example", &ca, true),
        settings("localhost", &theirs.join("ca.pem"), true),
        settings("localhost", &ca, false),
        "[upstreams.api.tls]\nenabled = false\n".to_owned(),
    ] {
        let before = origin.requests();
        let (gateway, _folder) = start(&wrong).await;
        gateway.client().unwrap().get("/v1/x").await.expect(502);
        assert_eq!(origin.requests(), before, "{wrong}");
    }
    drop(strangers);
}

fn folder_of(folder: &TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir(&path).unwrap();
    path
}

/// A name that moves from one address to another; a server that fails; bounds on how long answers are good for.
pub(super) async fn resolver(_: &Services) {
    let port = ports::free().unwrap();
    let first = Origin::on((Ipv4Addr::new(127, 0, 0, 2), port), async |_| ok("first")).await.unwrap();
    let second = Origin::on((Ipv4Addr::new(127, 0, 0, 3), port), async |_| ok("second")).await.unwrap();
    let dns = Dns::start(vec![Ipv4Addr::new(127, 0, 0, 2)], 3600).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = |min: &str, max: &str| {
        format!(
            "[upstreams.api]\naddresses = [\"api.internal:{port}\"]\n[resolver]\nservers = [\"{}\"]\ntimeout = \"100ms\"\nmin_ttl = \"{min}\"\nmax_ttl = \"{max}\"\n",
            dns.address
        )
    };
    // An answer that is good for an hour is believed for 100 ms only.
    let gateway = Gateway::start(folder.path(), &[], &settings("50ms", "100ms")).await.unwrap();
    let client: Client = gateway.client().unwrap();
    let says = async |text: &str| {
        eventually("the name to stand for another address", PATIENCE, async || {
            (client.get("/v1/x").await.text == text).then_some(())
        })
        .await;
    };
    says("first").await;
    dns.answer(vec![Ipv4Addr::new(127, 0, 0, 3)]);
    says("second").await;
    let text = gateway.admin().unwrap().get("/metrics").await.text;
    assert!(!text.contains("127.0.0.2"), "nothing is exported of an address that is gone");

    // Whatever the server says or does not say, the last good answer stands.
    for silent in [false, true] {
        if silent {
            dns.silence();
        } else {
            dns.answer(Vec::new());
        }
        let failed = metric(&gateway, "gateway_upstream_lookups_total", "failed").await;
        eventually("failed questions", PATIENCE, async || {
            (metric(&gateway, "gateway_upstream_lookups_total", "failed").await >= failed + 10).then_some(())
        })
        .await;
        assert_eq!(client.get("/v1/x").await.expect(200).text, "second");
    }
    // However often nobody answered, it is asked again.
    dns.answer(vec![Ipv4Addr::new(127, 0, 0, 2)]);
    says("first").await;
    dns.answer(vec![Ipv4Addr::new(127, 0, 0, 3)]);
    says("second").await;

    // A TTL of zero is not asked again at once.
    let quiet = Dns::start(vec![Ipv4Addr::new(127, 0, 0, 2)], 0).await.unwrap();
    let text = settings("1h", "2h").replace(&dns.address.to_string(), &quiet.address.to_string());
    gateway.reconfigure(&text).unwrap();
    says("first").await;
    let asked = quiet.questions();
    for _ in 0..20 {
        client.get("/v1/x").await.expect(200);
    }
    assert_eq!(quiet.questions(), asked);
    drop((first, second));
}
