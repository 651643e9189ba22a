//! Socket.IO over long polling.

use std::net::SocketAddr;

use serde_json::Value;

use crate::http::{Answer, get, request};

/// A Socket.IO client on polling.
pub struct Polling {
    address: SocketAddr,
    sid: String,
}

impl Polling {
    pub async fn open(address: SocketAddr) -> Result<Self, Answer> {
        let answer = get(address, "/ws/?EIO=4&transport=polling").await;
        if answer.status != 200 {
            return Err(answer);
        }
        let open: Value = serde_json::from_str(&answer.body[1..]).unwrap();
        let sid = open["sid"].as_str().unwrap().to_owned();
        Ok(Self { address, sid })
    }

    pub fn path(&self) -> String {
        format!("/ws/?EIO=4&transport=polling&sid={}", self.sid)
    }

    pub async fn post(&self, packets: &[&str]) -> Answer {
        request(
            self.address,
            "POST",
            &self.path(),
            "",
            &packets.join("\x1e"),
        )
        .await
    }

    /// The packets of one GET.
    pub async fn poll(&self) -> Result<Vec<String>, Answer> {
        let answer = get(self.address, &self.path()).await;
        if answer.status != 200 {
            return Err(answer);
        }
        Ok(answer.body.split('\x1e').map(str::to_owned).collect())
    }

    /// Polls until a packet begins like this.
    pub async fn until(&self, start: &str) -> String {
        loop {
            let packets = self
                .poll()
                .await
                .unwrap_or_else(|answer| panic!("{start}: {answer:?}"));
            if let Some(packet) = packets.into_iter().find(|packet| packet.starts_with(start)) {
                return packet;
            }
        }
    }
}
