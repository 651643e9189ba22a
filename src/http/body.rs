//! The bodies of requests, and what is wrong with them in words that name the member.

use std::fmt;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::compression;
use crate::domain::fault::Fault;
use crate::domain::words::{self, shown};

/// A body as it came.
pub(super) type Body = Result<Bytes, BytesRejection>;

/// What some editors and languages write in front of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The whole body, unless it is too large or did not come. A byte order mark is no part of it (RFC 8259
/// section 8.1 lets a parser ignore it).
pub(super) fn bytes(body: Body, limit: usize) -> Result<Bytes, Fault> {
    let body = body.map_err(|rejection| {
        if compression::is_too_large(&rejection) {
            Fault::too_large(limit)
        } else {
            Fault::invalid("the body could not be read to its end")
        }
    })?;
    let is_marked = body.starts_with(BYTE_ORDER_MARK);
    Ok(body.slice(if is_marked { BYTE_ORDER_MARK.len() } else { 0 }..))
}

/// The members of an object, one of them apart, as it was written.
pub(super) type Members = (Map<String, Value>, Option<Box<RawValue>>);

/// The members of the object that a body is, the one called `raw` apart.
pub(super) fn members(body: &[u8], raw: &str) -> Result<Members, Fault> {
    let Written(written) = serde_json::from_slice(body).map_err(|error| no_object(body, &error))?;
    let mut members = Map::new();
    let mut apart = None;
    for (name, value) in written {
        let is_second = if name == raw {
            apart.replace(value).is_some()
        } else {
            let value = serde_json::from_str(value.get())
                .map_err(|error| words::not_json(&format!("`{}`", shown(&name)), &error))?;
            members.insert(name.clone(), value).is_some()
        };
        if is_second {
            let name = shown(&name);
            return Err(Fault::invalid(format!("the body has `{name}` twice")));
        }
    }
    Ok((members, apart))
}

/// The object that a body is.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    serde_json::from_slice(body).map_err(|error| no_object(body, &error))
}

fn no_object(body: &[u8], error: &serde_json::Error) -> Fault {
    match serde_json::from_slice::<Value>(body) {
        Ok(other) => {
            let kind = words::kind_of(&other);
            Fault::invalid(format!("the body must be a JSON object, not {kind}"))
        }
        Err(_) => words::not_json("the body", error),
    }
}

/// The members of an object, in the order in which they were written.
struct Written(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Written;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Written(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_stays_as_it_was_written() {
        let body = br#"{"event": "a", "data": { "b" :1.0e0 } , "cascade": true}"#;
        let (members, data) = members(body, "data").unwrap();
        assert_eq!(data.unwrap().get(), r#"{ "b" :1.0e0 }"#);
        assert_eq!(members.len(), 2);
    }

    #[test]
    fn what_is_no_object_is_said_to_be_what_it_is() {
        let deep = format!("{{\"target\": {}1{}}}", "[".repeat(500), "]".repeat(500));
        for (body, problem) in [
            ("", "the body is empty; JSON is expected"),
            (
                "{\"a\": ",
                "the body is not JSON: it ends too early, at line 1, column 6",
            ),
            (
                "{\n'a': 1}",
                "the body is not JSON: the mistake is at line 2, column 1",
            ),
            (
                "{} {}",
                "the body is not JSON: the mistake is at line 1, column 4",
            ),
            ("[1]", "the body must be a JSON object, not an array"),
            ("\"x\"", "the body must be a JSON object, not a string"),
            ("null", "the body must be a JSON object, not null"),
            (r#"{"a": 1, "a": 1}"#, "the body has `a` twice"),
            (r#"{"data": 1, "data": 1}"#, "the body has `data` twice"),
            (
                r#"{"a": "\ud800"}"#,
                "`a` is not JSON: the mistake is at line 1, column 8",
            ),
            (deep.as_str(), "`target` is nested too deeply"),
        ] {
            let fault = members(body.as_bytes(), "data").unwrap_err();
            assert_eq!(fault.message, problem, "{body}");
        }
    }
}
