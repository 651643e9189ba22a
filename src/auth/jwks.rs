//! Keys that somebody else publishes as a JWK set (RFC 7517, section 5), in a file or at a URL.
//!
//! They are fetched again from time to time and when a token names a key that is not among them.
//! While the source is away or answers nonsense, the keys of the last good answer stay.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::file;
use super::https::{HttpClient, client};
use super::key::{KeyError, VerifyKey, from_jwk_set};

/// How long a fetch may take, from name resolution to the last byte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest set in bytes.
const MAX_SET_BYTES: usize = file::MAX_FILE_BYTES;

/// Where a set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    File(PathBuf),
    /// `http` or `https`.
    Url(Uri),
}

/// How often a set is fetched.
#[derive(Debug, Clone, Copy)]
pub struct JwksOptions {
    pub refresh_interval: Duration,
    /// Between two fetches, whatever tokens ask for; also the pause after one that failed.
    pub min_interval: Duration,
}

/// Why a set could not be fetched. The text names no secret.
#[derive(Debug, Error)]
pub enum JwksError {
    #[error("failed to read the file: {0}")]
    File(#[source] io::Error),
    #[error("failed to reach it: {0}")]
    Http(#[source] hyper_util::client::legacy::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer broke off or is longer than 1 MiB")]
    Body,
    #[error("it did not answer within five seconds")]
    Timeout,
    #[error("failed to load the system's certificates: {0}")]
    Certificates(#[source] io::Error),
    #[error("it is not a JWK set: {0}")]
    Set(#[from] KeyError),
}

enum Source {
    File(FileSource),
    Url(Uri, Box<HttpClient<Empty<Bytes>>>),
}

/// A file, which is read by one thread at a time: one that never answers must not take all there are.
struct FileSource {
    path: PathBuf,
    reading: tokio::sync::Mutex<Option<JoinHandle<io::Result<String>>>>,
}

impl FileSource {
    /// What is in the file, or what was in it when it was last asked for and did not answer in time.
    async fn read(&self) -> io::Result<String> {
        let mut reading = self.reading.lock().await;
        let path = self.path.clone();
        let task = reading
            .get_or_insert_with(|| tokio::task::spawn_blocking(move || file::read_text(&path)));
        let outcome = task.await;
        *reading = None;
        outcome?
    }
}

/// When the set was tried, and whether it is being tried.
#[derive(Default)]
struct Tries {
    last: Option<Instant>,
    is_running: bool,
}

/// The keys of one set, as of its last good answer.
pub struct Jwks {
    source: Source,
    options: JwksOptions,
    keys: RwLock<Arc<[VerifyKey]>>,
    tries: Mutex<Tries>,
    /// Tells those who wait that a try has ended.
    ended: watch::Sender<()>,
}

/// A fetch under way, however it ends.
struct Running(Arc<Jwks>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.tries.lock().is_running = false;
        self.0.ended.send_replace(());
    }
}

impl std::fmt::Debug for Jwks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwks")
            .field("keys", &self.keys())
            .finish_non_exhaustive()
    }
}

impl Jwks {
    /// A set that was not fetched yet.
    pub fn new(location: Location, options: JwksOptions) -> Result<Arc<Self>, JwksError> {
        let source = match location {
            Location::File(path) => Source::File(FileSource {
                path,
                reading: tokio::sync::Mutex::default(),
            }),
            Location::Url(uri) => {
                let client = client(&uri).map_err(JwksError::Certificates)?;
                Source::Url(uri, Box::new(client))
            }
        };
        Ok(Arc::new(Self {
            source,
            options,
            keys: RwLock::new(Arc::from([])),
            tries: Mutex::default(),
            ended: watch::Sender::new(()),
        }))
    }

    /// The keys that are there.
    pub fn keys(&self) -> Arc<[VerifyKey]> {
        Arc::clone(&self.keys.read())
    }

    /// Whether no key of this name is there. A token without a name may be of any key.
    pub fn lacks(&self, key_id: Option<&str>) -> bool {
        let keys = self.keys.read();
        keys.is_empty()
            || key_id.is_some_and(|wanted| {
                !keys
                    .iter()
                    .any(|key| key.id.as_deref().is_none_or(|id| id == wanted))
            })
    }

    /// Fetches the set, unless it was tried a moment ago. All who ask while it is being fetched wait
    /// for that one fetch, so that nobody waits longer than a fetch may take.
    pub async fn refresh(self: &Arc<Self>) {
        let mut ended = self.ended.subscribe();
        if self.is_fetching() {
            // It fails only when there is nothing to wait for any more.
            let _ = ended.changed().await;
        }
    }

    /// As [`Self::refresh`], without waiting. Outside a runtime it does nothing.
    pub fn refresh_soon(self: &Arc<Self>) {
        if tokio::runtime::Handle::try_current().is_ok() {
            self.is_fetching();
        }
    }

    /// Whether the set is being fetched, which this begins if it may.
    fn is_fetching(self: &Arc<Self>) -> bool {
        let mut tries = self.tries.lock();
        if tries.is_running {
            return true;
        }
        let min_interval = self.options.min_interval;
        if tries.last.is_some_and(|last| last.elapsed() < min_interval) {
            return false;
        }
        *tries = Tries {
            last: Some(Instant::now()),
            is_running: true,
        };
        // In a task of its own: whoever asked first may hang up, and others wait with it.
        let running = Running(Arc::clone(self));
        tokio::spawn(async move {
            let jwks = &running.0;
            if let Err(error) = jwks.fetch_now().await {
                let kept = jwks.keys().len();
                tracing::warn!(%error, kept, "failed to fetch the JWK set; the keys of before stay");
            }
        });
        true
    }

    /// Fetches the set and puts its keys in the place of those of before.
    pub async fn fetch_now(&self) -> Result<usize, JwksError> {
        let text = tokio::time::timeout(FETCH_TIMEOUT, self.fetch())
            .await
            .map_err(|_| JwksError::Timeout)??;
        let (mut keys, mut others) = from_jwk_set(&text)?;
        if matches!(self.source, Source::Url(..)) {
            // Everybody can read what is published: a secret there is none.
            let before = keys.len();
            keys.retain(|key| !key.is_secret());
            others += before - keys.len();
        }
        let count = keys.len();
        if count == 0 {
            tracing::warn!("the JWK set has no key that tokens can be checked with");
        }
        tracing::debug!(keys = count, others, "fetched the JWK set");
        *self.keys.write() = keys.into();
        Ok(count)
    }

    /// Fetches the set again and again, for as long as the future is polled.
    pub async fn keep_fresh(self: Arc<Self>) {
        loop {
            let pause = if self.keys().is_empty() {
                self.options.min_interval
            } else {
                self.options.refresh_interval
            };
            tokio::time::sleep(pause).await;
            self.refresh().await;
        }
    }

    async fn fetch(&self) -> Result<String, JwksError> {
        let (uri, client) = match &self.source {
            Source::File(file) => return file.read().await.map_err(JwksError::File),
            Source::Url(uri, client) => (uri, client),
        };
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.clone();
        request.headers_mut().insert(
            header::ACCEPT,
            header::HeaderValue::from_static("application/json"),
        );
        let response = client.request(request).await.map_err(JwksError::Http)?;
        if response.status() != StatusCode::OK {
            return Err(JwksError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_SET_BYTES)
            .collect()
            .await
            .map_err(|_| JwksError::Body)?
            .to_bytes();
        String::from_utf8(body.into()).map_err(|_| JwksError::Body)
    }
}
