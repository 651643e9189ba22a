//! Encryption by the server itself.

use super::key::section;

section! {
    /// The group `tls`.
    #[derive(Eq)]
    pub struct TlsConfig in "tls." {
        /// Certificate chain in PEM, for TLS by the server itself; read again when it changes.
        cert_file: String = String::new();
        /// Private key of the certificate in PEM.
        key_file: String = String::new();
    }
}
