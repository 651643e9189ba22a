//! Who may connect and call: the keys of `auth`, and API keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use http::Uri;

use super::key::{Found, Rule, Table, section};
use super::names::{at_most_a_day, day};
use crate::auth::api_key::{Caller, KeyHash, Reach, Scope};
use crate::auth::jwks::Location;
use crate::auth::jwt::TokenRules;
use crate::auth::key::{Algorithm, VerifyKey, secret_bytes};
use crate::config::kind::{Parse, Parsed, Secret, TableEntry};
use crate::domain::identity::OrganizationId;

section! {
    /// The group `auth`.
    #[derive(Eq)]
    pub struct AuthConfig in "auth." {
        /// Serve clients that merely say who they are on an address other than loopback.
        allow_insecure: bool = false;
        /// Believe clients that merely say who they are although tokens are checked.
        allow_asserted: bool = false;
        /// HMAC secret of tokens, at least 32 bytes, or base64: and its bytes; better in the environment.
        jwt_secret: Secret = Secret::default(), Rule::By(secret);
        /// HMAC secrets that are still accepted while clients change to the new one.
        jwt_previous_secrets: Vec<Secret> = Vec::new(), Rule::By(|texts, found| secrets(texts, found));
        /// File with HMAC secrets, one a line; empty = none.
        jwt_secret_file: String = String::new();
        /// Public keys of tokens as PEM texts: RSA, P-256, P-384, P-521, Ed25519.
        jwt_public_keys: Vec<Secret> = Vec::new(), Rule::By(|texts, found| public_keys(texts, found));
        /// Files with a public key in PEM, or with a JWK set.
        jwt_key_files: Vec<String> = Vec::new();
        /// URL (https://, http://) or file of a JWK set that is fetched again and again; empty = none.
        jwks: Secret = Secret::default(), Rule::By(jwks);
        /// Milliseconds between two fetches of the JWK set.
        jwks_refresh_ms: u64 = 600_000, day();
        /// Least milliseconds between two fetches, however many tokens name an unknown key.
        jwks_min_refresh_ms: u64 = 10_000, day();
        /// Signature algorithms that are accepted; empty = every one that suits a key.
        algorithms: Vec<Parsed<Algorithm>> = Vec::new(), Rule::By(|texts, found| super::names::each(texts, found));
        /// Accepted issuers (iss); empty = any.
        issuers: Vec<String> = Vec::new();
        /// Audiences (aud) of which a token must name one; empty = any.
        audiences: Vec<String> = Vec::new();
        /// Milliseconds that the clock of a token's issuer may be off; 0 = none.
        leeway_ms: u64 = TokenRules::default().leeway_ms, at_most_a_day();
        /// Refuse tokens that never expire, which have no exp.
        require_exp: bool = TokenRules::default().require_exp;
        /// Claims of which the first that is there names the user; empty = user_id, userId, sub.
        user_claims: Vec<String> = Vec::new();
        /// Claims of which the first that is there names the organization; empty = every alias of it.
        organization_claims: Vec<String> = Vec::new();
        /// Claim that says what may be subscribed and published.
        grants_claim: String = TokenRules::default().grants_claim, Rule::By(|text, found| claim(text, found));
        /// Cookie that carries a token in handshakes; empty = none.
        token_cookie: String = String::new(), Rule::By(|text, found| cookie(text, found));
        /// Milliseconds before a token's end at which its client is told; 0 = not told.
        expiry_warning_ms: u64 = 60_000, at_most_a_day();
    }
}

section! {
    /// One API key: whose it is and what it may do.
    #[derive(Eq)]
    pub struct ApiKeyConfig in "" {
        /// sha256: and the hash of the key in hexadecimal.
        hash: Secret = Secret::default();
        /// The organization that it acts in.
        organization: String = String::new();
        /// Whether it acts in every organization.
        operator: bool = false;
        /// Out of broadcast, read and admin.
        scopes: Vec<String> = Vec::new();
    }
}

impl Table for ApiKeyConfig {
    const WHAT: &'static str = "a table of a key";
    const IS_SECRET: bool = true;
}

impl TableEntry for ApiKeyConfig {
    const TABLE_EXPECTED: &'static str = "a table of keys, such as { \"crm\" = { hash = \"sha256:...\", \
        scopes = [\"broadcast\"], organization = \"org_123\" } }";
}

impl Parse for Algorithm {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Self::parse(text).ok_or(
            "it is none of HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA",
        )
    }
}

const API_KEY_RULE: &str = "a key has a `hash` (`orgcast gen-key` prints one), `scopes` out of \
    broadcast, read and admin, and either an `organization` or `operator = true`";

impl ApiKeyConfig {
    pub fn caller(&self, name: &str) -> Option<(KeyHash, Caller)> {
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

pub(super) fn check_api_keys(keys: &BTreeMap<String, ApiKeyConfig>, found: &mut Found<'_>) {
    for (name, key) in keys {
        if key.caller(name).is_none() {
            found.add(format_args!("key {name:?}"), API_KEY_RULE);
        }
    }
}

/// What cannot be shown stands for itself.
const HIDDEN: &str = "set";

const SECRET_RULE: &str = "a secret has at least 32 bytes (`openssl rand -base64 48` makes one), \
    is text or `base64:` and its bytes, and is not a PEM key";

fn secret(secret: &Secret, found: &mut Found<'_>) {
    if !secret.is_empty() && secret_bytes(secret.reveal()).is_err() {
        found.add(HIDDEN, SECRET_RULE);
    }
}

fn secrets(secrets: &[Secret], found: &mut Found<'_>) {
    for secret in secrets {
        if secret_bytes(secret.reveal()).is_err() {
            found.add(HIDDEN, SECRET_RULE);
        }
    }
}

fn public_keys(keys: &[Secret], found: &mut Found<'_>) {
    for pem in keys {
        if VerifyKey::from_pem(pem.reveal()).is_err() {
            found.add(
                HIDDEN,
                "each is the PEM text of an RSA (2048 to 4096 bits), P-256, P-384, P-521 or \
                 Ed25519 public key",
            );
        }
    }
}

fn jwks(jwks: &Secret, found: &mut Found<'_>) {
    if !jwks.is_empty() && location(jwks.reveal(), Path::new("")).is_none() {
        found.add(
            HIDDEN,
            "it must be a file, or a URL with http or https and a host",
        );
    }
}

fn claim(claim: &str, found: &mut Found<'_>) {
    if claim.is_empty() {
        found.add("\"\"", "it must name a claim");
    }
}

fn cookie(name: &str, found: &mut Found<'_>) {
    let is_cookie_name =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_cookie_name) {
        found.add(format_args!("{name:?}"), "it is not the name of a cookie");
    }
}

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
}

/// The file of a JWK set, if it is one.
pub fn jwks_file(jwks: &str, base: &Path) -> Option<PathBuf> {
    match location(jwks, base)? {
        Location::File(path) if !jwks.is_empty() => Some(path),
        _ => None,
    }
}

/// A URL if it has a scheme, else a file.
pub fn location(text: &str, base: &Path) -> Option<Location> {
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
