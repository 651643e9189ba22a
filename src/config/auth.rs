//! The configuration of who may connect and call: its types, its rules, and the keys that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::files::{self, FileError};
use super::values::{Broken, DAY_MS};
use crate::auth::api_key::{ApiKeys, Caller, KeyHash, Reach, Scope};
use crate::auth::jwks::{JwksError, JwksOptions, Location};
use crate::auth::jwt::TokenRules;
use crate::auth::key::{Algorithm, KeyError, VerifyKey, secret_bytes};
use crate::auth::token_authenticator::TokenAuthenticatorOptions;
use crate::domain::identity::OrganizationId;
use crate::http::options::ApiAccess;

/// The group `auth`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Whether asserted identities are served on an address other than loopback.
    pub allow_insecure: bool,
    /// Whether clients may say who they are although there is a key to check tokens with.
    pub allow_asserted: bool,
    /// The HMAC secret that tokens are signed with.
    pub jwt_secret: Secret,
    /// HMAC secrets that are still accepted.
    pub jwt_previous_secrets: Vec<Secret>,
    /// A file with an HMAC secret on each line.
    pub jwt_secret_file: String,
    /// Public keys as PEM texts.
    pub jwt_public_keys: Vec<String>,
    /// Files with a public key in PEM, or with a JWK set.
    pub jwt_key_files: Vec<String>,
    /// The URL or file of a JWK set that is read again and again.
    pub jwks: String,
    pub jwks_refresh_ms: u64,
    pub jwks_min_refresh_ms: u64,
    /// Allowed signature algorithms; empty is every one that suits a key.
    pub algorithms: Vec<String>,
    /// Accepted `iss`; empty is any.
    pub issuers: Vec<String>,
    /// Accepted `aud`; empty is any.
    pub audiences: Vec<String>,
    pub leeway_ms: u64,
    pub require_exp: bool,
    /// Claims that name the user; empty is every alias.
    pub user_claims: Vec<String>,
    /// Claims that name the organization; empty is every alias.
    pub organization_claims: Vec<String>,
    pub grants_claim: String,
    /// The cookie that carries a token; empty is none.
    pub token_cookie: String,
    pub expiry_warning_ms: u64,
}

impl Default for AuthConfig {
    fn default() -> Self {
        let rules = TokenRules::default();
        Self {
            allow_insecure: false,
            allow_asserted: false,
            jwt_secret: Secret::default(),
            jwt_previous_secrets: Vec::new(),
            jwt_secret_file: String::new(),
            jwt_public_keys: Vec::new(),
            jwt_key_files: Vec::new(),
            jwks: String::new(),
            jwks_refresh_ms: 600_000,
            jwks_min_refresh_ms: 10_000,
            algorithms: Vec::new(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway_ms: rules.leeway_ms,
            require_exp: rules.require_exp,
            user_claims: Vec::new(),
            organization_claims: Vec::new(),
            grants_claim: rules.grants_claim,
            token_cookie: String::new(),
            expiry_warning_ms: 60_000,
        }
    }
}

/// A text that is never shown: not in a debug output, not in a configuration that is written.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_empty() { "" } else { "[redacted]" })
    }
}

/// One API key: whose it is and what it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeyConfig {
    /// `sha256:` and the hash of the key in hexadecimal.
    pub hash: Secret,
    /// The organization that it acts in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub organization: String,
    /// Whether it acts in every organization.
    pub operator: bool,
    /// Out of `broadcast`, `read` and `admin`.
    pub scopes: Vec<String>,
}

const API_KEY_RULE: &str = "a key has a `hash` (`orgcast gen-key` prints one), `scopes` out of \
    broadcast, read and admin, and either an `organization` or `operator = true`";

impl ApiKeyConfig {
    fn caller(&self, name: &str) -> Option<(KeyHash, Caller)> {
        let hash = KeyHash::parse(self.hash.reveal()).ok()?;
        let reach = match (self.organization.as_str(), self.operator) {
            ("", true) => Reach::Operator,
            (id, false) => Reach::Organization(OrganizationId::new(id).ok()?),
            _ => return None,
        };
        let scopes: BTreeSet<Scope> = self
            .scopes
            .iter()
            .map(|scope| Scope::parse(scope))
            .collect::<Option<_>>()?;
        let caller = Caller {
            name: name.to_owned(),
            reach,
            scopes,
        };
        (!caller.scopes.is_empty()).then_some((hash, caller))
    }
}

/// What cannot be shown stands for itself.
const HIDDEN: &str = "set";

impl AuthConfig {
    /// Whether there is any key to check tokens with.
    pub fn has_token_key(&self) -> bool {
        !self.jwt_secret.is_empty()
            || !self.jwt_previous_secrets.is_empty()
            || !self.jwt_secret_file.is_empty()
            || !self.jwt_public_keys.is_empty()
            || !self.jwt_key_files.is_empty()
            || !self.jwks.is_empty()
    }

    /// Whether a client is believed without a token.
    pub fn believes_clients(&self) -> bool {
        self.allow_asserted || !self.has_token_key()
    }

    pub(super) fn check(&self, host: IpAddr, cors_origins: &[String], broken: &mut Broken) {
        let is_reachable = !host.to_canonical().is_loopback();
        if is_reachable && self.believes_clients() && !self.allow_insecure {
            broken.add(
                "host",
                host,
                if self.has_token_key() {
                    "it is not a loopback address and auth.allow_asserted lets every client that \
                     reaches it say who it is; either leave that out, or set auth.allow_insecure = \
                     true if this is wanted"
                } else {
                    "it is not a loopback address and no token key is configured, so every client \
                     that reaches it may say who it is; either configure a key (auth.jwt_secret, \
                     auth.jwt_key_files, auth.jwks), or listen on 127.0.0.1 or ::1 behind a proxy \
                     that decides who gets in, or set auth.allow_insecure = true if this is wanted"
                },
            );
        }
        self.check_keys(broken);
        for algorithm in &self.algorithms {
            if Algorithm::parse(algorithm).is_none() {
                broken.add(
                    "auth.algorithms",
                    format_args!("{algorithm:?}"),
                    "it is none of HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 \
                     ES384 ES512 EdDSA",
                );
            }
        }
        for (key, milliseconds) in [
            ("auth.jwks_refresh_ms", self.jwks_refresh_ms),
            ("auth.jwks_min_refresh_ms", self.jwks_min_refresh_ms),
        ] {
            if !(1..=DAY_MS).contains(&milliseconds) {
                broken.add(
                    key,
                    milliseconds,
                    "it must be between 1 and 86400000 (one day)",
                );
            }
        }
        for (key, milliseconds) in [
            ("auth.leeway_ms", self.leeway_ms),
            ("auth.expiry_warning_ms", self.expiry_warning_ms),
        ] {
            if milliseconds > DAY_MS {
                broken.add(key, milliseconds, "it must be at most 86400000 (one day)");
            }
        }
        if self.grants_claim.is_empty() {
            broken.add("auth.grants_claim", "\"\"", "it must name a claim");
        }
        let is_cookie_name =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !self.token_cookie.bytes().all(is_cookie_name) {
            broken.add(
                "auth.token_cookie",
                format_args!("{:?}", self.token_cookie),
                "it is not the name of a cookie",
            );
        }
        if !self.token_cookie.is_empty() && cors_origins.iter().any(|origin| origin == "*") {
            broken.add(
                "auth.token_cookie",
                format_args!("{:?}", self.token_cookie),
                "browsers send cookies by themselves, so with cors_origins = [\"*\"] any page could \
                 connect as its visitor; name the origins",
            );
        }
    }

    fn check_keys(&self, broken: &mut Broken) {
        const SECRET: &str = "a secret has at least 32 bytes (`openssl rand -base64 48` makes one), \
            is text or `base64:` and its bytes, and is not a PEM key";
        if !self.jwt_secret.is_empty() && secret_bytes(self.jwt_secret.reveal()).is_err() {
            broken.add("auth.jwt_secret", HIDDEN, SECRET);
        }
        for secret in &self.jwt_previous_secrets {
            if secret_bytes(secret.reveal()).is_err() {
                broken.add("auth.jwt_previous_secrets", HIDDEN, SECRET);
            }
        }
        for pem in &self.jwt_public_keys {
            if VerifyKey::from_pem(pem).is_err() {
                broken.add(
                    "auth.jwt_public_keys",
                    HIDDEN,
                    "each is the PEM text of an RSA (2048 to 4096 bits), P-256, P-384, P-521 or \
                     Ed25519 public key",
                );
            }
        }
        if !self.jwks.is_empty() && location(&self.jwks, Path::new("")).is_none() {
            broken.add(
                "auth.jwks",
                HIDDEN,
                "it must be a file, or a URL with http or https and a host",
            );
        }
    }

    fn rules(&self) -> TokenRules {
        let algorithms = self.algorithms.iter();
        TokenRules {
            algorithms: algorithms
                .filter_map(|name| Algorithm::parse(name))
                .collect(),
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
            let key = VerifyKey::from_pem(pem);
            keys.push(key.map_err(|error| AuthConfigError::Key("auth.jwt_public_keys", error))?);
        }
        for file in &self.jwt_key_files {
            let found = files::keys(Path::new(file));
            keys.extend(found.map_err(unusable("auth.jwt_key_files", file))?);
        }
        Ok(keys)
    }
}

pub(super) fn check_api_keys(keys: &BTreeMap<String, ApiKeyConfig>, broken: &mut Broken) {
    for (name, key) in keys {
        if key.caller(name).is_none() {
            broken.add("api_keys", format_args!("key {name:?}"), API_KEY_RULE);
        }
    }
}

/// The file of a JWK set, if it is one.
pub(super) fn jwks_file(jwks: &str, base: &Path) -> Option<PathBuf> {
    match location(jwks, base)? {
        Location::File(path) if !jwks.is_empty() => Some(path),
        _ => None,
    }
}

/// A URL if it has a scheme, else a file.
fn location(text: &str, base: &Path) -> Option<Location> {
    if let Some(path) = text.strip_prefix("file://") {
        return Some(Location::File(PathBuf::from(path)));
    }
    if !text.contains("://") {
        return Some(Location::File(base.join(text)));
    }
    let uri: Uri = text.parse().ok()?;
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    (matches!(uri.scheme_str(), Some("http" | "https")) && has_host).then_some(Location::Url(uri))
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
    Key(&'static str, KeyError),
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
        let keys = ApiKeys::new(api_keys.iter().filter_map(|(name, key)| key.caller(name)));
        let checks_tokens = config.has_token_key();
        // Where clients are believed for want of a key, so are backends.
        let access = if keys.is_empty() && !checks_tokens {
            ApiAccess::Open
        } else {
            ApiAccess::Keys(keys)
        };
        let jwks = (!config.jwks.is_empty())
            .then(|| location(&config.jwks, Path::new("")))
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
