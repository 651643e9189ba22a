//! A key: its name, its meaning, its type, its default and its rule, each written once.

use std::fmt;

use crate::config::error::Problem;
use crate::config::kind::Kind;
use toml::Value;

/// One key of a section.
pub struct Key<S> {
    /// Its path, the section's name in front of it.
    pub name: &'static str,
    pub(super) doc: &'static str,
    pub(super) is_secret: bool,
    pub(super) expected: fn() -> String,
    pub(super) from_text: fn(&str) -> Value,
    pub(super) schema: fn() -> serde_json::Value,
    pub(super) members: fn() -> Vec<&'static str>,
    pub(super) bounds: fn() -> Option<(u64, u64)>,
    pub(super) read: fn(&mut S, &Value) -> bool,
    pub(super) write: fn(&S) -> Option<Value>,
    pub(super) check: fn(&S, &mut Found<'_>),
}

/// A section whose keys are known.
pub trait Section: Default + 'static {
    const KEYS: &'static [Key<Self>];
}

/// Where broken rules of one key are noted.
pub struct Found<'a> {
    pub key: &'static str,
    pub problems: &'a mut Vec<Problem>,
}

impl Found<'_> {
    pub fn add(&mut self, value: impl fmt::Display, rule: &'static str) {
        self.problems.push(Problem::Rule {
            key: self.key,
            value: value.to_string(),
            rule,
            origin: None,
        });
    }
}

/// What a value of a key must be beyond its type.
pub enum Rule<T> {
    /// A number, both ends included.
    Within(u64, u64, &'static str),
    /// 0, or at least so many.
    ZeroOrLeast(u64, &'static str),
    By(fn(&T, &mut Found<'_>)),
}

impl<T: Kind> Rule<T> {
    pub fn check(&self, value: &T, found: &mut Found<'_>) {
        let number = value.as_number().unwrap_or_default();
        match *self {
            Self::Within(least, most, rule) if !(least..=most).contains(&number) => {
                found.add(number, rule);
            }
            Self::ZeroOrLeast(least, rule) if (1..least).contains(&number) => {
                found.add(number, rule);
            }
            Self::By(check) => check(value, found),
            _ => {}
        }
    }

    pub fn bounds(&self) -> Option<(u64, u64)> {
        match *self {
            Self::Within(least, most, _) => Some((least, most)),
            _ => None,
        }
    }
}

/// Declares a section of the configuration: a struct, its defaults, and the table of its keys.
///
/// A key is `name: type = default;`, or `name: type = default, rule;` with a [`Rule`] for what the type does not say;
/// what it means to an operator is the comment above it.
macro_rules! section {
    (
        $(#[$meta:meta])*
        pub struct $Section:ident in $prefix:literal {
            $(#[doc = $doc:literal] $field:ident: $Kind:ty = $default:expr $(, $rule:expr)?;)*
        }
        $($(#[$more_meta:meta])* with $more:ident: $More:ty;)*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Section {
            $(pub $field: $Kind,)*
            $($(#[$more_meta])* pub $more: $More,)*
        }

        impl Default for $Section {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    $($more: <$More>::default(),)*
                }
            }
        }

        impl $crate::config::schema::key::Section for $Section {
            const KEYS: &'static [$crate::config::schema::key::Key<Self>] = &[
                $($crate::config::schema::key::Key {
                    name: concat!($prefix, stringify!($field)),
                    doc: $doc,
                    is_secret: <$Kind as $crate::config::kind::Kind>::IS_SECRET,
                    expected: <$Kind as $crate::config::kind::Kind>::expected,
                    from_text: <$Kind as $crate::config::kind::Kind>::from_text,
                    schema: <$Kind as $crate::config::kind::Kind>::schema,
                    members: <$Kind as $crate::config::kind::Kind>::members,
                    bounds: section!(@bounds $Kind $(, $rule)?),
                    read: |section, value| match $crate::config::kind::Kind::read(value) {
                        Some(read) => {
                            section.$field = read;
                            true
                        }
                        None => false,
                    },
                    write: |section| $crate::config::kind::Kind::write(&section.$field),
                    check: section!(@check $field, $Kind $(, $rule)?),
                },)*
            ];
        }
    };
    (@bounds $Kind:ty) => { || None };
    (@bounds $Kind:ty, $rule:expr) => {
        || $crate::config::schema::key::Rule::<$Kind>::bounds(&$rule)
    };
    (@check $field:ident, $Kind:ty) => { |_, _| {} };
    (@check $field:ident, $Kind:ty, $rule:expr) => {
        |section, found| $crate::config::schema::key::Rule::<$Kind>::check(&$rule, &section.$field, found)
    };
}
pub(super) use section;

/// A section that stands as a table under a name of the operator's.
pub trait Table: Section {
    /// What it is, in an operator's words.
    const WHAT: &'static str;
    /// Whether something in it is never shown.
    const IS_SECRET: bool = false;
}

impl<T: Table> Kind for T {
    const IS_SECRET: bool = <T as Table>::IS_SECRET;

    fn expected() -> String {
        T::WHAT.to_owned()
    }

    /// `None` if it is no table, has a key that is none, or a value of another type.
    fn read(value: &Value) -> Option<Self> {
        let mut section = T::default();
        let is_read = |(name, value): (&String, &Value)| {
            let key = T::KEYS.iter().find(|key| key.name == name);
            key.is_some_and(|key| (key.read)(&mut section, value))
        };
        value.as_table()?.iter().all(is_read).then_some(section)
    }

    /// What it has that is not left out.
    fn write(&self) -> Option<Value> {
        let entry = |key: &Key<T>| Some((key.name.to_owned(), (key.write)(self)?));
        Some(Value::Table(T::KEYS.iter().filter_map(entry).collect()))
    }

    fn schema() -> serde_json::Value {
        let properties: serde_json::Map<_, _> = T::KEYS
            .iter()
            .map(|key| (key.name.to_owned(), described(key)))
            .collect();
        serde_json::json!({ "type": "object", "properties": properties, "additionalProperties": false })
    }

    fn members() -> Vec<&'static str> {
        T::KEYS.iter().map(|key| key.name).collect()
    }
}

/// The schema of a key with what it means.
pub(super) fn described<S>(key: &Key<S>) -> serde_json::Value {
    let mut schema = (key.schema)();
    schema["description"] = key.doc.trim().into();
    if let Some((least, most)) = (key.bounds)() {
        schema["minimum"] = least.into();
        // What no number of the type exceeds is its own bound.
        if i64::try_from(most).is_ok() {
            schema["maximum"] = most.into();
        }
    }
    schema
}
