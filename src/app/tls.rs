//! The certificate and its key, read again when the files change.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};
use x509_parser::parse_x509_certificate;

use crate::auth::file;
use crate::domain::time::UnixMillis;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long the files may take: a file system may never answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why no TLS can be spoken with the files.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("{cause}")]
    Certificate { cause: PartError },
    #[error("{cause}")]
    Key { cause: PartError },
    #[error("{}", of_both(.0))]
    Unusable(#[from] rustls::Error),
    #[error("the certificate {} and the key {} could not be read within {TIMEOUT:?}", .0.certificate.display(), .0.key.display())]
    Timeout(TlsPaths),
    #[error("failed to read the TLS files: {0}")]
    Reader(#[from] tokio::task::JoinError),
}

/// What is wrong with one of them.
#[derive(Debug, Error)]
pub enum PartError {
    #[error("it can't be read: {0}")]
    Unreadable(io::Error),
    #[error("it is no PEM: {0}")]
    Pem(pem::Error),
    #[error("there is no certificate in it")]
    NoCertificate,
    #[error("its certificate {0} is not one of X.509")]
    NotX509(usize),
    #[error("there is no private key in it")]
    NoKey,
}

fn of_both(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "it is not the key of the certificate".to_owned()
        }
        other => format!("certificate and key can't be used: {other}"),
    }
}

/// Where the certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPaths {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// When both files were last written.
type Versions = [Option<SystemTime>; 2];

/// The files and what they held when they were last read whole.
pub(super) struct TlsFiles {
    paths: TlsPaths,
    state: Mutex<(Versions, Arc<ServerConfig>)>,
}

impl TlsPaths {
    fn versions(&self) -> Versions {
        [&self.certificate, &self.key].map(|path| {
            let metadata: io::Result<_> = std::fs::metadata(path);
            metadata.and_then(|metadata| metadata.modified()).ok()
        })
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, PartError> {
        let text = file::read(&self.certificate).map_err(PartError::Unreadable)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(PartError::Pem)?;
        if chain.is_empty() {
            return Err(PartError::NoCertificate);
        }
        for (at, certificate) in chain.iter().enumerate() {
            parse_x509_certificate(certificate).map_err(|_| PartError::NotX509(at + 1))?;
        }
        Ok(chain)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, PartError> {
        let text = file::read(&self.key).map_err(PartError::Unreadable)?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            pem::Error::NoItemsFound => PartError::NoKey,
            other => PartError::Pem(other),
        })
    }

    /// Blocks for as long as the files like.
    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let chain = self
            .chain()
            .map_err(|cause| TlsError::Certificate { cause })?;
        let key = self
            .private_key()
            .map_err(|cause| TlsError::Key { cause })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Everything that is wrong with the files.
    pub(super) fn errors(&self) -> Vec<TlsError> {
        let certificate = self.chain().err();
        let certificate = certificate.map(|cause| TlsError::Certificate { cause });
        let key = self.private_key().err();
        let key = key.map(|cause| TlsError::Key { cause });
        let mut found: Vec<_> = certificate.into_iter().chain(key).collect();
        if found.is_empty() {
            found.extend(self.read().err());
        }
        found
    }

    /// What of the certificates clients will not accept, if they can be read.
    pub(super) fn warnings(&self, now: UnixMillis) -> Vec<String> {
        let now = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
        let chain = self.chain().unwrap_or_default();
        let mut found = Vec::new();
        for (at, certificate) in chain.iter().enumerate() {
            let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
                continue;
            };
            let validity = certificate.validity();
            let (number, file) = (at + 1, self.certificate.display());
            if validity.not_after.timestamp() < now {
                let end = validity.not_after;
                found.push(format!("certificate {number} in {file} expired at {end}"));
            } else if validity.not_before.timestamp() > now {
                let begin = validity.not_before;
                found.push(format!(
                    "certificate {number} in {file} is not valid before {begin}"
                ));
            }
        }
        found
    }
}

/// What a look at the files found: nothing new, or a configuration.
type Look = (Versions, Option<Result<Arc<ServerConfig>, TlsError>>);

impl TlsFiles {
    pub async fn open(paths: TlsPaths) -> Result<Self, TlsError> {
        let of_reader = paths.clone();
        let read = spawn_blocking(move || (of_reader.versions(), of_reader.read()));
        let (versions, config) = match timeout(TIMEOUT, read).await {
            Ok(read) => read?,
            Err(_) => return Err(TlsError::Timeout(paths)),
        };
        Ok(Self {
            paths,
            state: Mutex::new((versions, config?)),
        })
    }

    /// What the next connection is made with.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.state.lock().1)
    }

    /// Reads the files again when they were written since, for as long as it is polled. If they can't
    /// be used, which they can't between the writing of one and of the other, what was read before
    /// stays.
    pub async fn watch(self: Arc<Self>) {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            looks.tick().await;
            let (paths, known) = (self.paths.clone(), self.state.lock().0);
            let mut look = spawn_blocking(move || look(&paths, known));
            // Another look would only have to wait as well.
            let looked = if let Ok(looked) = timeout(TIMEOUT, &mut look).await {
                looked
            } else {
                tracing::warn!("the TLS files can't be read; the old ones stay");
                look.await
            };
            if let Ok((versions, Some(config))) = looked {
                self.take(versions, config);
            }
        }
    }

    fn take(&self, versions: Versions, config: Result<Arc<ServerConfig>, TlsError>) {
        match config {
            Ok(config) => {
                *self.state.lock() = (versions, config);
                tracing::info!("new TLS certificate in use");
            }
            Err(error) => {
                self.state.lock().0 = versions;
                tracing::warn!(%error, "the TLS files changed and can't be used; the old ones stay");
            }
        }
    }
}

fn look(paths: &TlsPaths, known: Versions) -> Look {
    let versions = paths.versions();
    (versions, (versions != known).then(|| paths.read()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::mpsc;

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    #[test]
    fn files_that_never_answer_hold_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let paths = TlsPaths {
            certificate: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&paths.certificate, cert.pem()).unwrap();
        std::fs::write(&paths.key, signing_key.serialize_pem()).unwrap();
        let pipe = paths.certificate.clone();
        let (went_on, goes_on) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let files = Arc::new(TlsFiles::open(paths.clone()).await.unwrap());
                std::fs::remove_file(&paths.certificate).unwrap();
                let made = Command::new("mkfifo").arg(&paths.certificate).status();
                assert!(made.unwrap().success());
                let watch = tokio::spawn(Arc::clone(&files).watch());
                // It looks at once.
                for _ in 0..10 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                assert!(!watch.is_finished());
                let _ = went_on.send(());
            });
            runtime.shutdown_background();
        });
        let went_on = goes_on.recv_timeout(Duration::from_secs(20));
        assert!(went_on.is_ok(), "the runtime's only thread reads the pipe");
        assert!(pipe.exists());
    }
}
