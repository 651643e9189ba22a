//! From what a client says about itself to a principal, and from an API key to its caller.

pub mod api_key;
pub mod credentials;
pub mod file;
pub mod grants;
pub mod https;
pub mod jwks;
pub mod jwt;
pub mod key;
pub mod revocation;
pub mod sign;
pub mod token_authenticator;

use std::future::{Future, ready};
use std::pin::Pin;

use crate::domain::error::ClientError;
use crate::domain::grants::Principal;
use crate::domain::time::UnixMillis;
use credentials::Credentials;

/// A future that borrows what it waits for.
pub type Waiting<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Decides whether credentials are good.
pub trait Authenticator: Send + Sync {
    /// Must not block. Fails with `AUTH_FAILED` and a message that tells the client what is accepted.
    fn verify(&self, credentials: Credentials, now: UnixMillis) -> Result<Principal, ClientError>;

    /// Whether an accepted principal still is one. Asked once more after a connection has entered its
    /// organization, so that a revocation at the same moment misses nobody. Must not block.
    fn recheck(&self, _pass: &Principal, _now: UnixMillis) -> Result<(), ClientError> {
        Ok(())
    }

    /// Fetches what it takes to verify the credentials, in bounded time. Whoever can wait, as handshakes
    /// can, waits for it before [`Self::verify`].
    fn prepare<'a>(&'a self, _claim: &'a Credentials) -> Waiting<'a> {
        Box::pin(ready(()))
    }

    /// The cookie in which handshakes carry a token.
    fn token_cookie(&self) -> Option<&str> {
        None
    }
}
