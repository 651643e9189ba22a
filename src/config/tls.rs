//! The files of TLS: what is in them, and what is wrong with it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use thiserror::Error;
use x509_parser::parse_x509_certificate;

use crate::auth::file;
use crate::domain::time::UnixMillis;

/// How long the files may take: a file system may never answer.
pub const TIMEOUT: Duration = Duration::from_secs(5);

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
    Unreadable(#[source] io::Error),
    #[error("it is no PEM: {0}")]
    Pem(#[source] pem::Error),
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
pub type Versions = [Option<SystemTime>; 2];

impl TlsPaths {
    pub fn versions(&self) -> Versions {
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
    pub fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
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
    pub fn errors(&self) -> Vec<TlsError> {
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
    pub fn warnings(&self, now: UnixMillis) -> Vec<String> {
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
