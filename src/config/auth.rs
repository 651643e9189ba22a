//! From the configuration of who may connect and call to the options of authentication: the keys, also
//! out of the files that it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::files::{self, FileError};
use super::kind::values;
use super::schema::auth::{ApiKeyConfig, AuthConfig, location};
use crate::auth::api_key::ApiKeys;
use crate::auth::jwks::{JwksError, JwksOptions, Location};
use crate::auth::jwt::TokenRules;
use crate::auth::key::{KeyError, VerifyKey};
use crate::auth::token_authenticator::TokenAuthenticatorOptions;
use crate::http::options::ApiAccess;

impl AuthConfig {
    fn rules(&self) -> TokenRules {
        TokenRules {
            algorithms: values(&self.algorithms),
            issuers: self.issuers.clone(),
            audiences: self.audiences.clone(),
            leeway_ms: self.leeway_ms,
            require_exp: self.require_exp,
            user_claims: self.user_claims.clone(),
            organization_claims: self.organization_claims.clone(),
            grants_claim: self.grants_claim.clone(),
        }
    }

    /// Every key out of the configuration and the files that it names.
    fn keys(&self) -> Result<Vec<VerifyKey>, AuthConfigError> {
        let mut keys = Vec::new();
        for secret in [&self.jwt_secret]
            .into_iter()
            .chain(&self.jwt_previous_secrets)
            .filter(|secret| !secret.is_empty())
        {
            let key = VerifyKey::from_secret(secret.reveal());
            keys.push(key.map_err(|error| AuthConfigError::Key("auth.jwt_secret", error))?);
        }
        let unusable = |key, file: &str| {
            let path = PathBuf::from(file);
            move |cause| AuthConfigError::File { key, path, cause }
        };
        if !self.jwt_secret_file.is_empty() {
            let secrets = files::secrets(Path::new(&self.jwt_secret_file));
            let unusable = unusable("auth.jwt_secret_file", &self.jwt_secret_file);
            keys.extend(secrets.map_err(|causes| {
                let first = causes.into_iter().next();
                unusable(first.unwrap_or(FileError::NoSecret))
            })?);
        }
        for pem in &self.jwt_public_keys {
            let key = VerifyKey::from_pem(pem.reveal());
            keys.push(key.map_err(|error| AuthConfigError::Key("auth.jwt_public_keys", error))?);
        }
        for file in &self.jwt_key_files {
            let found = files::keys(Path::new(file));
            keys.extend(found.map_err(unusable("auth.jwt_key_files", file))?);
        }
        Ok(keys)
    }
}

/// Why the keys can't be used. No text holds a key.
#[derive(Debug, Error)]
pub enum AuthConfigError {
    #[error("`{key}`: {}: {cause}", .path.display())]
    File {
        key: &'static str,
        path: PathBuf,
        cause: FileError,
    },
    #[error("`{0}`: {1}")]
    Key(&'static str, #[source] KeyError),
    #[error("`auth.jwks`: {0}")]
    Jwks(#[from] JwksError),
}

/// How clients and callers prove who they are.
#[derive(Debug, Clone)]
pub struct AuthOptions {
    pub authenticator: TokenAuthenticatorOptions,
    pub jwks: Option<(Location, JwksOptions)>,
    pub access: ApiAccess,
    /// Whether tokens are checked, and whether clients are believed without one.
    pub checks_tokens: bool,
    pub believes_clients: bool,
}

impl AuthOptions {
    /// Reads the files that the configuration names.
    pub fn of(
        config: &AuthConfig,
        api_keys: &BTreeMap<String, ApiKeyConfig>,
    ) -> Result<Self, AuthConfigError> {
        let callers = api_keys.iter();
        let keys = ApiKeys::new(callers.filter_map(|(name, key)| key.caller(name)));
        let checks_tokens = config.has_token_key();
        // Where clients are believed for want of a key, so are backends.
        let access = if keys.is_empty() && !checks_tokens {
            ApiAccess::Open
        } else {
            ApiAccess::Keys(keys)
        };
        let jwks = (!config.jwks.is_empty())
            .then(|| location(config.jwks.reveal(), Path::new("")))
            .flatten()
            .map(|location| {
                let options = JwksOptions {
                    refresh_interval: Duration::from_millis(config.jwks_refresh_ms),
                    min_interval: Duration::from_millis(config.jwks_min_refresh_ms),
                };
                (location, options)
            });
        Ok(Self {
            authenticator: TokenAuthenticatorOptions {
                keys: config.keys()?,
                rules: config.rules(),
                allow_asserted: config.believes_clients(),
                token_cookie: Some(config.token_cookie.clone()).filter(|name| !name.is_empty()),
            },
            jwks,
            access,
            checks_tokens,
            believes_clients: config.believes_clients(),
        })
    }

    /// Whether keys come from another server.
    pub fn fetches_keys(&self) -> bool {
        matches!(self.jwks, Some((Location::Url(_), _)))
    }
}
