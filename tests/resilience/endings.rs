//! How long a connection may do nothing, by what it has begun.

use testkit::in_process::here;
use testkit::raw::Raw;
use testkit::wait::within;

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const POST: &str = "POST /api/ws/broadcast/kpi HTTP/1.1\r\nHost: localhost\r\n\
    Content-Length: 23\r\n\r\n{\"organization_id\":\"a\"}";
const CHUNKED: &str = "POST /api/ws/broadcast/kpi HTTP/1.1\r\nHost: localhost\r\n\
    Transfer-Encoding: chunked\r\n\r\n17\r\n{\"organization_id\":\"a\"}\r\n0\r\n\r\n";

/// Sends this as one piece and takes so many answers.
async fn sent(server: std::net::SocketAddr, text: &str, answers: usize) -> Raw {
    let mut raw = Raw::connect(server).await;
    raw.send(text).await;
    for _ in 0..answers {
        assert_eq!(raw.answer().await.status, 200, "{text}");
    }
    raw
}

#[tokio::test]
async fn half_a_request_has_the_time_for_headers_also_behind_another_request() {
    let server = here(|config| {
        config.header_timeout_ms = 300;
        config.keep_alive_timeout_ms = 600_000;
    })
    .await;
    // These are whole, and may wait.
    let mut idle = Vec::new();
    for (text, answers) in [
        (GET.to_owned(), 1),
        (POST.to_owned(), 1),
        (CHUNKED.to_owned(), 1),
        (GET.repeat(3), 3),
        (["\r\n", POST].concat(), 1),
        ([CHUNKED, CHUNKED, GET].concat(), 3),
    ] {
        idle.push((sent(server.address, &text, answers).await, text));
    }
    let mut half = 0;
    for whole in [GET, POST, CHUNKED] {
        for begun in [
            "G",
            "GET /healthz HTTP/1.1\r\n",
            "GET /healthz HTTP/1.1\r\nX: a\r\n",
        ] {
            let mut raw = sent(server.address, &[whole, begun].concat(), 1).await;
            raw.end().await.unwrap();
            half += 1;
            let refused = server.hub.metrics.rejections.counts();
            assert_eq!(refused.get("header_timeout"), Some(&half), "{whole}{begun}");
        }
    }
    // By now the time for headers has been over several times.
    for (mut raw, text) in idle {
        raw.send(GET).await;
        assert_eq!(raw.answer().await.status, 200, "{text}");
    }
}

#[tokio::test]
async fn what_is_begun_while_another_request_is_served_has_its_time_from_then_on() {
    let server = here(|config| {
        config.header_timeout_ms = 300;
        config.keep_alive_timeout_ms = 600_000;
        config.ping_interval_ms = 1000;
    })
    .await;
    let mut raw = Raw::connect(server.address).await;
    raw.get("/ws/?EIO=4&transport=polling", "").await;
    let open = raw.answer().await.body;
    let (_, rest) = open.split_once("\"sid\":\"").unwrap();
    let sid = rest.split('"').next().unwrap();
    // A poll that waits for the server's ping, and half a request behind it.
    let poll = format!("/ws/?EIO=4&transport=polling&sid={sid}");
    raw.send(format!(
        "POST {poll} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n40"
    ))
    .await;
    raw.answer().await;
    loop {
        raw.get(&poll, "").await;
        raw.send("GET /healthz HTTP/1.1\r\n").await;
        if raw.answer().await.body.contains('2') {
            break;
        }
        raw.send("Host: localhost\r\n\r\n").await;
        assert_eq!(raw.answer().await.status, 200);
    }
    within("the end", raw.end()).await.unwrap();
}
