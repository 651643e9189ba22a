//! Which web pages may talk to the server.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::domain::error::ClientError;
use crate::http::client_ip::ForwardedTls;
use crate::http::options::{HttpOptions, OwnNames};
use crate::http::origin_pattern::{Host, HostPattern, Origin, OriginPattern};
use crate::http::response::ErrorResponse;
use crate::http::state::App;
use crate::metrics::rejections::Rejection;

/// How the page that makes a request is related to the server, what for it makes it, and how. Scripts
/// can't set them.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Nothing that can stand in `Host`.
const NO_HOST: &str = "?";

/// What of a request says where it comes from and where it went.
#[derive(Clone, Copy)]
struct Asked<'a> {
    method: &'a Method,
    path: &'a str,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> Asked<'a> {
    fn of_parts(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            path: parts.uri.path(),
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }

    fn of(request: &'a Request) -> Self {
        Self {
            method: request.method(),
            path: request.uri().path(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    fn text(&self, name: &HeaderName) -> &'a str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// What the request calls the server, as it is written. What can't be read, and several of them,
    /// which [`super::request_head`] lets through in no request, are no host.
    fn host_text(&self) -> &'a str {
        let mut hosts = self.headers.get_all(header::HOST).iter();
        match (hosts.next(), hosts.next()) {
            (None, _) => "",
            (Some(host), None) => host.to_str().unwrap_or(NO_HOST),
            (Some(_), Some(_)) => NO_HOST,
        }
    }

    fn host(&self) -> Option<Host<'a>> {
        Host::parse(self.host_text()).filter(|host| !host.name.is_empty())
    }
}

/// The allowed origins.
#[derive(Debug, Clone)]
pub(in crate::http) struct Origins {
    allowed: Arc<[OriginPattern]>,
    /// Whether clients speak TLS to the server itself.
    is_tls: bool,
    own_names: OwnNames,
    allowed_hosts: Arc<[HostPattern]>,
    /// Where clients connect.
    path: Arc<str>,
    /// Whether those without an origin are refused there.
    is_required: bool,
}

impl Origins {
    pub fn new(options: &HttpOptions) -> Self {
        Self {
            allowed: options.cors_origins.as_slice().into(),
            is_tls: options.is_tls,
            own_names: options.own_names,
            allowed_hosts: options.allowed_hosts.as_slice().into(),
            path: options.path.as_str().into(),
            is_required: options.require_origin,
        }
    }

    /// The whole origin must be equal, to one of the list or to where the request itself went: no
    /// suffix, no other port, not `null`.
    fn allows(&self, origin: &[u8], asked: Asked<'_>) -> bool {
        let origin = str::from_utf8(origin).ok().and_then(Origin::parse);
        self.is_listed(origin) || origin.is_some_and(|origin| self.is_own(origin, asked))
    }

    fn is_listed(&self, origin: Option<Origin<'_>>) -> bool {
        self.allowed.iter().any(|pattern| pattern.matches(origin))
    }

    /// Whether it is where the request itself went. Apps write the scheme of the WebSocket into
    /// `Origin`, browsers that of the page.
    fn is_own(&self, origin: Origin<'_>, asked: Asked<'_>) -> bool {
        let forwarded = asked.extensions.get::<ForwardedTls>();
        let is_tls = forwarded.map_or(self.is_tls, |forwarded| forwarded.0);
        let schemes = if is_tls {
            ["https", "wss"]
        } else {
            ["http", "ws"]
        };
        schemes.contains(&origin.scheme)
            && self
                .own_host(asked)
                .is_some_and(|host| host.without_port_of(origin.scheme) == origin.host)
    }

    /// What the request calls the server, if pages of that name are the server's own.
    fn own_host<'a>(&self, asked: Asked<'a>) -> Option<Host<'a>> {
        asked
            .host()
            .filter(|host| self.own_names.hold(*host) || self.is_allowed_host(*host))
    }

    fn is_allowed_host(&self, host: Host<'_>) -> bool {
        self.allowed_hosts
            .iter()
            .any(|pattern| pattern.matches(host))
    }

    /// A page of the server itself sends no `Origin` with GET, but says as much.
    fn is_own_page(&self, asked: Asked<'_>) -> bool {
        asked.text(&FETCH_SITE) == "same-origin" && self.own_host(asked).is_some()
    }

    /// The domain that the request calls the server by, where that may be anybody's, or is not one of
    /// those that it answers to. A page of such a domain sends no `Origin` with a GET to itself. Names
    /// without a dot are of the local network.
    fn foreign_host<'a>(&self, asked: Asked<'a>) -> Option<&'a str> {
        if self.own_names != OwnNames::Loopback && self.allowed_hosts.is_empty() {
            return None;
        }
        let text = asked.host_text();
        let is_known = Host::parse(text).is_some_and(|host| {
            let is_local = !host.name.contains('.')
                || host.name.starts_with('[')
                || host.name.ends_with(".localhost")
                || host.ipv4().is_some();
            is_local || self.is_allowed_host(host)
        });
        (!is_known).then_some(text)
    }

    /// A page of another origin that fetches without asking whether it may (`no-cors`): it reads
    /// nothing of the answer and needs no `Origin`, but could take places, or follow a link into what
    /// the server believes.
    fn is_foreign_fetch(&self, asked: Asked<'_>) -> bool {
        let site = asked.text(&FETCH_SITE);
        if !matches!(site, "cross-site" | "same-site") {
            return false;
        }
        // A script of JSONP says no more than this.
        let page = Origin::of_url(asked.text(&header::REFERER));
        if page.is_some_and(|page| self.is_listed(Some(page))) || self.is_open() {
            return false;
        }
        let is_safe = matches!(*asked.method, Method::GET | Method::HEAD);
        let is_link = asked.text(&FETCH_MODE) == "navigate"
            && asked.text(&FETCH_DEST) == "document"
            && is_safe;
        self.is_client_path(asked) || (self.own_names != OwnNames::Any && !is_link)
    }

    /// Whether pages of any origin may come.
    fn is_open(&self) -> bool {
        self.allowed.iter().any(OriginPattern::is_any)
    }

    fn is_client_path(&self, asked: Asked<'_>) -> bool {
        asked.path.trim_end_matches('/') == &*self.path
    }

    /// Why the request is refused, if it is. More than one `Origin` is no browser's doing.
    fn check(&self, asked: Asked<'_>) -> Result<(), ClientError> {
        let mut origins = asked.headers.get_all(header::ORIGIN).iter();
        let (first, second) = (origins.next(), origins.next());
        let is_checked = first.is_none() || !self.allowed_hosts.is_empty();
        if is_checked && let Some(host) = self.foreign_host(asked) {
            let name = shortened(host);
            return Err(ClientError::unauthorized(match self.own_names {
                OwnNames::Loopback => format!(
                    "`Host` is `{name}`: without tokens and API keys this server answers to \
                     localhost, addresses and allowed_hosts only, so that nobody reads it by \
                     pointing a domain here"
                ),
                _ => format!("`Host` is `{name}`, which is not among allowed_hosts"),
            }));
        }
        match (first, second) {
            (None, _) if self.is_foreign_fetch(asked) => Err(ClientError::unauthorized(
                "a page of another origin asks without saying which; it must be among \
                 cors_origins, and use CORS",
            )),
            (None, _) => {
                let is_missed = self.is_required && self.is_client_path(asked);
                if is_missed && !self.is_own_page(asked) {
                    return Err(ClientError::unauthorized(
                        "an `Origin` header is required here",
                    ));
                }
                Ok(())
            }
            (Some(origin), None) if self.allows(origin.as_bytes(), asked) => Ok(()),
            (Some(origin), _) => {
                let origin = String::from_utf8_lossy(origin.as_bytes());
                let origin = shortened(&origin);
                Err(ClientError::unauthorized(format!(
                    "origin `{origin}` is not among cors_origins"
                )))
            }
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Answers 403 to a browser whose page is of an origin that is not allowed. Whoever sends no
/// `Origin` is no browser's page, and is refused only where the configuration asks for it.
pub(in crate::http) async fn refuse_strangers(
    State((origins, app)): State<(Origins, App)>,
    request: Request,
    next: Next,
) -> Response {
    match let_in(&origins, &app, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => ErrorResponse(error).into_response(),
    }
}

/// The same for whoever needs no middleware.
pub(in crate::http) fn let_in(
    origins: &Origins,
    app: &App,
    request: &Request,
) -> Result<(), ClientError> {
    origins.check(Asked::of(request)).inspect_err(|error| {
        app.hub
            .metrics
            .rejections
            .count(Rejection::Origin, &error.message);
    })
}

/// The headers of CORS on an answer to what is no preflight, as [`cors`] writes them.
pub(in crate::http) struct CorsHeaders(Option<HeaderValue>);

impl CorsHeaders {
    pub fn for_request(origins: &Origins, request: &Request) -> Self {
        let origin = request.headers().get(header::ORIGIN);
        let is_allowed =
            |origin: &&HeaderValue| origins.allows(origin.as_bytes(), Asked::of(request));
        Self(origin.filter(is_allowed).cloned())
    }

    pub fn write(self, headers: &mut HeaderMap) {
        let vary = HeaderValue::from_static("origin, access-control-request-headers");
        headers.append(header::VARY, vary);
        let credentials = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials);
        if let Some(origin) = self.0 {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }
}

/// CORS for polling and the API: the request's own origin is answered, since 2.x clients send
/// credentials and `*` would not do for them.
pub(in crate::http) fn cors(origins: &Origins) -> CorsLayer {
    let origins = origins.clone();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(
            move |origin: &HeaderValue, request| {
                origins.allows(origin.as_bytes(), Asked::of_parts(request))
            },
        ))
        .allow_credentials(true)
        .allow_methods(AllowMethods::list([
            Method::GET,
            Method::POST,
            Method::DELETE,
        ]))
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(Duration::from_mins(10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::client_ip::Networks;
    use crate::http::options::ApiAccess;
    use crate::wire::connections::Connections;

    fn origins(allowed: &str, require_origin: bool) -> Origins {
        Origins::new(&options(allowed, require_origin))
    }

    fn options(allowed: &str, require_origin: bool) -> HttpOptions {
        HttpOptions {
            path: "/ws".into(),
            cors_origins: patterns(&[allowed]),
            require_origin,
            access: ApiAccess::Open,
            max_message_size: 1024,
            body_timeout: Duration::from_secs(1),
            trusted_proxies: Networks::default(),
            compression_threshold: None,
            is_tls: false,
            own_names: OwnNames::Loopback,
            allowed_hosts: Vec::new(),
            dashboard: true,
            connections: Arc::new(Connections::new(0)),
        }
    }

    fn patterns(origins: &[&str]) -> Vec<OriginPattern> {
        let parse = |origin: &&str| OriginPattern::parse(origin).unwrap();
        origins.iter().map(parse).collect()
    }

    impl Origins {
        /// A GET that came without a proxy.
        fn check_get(&self, path: &str, headers: &HeaderMap) -> Result<(), ClientError> {
            self.check(Asked {
                method: &Method::GET,
                path,
                headers,
                extensions: &Extensions::new(),
            })
        }
    }

    /// Whether a server of these own names, and no listed origins, lets the page in.
    fn own(names: OwnNames, is_tls: bool, origin: &str, hosts: &[&str]) -> bool {
        let origins = Origins::new(&HttpOptions {
            cors_origins: Vec::new(),
            own_names: names,
            is_tls,
            ..options("http://listed.example", false)
        });
        let mut headers = headers(&[origin]);
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        origins.check_get("/ws", &headers).is_ok()
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
        let check = |origins: &[&str]| local.check_get("/ws", &headers(origins));
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
            any.check_get("/ws", &headers(&["http://anywhere.example"]))
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
                ..options("http://listed.example", false)
            });
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            origins.check_get("/api/ws/stats", &headers).is_ok()
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
            ("wss://localhost:5000", &["localhost:5000"]),
            ("ftp://localhost:5000", &["localhost:5000"]),
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
    fn an_app_may_write_the_scheme_of_its_web_socket_and_the_default_port() {
        for (is_tls, origin, host) in [
            (false, "ws://localhost:5000", "localhost:5000"),
            (false, "ws://localhost", "localhost"),
            (false, "http://localhost:80", "localhost"),
            (false, "ws://localhost", "localhost:80"),
            (true, "wss://localhost:5000", "localhost:5000"),
            (true, "wss://localhost:443", "localhost"),
            (true, "https://localhost", "localhost:443"),
        ] {
            let hosts = [host];
            assert!(own(OwnNames::Loopback, is_tls, origin, &hosts), "{origin}");
            assert!(!own(OwnNames::Any, !is_tls, origin, &hosts), "{origin}");
        }
        assert!(!own(OwnNames::Any, false, "http://a:443", &["a:80"]));
        assert!(!own(OwnNames::Any, true, "https://a:80", &["a"]));
    }

    #[test]
    fn behind_a_proxy_that_ends_tls_the_servers_own_pages_are_of_https() {
        let origins = Origins::new(&HttpOptions {
            own_names: OwnNames::Any,
            ..options("http://listed.example", false)
        });
        let lets_in = |origin: &str, tls: Option<bool>| {
            let mut headers = headers(&[origin]);
            headers.insert(header::HOST, HeaderValue::from_static("rt.example"));
            let mut extensions = Extensions::new();
            if let Some(tls) = tls {
                extensions.insert(ForwardedTls(tls));
            }
            let asked = Asked {
                method: &Method::GET,
                path: "/ws",
                headers: &headers,
                extensions: &extensions,
            };
            origins.check(asked).is_ok()
        };
        for origin in ["https://rt.example", "wss://rt.example:443"] {
            assert!(lets_in(origin, Some(true)), "{origin}");
            assert!(!lets_in(origin, Some(false)) && !lets_in(origin, None));
        }
        for origin in ["http://rt.example", "ws://rt.example"] {
            assert!(!lets_in(origin, Some(true)), "{origin}");
            assert!(lets_in(origin, Some(false)) && lets_in(origin, None));
        }
    }

    #[test]
    fn names_can_be_allowed_and_then_no_others_are() {
        let allowed = |own_names| {
            Origins::new(&HttpOptions {
                own_names,
                allowed_hosts: vec![HostPattern::parse("*.rt.example").unwrap()],
                ..options("http://listed.example", false)
            })
        };
        let ask = |origins: &Origins, host: &str, origin: &[&str]| {
            let mut headers = headers(origin);
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            origins.check_get("/ws", &headers).is_ok()
        };
        for names in [OwnNames::Loopback, OwnNames::Addresses, OwnNames::Any] {
            let origins = allowed(names);
            assert!(ask(&origins, "a.rt.example", &[]));
            assert!(ask(
                &origins,
                "a.rt.example:81",
                &["http://a.rt.example:81"]
            ));
            assert!(ask(&origins, "localhost", &[]) && ask(&origins, "10.0.0.1:5000", &[]));
            assert!(ask(&origins, "a.rt.example", &["http://listed.example"]));
            for foreign in ["evil.example", "rt.example", "a.rt.example.evil.example"] {
                assert!(!ask(&origins, foreign, &[]), "{foreign}");
                assert!(!ask(&origins, foreign, &["http://listed.example"]));
                assert!(!ask(&origins, foreign, &[&format!("http://{foreign}")]));
            }
        }
    }

    /// Whether a request of a browser is let in that says so much of its page.
    fn fetch(own_names: OwnNames, method: &Method, path: &str, said: &[(&str, &str)]) -> bool {
        let origins = Origins::new(&HttpOptions {
            own_names,
            ..options("http://listed.example", false)
        });
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:5000"));
        for (name, value) in said {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let asked = Asked {
            method,
            path,
            headers: &headers,
            extensions: &Extensions::new(),
        };
        origins.check(asked).is_ok()
    }

    #[test]
    fn a_foreign_page_does_nothing_without_saying_who_it_is() {
        use OwnNames::{Any, Loopback};
        let image = [("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
        let link = [
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        for site in ["cross-site", "same-site"] {
            let site = ("sec-fetch-site", site);
            for how in [image, link, frame] {
                let said = [&[site], &how[..]].concat();
                for names in [Loopback, Any] {
                    assert!(!fetch(names, &Method::GET, "/ws", &said), "{said:?}");
                    assert!(!fetch(names, &Method::GET, "/ws/", &said), "{said:?}");
                    assert!(!fetch(names, &Method::HEAD, "/ws/", &said), "{said:?}");
                }
                let is_link = how == link;
                for path in ["/", "/api/ws/stats"] {
                    assert_eq!(fetch(Loopback, &Method::GET, path, &said), is_link);
                    assert!(!fetch(Loopback, &Method::POST, path, &said));
                    // There it needs an API key, and images of others do no harm.
                    assert!(fetch(Any, &Method::GET, path, &said));
                }
            }
            let referer = |page| [site, image[0], image[1], ("referer", page)];
            for page in ["http://listed.example/", "http://listed.example/a?b"] {
                assert!(fetch(Loopback, &Method::GET, "/ws", &referer(page)));
            }
            for page in [
                "http://evil.example/",
                "http://listed.example.evil.example/",
                "",
            ] {
                assert!(
                    !fetch(Loopback, &Method::GET, "/ws", &referer(page)),
                    "{page}"
                );
            }
        }
        for site in ["same-origin", "none"] {
            let said = [("sec-fetch-site", site), image[0], image[1]];
            assert!(fetch(Loopback, &Method::GET, "/ws", &said), "{site}");
        }
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
            strict.check_get("/ws", &headers).is_ok()
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
        assert!(strict.check_get("/ws", &headers(&[])).is_err());
        assert!(strict.check_get("/ws/", &headers(&[])).is_err());
        assert!(strict.check_get("/api/ws/stats", &headers(&[])).is_ok());
        assert!(
            strict
                .check_get("/ws", &headers(&["http://localhost:3000"]))
                .is_ok()
        );
    }
}
