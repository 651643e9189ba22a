//! TLS by the server itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use orgcast::config::Config;

use testkit::in_process::here;
use testkit::websocket::{UPGRADE, connect_packet, frame, parse};

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

/// An upgraded connection, and the head of the answer; `first` is sent right behind the handshake.
fn upgrade(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
    path: &str,
    headers: &str,
    first: &[u8],
) -> (Tls, String) {
    let mut tls = connect(address, certificate).unwrap();
    assert_eq!(tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{UPGRADE}{headers}\r\n");
    tls.write_all(&[head.as_bytes(), first].concat()).unwrap();
    let mut buffer = Vec::new();
    let mut byte = [0];
    while !buffer.ends_with(b"\r\n\r\n") {
        assert_eq!(tls.read(&mut byte).unwrap(), 1);
        buffer.push(byte[0]);
    }
    assert!(buffer.starts_with(b"HTTP/1.1 101"));
    (tls, String::from_utf8(buffer).unwrap())
}

/// The body of the answer to one request, on a connection of its own.
fn exchange(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
    method: &str,
    path: &str,
    body: &str,
) -> String {
    let mut tls = connect(address, certificate).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    tls.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    body.to_owned()
}

fn broadcast(address: SocketAddr, certificate: &CertificateDer<'static>, data: &str) {
    let target = json!({ "user_id": "u", "organization_id": "a" });
    let event = json!({ "event": "notification", "data": data, "target": target });
    let path = "/api/ws/broadcast";
    exchange(address, certificate, "POST", path, &event.to_string());
}

/// The next message, and whether it was compressed.
fn message(tls: &mut Tls, buffer: &mut Vec<u8>) -> (bool, String) {
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some((first, payload, length)) = parse(buffer) {
            let is_compressed = first & 0x40 != 0;
            let text = if is_compressed {
                let end = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];
                decompress_to_vec(&[payload, &end].concat()).unwrap()
            } else {
                payload.to_vec()
            };
            buffer.drain(..length);
            return (is_compressed, String::from_utf8(text).unwrap());
        }
        let count = tls.read(&mut chunk).unwrap();
        assert!(count > 0, "the connection ended");
        buffer.extend_from_slice(&chunk[..count]);
    }
}

fn with_tls(config: &mut Config, folder: &Path) {
    config.tls.cert_file = folder.join("cert.pem").to_string_lossy().into();
    config.tls.key_file = folder.join("key.pem").to_string_lossy().into();
}

/// Runs a client, which may block, against a server with a certificate in this folder.
async fn served(client: impl FnOnce(SocketAddr, CertificateDer<'static>, &Path) + Send + 'static) {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let server = here(|config| with_tls(config, folder.path())).await;
    let address = server.address;
    let client = tokio::task::spawn_blocking(move || client(address, certificate, folder.path()));
    client.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_connect_over_tls_and_large_events_arrive_whole() {
    served(|address, certificate, _| {
        let path = "/ws?organization_id=a&user_id=u";
        // A frame right behind the handshake: it must not be lost.
        let ping = frame(0x81, br#"{"event":"ping","id":1}"#);
        let (mut tls, _) = upgrade(address, &certificate, path, "", &ping);
        let mut buffer = Vec::new();
        until(&mut tls, &mut buffer, "pong");
        for number in 0..20 {
            broadcast(
                address,
                &certificate,
                &format!("{number}:{}", "x".repeat(200_000)),
            );
        }
        // All of it waited for this reader.
        for number in 0..20 {
            let event = until(&mut tls, &mut buffer, "notification");
            assert!(event.contains(&format!("\"{number}:xxx")) && event.len() > 200_000);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_messages_are_compressed_both_ways_and_equal() {
    served(|address, certificate, _| {
        let path = "/ws?organization_id=a&user_id=u";
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let (mut plain, head) = upgrade(address, &certificate, path, "", b"");
        assert!(!head.contains("permessage-deflate"));
        let (mut compressed, head) = upgrade(address, &certificate, path, offer, b"");
        assert!(head.contains("permessage-deflate"), "{head}");
        let (mut plain_buffer, mut buffer) = (Vec::new(), Vec::new());
        until(&mut plain, &mut plain_buffer, "authenticated");
        let (_, hello) = message(&mut compressed, &mut buffer);
        assert!(hello.contains("authenticated"), "{hello}");
        // Up to several TLS records.
        for length in [100, 2000, 20_000, 200_000] {
            let words: Vec<_> = (0..length / 10).map(|n| format!("{n:09}")).collect();
            broadcast(address, &certificate, &words.join(" "));
            let (is_compressed, text) = message(&mut compressed, &mut buffer);
            assert_eq!(is_compressed, length > 1024, "{length}");
            assert_eq!(
                (false, text),
                message(&mut plain, &mut plain_buffer),
                "{length}"
            );
        }
        let echo = format!(
            "{{\"event\":\"ping\",\"data\":\"{}\"}}",
            "again ".repeat(1000)
        );
        let mut payload = compress_to_vec(echo.as_bytes(), 6);
        payload.push(0);
        compressed.write_all(&frame(0xc1, &payload)).unwrap();
        let (is_compressed, pong) = message(&mut compressed, &mut buffer);
        assert!(is_compressed && pong.contains("again again"), "{pong}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polling_session_moves_to_websocket_over_tls() {
    served(|address, certificate, _| {
        let path = "/ws/?EIO=4&transport=polling";
        let open = exchange(address, &certificate, "GET", path, "");
        let open: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
        let sid = open["sid"].as_str().unwrap();
        let path = format!("{path}&sid={sid}");
        let packet = connect_packet("a", "u");
        exchange(address, &certificate, "POST", &path, &packet);
        while !exchange(address, &certificate, "GET", &path, "").contains("\"authenticated\"") {}
        broadcast(address, &certificate, "by polling");
        let polled = exchange(address, &certificate, "GET", &path, "");
        assert!(polled.contains("by polling"), "{polled}");

        let path = format!("/ws/?EIO=4&transport=websocket&sid={sid}");
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let (mut tls, _) = upgrade(address, &certificate, &path, offer, b"");
        let mut buffer = Vec::new();
        tls.write_all(&frame(0x81, b"2probe")).unwrap();
        assert_eq!(message(&mut tls, &mut buffer).1, "3probe");
        broadcast(address, &certificate, "while it moved");
        tls.write_all(&frame(0x81, b"5")).unwrap();
        let long = "by websocket ".repeat(10_000);
        let mut texts = Vec::new();
        broadcast(address, &certificate, &long);
        while texts.len() < 2 {
            let (is_compressed, text) = message(&mut tls, &mut buffer);
            if text.starts_with("42[\"notification\"") {
                texts.push((is_compressed, text));
            }
        }
        assert!(texts[0].1.contains("while it moved"), "{}", texts[0].1);
        assert!(texts[1].0 && texts[1].1.contains(&long));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_used_and_a_broken_one_is_not() {
    served(|address, first, folder| {
        assert!(connect(address, &first).is_ok());
        std::fs::write(folder.join("cert.pem"), "nonsense").unwrap();
        std::thread::sleep(Duration::from_millis(2500));
        assert!(connect(address, &first).is_ok(), "the old one stays");
        let second = certify(folder);
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
    })
    .await;
}
