//! The pages, out of the binary: the dashboard at `/`, and the description of the API at `/docs`.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::extract::query::{NoQuery, Query};

/// A file of a page.
#[derive(Debug, Clone, Copy)]
struct File {
    route: &'static str,
    content_type: &'static str,
    /// The entity tag, with its quotes (RFC 9110 section 8.8.3).
    tag: &'static str,
    content: &'static [u8],
}

/// What there was when the binary was built; empty if nothing.
const FILES: &[File] = &include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// The page at `/docs`.
const DOCS: &[File] = &include!(concat!(env!("OUT_DIR"), "/docs.rs"));

const ABSENT: &str = "\
orgcast is running, but this binary was built without its page.

To see the dashboard here, install Node 20 (https://nodejs.org) and start the server with

    make run

The server itself is complete: clients connect and backends post without the page.
";

/// Nothing but its own files, in nobody's frame. Requests and WebSockets to the server that it came
/// from are `'self'`; charts and bars are styled by script, which needs no permission.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SECURITY: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // For browsers that don't know `frame-ancestors`.
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// The page at `/`: a route for each file, or one that says how to get them.
pub(super) fn dashboard<S: Clone + Send + Sync + 'static>() -> Router<S> {
    routes_to(FILES)
}

fn routes_to<S: Clone + Send + Sync + 'static>(files: &'static [File]) -> Router<S> {
    if files.is_empty() {
        return Router::new().route("/", get(async || (SECURITY, ABSENT)));
    }
    files.iter().fold(Router::new(), |router, file| {
        let send = async |headers: HeaderMap| file.answer(&headers);
        router.route(file.route, get(send))
    })
}

/// The page that shows the description of the API.
pub(super) fn docs<S: Clone + Send + Sync + 'static>() -> Router<S> {
    DOCS.iter().fold(Router::new(), |router, file| {
        let send = async |_: Query<NoQuery>, headers: HeaderMap| file.answer(&headers);
        router.route(file.route, get(send))
    })
}

/// The description of the API, as programs read it.
pub(super) fn description<S: Clone + Send + Sync + 'static>(document: Vec<u8>) -> Router<S> {
    let mut hasher = DefaultHasher::new();
    document.hash(&mut hasher);
    let tag = format!("W/\"{:016x}\"", hasher.finish());
    let document = Bytes::from(document);
    let send = async move |_: Query<NoQuery>, headers: HeaderMap| {
        answer(&tag, "application/json", document.clone(), &headers)
    };
    Router::new().route("/openapi.json", get(send))
}

impl File {
    fn answer(&self, headers: &HeaderMap) -> Response {
        let content = Bytes::from_static(self.content);
        answer(self.tag, self.content_type, content, headers)
    }
}

/// The content, or 304 for whoever has it already. The names stay from release to release, so a browser
/// asks every time.
fn answer(tag: &str, content_type: &'static str, content: Bytes, headers: &HeaderMap) -> Response {
    let caching = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache")];
    if has(headers, tag) {
        return (StatusCode::NOT_MODIFIED, caching, SECURITY).into_response();
    }
    let content_type = [(header::CONTENT_TYPE, content_type)];
    (caching, SECURITY, content_type, content).into_response()
}

/// Whether `If-None-Match` names the tag. Weak and strong ones are compared alike (RFC 9110 section
/// 13.1.2).
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    const PAGE: &[File] = &[
        File {
            route: "/",
            content_type: "text/html; charset=utf-8",
            tag: "W/\"1\"",
            content: b"<p>page</p>",
        },
        File {
            route: "/assets/a.js",
            content_type: "text/javascript; charset=utf-8",
            tag: "W/\"2\"",
            content: b"run()",
        },
    ];

    async fn ask(
        files: &'static [File],
        method: &str,
        path: &str,
        known: &[&str],
    ) -> (u16, HeaderMap, String) {
        let mut request = Request::builder().method(method).uri(path);
        for tag in known {
            request = request.header(header::IF_NONE_MATCH, *tag);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = routes_to::<()>(files).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        (
            parts.status.as_u16(),
            parts.headers,
            String::from_utf8(body).unwrap(),
        )
    }

    #[tokio::test]
    async fn each_file_is_sent_with_its_type_and_tag() {
        for file in PAGE {
            let (status, headers, body) = ask(PAGE, "GET", file.route, &[]).await;
            assert_eq!((status, body.as_bytes()), (200, file.content));
            assert_eq!(headers[header::CONTENT_TYPE], file.content_type);
            assert_eq!(headers[header::ETAG], file.tag);
            assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
            let length = file.content.len().to_string();
            let (status, headers, body) = ask(PAGE, "HEAD", file.route, &[]).await;
            assert_eq!((status, body.as_str()), (200, ""));
            assert_eq!(headers[header::CONTENT_LENGTH], length.as_str());
            assert_eq!(headers[header::CONTENT_TYPE], file.content_type);
        }
        for path in ["/assets/", "/assets/b.js", "/index.html", "/assets/../a.js"] {
            assert_eq!(ask(PAGE, "GET", path, &[]).await.0, 404, "{path}");
        }
        assert_eq!(ask(PAGE, "POST", "/", &[]).await.0, 405);
    }

    #[tokio::test]
    async fn who_has_the_file_already_is_not_sent_it_again() {
        for known in [
            &["W/\"1\""][..],
            &["\"1\""],
            &["\"0\", W/\"1\""],
            &["\"0\"", "\"1\""],
            &["*"],
        ] {
            for method in ["GET", "HEAD"] {
                let (status, headers, body) = ask(PAGE, method, "/", known).await;
                assert_eq!((status, body.as_str()), (304, ""), "{known:?}");
                assert_eq!(headers[header::ETAG], "W/\"1\"");
            }
        }
        for other in ["W/\"2\"", "1", "\"11\"", "", "\"1"] {
            assert_eq!(ask(PAGE, "GET", "/", &[other]).await.0, 200, "{other}");
        }
    }

    #[tokio::test]
    async fn nothing_else_may_run_in_the_page_or_put_it_in_a_frame() {
        for (files, known) in [(PAGE, &[][..]), (PAGE, &["*"]), (&[], &[])] {
            let (_, headers, _) = ask(files, "GET", "/", known).await;
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            for part in [
                "default-src 'none'",
                "script-src 'self'",
                "frame-ancestors 'none'",
            ] {
                assert!(policy.split("; ").any(|rule| rule == part), "{policy}");
            }
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        }
    }

    #[tokio::test]
    async fn a_binary_without_the_page_says_how_to_get_it() {
        let (status, headers, body) = ask(&[], "GET", "/", &[]).await;
        assert_eq!(status, 200);
        assert_eq!(headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        assert!(
            body.contains("Node 20") && body.contains("make run"),
            "{body}"
        );
        assert_eq!(ask(&[], "HEAD", "/", &[]).await.0, 200);
        assert_eq!(ask(&[], "GET", "/assets/a.js", &[]).await.0, 404);
    }
}
