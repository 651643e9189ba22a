//! The types that keys have: how each is read out of TOML and out of the text of a variable, written, and
//! told to an editor.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use toml::{Table, Value};

/// A type that a key can have.
pub trait Kind: Sized {
    /// Whether a value of it is never shown, not even where it is wrong.
    const IS_SECRET: bool = false;

    /// What a key of it takes, in an operator's words.
    fn expected() -> String;

    /// `None` if the value is of another type.
    fn read(value: &Value) -> Option<Self>;

    /// As it stands in a file; `None` if TOML can't say it.
    fn write(&self) -> Option<Value>;

    /// What the text of a variable or flag means. What can't be read stays text, which [`Self::read`] refuses.
    fn from_text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    /// The type as a JSON schema (draft 2020-12).
    fn schema() -> serde_json::Value;

    fn as_number(&self) -> Option<u64> {
        None
    }

    /// What a table that an operator names inside a value of it may have; empty for what has no such tables.
    fn members() -> Vec<&'static str> {
        Vec::new()
    }
}

/// Text that stands for itself where it is no value of the type.
fn parsed(text: &str, parse: impl Fn(&str) -> Option<Value>) -> Value {
    parse(text.trim()).unwrap_or_else(|| Value::String(text.to_owned()))
}

macro_rules! number {
    ($($Number:ty: $expected:expr;)*) => {$(
        impl Kind for $Number {
            fn expected() -> String {
                $expected
            }

            fn read(value: &Value) -> Option<Self> {
                value.as_integer()?.try_into().ok()
            }

            fn write(&self) -> Option<Value> {
                i64::try_from(*self).ok().map(Value::Integer)
            }

            fn from_text(text: &str) -> Value {
                parsed(text, |text| text.parse().ok().map(Value::Integer))
            }

            fn schema() -> serde_json::Value {
                let most = i64::try_from(Self::MAX).unwrap_or(i64::MAX);
                json!({ "type": "integer", "minimum": 0, "maximum": most })
            }

            fn as_number(&self) -> Option<u64> {
                u64::try_from(*self).ok()
            }
        }
    )*};
}

number! {
    u16: format!("a whole number from 0 to {}", u16::MAX);
    u32: format!("a whole number from 0 to {}", u32::MAX);
    u64: "a whole number, 0 or more".to_owned();
    usize: "a whole number, 0 or more".to_owned();
}

impl Kind for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }

    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }

    fn from_text(text: &str) -> Value {
        parsed(text, |text| text.parse().ok().map(Value::Boolean))
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "boolean" })
    }
}

impl Kind for String {
    fn expected() -> String {
        "a string".to_owned()
    }

    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn write(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string" })
    }
}

impl Kind for IpAddr {
    fn expected() -> String {
        "an IP address, such as 127.0.0.1 or ::1".to_owned()
    }

    fn read(value: &Value) -> Option<Self> {
        value.as_str()?.parse().ok()
    }

    fn write(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] })
    }
}

impl<T: Kind> Kind for Option<T> {
    fn expected() -> String {
        T::expected()
    }

    fn read(value: &Value) -> Option<Self> {
        T::read(value).map(Some)
    }

    fn write(&self) -> Option<Value> {
        self.as_ref()?.write()
    }

    fn schema() -> serde_json::Value {
        T::schema()
    }
}

/// A list of texts.
impl<T: Kind + Text> Kind for Vec<T> {
    const IS_SECRET: bool = T::IS_SECRET;

    fn expected() -> String {
        "a list of strings, such as [\"a\", \"b\"]".to_owned()
    }

    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::read).collect()
    }

    fn write(&self) -> Option<Value> {
        let items: Option<Vec<_>> = self.iter().map(T::write).collect();
        items.map(Value::Array)
    }

    fn from_text(text: &str) -> Value {
        if text.trim_start().starts_with('[') {
            return parsed(text, |text| text.parse().ok());
        }
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// What is written as a text, so that commas can stand between several in a variable.
pub trait Text {}

impl Text for String {}
impl Text for Secret {}
impl<T: Parse> Text for Parsed<T> {}

/// A table of the operator's own, by names of the operator's own.
impl<K: Name, V: Kind + TableEntry> Kind for BTreeMap<K, V> {
    const IS_SECRET: bool = V::IS_SECRET;

    fn expected() -> String {
        V::TABLE_EXPECTED.to_owned()
    }

    fn read(value: &Value) -> Option<Self> {
        let entries = value.as_table()?.iter();
        let entry = |(name, value): (&String, _)| Some((name.as_str().into(), V::read(value)?));
        entries.map(entry).collect()
    }

    fn write(&self) -> Option<Value> {
        let entry = |(name, value): (&K, &V)| Some((name.as_str().to_owned(), value.write()?));
        let entries: Option<Table> = self.iter().map(entry).collect();
        entries.map(Value::Table)
    }

    fn from_text(text: &str) -> Value {
        parsed(text, |text| text.parse().ok())
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "object", "additionalProperties": V::schema() })
    }

    fn members() -> Vec<&'static str> {
        V::members()
    }
}

/// A name of the operator's own.
pub trait Name: Ord + for<'a> From<&'a str> {
    fn as_str(&self) -> &str;
}

impl Name for String {
    fn as_str(&self) -> &str {
        self
    }
}

impl<T: Parse> Name for Parsed<T> {
    fn as_str(&self) -> &str {
        &self.text
    }
}

/// What stands under a name of the operator's own.
pub trait TableEntry {
    /// What a table of such entries looks like.
    const TABLE_EXPECTED: &'static str;
}

impl TableEntry for String {
    const TABLE_EXPECTED: &'static str = "a table of strings, such as { \"name\" = \"value\" }";
}

/// A type that a text stands for.
pub trait Parse: Sized {
    /// The text as what it stands for, or the rule that it breaks.
    fn parse(text: &str) -> Result<Self, &'static str>;
}

/// A text, and what it stands for. It is read once; a rule that it breaks is told with the others.
#[derive(Clone, Debug)]
pub struct Parsed<T> {
    text: String,
    value: Result<T, &'static str>,
}

impl<T: Parse> Parsed<T> {
    /// The rule that the text breaks, if it does.
    pub(super) fn broken(&self) -> Option<&'static str> {
        self.value.as_ref().err().copied()
    }

    pub fn value(&self) -> Option<&T> {
        self.value.as_ref().ok()
    }
}

impl<T> Parsed<T> {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// What the texts stand for that stand for anything.
pub fn values<'a, T: Parse + Clone + 'a, C: FromIterator<T>>(
    parsed: impl IntoIterator<Item = &'a Parsed<T>>,
) -> C {
    let values = parsed.into_iter().filter_map(Parsed::value);
    values.cloned().collect()
}

impl<T: Parse> From<&str> for Parsed<T> {
    fn from(text: &str) -> Self {
        Self {
            value: T::parse(text),
            text: text.to_owned(),
        }
    }
}

impl<T> PartialEq<&str> for Parsed<T> {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl<T> PartialEq for Parsed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Parsed<T> {}

impl<T> PartialOrd for Parsed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Parsed<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl<T: Parse> Kind for Parsed<T> {
    fn expected() -> String {
        String::expected()
    }

    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(Self::from)
    }

    fn write(&self) -> Option<Value> {
        self.text.write()
    }

    fn schema() -> serde_json::Value {
        String::schema()
    }
}

/// A text that is never shown: not in a debug output, not in a configuration that is written.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    pub fn is_empty(&self) -> bool {
        self.reveal().is_empty()
    }

    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.reveal() == other.reveal()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Kind for Secret {
    const IS_SECRET: bool = true;

    fn expected() -> String {
        String::expected()
    }

    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(Self::new)
    }

    fn write(&self) -> Option<Value> {
        let shown = if self.is_empty() { "" } else { "[redacted]" };
        Some(Value::String(shown.to_owned()))
    }

    fn schema() -> serde_json::Value {
        String::schema()
    }
}

/// The words for the variants of a type.
macro_rules! choice {
    ($Choice:ty { $($Variant:ident = $word:literal,)* }) => {
        impl $crate::config::kind::Kind for $Choice {
            fn expected() -> String {
                $crate::config::kind::one_of(&[$($word),*])
            }

            fn read(value: &toml::Value) -> Option<Self> {
                match value.as_str()? {
                    $($word => Some(Self::$Variant),)*
                    _ => None,
                }
            }

            fn write(&self) -> Option<toml::Value> {
                let word = match self {
                    $(Self::$Variant => $word,)*
                };
                Some(toml::Value::String(word.to_owned()))
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({ "enum": [$($word),*] })
            }
        }
    };
}
pub(super) use choice;

/// Some words to choose from, as they are told.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [one, other] => format!("`{one}` or `{other}`"),
        words => format!("one of `{}`", words.join("`, `")),
    }
}
