//! nchan: a peer that is no program of ours. Its rooms are paths and it knows no commands.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::{Rooms, Target};
use crate::error::{ClientError, LoadError};
use crate::process::Server;

/// Where Debian's packages put them, beneath the root or wherever they were unpacked.
const NGINX: &str = "usr/sbin/nginx";
const MODULE: &str = "usr/lib/nginx/modules/ngx_nchan_module.so";

const CONFIGURATION: &str = include_str!("../peers/nchan.conf");

/// nginx and its module: installed, or unpacked beside the other peers.
#[derive(Debug)]
pub struct Installation {
    nginx: PathBuf,
    module: PathBuf,
}

impl Installation {
    pub fn find(peers: &Path) -> Option<Self> {
        [PathBuf::from("/"), peers.join("nchan")]
            .into_iter()
            .map(|root| Self {
                nginx: root.join(NGINX),
                module: root.join(MODULE),
            })
            .find(|found| found.nginx.is_file() && found.module.is_file())
    }

    /// Starts it with a configuration of its own, which goes with it.
    pub fn start(&self) -> Result<Server, LoadError> {
        let failed = |error| LoadError::Start(self.nginx.clone(), error);
        let directory = tempfile::tempdir().map_err(failed)?;
        // It can't take a free port by itself: this one was free a moment ago.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(failed)?;
        let module = std::path::absolute(&self.module).map_err(failed)?;
        let configuration = directory.path().join("nginx.conf");
        let text = CONFIGURATION
            .replace("MODULE", &module.to_string_lossy())
            .replace("DIRECTORY", &directory.path().to_string_lossy())
            .replace("PORT", &address.port().to_string());
        fs::write(&configuration, text).map_err(failed)?;
        let mut command = Command::new(&self.nginx);
        command
            .arg("-e")
            .arg(directory.path().join("error.log"))
            .arg("-c")
            .arg(configuration);
        let target = Target {
            address,
            path: String::new(),
            rooms: Rooms::Path,
            trust: None,
        };
        Server::start_silent(command, target, directory)
    }
}

/// The path at which a connection hears one room.
pub fn subscription(room: &str) -> String {
    format!("/sub/{room}")
}

/// The path of a broadcast, and its body: in the form in which orgcast would send it on, so that the
/// same number of bytes is delivered.
pub fn broadcast(payload: &[u8]) -> Result<(String, Vec<u8>), ClientError> {
    const KEY: &[u8] = b"\"queue_name\":\"";
    let room = memchr::memmem::find(payload, KEY)
        .map(|at| &payload[at + KEY.len()..])
        .and_then(|rest| rest.split(|byte| *byte == b'"').next())
        .ok_or(ClientError::OneRoom)?;
    let path = format!("/pub/{}", String::from_utf8_lossy(room));
    let mut body = Vec::with_capacity(payload.len() + 256);
    body.extend_from_slice(b"{\"id\":\"00000000-0000-7000-8000-000000000000\",");
    body.extend_from_slice(b"\"event\":\"kpi:update\",\"data\":");
    body.extend_from_slice(payload);
    body.extend_from_slice(b",\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"channel\":\"kpi\",");
    body.extend_from_slice(b"\"priority\":\"medium\",\"organization_id\":\"load\"}");
    Ok((path, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_pool::Filter;
    use crate::stamp::{Payload, Stamp};

    #[test]
    fn a_broadcast_goes_to_the_room_of_its_queue() {
        let mut payload = Payload::new(&Filter::queue("room-7").fields(), 200);
        let stamp = Stamp {
            stream: 3,
            sequence: 4,
            sent_at: 5,
        };
        let (path, body) = broadcast(payload.stamped(stamp)).unwrap();
        assert_eq!(path, "/pub/room-7");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["data"]["queue_name"], "room-7");
        assert_eq!(body["event"], "kpi:update");
        assert!(matches!(broadcast(b"{}"), Err(ClientError::OneRoom)));
    }
}
