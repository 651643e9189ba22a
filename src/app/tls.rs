//! The certificate and its key, read again when the files change.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// How often the files are looked at.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Why no TLS can be spoken with the files.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("failed to read the certificate {}: {cause}", path.display())]
    Certificate { path: PathBuf, cause: pem::Error },
    #[error("there is no certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    #[error("failed to read the key {}: {cause}", path.display())]
    Key { path: PathBuf, cause: pem::Error },
    #[error("the certificate and the key can't be used: {0}")]
    Unusable(#[from] rustls::Error),
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

    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|cause| TlsError::Certificate {
                path: self.certificate.clone(),
                cause,
            })?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(self.certificate.clone()));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|cause| TlsError::Key {
            path: self.key.clone(),
            cause,
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl TlsFiles {
    pub fn open(paths: TlsPaths) -> Result<Self, TlsError> {
        let versions = paths.versions();
        let config = paths.read()?;
        Ok(Self {
            paths,
            state: Mutex::new((versions, config)),
        })
    }

    /// What the next connection is made with.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.state.lock().1)
    }

    /// Reads the files again if they were written since. If they can't be used, which they can't
    /// between the writing of one and of the other, what was read before stays.
    pub fn look(&self) {
        let versions = self.paths.versions();
        if self.state.lock().0 == versions {
            return;
        }
        match self.paths.read() {
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
