//! JSON that is read no further than it is needed, and passed on as it was written.
//!
//! A text may hold half of a surrogate pair (`"\ud83d"`, what is left of a character that was cut by
//! UTF-16 units). It is JSON (RFC 8259, section 8.2), so a payload may have it; it is no Unicode, so no
//! name or id can.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::ClientError;
use super::fields::{Field, not_json, shown};

/// A text that is JSON as a whole. `what` is what an error calls it.
pub fn parse<'a>(what: &str, text: &'a [u8]) -> Result<&'a RawValue, ClientError> {
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
pub fn value(what: &str, raw: &RawValue) -> Result<Value, ClientError> {
    serde_json::from_str(raw.get()).map_err(|error| {
        let error = error.to_string();
        ClientError::invalid(if error.starts_with("recursion limit") {
            format!("{what} is nested too deeply")
        } else if error.starts_with("number out of range") {
            format!("{what} has a number that is too large")
        } else {
            // It is JSON, so nothing else can be wrong with it.
            half_a_character(what)
        })
    })
}

/// The text that a value is. `what` is what an error calls it.
pub fn text(what: &str, raw: &RawValue) -> Result<String, ClientError> {
    match raw.get().starts_with('"').then(|| value(what, raw)) {
        Some(Ok(Value::String(text))) => Ok(text),
        Some(Err(error)) => Err(error),
        _ => {
            let kind = kind_of(raw);
            Err(ClientError::invalid(format!(
                "{what} must be a string, not {kind}"
            )))
        }
    }
}

fn half_a_character(what: &str) -> String {
    format!(
        "{what} has half of a character: an escape such as `\\ud83d` is one only together with its \
         other half"
    )
}

/// The members of an object, found without making anything of what stands in them: a message of a
/// mebibyte costs a look at its bytes, whatever it is made of.
#[derive(Debug)]
pub struct Members<'a> {
    /// What an error calls the object.
    what: Cow<'a, str>,
    /// In the order in which they were written.
    members: Vec<(Name<'a>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Of an object of any size. Fails if the value is no object.
    pub fn of(what: impl Into<Cow<'a, str>>, object: &'a RawValue) -> Result<Self, ClientError> {
        let what = what.into();
        let mut deserializer = serde_json::Deserializer::from_str(object.get());
        let has_too_many = Cell::new(false);
        let reader = ObjectReader::<AnyName>::new(usize::MAX, &has_too_many);
        let Ok(members) = deserializer.deserialize_map(reader) else {
            let kind = kind_of(object);
            return Err(ClientError::invalid(format!(
                "{what} must be a JSON object, not {kind}"
            )));
        };
        Ok(Self { what, members })
    }

    /// Of the object that a text is, of at most `max` members; `noun` is what an error calls it.
    pub fn read(noun: &str, text: &'a str, max: usize) -> Result<Self, ClientError> {
        let what = format!("the {noun}");
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let has_too_many = Cell::new(false);
        let reader = ObjectReader::<TextName<'_>>::new(max, &has_too_many);
        let read = deserializer
            .deserialize_map(reader)
            .and_then(|members| deserializer.end().map(|()| members));
        if let Ok(members) = read {
            let what = what.into();
            return Ok(Self { what, members });
        }
        if has_too_many.get() {
            let most = format!("{what} has more than {max} members");
            return Err(ClientError::invalid(most));
        }
        // A name that is no text is JSON all the same.
        let value = parse(&what, text.as_bytes())?;
        if !value.get().starts_with('{') {
            let kind = kind_of(value);
            return Err(ClientError::invalid(format!(
                "a {noun} is a JSON object, not {kind}"
            )));
        }
        let members = Self::of(what, value)?;
        if members.members.len() > max {
            let most = format!("{} has more than {max} members", members.what);
            return Err(ClientError::invalid(most));
        }
        Ok(members)
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The names. One that is no text is shown as well as it can be, and is nobody's.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| &*name.shown)
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
    pub fn take_once(&mut self, name: &str) -> Result<Option<&'a RawValue>, ClientError> {
        let same = self.members.iter().filter(|(member, _)| member.is(name));
        if same.count() > 1 {
            return Err(self.has_twice(name));
        }
        Ok(self.take(name).filter(|value| value.get() != "null"))
    }

    fn has_twice(&self, name: &str) -> ClientError {
        let name = shown(name);
        ClientError::invalid(format!("{} has `{name}` twice", self.what))
    }

    /// The values of those members whose names are wanted, each name once.
    pub fn values(
        &self,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<Map<String, Value>, ClientError> {
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

    /// The values of the members that these fields name. The others are there, too, but of their
    /// values only whether they are `null`: nobody reads them.
    pub fn known(&self, fields: &[Field]) -> Result<Map<String, Value>, ClientError> {
        let is_known = |name: &str| fields.iter().any(|field| field.0.contains(&name));
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
    pub fn to_raw(&self) -> Result<Box<RawValue>, ClientError> {
        let not_text =
            || ClientError::invalid(half_a_character(&format!("a name in {}", self.what)));
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
        RawValue::from_string(text).map_err(|error| not_json(&self.what, &error))
    }
}

/// The name of a member.
#[derive(Debug)]
struct Name<'a> {
    shown: Cow<'a, str>,
    is_text: bool,
}

impl Name<'_> {
    fn text(&self) -> Option<&str> {
        self.is_text.then_some(&*self.shown)
    }

    fn is(&self, name: &str) -> bool {
        self.text() == Some(name)
    }
}

/// A name that is text, borrowed where it has no escape in it.
#[derive(Deserialize)]
struct TextName<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> From<TextName<'a>> for Name<'a> {
    fn from(TextName(shown): TextName<'a>) -> Self {
        Self {
            shown,
            is_text: true,
        }
    }
}

/// Any name of JSON: as bytes it may have half of a character.
struct AnyName(Vec<u8>);

impl From<AnyName> for Name<'_> {
    fn from(AnyName(bytes): AnyName) -> Self {
        Self {
            is_text: std::str::from_utf8(&bytes).is_ok(),
            shown: String::from_utf8_lossy(&bytes).into_owned().into(),
        }
    }
}

impl<'de> Deserialize<'de> for AnyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(NameReader)
    }
}

struct NameReader;

impl Visitor<'_> for NameReader {
    type Value = AnyName;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<AnyName, E> {
        Ok(AnyName(bytes.to_vec()))
    }
}

/// Reads members whose names are such.
struct ObjectReader<'a, N> {
    max: usize,
    /// Turns true where there are more.
    has_too_many: &'a Cell<bool>,
    names: PhantomData<N>,
}

impl<'a, N> ObjectReader<'a, N> {
    fn new(max: usize, has_too_many: &'a Cell<bool>) -> Self {
        Self {
            max,
            has_too_many,
            names: PhantomData,
        }
    }
}

impl<'de, N: Deserialize<'de> + Into<Name<'de>>> Visitor<'de> for ObjectReader<'_, N> {
    type Value = Vec<(Name<'de>, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<N>()? {
            if members.len() == self.max {
                self.has_too_many.set(true);
                return Err(A::Error::custom("too many members"));
            }
            members.push((name.into(), map.next_value()?));
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fields::ORGANIZATION;

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
            let error = value("`a`", raw(text)).unwrap_err();
            assert!(error.message.starts_with(problem), "{text}: {error}");
        }
        for (text, problem) in [
            ("{\"a\": 1, \"a\": 2}", "it has `a` twice"),
            ("{\"a\": \"\\ud800\"}", "`a` has half of a character"),
        ] {
            let members = Members::of("it", raw(text)).unwrap();
            let error = members.values(|_| true).unwrap_err();
            assert!(error.message.starts_with(problem), "{text}: {error}");
        }
        let error = Members::of("it", raw("[1]")).unwrap_err();
        assert_eq!(error.message, "it must be a JSON object, not an array");
    }

    #[test]
    fn what_is_no_object_or_too_long_is_named() {
        let many = |name: &str| format!("{{{}}}", vec![format!("{name}:0"); 4].join(","));
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
            (&many(r#""""#), "the thing has more than 3 members"),
            (&many(r#""\ud83d""#), "the thing has more than 3 members"),
            (
                "{\"a\nb\": 1}",
                "the thing is not JSON: the mistake is at line 1, column 3",
            ),
        ] {
            let error = Members::read("thing", text, 3).unwrap_err();
            assert_eq!(error.message, problem, "{text:.40}");
        }
        let text = r#"{"a": 1, "\ud83d": 2, "c\u00e9": 3}"#;
        let mut members = Members::read("thing", text, 3).unwrap();
        assert_eq!(members.take("cé").map(RawValue::get), Some("3"));
        assert_eq!(members.take("\u{fffd}").map(RawValue::get), None);
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
