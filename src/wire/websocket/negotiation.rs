//! Which extension a WebSocket speaks: the client's offers, in its order of preference, and the
//! server's answer (RFC 6455 section 9.1, RFC 7692 section 7.1).

use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};

/// The answer to the first offer of permessage-deflate that can be met; the connection then
/// compresses. `None` if there is none, which is no reason to refuse the connection.
///
/// Neither side keeps its window between messages. The server's window is always 32 KiB, so an
/// offer that wants a smaller one is declined; the client may use any.
pub fn answer(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lists = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    let offer = lists.find_map(|list| {
        let offers = parse(list.as_bytes())?;
        offers.iter().find_map(accept)
    })?;
    Some(HeaderValue::from_static(if offer.names_server_window {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=15"
    } else {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    }))
}

struct Accepted {
    /// The offer names the server's window, so the answer must too (section 7.1.2.1).
    names_server_window: bool,
}

struct Offer<'a> {
    name: &'a [u8],
    parameters: Vec<(&'a [u8], Option<Vec<u8>>)>,
}

/// An offer with a parameter that is unknown, doubled or out of range is declined (section 7.1).
fn accept(offer: &Offer<'_>) -> Option<Accepted> {
    if !offer.name.eq_ignore_ascii_case(b"permessage-deflate") {
        return None;
    }
    let mut names_server_window = false;
    for (at, (name, value)) in offer.parameters.iter().enumerate() {
        let is_doubled = offer.parameters[..at]
            .iter()
            .any(|(other, _)| other == name);
        let is_met = match (*name, value.as_deref()) {
            (b"server_no_context_takeover" | b"client_no_context_takeover", None) => true,
            (b"client_max_window_bits", value) => {
                value.is_none_or(|value| window_bits(value).is_some())
            }
            (b"server_max_window_bits", Some(value)) => {
                names_server_window = true;
                window_bits(value) == Some(15)
            }
            _ => false,
        };
        if is_doubled || !is_met {
            return None;
        }
    }
    Some(Accepted {
        names_server_window,
    })
}

/// 8 to 15, without leading zeros (section 7.1.2).
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// A header's offers; `None` if it is not as RFC 6455 section 9.1 wants it.
fn parse(list: &[u8]) -> Option<Vec<Offer<'_>>> {
    let mut rest = Cursor(list);
    let mut offers = Vec::new();
    loop {
        // Empty elements are allowed in lists (RFC 9110 section 5.6.1.2).
        while rest.take(b',') {}
        if rest.is_at_end() {
            return Some(offers);
        }
        let mut offer = Offer {
            name: rest.token()?,
            parameters: Vec::new(),
        };
        while rest.take(b';') {
            let name = rest.token()?;
            let value = if rest.take(b'=') {
                Some(rest.value()?)
            } else {
                None
            };
            offer.parameters.push((name, value));
        }
        offers.push(offer);
        if !rest.is_at_end() && !rest.take(b',') {
            return None;
        }
    }
}

/// What is left of a header's value.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.0.is_empty()
    }

    fn take(&mut self, wanted: u8) -> bool {
        self.skip_space();
        match self.0.split_first() {
            Some((first, rest)) if *first == wanted => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        self.skip_space();
        let length = self.0.iter().take_while(|byte| is_token(**byte)).count();
        let (token, rest) = self.0.split_at(length);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// A token, quoted or not.
    fn value(&mut self) -> Option<Vec<u8>> {
        if !self.take(b'"') {
            return self.token().map(<[u8]>::to_vec);
        }
        let mut value = Vec::new();
        loop {
            let (mut byte, rest) = self.0.split_first()?;
            self.0 = rest;
            if *byte == b'"' {
                return (!value.is_empty()).then_some(value);
            }
            if *byte == b'\\' {
                (byte, self.0) = self.0.split_first()?;
            }
            if !is_token(*byte) {
                return None;
            }
            value.push(*byte);
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    fn answer_to(lists: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(
                SEC_WEBSOCKET_EXTENSIONS,
                HeaderValue::from_str(list).unwrap(),
            );
        }
        answer(&headers).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_browsers_and_ws_offer_is_accepted_without_context_takeover() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=\"10\" ; server_no_context_takeover",
            "PerMessage-Deflate; client_no_context_takeover; client_max_window_bits=8",
            ",, x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
        ] {
            assert_eq!(answer_to(&[offer]).as_deref(), Some(PLAIN), "{offer}");
        }
    }

    #[test]
    fn a_server_window_is_confirmed_at_its_full_size_and_declined_below() {
        let confirmed = format!("{PLAIN}; server_max_window_bits=15");
        assert_eq!(
            answer_to(&["permessage-deflate; server_max_window_bits=15"]),
            Some(confirmed)
        );
        assert_eq!(
            answer_to(&["permessage-deflate; server_max_window_bits=14"]),
            None
        );
    }

    #[test]
    fn the_first_offer_that_can_be_met_is_taken() {
        for lists in [
            &["permessage-deflate; server_max_window_bits=10, permessage-deflate"][..],
            &[
                "permessage-deflate; server_max_window_bits=10",
                "permessage-deflate",
            ][..],
            &["permessage-deflate; mystery=\"a,b\", permessage-deflate"][..],
            &["mystery; level=9; note=\"\\x\", permessage-deflate"][..],
        ] {
            let taken = answer_to(lists);
            // A value with a comma is no token, which spoils its whole header.
            let expected = (!lists[0].contains("a,b")).then_some(PLAIN);
            assert_eq!(taken.as_deref(), expected, "{lists:?}");
        }
    }

    #[test]
    fn offers_with_invalid_parameters_are_declined() {
        for offer in [
            "permessage-deflate; mystery",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=\"true\"",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=08",
            "permessage-deflate; client_max_window_bits=+9",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; =9",
            "permessage-deflate; client_max_window_bits=\"9",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate;",
            "permessage-bzip2",
            "",
        ] {
            assert_eq!(answer_to(&[offer]), None, "{offer}");
        }
        assert_eq!(answer_to(&[]), None);
    }
}
