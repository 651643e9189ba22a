//! The query of a request to the clients' path. It is read here and nowhere else: where two readers
//! differ, a limit is void.

use engineioxide_core::ProtocolVersion;
use form_urlencoded::parse;

use super::Refusal;

/// The parameters of Engine.IO, each of which may come once.
#[derive(Debug, Clone, Default)]
pub struct Query {
    version: Option<Result<ProtocolVersion, Refusal>>,
    transport: Option<Result<Transport, Refusal>>,
    sid: Option<String>,
    jsonp: Option<String>,
    is_base64: bool,
    is_ambiguous: bool,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Polling,
    WebSocket,
}

impl Query {
    pub fn parse(query: &str) -> Self {
        let mut found = Self::default();
        for (name, value) in parse(query.as_bytes()) {
            let is_again = match &*name {
                "EIO" => found.version.replace(version(&value)).is_some(),
                "transport" => found.transport.replace(transport(&value)).is_some(),
                "sid" => found.sid.replace(value.into_owned()).is_some(),
                "j" => found.jsonp.replace(value.into_owned()).is_some(),
                "b64" => {
                    found.is_base64 |= !value.is_empty();
                    false
                }
                _ => false,
            };
            found.is_ambiguous |= is_again;
        }
        found
    }

    /// Whether the request is one of Engine.IO, well or badly formed.
    pub fn is_engine_io(&self) -> bool {
        self.version.is_some()
    }

    pub fn version(&self) -> Result<ProtocolVersion, Refusal> {
        if self.is_ambiguous {
            return Err(Refusal::BadRequest);
        }
        self.version.unwrap_or(Err(Refusal::UnsupportedVersion))
    }

    pub fn transport(&self) -> Result<Transport, Refusal> {
        self.transport.unwrap_or(Err(Refusal::UnknownTransport))
    }

    /// The session that the request is of; an empty one is there, and known to nobody.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// The number of the callback for JSONP. Whatever else stands there would be a script.
    pub fn jsonp(&self) -> Option<String> {
        let callback = self.jsonp.as_deref()?;
        Some(callback.chars().filter(char::is_ascii_digit).collect())
    }

    /// Whether the client can't read binary answers.
    pub fn is_base64(&self) -> bool {
        self.is_base64 || self.jsonp.is_some()
    }
}

fn version(value: &str) -> Result<ProtocolVersion, Refusal> {
    match value {
        "3" => Ok(ProtocolVersion::V3),
        "4" => Ok(ProtocolVersion::V4),
        _ => Err(Refusal::UnsupportedVersion),
    }
}

fn transport(value: &str) -> Result<Transport, Refusal> {
    match value {
        "polling" => Ok(Transport::Polling),
        "websocket" => Ok(Transport::WebSocket),
        _ => Err(Refusal::UnknownTransport),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_however_they_are_written() {
        let query = Query::parse("EIO=4&transport=polling&t=x&s%69d=a%2Db&b64=1");
        assert!(query.is_engine_io() && query.is_base64());
        assert_eq!(query.version(), Ok(ProtocolVersion::V4));
        assert_eq!(query.transport(), Ok(Transport::Polling));
        assert_eq!(query.sid(), Some("a-b"));
        assert!(!Query::parse("user_id=EIO&eio=4").is_engine_io());
        assert!(Query::parse("EIO").is_engine_io());
        assert!(Query::parse("%45IO=3").is_engine_io());
        assert_eq!(Query::parse("EIO=4&sid").sid(), Some(""));
        let jsonp = Query::parse("EIO=3&j=1;alert(2)").jsonp();
        assert_eq!(jsonp.as_deref(), Some("12"));
    }

    #[test]
    fn a_parameter_that_comes_twice_says_nothing() {
        for query in [
            "EIO=4&EIO=4",
            "EIO=4&sid&sid=real",
            "EIO=4&transport=a&transport=b",
        ] {
            assert_eq!(
                Query::parse(query).version(),
                Err(Refusal::BadRequest),
                "{query}"
            );
        }
        for query in ["EIO=5", "EIO=", "EIO=04", "EIO=4%20"] {
            assert_eq!(
                Query::parse(query).version(),
                Err(Refusal::UnsupportedVersion),
                "{query}"
            );
        }
    }
}
