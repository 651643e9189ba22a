//! What can be wrong with a configuration, in words for an operator.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why there is no usable configuration. The text has one problem a line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file was named and doesn't exist, or it exists and cannot be read.
    #[error("cannot read the configuration file {}: {cause}", path.display())]
    Unreadable {
        /// The file, as it was named.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not valid TOML: line {line}, column {column}: {problem}", path.display())]
    Syntax {
        /// The file, as it was named.
        path: PathBuf,
        line: usize,
        column: usize,
        /// What is wrong. The place is not quoted: it may hold a secret.
        problem: String,
    },
    /// Keys or values are wrong; never empty.
    #[error("{}", one_a_line(.0))]
    Invalid(Vec<Problem>),
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A source sets something that doesn't exist.
    #[error("unknown {origin}; {}", instead(.nearest.as_deref()))]
    Unknown {
        /// What was set, and where.
        origin: Origin,
        /// The nearest name that this kind of source knows, as it is written there; none if
        /// nothing is near.
        nearest: Option<String>,
    },
    /// A key stands below the header of a table that has no such key.
    #[error(
        "{origin} is `{name}` below the header [{table}]: TOML takes every line below a header into \
         its table; put `{name}` above the first header"
    )]
    Misplaced {
        /// What was set, and where.
        origin: Origin,
        /// The key that was meant.
        name: String,
        /// The path of the table that it got into.
        table: String,
    },
    /// A table of the operator's own has something that no table of its kind has.
    #[error("unknown {origin}; expected {expected}")]
    UnknownMember {
        /// What was set, and where.
        origin: Origin,
        /// What such a table may have.
        expected: String,
    },
    /// A value cannot be what its key needs.
    #[error("{origin} is {value}; expected {expected}")]
    WrongType {
        /// What was set, and where.
        origin: Origin,
        /// The value as it was written, shortened if long.
        value: String,
        /// What the key takes.
        expected: String,
    },
    /// A value of the right type breaks a rule.
    #[error("`{key}` is {value}: {rule}{}", set_by(.origin.as_ref()))]
    Rule {
        /// The path of the key.
        key: &'static str,
        /// The offending value or part of it.
        value: String,
        /// The rule.
        rule: &'static str,
        /// Where the value was set; none for a default or where the sources are not known.
        origin: Option<Origin>,
    },
    /// A file that a key names is of no use.
    #[error("`{key}`: {}: {cause}{}", file_name(.file.as_deref()), set_by(.origin.as_ref()))]
    File {
        /// The path of the key.
        key: &'static str,
        /// The file, as it was named; none if that is not to be shown.
        file: Option<PathBuf>,
        /// What is wrong with it.
        cause: String,
        /// Where it was named.
        origin: Option<Origin>,
    },
}

/// The place where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A key of the configuration file.
    File {
        /// The path of the key.
        key: String,
        /// The file, as it was named.
        path: PathBuf,
    },
    /// An environment variable, by its name.
    Variable(String),
    /// A command line flag, by its name with the dashes.
    Flag(String),
}

impl Origin {
    /// The place of something inside the value that was set, by its path.
    pub(super) fn beneath(&self, path: &str) -> Self {
        match self {
            Self::File { path: file, .. } => Self::File {
                key: path.to_owned(),
                path: file.clone(),
            },
            Self::Variable(name) => Self::Variable(format!("{name} (`{path}`)")),
            Self::Flag(name) => Self::Flag(format!("{name} (`{path}`)")),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { key, path } => {
                write!(f, "key `{}` in {}", key.escape_debug(), path.display())
            }
            Self::Variable(name) => write!(f, "variable {}", name.escape_debug()),
            Self::Flag(name) => write!(f, "flag {}", name.escape_debug()),
        }
    }
}

fn instead(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "`orgcast default-config` prints every key".to_owned(),
    }
}

fn one_a_line(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn file_name(file: Option<&Path>) -> String {
    file.map_or_else(|| "its file".to_owned(), |file| file.display().to_string())
}

fn set_by(origin: Option<&Origin>) -> String {
    origin
        .map(|origin| format!(" (set by {origin})"))
        .unwrap_or_default()
}
