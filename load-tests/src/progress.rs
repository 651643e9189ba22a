//! What a run says while it goes on, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often progress is shown: on a terminal, and in a log.
const TERMINAL: Duration = Duration::from_millis(250);
const LOG: Duration = Duration::from_secs(5);

/// Awaits `work`, showing what `say` has to say meanwhile.
pub async fn during<T>(say: impl Fn() -> String, work: impl Future<Output = T>) -> T {
    let is_terminal = io::stderr().is_terminal();
    let start = Instant::now();
    let mut look = tokio::time::interval(if is_terminal { TERMINAL } else { LOG });
    look.tick().await;
    tokio::pin!(work);
    let outcome = loop {
        tokio::select! {
            biased;
            outcome = &mut work => break outcome,
            _ = look.tick() => show(is_terminal, start.elapsed(), &say()),
        }
    };
    if is_terminal {
        // Nobody is hurt if the line stays.
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    outcome
}

fn show(is_terminal: bool, elapsed: Duration, text: &str) {
    let seconds = elapsed.as_secs_f64();
    let mut out = io::stderr().lock();
    // A closed standard error is no reason to stop.
    let _ = if is_terminal {
        write!(out, "\r\x1b[K{seconds:6.1} s  {text}")
    } else {
        writeln!(out, "{seconds:6.1} s  {text}")
    };
    let _ = out.flush();
}
