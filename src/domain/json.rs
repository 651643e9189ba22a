//! JSON that is read no further than it is needed, and passed on as it was written.
//!
//! A text may hold half of a surrogate pair (`"\ud83d"`, what is left of a character that was cut by
//! UTF-16 units). It is JSON (RFC 8259, section 8.2), so a payload may have it; it is no Unicode, so no
//! name or id can.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::fault::Fault;
use super::words::{Word, not_json, shown};

/// A text that is JSON as a whole. `what` is what an error calls it.
pub fn parse<'a>(what: &str, text: &'a [u8]) -> Result<&'a RawValue, Fault> {
    serde_json::from_slice(text).map_err(|error| not_json(what, &error))
}

/// What a value is, in an error's words.
pub fn kind_of(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The value, read whole. `what` is what an error calls it.
pub fn value(what: &str, raw: &RawValue) -> Result<Value, Fault> {
    serde_json::from_str(raw.get()).map_err(|error| {
        let error = error.to_string();
        Fault::invalid(if error.starts_with("recursion limit") {
            format!("{what} is nested too deeply")
        } else if error.starts_with("number out of range") {
            format!("{what} has a number that is too large")
        } else {
            // It is JSON, so nothing else can be wrong with it.
            half_a_character(what)
        })
    })
}

fn half_a_character(what: &str) -> String {
    format!(
        "{what} has half of a character: an escape such as `\\ud83d` is one only together with its \
         other half"
    )
}

/// The members of an object as they were written.
#[derive(Debug)]
pub struct Members<'a> {
    /// What an error calls the object.
    what: &'a str,
    members: Vec<(Name, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Fails if the value is no object.
    pub fn of(what: &'a str, object: &'a RawValue) -> Result<Self, Fault> {
        let Ok(Written(members)) = serde_json::from_str(object.get()) else {
            let kind = kind_of(object);
            return Err(Fault::invalid(format!(
                "{what} must be a JSON object, not {kind}"
            )));
        };
        Ok(Self { what, members })
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The names. One that is no text is shown as well as it can be, and is nobody's.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.shown.as_str())
    }

    /// Takes out the member of this name; the last one, if there are several.
    pub fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let mut found = None;
        self.members.retain(|(member, value)| {
            let is_it = member.is(name);
            if is_it {
                found = Some(*value);
            }
            !is_it
        });
        found
    }

    /// As [`Self::take`]; `null` counts as absent, and one name with two values is refused.
    pub fn take_once(&mut self, name: &str) -> Result<Option<&'a RawValue>, Fault> {
        let same = self.members.iter().filter(|(member, _)| member.is(name));
        if same.count() > 1 {
            return Err(self.has_twice(name));
        }
        Ok(self.take(name).filter(|value| value.get() != "null"))
    }

    fn has_twice(&self, name: &str) -> Fault {
        let name = shown(name);
        Fault::invalid(format!("{} has `{name}` twice", self.what))
    }

    /// The values of those members whose names are wanted, each name once.
    pub fn values(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Map<String, Value>, Fault> {
        let mut values = Map::new();
        for (name, raw) in &self.members {
            let Some(text) = name.text().filter(|name| is_wanted(name)) else {
                continue;
            };
            let read = value(&format!("`{}`", shown(text)), raw)?;
            if values.insert(text.to_owned(), read).is_some() {
                return Err(self.has_twice(text));
            }
        }
        Ok(values)
    }

    /// The values of the members that these words name. The others are there, too, but of their
    /// values only whether they are `null`: nobody reads them.
    pub fn known(&self, words: &[Word]) -> Result<Map<String, Value>, Fault> {
        let is_known = |name: &str| words.iter().any(|word| word.0.contains(&name));
        let mut values = self.values(is_known)?;
        for (name, raw) in &self.members {
            if let Some(text) = name.text().filter(|name| !is_known(name)) {
                let is_there = raw.get() != "null";
                let unread = if is_there {
                    Value::Bool(true)
                } else {
                    Value::Null
                };
                values.insert(text.to_owned(), unread);
            }
        }
        Ok(values)
    }

    /// The object that the members make up. A name that is no text is refused.
    pub fn to_raw(&self) -> Result<Box<RawValue>, Fault> {
        let not_text = || Fault::invalid(half_a_character(&format!("a name in {}", self.what)));
        let mut text = String::from("{");
        for (name, value) in &self.members {
            if text.len() > 1 {
                text.push(',');
            }
            let name = name.text().ok_or_else(not_text)?;
            text.push_str(&Value::from(name).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        RawValue::from_string(text).map_err(|error| not_json(self.what, &error))
    }
}

/// The name of a member.
#[derive(Debug)]
struct Name {
    shown: String,
    is_text: bool,
}

impl Name {
    fn text(&self) -> Option<&str> {
        self.is_text.then_some(self.shown.as_str())
    }

    fn is(&self, name: &str) -> bool {
        self.text() == Some(name)
    }
}

/// As bytes a text may have half of a pair.
impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(NameReader)
    }
}

struct NameReader;

impl Visitor<'_> for NameReader {
    type Value = Name;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name, E> {
        Ok(Name {
            shown: String::from_utf8_lossy(bytes).into_owned(),
            is_text: std::str::from_utf8(bytes).is_ok(),
        })
    }
}

/// The members of an object, in the order in which they were written.
struct Written<'a>(Vec<(Name, &'a RawValue)>);

impl<'de> Deserialize<'de> for Written<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectReader)
    }
}

struct ObjectReader;

impl<'de> Visitor<'de> for ObjectReader {
    type Value = Written<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written<'de>, A::Error> {
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
    use crate::domain::words::ORGANIZATION;

    fn raw(text: &str) -> &RawValue {
        parse("it", text.as_bytes()).unwrap()
    }

    #[test]
    fn a_member_stays_as_it_was_written() {
        let text =
            r#" { "a" : { "b" :1.0e0, "c\ud83d": "\udc00" } , "n\ud83dme": 1e999, "d":true}"#;
        let mut members = Members::of("it", raw(text.trim())).unwrap();
        let a = members.take_once("a").unwrap().unwrap();
        assert_eq!(a.get(), r#"{ "b" :1.0e0, "c\ud83d": "\udc00" }"#);
        assert_eq!(members.take("a").map(RawValue::get), None);
        assert_eq!(members.names().last(), Some("d"));
        let d = members.values(|_| true).unwrap();
        assert_eq!(d, Map::from_iter([("d".to_owned(), Value::Bool(true))]));
    }

    #[test]
    fn what_nobody_reads_may_be_anything() {
        let text = r#"{"org_id": "a", "x": "\ud83d", "y": null, "x": [[[1e999]]]}"#;
        let members = Members::of("it", raw(text)).unwrap();
        let known = Value::Object(members.known(&[ORGANIZATION]).unwrap());
        assert_eq!(
            known,
            serde_json::json!({"org_id": "a", "x": true, "y": null})
        );
        let object = members.to_raw().unwrap();
        assert_eq!(
            object.get(),
            r#"{"org_id":"a","x":"\ud83d","y":null,"x":[[[1e999]]]}"#
        );
    }

    #[test]
    fn what_is_wrong_with_a_value_is_said() {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        for (text, problem) in [
            (
                r#""cut \ud83d""#,
                "`a` has half of a character: an escape such as",
            ),
            (
                r#"["\ude00"]"#,
                "`a` has half of a character: an escape such as",
            ),
            (
                r#""\ud83dx""#,
                "`a` has half of a character: an escape such as",
            ),
            ("1e999", "`a` has a number that is too large"),
            (&deep, "`a` is nested too deeply"),
        ] {
            let fault = value("`a`", raw(text)).unwrap_err();
            assert!(fault.message.starts_with(problem), "{text}: {fault}");
        }
        for (text, problem) in [
            ("{\"a\": 1, \"a\": 2}", "it has `a` twice"),
            ("{\"a\": \"\\ud800\"}", "`a` has half of a character"),
        ] {
            let members = Members::of("it", raw(text)).unwrap();
            let fault = members.values(|_| true).unwrap_err();
            assert!(fault.message.starts_with(problem), "{text}: {fault}");
        }
        let fault = Members::of("it", raw("[1]")).unwrap_err();
        assert_eq!(fault.message, "it must be a JSON object, not an array");
    }

    #[test]
    fn what_is_no_json_is_no_value() {
        for text in [
            "",
            "{",
            "{'a': 1}",
            "{} {}",
            "\"\n\"",
            "{\"a\nb\": 1}",
            "\"\\ud8\"",
            "\"\\x\"",
            "01",
            "nul",
        ] {
            assert!(parse("it", text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(parse("it", b"\"\xff\"").is_err(), "JSON is UTF-8");
    }
}
