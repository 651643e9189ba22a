//! The same over TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use testkit::in_process::here;

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn connect(server: SocketAddr, trusted: CertificateDer<'static>) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(server).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    StreamOwned::new(session, tcp)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_much_over_tls_gets_the_answer_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let server = here(|config| {
        config.tls.cert_file = certificate.to_str().unwrap().to_owned();
        config.tls.key_file = key.to_str().unwrap().to_owned();
    })
    .await;
    let (address, trusted) = (server.address, cert.der().clone());
    let client = tokio::task::spawn_blocking(move || {
        for _ in 0..5 {
            let mut tls = connect(address, trusted.clone());
            let body = vec![b'x'; 4 * 1024 * 1024];
            let head = format!(
                "POST /api/ws/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            tls.write_all(head.as_bytes()).unwrap();
            tls.write_all(&body).unwrap();
            let mut answer = String::new();
            // To the goodbye of TLS: without it this fails.
            tls.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        }
    });
    client.await.unwrap();
}
