//! Which address a request comes from, and how, when it came through proxies.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Addresses with a common beginning: `10.0.0.0/8`, `fd00::/8`, or a single one without the slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// The text is no address and no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no IP address and no network such as 10.0.0.0/8")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = text.parse::<IpNet>();
        let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| NetworkError)
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// Some networks.
#[derive(Debug, Clone, Default)]
pub struct Networks(Arc<[Network]>);

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl Networks {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Whether a client speaks TLS, as a trusted proxy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ForwardedTls(pub bool);

/// The proxies whose word on where a request comes from is believed.
#[derive(Debug, Clone)]
pub(super) struct Proxies(pub Networks);

impl Proxies {
    fn trusts(&self, address: IpAddr) -> bool {
        self.0.contain(address)
    }

    /// Of several proxies the one that the client speaks to wrote the first word. A client may write
    /// it as well, but no page can make a browser do so.
    fn tls(&self, peer: IpAddr, headers: &HeaderMap) -> Option<ForwardedTls> {
        if !self.trusts(peer) {
            return None;
        }
        let protocol = headers.get(FORWARDED_PROTO)?.to_str().ok()?;
        let first = protocol.split(',').next()?.trim();
        Some(ForwardedTls(
            ["https", "wss"]
                .iter()
                .any(|secure| first.eq_ignore_ascii_case(secure)),
        ))
    }

    /// Goes back from the peer, hop by hop, as long as the hop is a trusted proxy: what stands left
    /// of an untrusted one may have been made up by it.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .map(|line| line.to_str().unwrap_or_default())
            .collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        for hop in hops {
            if !self.trusts(client) {
                break;
            }
            match read_hop(hop.trim()) {
                Some(address) => client = address.to_canonical(),
                None => break,
            }
        }
        client
    }
}

/// An address as proxies write it: with a port or without, IPv6 in brackets or without.
fn read_hop(hop: &str) -> Option<IpAddr> {
    if let Ok(address) = hop.parse() {
        return Some(address);
    }
    if let Ok(address) = hop.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Puts the client's address in the place of the peer's, and beside it how the client came.
pub(super) async fn resolve(
    State(proxies): State<Proxies>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if let Some(ConnectInfo(peer)) = peer.copied() {
        let client = proxies.resolve(peer, &mut request);
        request.extensions_mut().insert(ConnectInfo(client));
    }
    next.run(request).await
}

impl Proxies {
    /// The client's address; how it came is put beside the request.
    pub fn resolve(&self, peer: SocketAddr, request: &mut Request) -> SocketAddr {
        let client = self.client(peer.ip(), request.headers());
        if let Some(tls) = self.tls(peer.ip(), request.headers()) {
            request.extensions_mut().insert(tls);
        }
        SocketAddr::new(client, peer.port())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies(trusted: &[&str]) -> Proxies {
        Proxies(trusted.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(
                FORWARDED_FOR,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        proxies(trusted)
            .client(peer.parse().unwrap(), &headers)
            .to_string()
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        assert_eq!(client(&[], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.2"], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.1"], "10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client(&["10.0.0.1"], "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(
            client(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["1.2.3.4"]),
            "1.2.3.4"
        );
    }

    #[test]
    fn what_the_client_itself_wrote_is_not_believed() {
        let trusted = ["10.0.0.0/8"];
        // The client sent the first entry, the proxies appended the others.
        for lines in [
            &["6.6.6.6, 1.2.3.4, 10.0.0.9"][..],
            &["6.6.6.6", "1.2.3.4, 10.0.0.9"][..],
            &["10.0.0.7, 1.2.3.4,10.0.0.9"][..],
            &["nonsense, 1.2.3.4 , 10.0.0.9"][..],
        ] {
            assert_eq!(client(&trusted, "10.0.0.1", lines), "1.2.3.4", "{lines:?}");
        }
        // Nothing readable stands there: the last hop that is known.
        for lines in [
            &["nonsense"][..],
            &["1.2.3.4, "][..],
            &["é"][..],
            &["unknown"][..],
        ] {
            assert_eq!(client(&trusted, "10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
        assert_eq!(
            client(&trusted, "10.0.0.1", &["10.0.0.3, 10.0.0.2"]),
            "10.0.0.3"
        );
    }

    #[test]
    fn hops_may_have_ports_and_brackets() {
        for (hop, expected) in [
            ("1.2.3.4:5678", "1.2.3.4"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(client(&["10.0.0.1"], "10.0.0.1", &[hop]), expected, "{hop}");
        }
    }

    #[test]
    fn how_a_client_came_is_believed_of_trusted_proxies_only() {
        let tls = |peer: &str, protocol: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_PROTO, HeaderValue::from_str(protocol).unwrap());
            proxies(&["10.0.0.0/8"]).tls(peer.parse().unwrap(), &headers)
        };
        for secure in ["https", "HTTPS", "wss", "https, http", "https,http"] {
            assert_eq!(tls("10.0.0.1", secure), Some(ForwardedTls(true)));
            assert_eq!(tls("11.0.0.1", secure), None);
        }
        for plain in ["http", "ws", "", "http, https", "httpsx", "x https"] {
            assert_eq!(tls("10.0.0.1", plain), Some(ForwardedTls(false)), "{plain}");
        }
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(proxies(&["10.0.0.1"]).tls(peer, &HeaderMap::new()), None);
    }

    #[test]
    fn networks_are_read_and_hold_what_they_say() {
        let holds = |network: &str, address: &str| {
            let network: Network = network.parse().unwrap();
            network.contains(address.parse().unwrap())
        };
        assert!(holds("10.1.0.0/16", "10.1.255.255") && !holds("10.1.0.0/16", "10.2.0.0"));
        assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe00::1"));
        assert!(holds("::/0", "2001:db8::1") && holds("::1", "::1") && !holds("::1", "::2"));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::/129",
            "localhost",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
        }
    }
}
