//! A server as a child process: when it is ready, and what it costs.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::{Rooms, Target};
use crate::error::LoadError;
use crate::tls::Certificate;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

/// How often to look whether one that says nothing takes connections.
const LOOK: Duration = Duration::from_millis(20);

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    /// `None` if somebody else started it.
    child: Option<Child>,
    pub target: Target,
    /// Its configuration or its certificate, if it needs one for as long as it runs.
    _files: Option<TempDir>,
}

/// What the server's process takes, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// `VmRSS`.
    pub resident: u64,
    /// Resident memory with shared pages split among those who share them.
    pub proportional: u64,
    /// Resident memory that nobody shares.
    pub private: u64,
}

impl Server {
    /// Starts a program that prints `listening on http://ADDRESS/PATH` once it is ready, or `https://`
    /// where it was given a certificate.
    pub fn start(
        mut command: Command,
        certificate: Option<Certificate>,
    ) -> Result<Self, LoadError> {
        let scheme = if certificate.is_some() { HTTPS } else { HTTP };
        let (files, trust) = certificate
            .map(|Certificate { files, trust }| (files, trust))
            .unzip();
        let program = PathBuf::from(command.get_program());
        let failed = |error| LoadError::Start(program.clone(), error);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let output = child.stdout.take();
        // From here on a failure ends the child, too.
        let mut server = Self {
            child: Some(child),
            target: Target {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                path: String::new(),
                rooms: Rooms::Commands,
                trust: None,
            },
            _files: files,
        };
        let (found, ready) = mpsc::channel();
        if let Some(output) = output {
            // Reads on after that, so that the server never waits for its reader.
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if let Some(target) = announced(&line, scheme) {
                        // Nobody listens any more after the first.
                        let _ = found.send(target);
                    }
                }
            });
        }
        let target = ready.recv_timeout(START).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                LoadError::NotReady(program.clone(), scheme, START.as_secs())
            }
            RecvTimeoutError::Disconnected => LoadError::Ended(program.clone()),
        })?;
        server.target = Target { trust, ..target };
        Ok(server)
    }

    /// Starts a program that says nothing when it is ready; it is when it takes connections.
    pub fn start_silent(
        mut command: Command,
        target: Target,
        files: TempDir,
    ) -> Result<Self, LoadError> {
        let program = PathBuf::from(command.get_program());
        let failed = |error| LoadError::Start(program.clone(), error);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let mut server = Self {
            child: Some(child),
            target,
            _files: Some(files),
        };
        let start = Instant::now();
        while TcpStream::connect(server.target.address).is_err() {
            let ended = server.child.as_mut().map(Child::try_wait);
            if let Some(Some(_)) = ended.transpose().map_err(failed)? {
                return Err(LoadError::Ended(program));
            }
            if start.elapsed() > START {
                return Err(LoadError::NotListening(program, START.as_secs()));
            }
            thread::sleep(LOOK);
        }
        Ok(server)
    }

    /// A server that is there already, at `http://127.0.0.1:PORT/PATH`; its cost is not measured.
    pub fn at(url: &str) -> Result<Self, LoadError> {
        let target = announced(url, HTTP)
            .ok_or_else(|| LoadError::Usage(format!("`{url}` is no http URL on 127.0.0.1")))?;
        Ok(Self {
            child: None,
            target,
            _files: None,
        })
    }

    /// Nanoseconds of processor time that the server has used, on all processors.
    pub fn cpu(&self) -> Result<u64, LoadError> {
        match &self.child {
            Some(child) => cpu(&child.id().to_string())
                .map_err(|error| LoadError::Measure("the processor time", error)),
            None => Ok(0),
        }
    }

    pub fn memory(&self) -> Result<Memory, LoadError> {
        match &self.child {
            Some(child) => {
                memory(child.id()).map_err(|error| LoadError::Measure("the memory", error))
            }
            None => Ok(Memory::default()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Nanoseconds of processor time that this process has used.
pub fn own_cpu() -> u64 {
    cpu("self").unwrap_or(0)
}

const HTTP: &str = "http://";
const HTTPS: &str = "https://";

fn announced(line: &str, scheme: &str) -> Option<Target> {
    let (_, rest) = line.split_once(scheme)?;
    let rest = rest.split_whitespace().next()?;
    let (address, path) = match rest.split_once('/') {
        Some((address, path)) => (address, format!("/{}", path.trim_end_matches('/'))),
        None => (rest, String::new()),
    };
    let address: SocketAddr = address.replace("localhost", "127.0.0.1").parse().ok()?;
    (address.ip().is_loopback() && address.is_ipv4()).then_some(Target {
        address,
        path,
        rooms: Rooms::Commands,
        trust: None,
    })
}

/// The scheduler's own count in nanoseconds, or the coarser one in ticks where the system has none.
fn cpu(process: &str) -> io::Result<u64> {
    let mut total = 0;
    let mut is_counted = true;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end between the listing and the reading.
        match fs::read_to_string(thread?.path().join("schedstat")) {
            Ok(text) => {
                total += text
                    .split(' ')
                    .next()
                    .and_then(|nanos| nanos.parse().ok())
                    .unwrap_or(0);
            }
            Err(_) => is_counted = false,
        }
    }
    let ticks = cpu_ticks(process)? * NANOS_PER_TICK;
    // The total includes threads that have ended; the scheduler's count of threads does not.
    Ok(if is_counted && total + 2 * NANOS_PER_TICK >= ticks {
        total
    } else {
        ticks
    })
}

/// `USER_HZ` is 100 on every Linux that Rust's standard library runs on.
const NANOS_PER_TICK: u64 = 10_000_000;

fn cpu_ticks(process: &str) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name stands in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    Ok(fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum())
}

fn memory(process: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    Ok(Memory {
        resident: bytes(&status, "VmRSS:"),
        proportional: bytes(&rollup, "Pss:"),
        private: bytes(&rollup, "Private_Clean:") + bytes(&rollup, "Private_Dirty:"),
    })
}

fn bytes(table: &str, name: &str) -> u64 {
    table
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kilobytes| kilobytes.trim().parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_of_a_server_is_understood() {
        for (line, address, path) in [
            (
                "x listening on http://127.0.0.1:50/ws",
                "127.0.0.1:50",
                "/ws",
            ),
            ("http://localhost:51/ws/ and more", "127.0.0.1:51", "/ws"),
            ("http://127.0.0.1:52", "127.0.0.1:52", ""),
        ] {
            let target = announced(line, HTTP).unwrap();
            assert_eq!(
                (target.address.to_string().as_str(), target.path.as_str()),
                (address, path)
            );
        }
        for elsewhere in [
            "listening",
            "http://192.0.2.1:80/ws",
            "http://example.org/ws",
        ] {
            assert!(announced(elsewhere, HTTP).is_none(), "{elsewhere}");
        }
        let secure = "listening on https://127.0.0.1:53/ws";
        assert!(announced(secure, HTTP).is_none());
        assert_eq!(announced(secure, HTTPS).unwrap().address.port(), 53);
    }

    #[test]
    fn the_cost_of_a_process_is_read() {
        assert!(own_cpu() > 0);
        let memory = memory(std::process::id()).unwrap();
        assert!(
            memory.resident >= memory.private && memory.private > 0,
            "{memory:?}"
        );
    }

    #[test]
    fn a_program_that_never_listens_is_an_error() {
        let error = Server::start(Command::new("true"), None).unwrap_err();
        assert!(error.to_string().contains("it ended before"), "{error}");
    }
}
