//! What checks who clients are, at work.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::supervise::supervise;
use crate::auth::jwks::Jwks;
use crate::auth::revocation::Revocations;
use crate::auth::token_authenticator::TokenAuthenticator;
use crate::config::auth::{AuthConfigError, AuthOptions};

/// What checks who clients are, and the tasks that it needs.
pub struct Started {
    pub authenticator: Arc<TokenAuthenticator>,
    pub revocations: Arc<Revocations>,
    pub tasks: Vec<JoinHandle<()>>,
}

impl AuthOptions {
    /// Fetches the JWK set, if there is one, and keeps it fresh. A source that is away does not stop
    /// the server: tokens are refused until it is back.
    pub async fn start(&self) -> Result<Started, AuthConfigError> {
        let mut tasks = Vec::new();
        let jwks = match &self.jwks {
            None => None,
            Some((location, options)) => {
                let jwks = Jwks::new(location.clone(), *options)?;
                jwks.refresh().await;
                let fresh = Arc::clone(&jwks);
                tasks.push(supervise("JWK set", move || {
                    Arc::clone(&fresh).keep_fresh()
                }));
                Some(jwks)
            }
        };
        let revocations = Arc::new(Revocations::default());
        let authenticator =
            TokenAuthenticator::new(self.authenticator.clone(), jwks, Arc::clone(&revocations));
        Ok(Started {
            authenticator: Arc::new(authenticator),
            revocations,
            tasks,
        })
    }
}
