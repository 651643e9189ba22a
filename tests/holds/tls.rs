//! TLS by the server itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use super::client::{UPGRADE, frame, parse};
use super::server::here;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Writes a new certificate and its key.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    cert.der().clone()
}

fn connect(address: SocketAddr, trusted: &CertificateDer<'static>) -> std::io::Result<Tls> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut tls = StreamOwned::new(session, tcp);
    tls.conn.complete_io(&mut tls.sock)?;
    Ok(tls)
}

/// Reads frames until a text has this in it.
fn until(tls: &mut Tls, buffer: &mut Vec<u8>, wanted: &str) -> String {
    let mut chunk = [0; 16 * 1024];
    loop {
        while let Some((_, payload, length)) = parse(buffer) {
            let text = String::from_utf8_lossy(payload).into_owned();
            buffer.drain(..length);
            if text.contains(wanted) {
                return text;
            }
        }
        let count = tls.read(&mut chunk).unwrap();
        assert!(count > 0, "{wanted} did not come");
        buffer.extend_from_slice(&chunk[..count]);
    }
}

fn open(address: SocketAddr, certificate: &CertificateDer<'static>, path: &str) -> (Tls, Vec<u8>) {
    let mut tls = connect(address, certificate).unwrap();
    assert_eq!(tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    // A frame right behind the handshake: it must not be lost.
    let ping = frame(0x81, br#"{"event":"ping","id":1}"#);
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n");
    tls.write_all(&[head.as_bytes(), &ping].concat()).unwrap();
    let mut buffer = Vec::new();
    let mut byte = [0];
    while !buffer.ends_with(b"\r\n\r\n") {
        assert_eq!(tls.read(&mut byte).unwrap(), 1);
        buffer.push(byte[0]);
    }
    assert!(buffer.starts_with(b"HTTP/1.1 101"));
    (tls, Vec::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_connect_over_tls_and_large_events_arrive_whole() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let server = here(|config| {
        config.tls.cert_file = folder.path().join("cert.pem").to_string_lossy().into();
        config.tls.key_file = folder.path().join("key.pem").to_string_lossy().into();
    })
    .await;
    let address = server.address;
    let client = tokio::task::spawn_blocking(move || {
        let path = "/ws?organization_id=a&user_id=u";
        let (mut tls, mut buffer) = open(address, &certificate, path);
        until(&mut tls, &mut buffer, "pong");
        let mut poster = connect(address, &certificate).unwrap();
        for number in 0..20 {
            let target = json!({ "user_id": "u", "organization_id": "a" });
            let data = format!("{number}:{}", "x".repeat(200_000));
            let event = json!({ "event": "notification", "data": data, "target": target });
            let body = event.to_string();
            let length = body.len();
            let head = format!(
                "POST /api/ws/broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
            );
            poster
                .write_all(format!("{head}{body}").as_bytes())
                .unwrap();
            let mut answer = [0; 4096];
            let count = poster.read(&mut answer).unwrap();
            assert!(answer[..count].starts_with(b"HTTP/1.1 200"));
        }
        // All of it waited for this reader.
        for number in 0..20 {
            let event = until(&mut tls, &mut buffer, "notification");
            assert!(event.contains(&format!("\"{number}:xxx")) && event.len() > 200_000);
        }
    });
    client.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_used_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = certify(folder.path());
    let server = here(|config| {
        config.tls.cert_file = folder.path().join("cert.pem").to_string_lossy().into();
        config.tls.key_file = folder.path().join("key.pem").to_string_lossy().into();
    })
    .await;
    let address = server.address;
    let client = tokio::task::spawn_blocking(move || {
        assert!(connect(address, &first).is_ok());
        std::fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
        std::thread::sleep(Duration::from_millis(2500));
        assert!(connect(address, &first).is_ok(), "the old one stays");
        let second = certify(folder.path());
        let renewed = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            connect(address, &second).is_ok()
        });
        assert!(renewed);
        assert!(connect(address, &first).is_err());
        // Somebody who speaks no TLS gets nothing, and is dropped.
        let mut stranger = TcpStream::connect(address).unwrap();
        stranger
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let _ = stranger.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"));
    });
    client.await.unwrap();
}
