//! Which web pages may talk to the server.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use super::reply::Refusal;
use super::router::HttpOptions;
use crate::domain::fault::Fault;

/// The allowed origins.
#[derive(Debug, Clone)]
pub(super) struct Origins {
    allowed: Arc<[String]>,
    /// Where clients connect, if those without an origin are refused there.
    required_at: Option<Arc<str>>,
}

impl Origins {
    pub fn new(options: &HttpOptions) -> Self {
        Self {
            allowed: options.cors_origins.as_slice().into(),
            required_at: options.require_origin.then(|| options.path.as_str().into()),
        }
    }

    /// The whole origin must be equal: no suffix, no other port, not `null`.
    fn allows(&self, origin: &[u8]) -> bool {
        self.allowed
            .iter()
            .any(|allowed| allowed == "*" || allowed.as_bytes() == origin)
    }

    /// Why the request is refused, if it is. More than one `Origin` is no browser's doing.
    fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), Fault> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => {
                let here = path.trim_end_matches('/');
                if self.required_at.as_deref() == Some(here) {
                    return Err(Fault::unauthorized("an `Origin` header is required here"));
                }
                Ok(())
            }
            (Some(origin), None) if self.allows(origin.as_bytes()) => Ok(()),
            (Some(origin), _) => {
                let origin = String::from_utf8_lossy(origin.as_bytes());
                let origin: String = origin.chars().take(100).collect();
                Err(Fault::unauthorized(format!(
                    "origin `{origin}` is not among cors_origins"
                )))
            }
        }
    }
}

/// Answers 403 to a browser whose page is of an origin that is not allowed. Whoever sends no
/// `Origin` is no browser's page, and is refused only where the configuration asks for it.
pub(super) async fn refuse_strangers(
    State(origins): State<Origins>,
    request: Request,
    next: Next,
) -> Response {
    match origins.check(request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(fault) => Refusal(fault).into_response(),
    }
}

/// CORS for polling and the API: the request's own origin is answered, since 2.x clients send
/// credentials and `*` would not do for them.
pub(super) fn cors(origins: &Origins) -> CorsLayer {
    let origins = origins.clone();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin: &HeaderValue, _| {
            origins.allows(origin.as_bytes())
        }))
        .allow_credentials(true)
        .allow_methods(AllowMethods::list([Method::GET, Method::POST]))
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(Duration::from_mins(10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::guard::ApiAccess;

    fn origins(allowed: &str, require_origin: bool) -> Origins {
        Origins::new(&HttpOptions {
            path: "/ws".into(),
            cors_origins: vec![allowed.into()],
            require_origin,
            access: ApiAccess::Open,
            max_message_size: 1024,
            body_timeout: Duration::from_secs(1),
            trusted_proxies: Vec::new(),
            compression_threshold: None,
        })
    }

    fn headers(origins: &[&str]) -> HeaderMap {
        origins
            .iter()
            .map(|origin| (header::ORIGIN, HeaderValue::from_str(origin).unwrap()))
            .collect()
    }

    #[test]
    fn an_origin_is_allowed_as_a_whole_or_not_at_all() {
        let local = origins("http://localhost:3000", false);
        let check = |origins: &[&str]| local.check("/ws", &headers(origins));
        assert!(check(&["http://localhost:3000"]).is_ok());
        assert!(check(&[]).is_ok());
        for stranger in [
            "null",
            "http://localhost:3001",
            "http://localhost",
            "https://localhost:3000",
            "http://evil-localhost:3000",
            "http://localhost:3000.evil.example",
            "http://localhost:3000/",
            "HTTP://LOCALHOST:3000",
            "",
        ] {
            assert!(check(&[stranger]).is_err(), "{stranger}");
        }
        assert!(check(&["http://localhost:3000", "http://evil.example"]).is_err());
        let any = origins("*", false);
        assert!(
            any.check("/ws", &headers(&["http://anywhere.example"]))
                .is_ok()
        );
    }

    #[test]
    fn clients_without_an_origin_can_be_refused_where_clients_connect() {
        let strict = origins("http://localhost:3000", true);
        assert!(strict.check("/ws", &headers(&[])).is_err());
        assert!(strict.check("/ws/", &headers(&[])).is_err());
        assert!(strict.check("/api/ws/stats", &headers(&[])).is_ok());
        assert!(
            strict
                .check("/ws", &headers(&["http://localhost:3000"]))
                .is_ok()
        );
    }
}
