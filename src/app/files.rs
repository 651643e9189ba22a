//! The files that a configuration names: how they are read, and what is wrong with them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::auth_config::{AuthConfig, jwks_file};
use super::config::Config;
use super::problem::Problem;
use super::tls::{TlsError, TlsPaths};
use crate::auth::key::{KeyError, VerifyKey, from_jwk_set};

/// The most that any of them may hold: a slip is not read to its end.
const MAX_BYTES: u64 = 1024 * 1024;

/// Which of the files a configuration is checked with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Files {
    #[default]
    None,
    /// Those that a server needs when it starts.
    ToServe,
    /// All that are named.
    Named,
}

/// Why a file with keys is of no use. No text holds a key.
#[derive(Debug, Error)]
pub enum FileError {
    #[error("it can't be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("line {0}: {1}")]
    Line(usize, KeyError),
    #[error("there is no secret in it")]
    NoSecret,
    #[error("there is no key in it that tokens can be checked with")]
    NoKey,
}

/// The whole of a file. A pipe or device, which may have no end, is none.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it holds more than 1 MiB"));
    }
    Ok(bytes)
}

fn read_text(path: &Path) -> Result<String, FileError> {
    let not_text = |_| io::Error::other("it is not UTF-8");
    Ok(String::from_utf8(read(path)?).map_err(not_text)?)
}

/// The HMAC secrets of a file, one a line; the errors of all lines.
pub(super) fn secrets(path: &Path) -> Result<Vec<VerifyKey>, Vec<FileError>> {
    let text = read_text(path).map_err(|error| vec![error])?;
    let (mut keys, mut errors) = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        match VerifyKey::from_secret(line) {
            Ok(key) => keys.push(key),
            Err(error) => errors.push(FileError::Line(at + 1, error)),
        }
    }
    if keys.is_empty() && errors.is_empty() {
        errors.push(FileError::NoSecret);
    }
    if errors.is_empty() {
        Ok(keys)
    } else {
        Err(errors)
    }
}

/// The public keys of a file: one in PEM, or those of a JWK set.
pub(super) fn keys(path: &Path) -> Result<Vec<VerifyKey>, FileError> {
    let text = read_text(path)?;
    if !text.trim_start().starts_with('{') {
        return Ok(vec![VerifyKey::from_pem(&text)?]);
    }
    let (keys, _) = from_jwk_set(&text)?;
    if keys.is_empty() {
        return Err(FileError::NoKey);
    }
    Ok(keys)
}

/// Everything that is wrong with the files that a configuration names, relative ones below `base`.
pub(super) fn problems(config: &Config, base: &Path, which: Files) -> Vec<Problem> {
    let mut found = Vec::new();
    if which != Files::None {
        of_tls(config, base, &mut found);
        of_auth(&config.auth, base, &mut found);
    }
    // A server starts without its JWK set, and looks for it again and again.
    if which == Files::Named
        && let Some(file) = jwks_file(&config.auth.jwks, base)
        && let Err(error) = keys(&file)
    {
        // A source is never quoted, since a URL may hold a password.
        found.push(problem("auth.jwks", None, &error));
    }
    found
}

fn of_tls(config: &Config, base: &Path, found: &mut Vec<Problem>) {
    let tls = &config.tls;
    if tls.cert_file.is_empty() || tls.key_file.is_empty() {
        return;
    }
    let paths = TlsPaths {
        certificate: base.join(&tls.cert_file),
        key: base.join(&tls.key_file),
    };
    for error in paths.errors() {
        let (key, file) = match error {
            TlsError::Certificate { .. } => ("tls.cert_file", &tls.cert_file),
            TlsError::Key { .. } | TlsError::Unusable(_) => ("tls.key_file", &tls.key_file),
        };
        found.push(problem(key, Some(file), &error));
    }
}

fn of_auth(auth: &AuthConfig, base: &Path, found: &mut Vec<Problem>) {
    if !auth.jwt_secret_file.is_empty() {
        let errors = secrets(&base.join(&auth.jwt_secret_file)).err();
        for error in errors.into_iter().flatten() {
            found.push(problem(
                "auth.jwt_secret_file",
                Some(&auth.jwt_secret_file),
                &error,
            ));
        }
    }
    for file in &auth.jwt_key_files {
        if let Err(error) = keys(&base.join(file)) {
            found.push(problem("auth.jwt_key_files", Some(file), &error));
        }
    }
}

fn problem(key: &'static str, file: Option<&String>, cause: &dyn std::fmt::Display) -> Problem {
    Problem::File {
        key,
        file: file.map(PathBuf::from),
        cause: cause.to_string(),
        origin: None,
    }
}
