//! The servers that can be loaded, and how each is started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::Protocol;
use crate::error::LoadError;
use crate::nchan::Installation;
use crate::process::Server;
use crate::tls::Certificate;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Kind {
    Orgcast,
    /// Another build of orgcast
    Earlier,
    /// socket.io on Node, with ws
    Node,
    /// socket.io on Bun, with @socket.io/bun-engine
    Bun,
    /// Bun's own WebSocket server and its publish
    BunNative,
    /// nginx with nchan, from Debian's packages
    Nchan,
    /// The socketioxide crate behind axum
    Socketioxide,
    /// A loop that writes one ready-made frame to every socket
    Floor,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Orgcast => "orgcast",
            Self::Earlier => "earlier",
            Self::Node => "node",
            Self::Bun => "bun",
            Self::BunNative => "bun-native",
            Self::Nchan => "nchan",
            Self::Socketioxide => "socketioxide",
            Self::Floor => "floor",
        }
    }

    pub fn speaks(self, protocol: Protocol) -> bool {
        match self {
            Self::Orgcast | Self::Earlier => true,
            Self::Node | Self::Bun | Self::Socketioxide => protocol != Protocol::Plain,
            Self::BunNative | Self::Nchan => protocol == Protocol::Plain,
            Self::Floor => protocol != Protocol::Polling,
        }
    }

    /// Whether it can be given a certificate.
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Orgcast | Self::Earlier | Self::Node)
    }
}

/// A server that can be started.
#[derive(Debug, Clone)]
pub struct ServerUnderTest {
    pub kind: Kind,
    pub orgcast: PathBuf,
    /// Another build of orgcast, if there is one.
    pub earlier: Option<PathBuf>,
    /// Further arguments for orgcast.
    pub arguments: Vec<String>,
    pub peers: PathBuf,
}

/// No limit of orgcast's stands in the way of a load.
const ORGCAST: [(&str, &str); 8] = [
    ("--port", "0"),
    ("--max-connections-total", "0"),
    ("--max-connections-per-org", "0"),
    ("--rate-limit-messages-per-second", "0"),
    ("--rate-limit-requests-per-second", "0"),
    ("--room-max-size", "0"),
    ("--cors-origins", "*"),
    ("--log", "warn"),
];

const NO_EARLIER: &str =
    "there is no other build of orgcast to compare with; `--earlier` names one";
const NO_NCHAN: &str =
    "it is not installed; `scripts/unpack-nchan` fetches Debian's nginx and libnginx-mod-nchan";

/// Whether an argument is this flag, with its value or without.
fn is_of(argument: &str, flag: &str) -> bool {
    let rest = argument.strip_prefix(flag);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

impl ServerUnderTest {
    /// Why it can't be started on this machine, if it is one that is not always there.
    pub fn missing(&self) -> Option<&'static str> {
        let (is_there, why) = match self.kind {
            Kind::Nchan => (Installation::find(&self.peers).is_some(), NO_NCHAN),
            Kind::Earlier => (self.earlier.is_some(), NO_EARLIER),
            _ => return None,
        };
        (!is_there).then_some(why)
    }

    /// Starts it and awaits that it listens. A server that was asked to deflate and can't is found
    /// out by its clients.
    pub fn start(&self, deflate: bool, tls: bool) -> Result<Server, LoadError> {
        let name = self.kind.name();
        let missing = |why| LoadError::Usage(format!("{name}: {why}"));
        if tls && !self.kind.has_tls() {
            let text = format!("{name} is not set up for TLS here; orgcast and node are");
            return Err(LoadError::Usage(text));
        }
        let certificate = tls.then(Certificate::make).transpose()?;
        let mut command = match self.kind {
            Kind::Orgcast => self.build(&self.orgcast, certificate.as_ref())?,
            Kind::Earlier => {
                let earlier = self.earlier.as_ref().ok_or_else(|| missing(NO_EARLIER))?;
                self.build(earlier, certificate.as_ref())?
            }
            Kind::Node => self.script("node".into(), "node.mjs"),
            Kind::Bun => self.script(self.bun()?, "bun.mjs"),
            Kind::BunNative => self.script(self.bun()?, "bun-native.mjs"),
            Kind::Nchan => {
                let nchan = Installation::find(&self.peers).ok_or_else(|| missing(NO_NCHAN))?;
                return nchan.start();
            }
            Kind::Socketioxide => peer("socketioxide")?,
            Kind::Floor => peer("floor")?,
        };
        if deflate {
            command.env("PEER_DEFLATE", "1");
        }
        if let Some(certificate) = &certificate {
            command
                .env("PEER_TLS_CERT", certificate.chain())
                .env("PEER_TLS_KEY", certificate.key());
        }
        Server::start(command, certificate)
    }

    /// A build of orgcast. Neither a configuration file nor variables of whoever runs this count.
    fn build(
        &self,
        program: &Path,
        certificate: Option<&Certificate>,
    ) -> Result<Command, LoadError> {
        let failed = |error| LoadError::Start(program.to_owned(), error);
        let mut command = Command::new(std::path::absolute(program).map_err(failed)?);
        command.current_dir(std::env::temp_dir());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ORGCAST_") {
                command.env_remove(name);
            }
        }
        command.arg("serve");
        for (flag, value) in ORGCAST {
            // What was asked for goes before what loads need.
            if !self.arguments.iter().any(|argument| is_of(argument, flag)) {
                command.args([flag, value]);
            }
        }
        if let Some(certificate) = certificate {
            command
                .arg("--tls.cert-file")
                .arg(certificate.chain())
                .arg("--tls.key-file")
                .arg(certificate.key());
        }
        command.args(&self.arguments);
        Ok(command)
    }

    fn script(&self, runtime: OsString, name: &str) -> Command {
        let mut command = Command::new(runtime);
        command
            .arg(self.peers.join(name))
            .env("NODE_ENV", "production");
        command
    }

    /// The binary itself: the package moves it out of that of the platform when its install script
    /// is allowed to run.
    fn bun(&self) -> Result<OsString, LoadError> {
        let modules = self.peers.join("node_modules");
        [
            "@oven/bun-linux-x64/bin/bun",
            "@oven/bun-linux-aarch64/bin/bun",
            "bun/bin/bun.exe",
        ]
        .iter()
        .map(|path| modules.join(path))
        .find(|path| path.is_file())
        .map(Into::into)
        .ok_or_else(|| {
            LoadError::Usage(format!(
                "no Bun under {}; run `npm ci` in {}",
                modules.display(),
                self.peers.display()
            ))
        })
    }
}

/// A peer that is written in Rust lies beside this program.
fn peer(name: &str) -> Result<Command, LoadError> {
    let own = std::env::current_exe().map_err(|error| LoadError::Start(name.into(), error))?;
    // A test's binary lies one directory further down.
    let program = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("orgcast-load-peer"))
        .find(|path| path.is_file())
        .ok_or_else(|| LoadError::Usage("orgcast-load-peer is not built".to_owned()))?;
    let mut command = Command::new(program);
    command.arg(name);
    Ok(command)
}
