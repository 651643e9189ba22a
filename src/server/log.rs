//! The log, which the server can do without: a line that can't be written is lost, and nobody waits
//! for one that can't be written yet.
//!
//! A thread of its own writes the lines. Standard error may be a pipe that was closed, a file on a
//! full disk, or a pipe whose reader has stopped; whoever logs notices none of it.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::clock::SystemClock;
use super::log_filter;
use crate::config::{Config, LogFormat};
use crate::domain::time::Clock;

/// Bytes of lines that may wait to be written; what comes beyond is lost.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;
/// How long the last lines of a process may take.
const LAST_LINES: Duration = Duration::from_secs(1);

enum Command {
    Line(Vec<u8>),
    /// Answers once all lines before it were written or lost.
    Flush(SyncSender<()>),
}

/// The way to the thread that writes.
#[derive(Clone)]
pub struct Log {
    commands: Sender<Command>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    waiting_bytes: AtomicUsize,
    /// Lines that were lost and that nobody was told of yet.
    lost: AtomicUsize,
}

impl Log {
    /// Starts the log of this process on standard error, as the configuration wants it.
    pub fn start(config: &Config) -> io::Result<Self> {
        let format = config.log_format;
        let log = Self::to(io::stderr(), format)?;
        let writer = log.clone();
        let logs = tracing_subscriber::fmt()
            // A configuration is valid only if this is a filter.
            .with_env_filter(EnvFilter::new(&config.log))
            .with_ansi(has_colours())
            // The library would complain on standard error, and panic where it can't.
            .log_internal_errors(false)
            .with_writer(move || writer.clone());
        let without_contents = log_filter::without_contents();
        match format {
            LogFormat::Text => logs.finish().with(without_contents).init(),
            LogFormat::Json => logs.json().finish().with(without_contents).init(),
        }
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        Ok(log)
    }

    fn to(sink: impl Write + Send + 'static, format: LogFormat) -> io::Result<Self> {
        let (commands, received) = mpsc::channel();
        let state = Arc::new(State::default());
        let writing = Arc::clone(&state);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&received, &writing, sink, format))?;
        Ok(Self { commands, state })
    }

    /// Writes a line as it is.
    pub fn say(&self, line: &str) {
        self.send(format!("{line}\n").into_bytes());
    }

    /// Waits until what was logged so far is written, but not for ever.
    pub fn flush(&self) {
        let (written, all) = mpsc::sync_channel(1);
        if self.commands.send(Command::Flush(written)).is_ok() {
            // Whether it was written or takes too long, there is nothing more to do.
            let _ = all.recv_timeout(LAST_LINES);
        }
    }

    fn send(&self, line: Vec<u8>) {
        let length = line.len();
        let waiting = &self.state.waiting_bytes;
        let before = waiting.fetch_add(length, Ordering::Relaxed);
        let has_room = before + length <= MAX_WAITING_BYTES;
        if !has_room || self.commands.send(Command::Line(line)).is_err() {
            waiting.fetch_sub(length, Ordering::Relaxed);
            self.state.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Takes one line at a time, and always takes it.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.send(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(
    commands: &Receiver<Command>,
    state: &State,
    mut sink: impl Write,
    format: LogFormat,
) {
    for command in commands {
        match command {
            Command::Line(line) => {
                let lost = state.lost.load(Ordering::Relaxed);
                if lost > 0 && sink.write_all(&notice(lost, format)).is_ok() {
                    state.lost.fetch_sub(lost, Ordering::Relaxed);
                }
                if sink.write_all(&line).is_err() {
                    state.lost.fetch_add(1, Ordering::Relaxed);
                }
                state.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Command::Flush(written) => {
                // Whoever asked may have stopped waiting.
                let _ = written.try_send(());
            }
        }
    }
}

/// The line that says that others are missing, in the form of the others.
fn notice(count: usize, format: LogFormat) -> Vec<u8> {
    let now = SystemClock.now();
    let (target, message) = (module_path!(), "lines of the log were lost");
    let line = match format {
        LogFormat::Text => format!("{now}  WARN {target}: {message} count={count}"),
        LogFormat::Json => json!({
            "timestamp": now,
            "level": "WARN",
            "fields": { "message": message, "count": count },
            "target": target,
        })
        .to_string(),
    };
    (line + "\n").into_bytes()
}

/// Colours are for people: a file or a collector of logs would get their codes. `NO_COLOR` switches
/// them off.
fn has_colours() -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !is_unwanted
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::sync_channel;

    use super::*;

    /// Takes what it is allowed to, and keeps it.
    #[derive(Clone, Default)]
    struct Sink {
        text: Arc<Mutex<String>>,
        is_full: Arc<Mutex<bool>>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if *self.is_full.lock().unwrap() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let mut text = self.text.lock().unwrap();
            text.push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_can_not_be_written_are_lost_and_counted_in_the_next_one_that_can() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let sink = Sink::default();
            let mut log = Log::to(sink.clone(), format).unwrap();
            let mut say = |line: &str| {
                log.write_all(line.as_bytes()).unwrap();
                Log::flush(&log);
            };
            say("one\n");
            *sink.is_full.lock().unwrap() = true;
            say("two\n");
            say("three\n");
            *sink.is_full.lock().unwrap() = false;
            say("four\n");
            say("five\n");
            let text = sink.text.lock().unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let [one, notice, four, five] = lines[..] else {
                panic!("{lines:?}");
            };
            assert_eq!((one, four, five), ("one", "four", "five"));
            match format {
                LogFormat::Text => assert!(notice.ends_with("were lost count=2"), "{notice}"),
                LogFormat::Json => {
                    let notice: serde_json::Value = serde_json::from_str(notice).unwrap();
                    assert_eq!(notice["fields"]["count"], 2);
                }
            }
        }
    }

    /// A pipe whose reader has stopped, until it is told to go on.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // An error says that the test is over.
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_has_stopped_and_what_waits_is_bounded() {
        let (go_on, until) = sync_channel(0);
        let mut log = Log::to(Stuck(until), LogFormat::Text).unwrap();
        let line = [b'x'; 1024];
        let fit = MAX_WAITING_BYTES / line.len();
        for _ in 0..2 * fit {
            log.write_all(&line).unwrap();
        }
        let waiting = log.state.waiting_bytes.load(Ordering::Relaxed);
        assert_eq!(waiting, MAX_WAITING_BYTES);
        assert_eq!(log.state.lost.load(Ordering::Relaxed), fit);
        drop(go_on);
        Log::flush(&log);
        assert_eq!(log.state.waiting_bytes.load(Ordering::Relaxed), 0);
        assert_eq!(log.state.lost.load(Ordering::Relaxed), 0);
    }
}
