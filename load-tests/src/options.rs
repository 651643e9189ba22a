//! What every scenario can be told on the command line.

use std::path::PathBuf;

use clap::Args;

use crate::client::{Dial, Protocol};
use crate::error::LoadError;
use crate::process::Server;
use crate::server_under_test::{Kind, ServerUnderTest};

#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The orgcast binary, which is started for the run
    #[arg(
        long,
        env = "ORGCAST_BIN",
        default_value = "target/release/orgcast",
        global = true
    )]
    pub server: PathBuf,
    /// Another build of orgcast, which the comparison puts beside it
    #[arg(long, env = "ORGCAST_EARLIER_BIN", value_name = "FILE", global = true)]
    pub earlier: Option<PathBuf>,
    /// A further argument for the server; may be given more than once
    #[arg(
        long,
        value_name = "ARGUMENT",
        allow_hyphen_values = true,
        global = true
    )]
    pub server_arg: Vec<String>,
    /// Load what listens at this loopback URL instead; its processor time and memory are unknown
    #[arg(long, value_name = "http://127.0.0.1:PORT/ws", global = true)]
    pub url: Option<String>,
    /// Load this instead of orgcast
    #[arg(long, value_enum, default_value = "orgcast", global = true)]
    pub subject: Kind,
    /// The directory of the peers, after `npm ci` in it
    #[arg(long, default_value = "load-tests/peers", global = true)]
    pub peers: PathBuf,
    #[arg(long, value_enum, default_value = "socketio", global = true)]
    pub protocol: Protocol,
    /// Offer permessage-deflate
    #[arg(long, global = true)]
    pub deflate: bool,
    /// Over TLS, with a certificate that is made for the run
    #[arg(long, conflicts_with = "url", global = true)]
    pub tls: bool,
    /// Threads that read for the clients
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u8).range(1..=16), global = true)]
    pub threads: u8,
    /// Also write the figures to this file
    #[arg(long, value_name = "FILE", global = true)]
    pub json: Option<PathBuf>,
}

impl Common {
    pub fn server_under_test(&self, kind: Kind) -> ServerUnderTest {
        ServerUnderTest {
            kind,
            orgcast: self.server.clone(),
            earlier: self.earlier.clone(),
            arguments: self.server_arg.clone(),
            peers: self.peers.clone(),
        }
    }

    pub fn run(&self) -> Run {
        Run {
            server_under_test: self.server_under_test(self.subject),
            url: self.url.clone(),
            dial: Dial {
                deflate: self.deflate,
                tls: self.tls,
                ..Dial::new(self.protocol)
            },
            threads: self.threads.into(),
        }
    }
}

/// Against what a scenario runs, and how its clients connect.
#[derive(Debug, Clone)]
pub struct Run {
    pub server_under_test: ServerUnderTest,
    pub url: Option<String>,
    pub dial: Dial,
    pub threads: usize,
}

impl Run {
    /// Starts the server.
    pub fn start(&self) -> Result<Server, LoadError> {
        match &self.url {
            Some(url) => Server::at(url),
            None => self
                .server_under_test
                .start(self.dial.deflate, self.dial.tls),
        }
    }

    pub fn subject_name(&self) -> &str {
        self.url
            .as_deref()
            .unwrap_or(self.server_under_test.kind.name())
    }

    /// The protocol, and whether it is deflated and encrypted.
    pub fn protocol_name(&self) -> String {
        let deflate = if self.dial.deflate { "+deflate" } else { "" };
        let tls = if self.dial.tls { "+tls" } else { "" };
        format!("{}{deflate}{tls}", self.dial.protocol.name())
    }
}
