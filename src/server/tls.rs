//! The certificate and its key, read again when the files change.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::config::tls::{TIMEOUT, TlsError, TlsPaths, Versions};

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The files and what they held when they were last read whole.
pub(super) struct TlsFiles {
    paths: TlsPaths,
    state: Mutex<(Versions, Arc<ServerConfig>)>,
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
