//! The files that a configuration names: how they are read, and what is wrong with them.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::error::Problem;
use super::schema::Config;
use super::schema::auth::{AuthConfig, jwks_file};
use super::tls::{TlsError, TlsPaths};
use crate::auth::file;
use crate::auth::key::{KeyError, VerifyKey, from_jwk_set};

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
    Line(usize, #[source] KeyError),
    #[error("there is no secret in it")]
    NoSecret,
    #[error("there is no key in it that tokens can be checked with")]
    NoKey,
}

/// The HMAC secrets of a file, one a line; the errors of all lines.
pub(super) fn secrets(path: &Path) -> Result<Vec<VerifyKey>, Vec<FileError>> {
    let text = file::read_text(path).map_err(|error| vec![error.into()])?;
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
    let text = file::read_text(path)?;
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
        && let Some(file) = jwks_file(config.auth.jwks.reveal(), base)
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
            TlsError::Key { .. }
            | TlsError::Unusable(_)
            | TlsError::Timeout(_)
            | TlsError::Reader(_) => ("tls.key_file", &tls.key_file),
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
