//! The names of a key outside the file: of its variable and of its flag.

/// The file that is read from the working directory if none is named.
pub const DEFAULT_FILE: &str = "orgcast.toml";

/// What every variable of the server starts with.
pub const VARIABLE_PREFIX: &str = "ORGCAST_";

/// The variable that names the configuration file.
pub const FILE_VARIABLE: &str = "ORGCAST_CONFIG";

/// The environment variable of a key.
#[must_use]
pub fn variable_name(key: &str) -> String {
    format!(
        "{VARIABLE_PREFIX}{}",
        key.replace('.', "__").to_ascii_uppercase()
    )
}

/// The command line flag of a key, without the leading dashes.
#[must_use]
pub fn flag_name(key: &str) -> String {
    key.replace('_', "-")
}
