//! The page out of the binary.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use testkit::process::Server;
use testkit::wait::soon;

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A request with more header lines, each with its line end.
async fn ask(server: &Server, method: &str, path: &str, more: &str) -> Answer {
    let mut tcp = TcpStream::connect(&server.address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{more}\r\n",
        server.address
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon("an answer", tcp.read_to_end(&mut answer))
        .await
        .unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body: answer[end + 4..].to_vec(),
    }
}

/// What was there when the binary was built, for cargo builds it again when that changes.
fn built(name: &str) -> PathBuf {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("web-client/dashboard/dist");
    dist.join(name)
}

#[tokio::test]
async fn the_binary_carries_the_page_that_was_built_or_says_how_to_build_it() {
    let server = Server::start(&[]).await;
    let answer = ask(&server, "GET", "/", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    if !built("index.html").exists() {
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains("make run"), "{text}");
        let script = ask(&server, "GET", "/assets/dashboard.js", "").await;
        assert_eq!(script.status, 404);
        return;
    }
    for (path, file, content_type) in [
        ("/", "index.html", "text/html"),
        (
            "/assets/dashboard.js",
            "assets/dashboard.js",
            "text/javascript",
        ),
        ("/assets/dashboard.css", "assets/dashboard.css", "text/css"),
    ] {
        let answer = ask(&server, "GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.body, std::fs::read(built(file)).unwrap(), "{path}");
        let expected = format!("{content_type}; charset=utf-8");
        assert_eq!(answer.header("content-type"), Some(expected.as_str()));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));

        let head = ask(&server, "HEAD", path, "").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("etag"), answer.header("etag"), "{path}");

        let tag = answer.header("etag").unwrap();
        let known = format!("if-none-match: {tag}\r\n");
        let again = ask(&server, "GET", path, &known).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), Some(tag), "{path}");
    }
    let zipped = ask(
        &server,
        "GET",
        "/assets/dashboard.js",
        "accept-encoding: gzip\r\n",
    )
    .await;
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    let plain = ask(&server, "GET", "/assets/dashboard.js", "").await;
    assert_eq!(zipped.header("etag"), plain.header("etag"));
    assert!(zipped.body.len() < plain.body.len() / 2);
}

#[tokio::test]
async fn the_page_can_be_switched_off() {
    let server = Server::start(&["--dashboard", "false"]).await;
    for path in ["/", "/assets/dashboard.js"] {
        let (status, body) = server.request("GET", path, None).await;
        assert_eq!((status, &body["error"]["code"]), (404, &"NOT_FOUND".into()));
    }
}

#[tokio::test]
async fn a_page_of_the_server_itself_connects_and_posts_and_one_of_another_name_does_not() {
    let server = Server::start(&[]).await;
    let port = server.address.port();
    let own = server.address.to_string();
    let handshake = async |host: &str, origin: &str| {
        let mut tcp = TcpStream::connect(&server.address).await.unwrap();
        let request = format!(
            "GET /ws?EIO=4&transport=polling HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\n\
             connection: close\r\n\r\n"
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon("an answer", tcp.read_to_string(&mut answer))
            .await
            .unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    for name in ["127.0.0.1", "localhost", "[::1]"] {
        let host = format!("{name}:{port}");
        let own = format!("http://{host}");
        assert_eq!(handshake(&host, &own).await, "200", "{host}");
    }
    let rebound = format!("evil.example:{port}");
    let origin = format!("http://{rebound}");
    assert_eq!(handshake(&rebound, &origin).await, "403");
    assert_eq!(handshake(&own, &origin).await, "403");
    assert_eq!(handshake(&own, "null").await, "403");
}
