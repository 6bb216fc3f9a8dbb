//! TLS as clients meet it.

use std::{process::Command, sync::Arc};

use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use todo_tests::{
    raw::{connect_tls, read_answer, tls_config},
    stack::Stack,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn pinned(stack: &Stack, version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(stack.gateway.ca()).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(roots).with_no_client_auth()
}

pub(crate) async fn both_versions_and_both_protocols(stack: &Stack) {
    let port = stack.gateway.https_port;
    for (version, expected) in
        [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        for name in ["localhost", "127.0.0.1"] {
            let stream = connect_tls(Arc::new(pinned(stack, version)), port, name).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
        }
    }
    for (offered, chosen) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        let config = tls_config(&stack.gateway.ca(), offered).unwrap();
        let stream = connect_tls(Arc::new(config), port, "localhost").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen.map(str::as_bytes));
    }
    let config = tls_config(&stack.gateway.ca(), &[]).unwrap();
    let stream = connect_tls(Arc::new(config), port, "localhost").await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name);
    assert_eq!(group, Some(rustls::NamedGroup::X25519MLKEM768));
    assert_eq!(stack.client().get("/livez").await.expect(200).version, "HTTP/2.0");
}

pub(crate) async fn sessions_resume(stack: &Stack) {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(pinned(stack, version));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = connect_tls(config.clone(), stack.gateway.https_port, "localhost").await.unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 200);
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        }
        assert_ne!(kinds[0], HandshakeKind::Resumed);
        assert_eq!(kinds[1], HandshakeKind::Resumed, "{version:?}");
    }
}

pub(crate) async fn old_and_plain_are_refused(stack: &Stack) {
    let port = stack.gateway.https_port;
    // Plain HTTP on the TLS port gets a TLS alert or nothing, never an HTTP answer.
    let mut plain = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut octets = Vec::new();
    let _ = plain.read_to_end(&mut octets).await;
    assert!(!octets.starts_with(b"HTTP/"), "{octets:?}");
    // rustls cannot speak TLS 1.1 at all; OpenSSL's client can offer it.
    let address = format!("127.0.0.1:{port}");
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &address, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success(), "TLS 1.1 was accepted");
    // A name that the certificate does not hold is refused by the client.
    let config = tls_config(&stack.gateway.ca(), &[]).unwrap();
    connect_tls(Arc::new(config), port, "foreign.example").await.expect_err("the certificate is for other names");
}
