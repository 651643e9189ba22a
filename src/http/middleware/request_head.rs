//! What a request's head must be before anything is done with it (RFC 9112 sections 3.2 and 6.1).

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};

use crate::domain::error::ClientError;
use crate::http::origin_pattern::Host;
use crate::http::response::ErrorResponse;
use crate::http::state::App;
use crate::metrics::rejections::Rejection;

/// Paths that are the same with a slash behind them.
const WITH_OR_WITHOUT_SLASH: [&str; 5] = ["/api/", "/docs", "/healthz", "/openapi.json", "/readyz"];

/// Refuses what is not clear about where it goes and where it ends, and writes the rest in one way:
/// the server's name in `Host`, however it was given, and the path without a slash at its end where
/// that means nothing.
pub(in crate::http) async fn check(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    match checked(&app, &mut request) {
        Ok(()) => next.run(request).await,
        Err(response) => *response,
    }
}

/// The same for whoever needs no middleware; the error is the answer.
pub(in crate::http) fn checked(app: &App, request: &mut Request) -> Result<(), Box<Response>> {
    let checked = check_host(request).and_then(|()| check_transfer(request.headers()));
    if let Err(problem) = checked {
        let mut response = problem.into_response();
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        app.hub
            .metrics
            .rejections
            .count(Rejection::MalformedRequest, problem.message());
        return Err(Box::new(response));
    }
    trim_slash(request.uri_mut());
    Ok(())
}

/// Why a request can't be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Malformed {
    NoHost,
    TwoHosts,
    Host,
    Target,
    ChunkedTwice,
    Coding,
}

impl Malformed {
    fn message(self) -> &'static str {
        match self {
            Self::NoHost => "a request of HTTP/1.1 has a `Host`",
            Self::TwoHosts => "a request has one `Host`, not several",
            Self::Host => "`Host` is neither a name nor an address, with or without a port",
            Self::Target => "the request's target names no host that is a name or an address",
            Self::ChunkedTwice => "a body is chunked once",
            Self::Coding => "the only `Transfer-Encoding` that is understood is chunked",
        }
    }
}

impl IntoResponse for Malformed {
    fn into_response(self) -> Response {
        let mut response = ErrorResponse(ClientError::invalid(self.message())).into_response();
        if self == Self::Coding {
            *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        }
        response
    }
}

/// A target that is a whole URL says where the request goes, whatever `Host` says (section 3.2.2).
fn check_host(request: &mut Request) -> Result<(), Malformed> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() >= Version::HTTP_11 => return Err(Malformed::NoHost),
        (Some(_), Some(_)) => return Err(Malformed::TwoHosts),
        (Some(host), None) => {
            let host = host.to_str().ok().and_then(Host::parse);
            host.ok_or(Malformed::Host)?;
        }
        (None, _) => {}
    }
    let Some(authority) = request.uri().authority() else {
        return Ok(());
    };
    let named = Host::parse(authority.as_str()).filter(|host| !host.name.is_empty());
    let host = named.and_then(|_| HeaderValue::from_str(authority.as_str()).ok());
    let host = host.ok_or(Malformed::Target)?;
    request.headers_mut().insert(header::HOST, host);
    if let Some(target) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = target.into();
    }
    Ok(())
}

/// What is not known would be taken for the body itself.
fn check_transfer(headers: &HeaderMap) -> Result<(), Malformed> {
    let codings = headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty());
    let mut chunked = 0;
    for coding in codings {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(Malformed::Coding);
        }
        chunked += 1;
    }
    if chunked > 1 {
        return Err(Malformed::ChunkedTwice);
    }
    Ok(())
}

fn trim_slash(uri: &mut Uri) {
    let path = uri.path();
    let trimmed = path.trim_end_matches('/');
    let has_slash = trimmed.len() < path.len();
    if !has_slash
        || !WITH_OR_WITHOUT_SLASH
            .iter()
            .any(|start| path.starts_with(start))
    {
        return;
    }
    let target = match uri.query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    if let Ok(target) = PathAndQuery::try_from(target) {
        *uri = target.into();
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(target: &str, hosts: &[&str]) -> Request {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        request.body(Body::empty()).unwrap()
    }

    fn host(target: &str, hosts: &[&str]) -> Result<(String, String), Malformed> {
        let mut request = request(target, hosts);
        check_host(&mut request)?;
        let host = request.headers()[header::HOST].to_str().unwrap().to_owned();
        Ok((host, request.uri().to_string()))
    }

    #[test]
    fn a_request_has_one_host_that_can_be_one() {
        for good in [
            "localhost",
            "localhost:5000",
            "rt.example.com.",
            "127.0.0.1:80",
            "[::1]",
            "[2001:db8::1]:443",
            "a_b-c~%20",
            "",
        ] {
            assert_eq!(host("/a", &[good]), Ok((good.into(), "/a".into())));
        }
        for bad in [
            "a b", "a/b", "user@a", "a:b", "a:1:2", "a:", "a:65536", "::1", "[::1", "[::1]x",
            "[v1.x]", "a,b", "\"a\"", "a#b", "a?b", "http://a",
        ] {
            assert_eq!(host("/a", &[bad]), Err(Malformed::Host), "{bad}");
        }
        assert_eq!(host("/a", &[]), Err(Malformed::NoHost));
        assert_eq!(host("/a", &["a", "a"]), Err(Malformed::TwoHosts));
        let mut old = request("/a", &[]);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(check_host(&mut old), Ok(()));
    }

    #[test]
    fn a_whole_url_is_where_the_request_goes() {
        let absolute = host("http://a.example:81/b?c", &["localhost"]);
        assert_eq!(absolute, Ok(("a.example:81".into(), "/b?c".into())));
        let user = host("http://user@localhost/", &["localhost"]);
        assert_eq!(user, Err(Malformed::Target));
        assert_eq!(host("http://a.example/", &[]), Err(Malformed::NoHost));
    }

    #[test]
    fn a_body_is_chunked_once_and_nothing_else() {
        let check = |lines: &[&str]| {
            let lines = lines
                .iter()
                .map(|line| HeaderValue::from_str(line).unwrap());
            check_transfer(
                &lines
                    .map(|line| (header::TRANSFER_ENCODING, line))
                    .collect(),
            )
        };
        for good in [&[][..], &["chunked"], &["Chunked"], &[" chunked ,"]] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for twice in [&["chunked, chunked"][..], &["chunked", "CHUNKED"]] {
            assert_eq!(check(twice), Err(Malformed::ChunkedTwice), "{twice:?}");
        }
        for other in [&["gzip, chunked"][..], &["identity", "chunked"], &["x"]] {
            assert_eq!(check(other), Err(Malformed::Coding), "{other:?}");
        }
    }

    #[test]
    fn a_slash_at_the_end_of_an_api_path_means_nothing() {
        for (before, after) in [
            ("/api/ws/stats/", "/api/ws/stats"),
            ("/api/ws/stats//?a=/", "/api/ws/stats?a=/"),
            ("/healthz/", "/healthz"),
            ("/api/", "/api"),
            ("/api/ws/stats?a=b/", "/api/ws/stats?a=b/"),
            ("/ws/", "/ws/"),
            ("/", "/"),
            ("/assets/", "/assets/"),
        ] {
            let mut uri = before.parse().unwrap();
            trim_slash(&mut uri);
            assert_eq!(uri.to_string(), after, "{before}");
        }
    }
}
