//! How a release's images get into a registry, and a job of the pipeline into a cluster.
//!
//! Docker, GitHub's command and its issuer of tokens, and a cluster's API server cannot exist here. Stand-ins take their
//! place, which keep what they are asked; what the real ones would make of it is not shown by these cases.

use std::{fs, path::Path, process::Command, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use todo_tests::origin::{self, Origin};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::script;

/// Both images are pushed and their digests told; the password is seen by nobody but the registry; what the release
/// workflow did not build is not deployed.
pub(crate) async fn publishes_images_and_knows_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("what was written");
    let registry = |command: &str, foreign: &str| {
        let stand_ins = script::root().join("tests/tests/drills/stand-ins");
        let path = format!("{}:{}", stand_ins.display(), std::env::var("PATH").expect("a path"));
        let mut registry = script::command("deploy/bin/registry", &[command, "1.4.0"]);
        registry.env("PATH", path).env("ASKED", folder.path()).env("FOREIGN", foreign);
        registry.env("IMAGE_REGISTRY", "registry.example.org/todo").env("GITHUB_REPOSITORY", "example/todo");
        registry.env("REGISTRY_USER", "robot").env("REGISTRY_PASSWORD", "hunter2");
        script::run(registry.env("GITHUB_OUTPUT", folder.path().join("output")))
    };
    let said = registry("publish", "");
    assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
    said.succeeded();
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    assert_eq!(read("output"), format!("todo-api={digest}\ntodo-gateway={digest}\n"));
    let calls = read("calls");
    assert!(calls.contains("docker push --quiet registry.example.org/todo/todo-gateway:1.4.0\n"), "{calls}");
    assert!(calls.contains("docker login registry.example.org --username robot --password-stdin\n"), "{calls}");
    assert!(!calls.contains("hunter2"), "a password in an argument: {calls}");
    assert_eq!(read("password"), "hunter2\n");

    registry("verify", "").succeeded();
    let calls = read("calls");
    let asked = "gh attestation verify oci://registry.example.org/todo/todo-api:1.4.0 --repo example/todo \
                 --signer-workflow example/todo/.github/workflows/release.yml --source-ref refs/tags/v1.4.0\n";
    assert!(calls.contains(asked), "{calls}");
    let said = registry("verify", "todo-gateway").failed();
    let foreign = "registry.example.org/todo/todo-gateway:1.4.0 was not built by the release workflow";
    assert!(said.starts_with(foreign), "{said}");
    // A version that is there stays what it is, also for the tier that is not there yet.
    fs::write(folder.path().join("published"), "registry.example.org/todo/todo-gateway:1.4.0\n").expect("written");
    let pushes = || read("calls").matches("docker push").count();
    let before = pushes();
    let said = registry("publish", "").failed();
    assert!(said.starts_with("registry.example.org/todo/todo-gateway:1.4.0 is published already"), "{said}");
    assert_eq!(pushes(), before);

    let mut registry = script::command("deploy/bin/registry", &["publish", "1.4.0"]);
    let said = script::run(registry.env("IMAGE_REGISTRY", "Example")).failed();
    assert!(said.starts_with("IMAGE_REGISTRY='Example' is no place for images"), "{said}");
}

/// Stands where the cluster's API server stands: TLS in front of a recording origin.
async fn api_server(folder: &Path, origin: u16) -> u16 {
    let (key, certificate) = (folder.join("key.pem"), folder.join("ca.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=cluster",
    ]);
    script::run(
        openssl.args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"]).arg(&key).arg("-out").arg(&certificate),
    )
    .succeeded();
    let chain = vec![CertificateDer::from_pem_file(&certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&key).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a configuration");
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut client = acceptor.accept(stream).await?;
                let mut server = TcpStream::connect(("127.0.0.1", origin)).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    port
}

/// kubectl comes to the API server with the token that GitHub gave to the job for that server, and no file holds it.
pub(crate) async fn gets_into_a_cluster_without_a_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = format!(
        "e30.{}.c2ln",
        URL_SAFE_NO_PAD.encode("{\"sub\":\"repo:example/todo:environment:staging\",\"exp\":4102444800,\"~\":\"???\"}")
    );
    let value = format!("{{\"count\":1,\"value\":\"{token}\"}}");
    let issuer = Origin::start(move |_| {
        let answer = origin::ok(&value);
        async move { answer }
    });
    let issuer = issuer.await.expect("an issuer");
    let cluster = Origin::plain().await.expect("an origin");
    let server = format!("https://127.0.0.1:{}", api_server(folder.path(), cluster.port).await);
    let (file, ca) = (
        folder.path().join("var/kubeconfig"),
        fs::read_to_string(folder.path().join("ca.pem")).expect("the certificate"),
    );

    let mut access = script::command("deploy/bin/cluster-access", &["kubeconfig"]);
    script::run(access.arg(&file).env("KUBERNETES_SERVER", &server).env("KUBERNETES_CA", ca)).succeeded();
    assert!(!fs::read_to_string(&file).expect("a kubeconfig").contains(&token), "a token in a file");

    let kubectl = |issuer: &str| {
        let mut kubectl = script::command("target/tools/bin/kubectl", &["get", "--raw", "/version"]);
        kubectl
            .env("KUBECONFIG", &file)
            .env("HOME", folder.path())
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "for-the-job");
        script::run(kubectl.env("ACTIONS_ID_TOKEN_REQUEST_URL", issuer))
    };
    kubectl(&format!("http://127.0.0.1:{}/token?api-version=2.0", issuer.port)).succeeded();
    assert_eq!(cluster.last().field("authorization"), Some(format!("Bearer {token}").as_str()));
    let asked = issuer.last();
    assert_eq!(asked.field("authorization"), Some("Bearer for-the-job"));
    let target = asked.target().to_lowercase();
    assert!(target.starts_with("/token?api-version=2.0&audience=https%3a%2f%2f127.0.0.1%3a"), "{target}");

    let said = kubectl(&format!("http://127.0.0.1:{}/", cluster.port));
    assert!(said.code != 0 && said.err.contains("GitHub's answer holds no token that can be read"), "{said:?}");
    let said = kubectl("");
    assert!(said.code != 0 && said.err.contains("lacks the permission id-token: write"), "{said:?}");
    let said = script::run(
        script::command("deploy/bin/cluster-access", &["kubeconfig", "/dev/null"]).env("KUBERNETES_SERVER", "cluster"),
    )
    .failed();
    assert!(said.starts_with("KUBERNETES_SERVER='cluster' is no address"), "{said}");
}
