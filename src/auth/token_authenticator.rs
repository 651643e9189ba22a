//! The server's own [`Authenticator`]: tokens by its keys, and asserted identities where allowed.

use std::sync::Arc;
use std::time::Duration;

use super::credentials::{Credentials, TokenCredentials};
use super::jwks::Jwks;
use super::jwt::{self, Parts, TokenRules};
use super::key::VerifyKey;
use super::revocation::Revocations;
use super::{Authenticator, Waiting};
use crate::domain::error::{ClientError, Code, reason};
use crate::domain::grants::Principal;
use crate::domain::time::UnixMillis;

/// When a client whose key may be fetched meanwhile should try again.
const KEY_RETRY: Duration = Duration::from_secs(1);

/// What an [`TokenAuthenticator`] accepts.
#[derive(Debug, Clone, Default)]
pub struct TokenAuthenticatorOptions {
    /// Keys out of the configuration and its files.
    pub keys: Vec<VerifyKey>,
    pub rules: TokenRules,
    /// Whether a client may say who it is without a token.
    pub allow_asserted: bool,
    pub token_cookie: Option<String>,
}

/// Verifies tokens, and refuses what was revoked.
#[derive(Debug)]
pub struct TokenAuthenticator {
    options: TokenAuthenticatorOptions,
    jwks: Option<Arc<Jwks>>,
    revocations: Arc<Revocations>,
}

impl TokenAuthenticator {
    pub fn new(
        options: TokenAuthenticatorOptions,
        jwks: Option<Arc<Jwks>>,
        revocations: Arc<Revocations>,
    ) -> Self {
        Self {
            options,
            jwks,
            revocations,
        }
    }

    fn accepts_tokens(&self) -> bool {
        !self.options.keys.is_empty() || self.jwks.is_some()
    }

    /// Checks a token with the keys that are there.
    pub fn verify_token(&self, token: &str, now: UnixMillis) -> Result<Principal, ClientError> {
        if !self.accepts_tokens() {
            return Err(ClientError::new(
                Code::AuthFailed,
                "this server has no key to check tokens with; send user_id and organization_id",
            ));
        }
        let parts = Parts::of(token)?;
        let fetched = self.jwks.as_ref().map(|jwks| jwks.keys());
        let keys: Vec<&VerifyKey> = self
            .options
            .keys
            .iter()
            .chain(fetched.iter().flat_map(|keys| keys.iter()))
            .collect();
        let principal = jwt::verify(&parts, &keys, &self.options.rules, now).map_err(|error| {
            match &self.jwks {
                Some(jwks) if jwks.lacks(parts.key_id.as_deref()) => {
                    jwks.refresh_soon();
                    let mut error = ClientError::new(
                        Code::AuthFailed,
                        "the token's key (`kid`) is not known; the keys are being fetched again",
                    )
                    .because(reason::KEY_UNKNOWN);
                    error.retry_after = Some(KEY_RETRY);
                    error
                }
                _ => error,
            }
        })?;
        self.revocations.check(&principal, now)?;
        Ok(principal)
    }

    fn verify_credentials(
        &self,
        credentials: &TokenCredentials,
        now: UnixMillis,
    ) -> Result<Principal, ClientError> {
        let principal = self.verify_token(&credentials.token, now)?;
        credentials.check_beside(&principal.identity)?;
        Ok(principal)
    }
}

impl Authenticator for TokenAuthenticator {
    fn verify(&self, credentials: Credentials, now: UnixMillis) -> Result<Principal, ClientError> {
        match credentials {
            Credentials::Token(credentials) => self.verify_credentials(&credentials, now),
            Credentials::Asserted(_) if !self.options.allow_asserted => Err(ClientError::new(
                Code::AuthFailed,
                "a token is needed: this server takes nobody's word for who they are",
            )
            .because(reason::TOKEN_REQUIRED)),
            Credentials::Asserted(identity) => {
                let principal = Principal::unlimited(identity);
                self.revocations.check(&principal, now)?;
                Ok(principal)
            }
        }
    }

    fn recheck(&self, principal: &Principal, now: UnixMillis) -> Result<(), ClientError> {
        self.revocations.check(principal, now)
    }

    fn prepare<'a>(&'a self, credentials: &'a Credentials) -> Waiting<'a> {
        Box::pin(async move {
            let (Some(jwks), Credentials::Token(credentials)) = (&self.jwks, credentials) else {
                return;
            };
            if let Ok(parts) = Parts::of(&credentials.token)
                && jwks.lacks(parts.key_id.as_deref())
            {
                jwks.refresh().await;
            }
        })
    }

    fn token_cookie(&self) -> Option<&str> {
        self.options.token_cookie.as_deref()
    }
}
