//! The end of a client on polling that is to come back: the last answer ends with a close packet, after
//! which a client reconnects by itself.

use axum::body::Body;
use http::{HeaderValue, Response, header};
use http_body_util::BodyExt;

use super::engine::EngineVersion;
use super::library::MARKER;

/// The answer to a poll with a close packet where the marker stood in it, and whether one did. Nothing
/// of worth comes behind the marker: a heartbeat at most.
pub(super) async fn in_place_of_marker(
    version: EngineVersion,
    response: Response<Body>,
) -> (Response<Body>, bool) {
    let (mut parts, body) = response.into_parts();
    // The library has the whole body in memory: there is nothing that could fail.
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            tracing::debug!(%error, "the answer to a poll was lost");
            return (Response::from_parts(parts, Body::empty()), false);
        }
    };
    match closed_at_marker(version, &body) {
        Some(last) => {
            parts
                .headers
                .insert(header::CONTENT_LENGTH, HeaderValue::from(last.len()));
            (Response::from_parts(parts, Body::from(last)), true)
        }
        None => (Response::from_parts(parts, Body::from(body)), false),
    }
}

/// No event can have the marker in it: within JSON its quotes would be escaped.
fn closed_at_marker(version: EngineVersion, body: &[u8]) -> Option<Vec<u8>> {
    let (prefix, close) = match version {
        EngineVersion::V3 => (format!("{}:", MARKER.len()), "1:1"),
        EngineVersion::V4 => (String::new(), "1"),
    };
    let packet = [prefix.as_bytes(), MARKER].concat();
    let at = body.windows(packet.len()).position(|at| at == packet)?;
    Some([&body[..at], close.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ended(version: EngineVersion, body: &str) -> (String, bool) {
        let response = Response::builder()
            .header(header::CONTENT_LENGTH, body.len())
            .body(Body::from(body.to_owned()))
            .unwrap();
        let (response, is_last) = in_place_of_marker(version, response).await;
        let length = response.headers()[header::CONTENT_LENGTH].clone();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(length, body.len().to_string());
        (String::from_utf8(body.to_vec()).unwrap(), is_last)
    }

    #[tokio::test]
    async fn the_close_packet_stands_behind_all_that_was_sent() {
        for (version, body, expected) in [
            (
                EngineVersion::V4,
                "42[\"a\",1]\u{1e}42[\"orgcast:gate\",1]\u{1e}2",
                "42[\"a\",1]\u{1e}1",
            ),
            (EngineVersion::V4, "42[\"orgcast:gate\",1]", "1"),
            (
                EngineVersion::V3,
                "9:42[\"ä\",1]20:42[\"orgcast:gate\",1]1:3",
                "9:42[\"ä\",1]1:1",
            ),
        ] {
            assert_eq!(ended(version, body).await, (expected.to_owned(), true));
        }
    }

    #[tokio::test]
    async fn an_answer_without_the_marker_stays_as_it_is() {
        let quoted = r#"42["a","42[\"orgcast:gate\",1]"]"#;
        for body in ["6", "", quoted] {
            let ended = ended(EngineVersion::V4, body).await;
            assert_eq!(ended, (body.to_owned(), false));
        }
    }
}
