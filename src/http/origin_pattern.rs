//! Origins (RFC 6454) and hosts as requests carry them and as an operator writes them down.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A scheme, a host and a port, the port only where it is not the scheme's own: `https://a` and
/// `https://a:443` are one origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    pub scheme: &'a str,
    pub host: Host<'a>,
}

/// A host and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Host<'a> {
    /// With its brackets if it is an IPv6 address.
    pub name: &'a str,
    pub port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// `scheme://host` or `scheme://host:port` and nothing behind it; `None` for everything else, so
    /// for `null`.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, host) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let host = Host::parse(host)?.without_port_of(scheme);
        (is_scheme && !host.name.is_empty()).then_some(Self { scheme, host })
    }

    /// The origin of a URL.
    pub fn of_url(url: &'a str) -> Option<Self> {
        let authority = url.find("://")? + 3;
        let end = url[authority..].find(['/', '?', '#']);
        Self::parse(&url[..end.map_or(url.len(), |end| authority + end)])
    }
}

fn port_of(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

impl<'a> Host<'a> {
    /// A name or an address, and a port behind it or not (RFC 3986 section 3.2); `None` for what is
    /// neither, or has a user in front. It may be empty.
    pub fn parse(text: &'a str) -> Option<Self> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(&byte);
        let (name, port) = match text.find(']') {
            Some(end) => {
                let address = text.strip_prefix('[')?.get(..end - 1)?;
                address.parse::<Ipv6Addr>().ok()?;
                text.split_at(end + 1)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        if !name.starts_with('[') && !name.bytes().all(is_name) {
            return None;
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None | Some(_) => return None,
        };
        Some(Self { name, port })
    }

    /// Without its port if that is the scheme's own.
    pub fn without_port_of(self, scheme: &str) -> Self {
        Self {
            port: self.port.filter(|port| Some(*port) != port_of(scheme)),
            ..self
        }
    }

    /// The address that it is, if it is one.
    pub fn ipv4(self) -> Option<Ipv4Addr> {
        self.name.parse().ok()
    }

    pub fn ipv6(self) -> Option<Ipv6Addr> {
        self.name.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
    }
}

/// A name, or every name below one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NamePattern {
    Exact(String),
    /// The name with the dot in front of it.
    Below(String),
}

impl NamePattern {
    fn parse(name: &str) -> Result<Self, &'static str> {
        let Some(parent) = name.strip_prefix("*.") else {
            if name.contains('*') {
                return Err("`*` stands for all that is left of a dot, as in *.example.com");
            }
            return Ok(Self::Exact(name.to_owned()));
        };
        let is_plain = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let top = parent.rsplit('.').next().unwrap_or_default();
        let has_owner = parent == "localhost" || parent.contains('.');
        let is_number = top.bytes().all(|byte| byte.is_ascii_digit());
        if !parent.split('.').all(is_plain) || !has_owner || is_number {
            return Err("`*.` stands in front of a domain of two parts or more, or of localhost");
        }
        Ok(Self::Below(format!(".{parent}")))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Below(parent) => name.strip_suffix(parent.as_str()).is_some_and(|labels| {
                labels.split('.').all(|label| {
                    !label.is_empty()
                        && label.bytes().all(|byte| {
                            byte.is_ascii_lowercase()
                                || byte.is_ascii_digit()
                                || b"-_".contains(&byte)
                        })
                })
            }),
        }
    }
}

/// Origins that an operator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    Of {
        scheme: String,
        name: NamePattern,
        port: Option<u16>,
    },
}

const IN_LOWER_CASE: &str = "browsers send origins in lower case, so this one would never match";

impl OriginPattern {
    /// Fails with what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "an origin is scheme://host or scheme://host:port without a path, where \
            the host may be *.example.com for every name below it, or *";
        if text == "*" {
            return Ok(Self(Pattern::Any));
        }
        let Origin { scheme, host } = Origin::parse(text).ok_or(SHAPE)?;
        let is_plain = host.name.starts_with('[')
            || host
                .name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte));
        if !is_plain || host.port == Some(0) {
            return Err(SHAPE);
        }
        let name = NamePattern::parse(host.name)?;
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(IN_LOWER_CASE);
        }
        Ok(Self(Pattern::Of {
            scheme: scheme.to_owned(),
            name,
            port: host.port,
        }))
    }

    pub(super) fn is_any(&self) -> bool {
        self.0 == Pattern::Any
    }

    pub(super) fn matches(&self, origin: Option<Origin<'_>>) -> bool {
        match (&self.0, origin) {
            (Pattern::Any, _) => true,
            (Pattern::Of { scheme, name, port }, Some(origin)) => {
                scheme == origin.scheme
                    && *port == origin.host.port
                    && name.matches(origin.host.name)
            }
            (Pattern::Of { .. }, None) => false,
        }
    }
}

/// Names that an operator allows the server to be called by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    name: NamePattern,
    /// None is any.
    port: Option<u16>,
}

impl HostPattern {
    /// Fails with what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "a host is a name or an address, with a port behind it or not, such as \
            rt.example.com, rt.example.com:8443 or *.example.com";
        let host = Host::parse(text).ok_or(SHAPE)?;
        if host.name.is_empty() || host.port == Some(0) {
            return Err(SHAPE);
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err("browsers send hosts in lower case, so this one would never match");
        }
        Ok(Self {
            name: NamePattern::parse(host.name)?,
            port: host.port,
        })
    }

    pub(super) fn matches(&self, host: Host<'_>) -> bool {
        self.port.is_none_or(|port| host.port == Some(port)) && self.name.matches(host.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, origin: &str) -> bool {
        OriginPattern::parse(pattern)
            .unwrap_or_else(|rule| panic!("{pattern}: {rule}"))
            .matches(Origin::parse(origin))
    }

    #[test]
    fn the_default_port_is_the_same_as_none_on_both_sides() {
        for (scheme, port, other) in [
            ("http", 80, 443),
            ("https", 443, 80),
            ("ws", 80, 443),
            ("wss", 443, 80),
        ] {
            let [bare, written, different] = [
                format!("{scheme}://a.example"),
                format!("{scheme}://a.example:{port}"),
                format!("{scheme}://a.example:{other}"),
            ];
            assert!(allows(&bare, &bare) && allows(&bare, &written));
            assert!(allows(&written, &bare) && allows(&written, &written));
            assert!(!allows(&bare, &different) && !allows(&different, &bare));
            assert!(allows(&different, &different));
        }
        assert!(!allows("capacitor://localhost", "capacitor://localhost:80"));
    }

    #[test]
    fn a_wildcard_is_for_what_is_below_a_domain_and_for_nothing_else() {
        for origin in [
            "https://a.example.com",
            "https://a.b.example.com",
            "https://a-1_b.example.com:443",
            "https://evil.example.com",
        ] {
            assert!(allows("https://*.example.com", origin), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://a..example.com",
            "https://evil-example.com",
            "https://evilexample.com",
            "https://a.example.com.evil.example",
            "https://a.example.com.",
            "https://evil.example#.example.com",
            "https://evil.example/.example.com",
            "https://evil.example?.example.com",
            "https://user@a.example.com",
            "https://evil.example:443.example.com",
            "https://[::1].example.com",
            "https://%61.example.com",
            "https://*.example.com",
            "https://A.example.com",
            "https://a.EXAMPLE.com",
            "http://a.example.com",
            "wss://a.example.com",
            "https://a.example.com:8443",
            "null",
            "",
        ] {
            assert!(!allows("https://*.example.com", origin), "{origin}");
        }
        assert!(allows(
            "http://*.localhost:3000",
            "http://app.localhost:3000"
        ));
        assert!(!allows("http://*.localhost:3000", "http://localhost:3000"));
        assert!(allows("*", "null") && allows("*", "https://a.example"));
    }

    #[test]
    fn an_origin_has_scheme_host_and_port_and_nothing_else() {
        for origin in [
            "*",
            "http://localhost:3000",
            "https://app.example.com",
            "https://app.example.com:443",
            "https://*.example.com",
            "https://*.app.example.com:8443",
            "http://*.localhost",
            "http://[::1]:8080",
            "https://[2001:db8::1]",
            "capacitor://localhost",
            "chrome-extension://abcdefghijklmnop",
        ] {
            assert!(OriginPattern::parse(origin).is_ok(), "{origin}");
        }
        for origin in [
            "",
            "localhost:3000",
            "http://",
            "://host",
            "http://host/",
            "http://host/path",
            "http://host?x",
            "http://user@host",
            "http://host:",
            "http://[::1]:",
            "http://host:0",
            "http://host:+80",
            "http://host:65536",
            "http://[::1",
            "http://[nonsense]",
            "http://[::1]8080",
            "http://*",
            "http://*.com",
            "http://*.",
            "http://*.example.",
            "http://*..example.com",
            "http://*.*.example.com",
            "http://a.*.example.com",
            "http://*a.example.com",
            "http://a*.example.com",
            "http://*.0.0.1",
            "http://*.[::1]",
            "https://App.example.com",
            "http://a b",
            "null",
        ] {
            assert!(OriginPattern::parse(origin).is_err(), "{origin}");
        }
    }

    #[test]
    fn the_origin_of_a_url_is_what_stands_before_its_path() {
        for url in [
            "http://a.example:8080/",
            "http://a.example:8080/b?c#d",
            "http://a.example:8080?b",
            "http://a.example:8080",
        ] {
            assert_eq!(Origin::of_url(url), Origin::parse("http://a.example:8080"));
        }
        for url in ["about:client", "", "/a", "http://user@a.example/"] {
            assert_eq!(Origin::of_url(url), None, "{url}");
        }
    }

    #[test]
    fn an_allowed_host_is_a_name_with_or_without_its_port() {
        let allows = |pattern: &str, host: &str| {
            let host = Host::parse(host).unwrap();
            HostPattern::parse(pattern).unwrap().matches(host)
        };
        assert!(allows("rt.example", "rt.example") && allows("rt.example", "rt.example:81"));
        assert!(allows("rt.example:81", "rt.example:81") && !allows("rt.example:81", "rt.example"));
        assert!(allows("*.example.com", "a.example.com:1"));
        assert!(!allows("*.example.com", "example.com"));
        assert!(!allows("rt.example", "rt.example.evil.example"));
        assert!(allows("10.0.0.1", "10.0.0.1:5000") && allows("[::1]", "[::1]:5000"));
        for bad in [
            "",
            "*",
            "http://a",
            "a/b",
            "a b",
            "a:",
            "a:x",
            "a:0",
            ":80",
            "user@a",
            "::1",
            "*.com",
            "RT.example",
        ] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
