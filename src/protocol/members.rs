//! The members of a JSON object, found without making anything of what stands in them: a message of a
//! mebibyte costs a look at its bytes, whatever it is made of.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::fault::Fault;
use crate::domain::words;

/// Members of one object, at the most.
const MAX_MEMBERS: usize = 256;

/// Bytes of a command's data, at the most; a publication's payload does not count.
const MAX_COMMAND: usize = 64 * 1024;

/// The members in the order in which they were written.
#[derive(Debug)]
pub struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object; `noun` is what errors call it.
    pub fn read(noun: &str, text: &'a str) -> Result<Self, Fault> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let members = deserializer
            .deserialize_map(Reader)
            .and_then(|members| deserializer.end().map(|()| members));
        members.map_err(|error| match kind(text) {
            Some(kind) if error.is_data() && kind != "an object" => {
                Fault::invalid(format!("a {noun} is a JSON object, not {kind}"))
            }
            _ if error.to_string().starts_with(TOO_MANY) => {
                Fault::invalid(format!("the {noun} has more than {MAX_MEMBERS} members"))
            }
            _ => words::not_json(&format!("the {noun}"), &error),
        })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes a member; of several with this name the last one counts.
    pub fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let mut found = None;
        self.0.retain(|(other, value)| {
            let is_it = other == name;
            if is_it {
                found = Some(*value);
            }
            !is_it
        });
        found
    }

    /// The members as an object again.
    pub fn to_raw(&self) -> Box<RawValue> {
        let mut text = String::from("{");
        for (name, value) in &self.0 {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&Value::from(&**name).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        // Names and values were JSON, so this is.
        RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }
}

/// What errors of [`Reader`] begin with that are about the number of members.
const TOO_MANY: &str = "too many members";

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            if members.len() == MAX_MEMBERS {
                return Err(M::Error::custom(TOO_MANY));
            }
            members.push((name, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// A name, borrowed where it has no escape in it.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// What kind of JSON begins here.
fn kind(text: &str) -> Option<&'static str> {
    Some(match text.trim_start().bytes().next()? {
        b'{' => "an object",
        b'[' => "an array",
        b'"' => "a string",
        b't' | b'f' => "a boolean",
        b'n' => "null",
        b'-' | b'0'..=b'9' => "a number",
        _ => return None,
    })
}

/// The object that a command needs as its data.
pub fn object(data: Option<&RawValue>, event: &str) -> Result<Map<String, Value>, Fault> {
    let text = needed(data, event)?.get();
    if text.len() > MAX_COMMAND {
        return Err(Fault::invalid(format!(
            "the data of `{event}` may have {MAX_COMMAND} bytes"
        )));
    }
    // Counted before anything is made of them.
    members(data, event)?;
    serde_json::from_str(text).map_err(|error| words::not_json("the data", &error))
}

/// The members of a command's data.
pub fn members<'a>(data: Option<&'a RawValue>, event: &str) -> Result<Members<'a>, Fault> {
    let data = needed(data, event)?;
    match kind(data.get()) {
        Some("an object") | None => Members::read(&format!("data of `{event}`"), data.get()),
        Some(kind) => Err(Fault::invalid(format!(
            "`{event}` needs an object as its data, not {kind}"
        ))),
    }
}

fn needed<'a>(data: Option<&'a RawValue>, event: &str) -> Result<&'a RawValue, Fault> {
    data.filter(|data| data.get() != "null")
        .ok_or_else(|| Fault::invalid(format!("`{event}` needs an object as its data")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_and_taken_as_they_were_written() {
        let text = r#"{"a": { "b" :1.0e0 } , "c\u00e9":[1], "a": "\ud83d"}"#;
        let mut members = Members::read("thing", text).unwrap();
        assert_eq!(members.names().collect::<Vec<_>>(), ["a", "cé", "a"]);
        assert_eq!(members.take("a").unwrap().get(), r#""\ud83d""#);
        assert_eq!(members.to_raw().get(), r#"{"cé":[1]}"#);
        assert!(members.take("a").is_none() && !members.is_empty());
    }

    #[test]
    fn what_is_no_object_or_too_long_is_named() {
        let many = (0..=MAX_MEMBERS).map(|_| r#""":0"#).collect::<Vec<_>>();
        let many = format!("{{{}}}", many.join(","));
        for (text, problem) in [
            ("[1]", "a thing is a JSON object, not an array"),
            (" \"x\"", "a thing is a JSON object, not a string"),
            (
                "{\"a\":",
                "the thing is not JSON: it ends too early, at line 1, column 5",
            ),
            (
                "{} {}",
                "the thing is not JSON: the mistake is at line 1, column 4",
            ),
            (many.as_str(), "the thing has more than 256 members"),
        ] {
            let fault = Members::read("thing", text).unwrap_err();
            assert_eq!(fault.message, problem, "{text:.40}");
        }
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_COMMAND));
        let long = RawValue::from_string(long).unwrap();
        let fault = object(Some(&long), "subscribe").unwrap_err();
        assert_eq!(
            fault.message,
            "the data of `subscribe` may have 65536 bytes"
        );
    }
}
