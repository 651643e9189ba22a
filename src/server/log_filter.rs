//! What never gets into the log, whatever its filter asks for.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterFn, filter_fn};

/// The crate whose events are known to hold no token, key or payload.
const OWN: &str = "orgcast";

/// Lets through every event of this crate's, and of others those from `info` on. Libraries write what
/// passes through them at the levels below: frames, headers, whole handshakes.
pub(super) fn without_contents() -> FilterFn {
    filter_fn(is_without_contents)
}

fn is_without_contents(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let is_own = target
        .strip_prefix(OWN)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    is_own || *metadata.level() <= Level::INFO
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn other_crates_say_nothing_below_info_even_if_they_are_asked_to() {
        for filter in [
            "trace",
            "info,hyper=trace,orgcast=trace",
            "trace,orgcasts=trace",
        ] {
            let sink = Sink::default();
            let writer = sink.clone();
            let logs = tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new(filter))
                .with_writer(move || writer.clone())
                .finish()
                .with(without_contents());
            tracing::subscriber::with_default(logs, || {
                tracing::trace!(target: "orgcast::hub", "own trace");
                tracing::debug!(target: "orgcast", "own debug");
                tracing::trace!(target: "hyper::proto::h1", "secret");
                tracing::debug!(target: "hyper", "secret");
                tracing::debug!(target: "orgcasts", "secret");
                tracing::debug!(target: "tungstenite::protocol", "secret");
                tracing::info!(target: "hyper", "foreign info");
            });
            let log = String::from_utf8(sink.0.lock().clone()).unwrap();
            assert!(
                log.contains("own trace") && log.contains("own debug"),
                "{log}"
            );
            assert!(
                log.contains("foreign info") && !log.contains("secret"),
                "{log}"
            );
        }
    }
}
