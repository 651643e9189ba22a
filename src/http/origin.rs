//! Which web pages may talk to the server.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use super::reply::Refusal;
use super::router::{App, HttpOptions};
use crate::domain::fault::Fault;
use crate::hub::refused::Refused;

/// Says that a request comes from a page of the same origin. Scripts can't set it.
const FETCH_SITE: &str = "sec-fetch-site";

/// By which names the server may be called for its own pages to be let in.
///
/// Whoever owns a domain can point it at any address, this server's too, and the browser then takes
/// a page of that domain for a page of the server (DNS rebinding). So where callers are believed
/// without proof, a name is proof of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnNames {
    /// By any: without a token or a key a page can do nothing.
    Any,
    /// `localhost`, and addresses, which nobody can point elsewhere.
    Addresses,
    /// `localhost` and addresses of this machine alone.
    Loopback,
}

impl OwnNames {
    fn holds(self, authority: &str) -> bool {
        if self == Self::Any {
            return true;
        }
        let Some(host) = without_port(authority) else {
            return false;
        };
        let bracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Some(address) = bracketed {
            return address
                .parse::<Ipv6Addr>()
                .is_ok_and(|address| self == Self::Addresses || address.is_loopback());
        }
        host == "localhost"
            || host
                .parse::<Ipv4Addr>()
                .is_ok_and(|address| self == Self::Addresses || address.is_loopback())
    }
}

/// The host of `host[:port]`; `None` if what follows it is no port.
fn without_port(authority: &str) -> Option<&str> {
    let after_address = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority[after_address..].find(':') else {
        return Some(authority);
    };
    let (host, port) = authority.split_at(after_address + colon);
    port[1..].parse::<u16>().is_ok().then_some(host)
}

/// The allowed origins.
#[derive(Debug, Clone)]
pub(super) struct Origins {
    allowed: Arc<[String]>,
    /// With the slashes behind it.
    scheme: &'static str,
    own_names: OwnNames,
    /// Where clients connect, if those without an origin are refused there.
    required_at: Option<Arc<str>>,
}

impl Origins {
    pub fn new(options: &HttpOptions) -> Self {
        Self {
            allowed: options.cors_origins.as_slice().into(),
            scheme: if options.is_tls {
                "https://"
            } else {
                "http://"
            },
            own_names: options.own_names,
            required_at: options.require_origin.then(|| options.path.as_str().into()),
        }
    }

    /// The whole origin must be equal, to one of the list or to where the request itself went: no
    /// suffix, no other port, not `null`.
    fn allows(&self, origin: &[u8], headers: &HeaderMap) -> bool {
        let is_listed = self
            .allowed
            .iter()
            .any(|allowed| allowed == "*" || allowed.as_bytes() == origin);
        is_listed
            || self.own_host(headers).is_some_and(|host| {
                origin.strip_prefix(self.scheme.as_bytes()) == Some(host.as_bytes())
            })
    }

    /// What the request calls the server, if pages of that name are the server's own. A browser
    /// writes it in `Host` and `Origin` alike, so there is nothing to normalize.
    fn own_host<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next()?.to_str().ok()?;
        let is_own = hosts.next().is_none() && !host.is_empty() && self.own_names.holds(host);
        is_own.then_some(host)
    }

    /// A page of the server itself sends no `Origin` with GET, but says as much.
    fn is_own_page(&self, headers: &HeaderMap) -> bool {
        headers
            .get(FETCH_SITE)
            .is_some_and(|site| site == "same-origin")
            && self.own_host(headers).is_some()
    }

    /// The domain that the request calls the server by, where that may be anybody's. A page of such
    /// a domain sends no `Origin` with a GET to itself. Names without a dot are of the local network.
    fn foreign_host(&self, headers: &HeaderMap) -> Option<String> {
        if self.own_names != OwnNames::Loopback {
            return None;
        }
        headers.get_all(header::HOST).iter().find_map(|host| {
            let host = String::from_utf8_lossy(host.as_bytes());
            let name = without_port(&host).unwrap_or(&host);
            let is_local = !name.contains('.')
                || name.starts_with('[')
                || name.ends_with(".localhost")
                || name.parse::<Ipv4Addr>().is_ok();
            (!is_local).then(|| host.chars().take(100).collect())
        })
    }

    /// Why the request is refused, if it is. More than one `Origin` is no browser's doing.
    fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), Fault> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => {
                if let Some(host) = self.foreign_host(headers) {
                    return Err(Fault::unauthorized(format!(
                        "`Host` is `{host}`: without tokens and API keys this server answers to \
                         localhost and addresses only, so that nobody reads it by pointing a \
                         domain here"
                    )));
                }
                let here = path.trim_end_matches('/');
                if self.required_at.as_deref() == Some(here) && !self.is_own_page(headers) {
                    return Err(Fault::unauthorized("an `Origin` header is required here"));
                }
                Ok(())
            }
            (Some(origin), None) if self.allows(origin.as_bytes(), headers) => Ok(()),
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
    State((origins, app)): State<(Origins, App)>,
    request: Request,
    next: Next,
) -> Response {
    match origins.check(request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(fault) => {
            app.hub.gate.refused.count(Refused::Origin, &fault.message);
            Refusal(fault).into_response()
        }
    }
}

/// CORS for polling and the API: the request's own origin is answered, since 2.x clients send
/// credentials and `*` would not do for them.
pub(super) fn cors(origins: &Origins) -> CorsLayer {
    let origins = origins.clone();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(
            move |origin: &HeaderValue, request| {
                origins.allows(origin.as_bytes(), &request.headers)
            },
        ))
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
        Origins::new(&options(allowed, require_origin))
    }

    fn options(allowed: &str, require_origin: bool) -> HttpOptions {
        HttpOptions {
            path: "/ws".into(),
            cors_origins: vec![allowed.into()],
            require_origin,
            access: ApiAccess::Open,
            max_message_size: 1024,
            body_timeout: Duration::from_secs(1),
            trusted_proxies: Vec::new(),
            compression_threshold: None,
            is_tls: false,
            own_names: OwnNames::Loopback,
            dashboard: true,
        }
    }

    /// Whether a server of these own names, and no listed origins, lets the page in.
    fn own(names: OwnNames, is_tls: bool, origin: &str, hosts: &[&str]) -> bool {
        let origins = Origins::new(&HttpOptions {
            cors_origins: Vec::new(),
            own_names: names,
            is_tls,
            ..options("", false)
        });
        let mut headers = headers(&[origin]);
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        origins.check("/ws", &headers).is_ok()
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
    fn the_servers_own_pages_are_let_in() {
        use OwnNames::{Addresses, Any, Loopback};
        for host in [
            "localhost:5000",
            "localhost",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "[::1]",
        ] {
            for names in [Loopback, Addresses, Any] {
                assert!(
                    own(names, false, &format!("http://{host}"), &[host]),
                    "{host}"
                );
                assert!(
                    own(names, true, &format!("https://{host}"), &[host]),
                    "{host}"
                );
            }
        }
        for host in ["192.168.1.5:5000", "[2001:db8::1]"] {
            let origin = format!("http://{host}");
            assert!(!own(Loopback, false, &origin, &[host]), "{host}");
            assert!(own(Addresses, false, &origin, &[host]), "{host}");
            assert!(own(Any, false, &origin, &[host]), "{host}");
        }
        assert!(own(Any, true, "https://rt.example", &["rt.example"]));
    }

    #[test]
    fn without_an_origin_no_domain_reads_a_server_that_believes_its_callers() {
        use OwnNames::{Addresses, Any, Loopback};
        let lets_in = |own_names, host: &str| {
            let origins = Origins::new(&HttpOptions {
                own_names,
                ..options("", false)
            });
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            origins.check("/api/ws/stats", &headers).is_ok()
        };
        for host in [
            "localhost:5000",
            "127.0.0.1",
            "[::1]:5000",
            "192.168.1.5:5000",
            "app.localhost:5000",
            "orgcast:5000",
            "",
        ] {
            assert!(lets_in(Loopback, host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:5000",
            "evil.example:",
            "localhost.evil.example",
            "127.0.0.1.evil.example:5000",
            "evil.example.",
        ] {
            assert!(!lets_in(Loopback, host), "{host}");
            assert!(lets_in(Addresses, host) && lets_in(Any, host), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_not_the_servers_own() {
        for (origin, hosts) in [
            ("http://localhost:5000", &[][..]),
            ("http://localhost:5000", &[""]),
            ("http://", &[""]),
            ("null", &["localhost:5000"]),
            ("null", &["null"]),
            ("", &[""]),
            ("localhost:5000", &["localhost:5000"]),
            ("http://localhost:5001", &["localhost:5000"]),
            ("http://localhost", &["localhost:5000"]),
            ("http://localhost:5000", &["localhost"]),
            ("https://localhost:5000", &["localhost:5000"]),
            ("ws://localhost:5000", &["localhost:5000"]),
            ("http://localhost:5000.evil.example", &["localhost:5000"]),
            ("http://evil-localhost:5000", &["localhost:5000"]),
            ("http://localhost:5000/", &["localhost:5000"]),
            ("http://localhost:50001", &["localhost:5000"]),
            ("http://localhost.:5000", &["localhost:5000"]),
            ("http://localhost:5000", &["localhost.:5000"]),
            ("HTTP://LOCALHOST:5000", &["localhost:5000"]),
            ("http://LOCALHOST:5000", &["localhost:5000"]),
            ("http://localhost:5000", &["LOCALHOST:5000"]),
            ("http://127.0.0.1:5000", &["localhost:5000"]),
            ("http://localhost:5000", &["localhost:5000", "evil.example"]),
            ("http://evil.example", &["localhost:5000", "evil.example"]),
        ] {
            for names in [OwnNames::Any, OwnNames::Loopback] {
                assert!(!own(names, false, origin, hosts), "{origin} at {hosts:?}");
            }
        }
        assert!(!own(
            OwnNames::Any,
            true,
            "http://rt.example",
            &["rt.example"]
        ));
    }

    #[test]
    fn a_name_that_somebody_pointed_here_is_not_believed_where_callers_are() {
        for host in [
            "evil.example:5000",
            "evil.example",
            "localhost.evil.example:5000",
            "evil.localhost:5000",
            "localhost.:5000",
            "LOCALHOST:5000",
            "127.0.0.1.evil.example",
            "127.0.0.1.:5000",
            "127.1:5000",
            "0x7f000001",
            "2130706433",
            "[::1].evil.example",
            "[::1",
            "::1",
            "localhost:",
            "localhost:x",
            "localhost:5000:5000",
            "user@localhost:5000",
            "user@127.0.0.1",
        ] {
            for names in [OwnNames::Loopback, OwnNames::Addresses] {
                let origin = format!("http://{host}");
                assert!(!own(names, false, &origin, &[host]), "{host}");
            }
        }
        for host in ["0.0.0.0:5000", "10.0.0.1", "[::]", "[::ffff:10.0.0.1]"] {
            let origin = format!("http://{host}");
            assert!(!own(OwnNames::Loopback, false, &origin, &[host]), "{host}");
        }
    }

    #[test]
    fn a_page_of_the_servers_own_needs_no_origin_where_one_is_required() {
        let strict = origins("http://localhost:3000", true);
        let check = |site: &'static str, host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(FETCH_SITE, HeaderValue::from_static(site));
            headers.insert(header::HOST, HeaderValue::from_static(host));
            strict.check("/ws", &headers).is_ok()
        };
        assert!(check("same-origin", "localhost:5000"));
        assert!(!check("same-origin", "evil.example"));
        assert!(!check("same-site", "localhost:5000"));
        assert!(!check("cross-site", "localhost:5000"));
        assert!(!check("none", "localhost:5000"));
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
