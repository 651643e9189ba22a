//! A certificate for one run: the server gets it as files, and the clients trust nothing else.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::error::LoadError;

#[derive(Debug)]
pub struct Certificate {
    /// Holds both files; they go when it is dropped.
    pub files: TempDir,
    /// How clients connect to whoever shows the certificate.
    pub trust: Arc<ClientConfig>,
}

impl Certificate {
    /// Makes a key and signs its certificate for 127.0.0.1 with it.
    pub fn make() -> Result<Self, LoadError> {
        let failed = |error: &dyn std::error::Error| LoadError::Certificate(error.to_string());
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()])
                .map_err(|error| failed(&error))?;
        let files = tempfile::tempdir().map_err(|error| failed(&error))?;
        let mut roots = RootCertStore::empty();
        roots
            .add(cert.der().clone())
            .map_err(|error| failed(&error))?;
        // One suite, which browsers put first: every server does the same work with it.
        let provider = CryptoProvider {
            cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
            ..ring::default_provider()
        };
        let mut trust = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Clients of a pool are different people: none has been here before.
        trust.resumption = Resumption::disabled();
        let made = Self {
            files,
            trust: Arc::new(trust),
        };
        for (path, pem) in [
            (made.chain(), cert.pem()),
            (made.key(), signing_key.serialize_pem()),
        ] {
            fs::write(&path, pem).map_err(|error| LoadError::Write(path, error))?;
        }
        Ok(made)
    }

    /// The certificate's file, in PEM.
    pub fn chain(&self) -> PathBuf {
        self.files.path().join("certificate.pem")
    }

    /// The key's file, in PEM.
    pub fn key(&self) -> PathBuf {
        self.files.path().join("key.pem")
    }
}
