//! A backend: HTTP/1.1 with keep-alive, by hand.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::answer::{Answer, number_after, read_answer};
use crate::client::{Rooms, STEP, Target, dial};
use crate::error::ClientError;
use crate::nchan;
use crate::stream::Stream;

const STAGE: &str = "publish";

/// One connection, one request at a time: what it publishes is in order.
#[derive(Debug)]
pub struct Publisher {
    stream: Stream,
    host: String,
    rooms: Rooms,
    output: Vec<u8>,
    input: Vec<u8>,
}

impl Publisher {
    pub async fn connect(target: &Target) -> Result<Self, ClientError> {
        Ok(Self {
            stream: dial(target, 0, None).await?,
            host: target.address.to_string(),
            rooms: target.rooms,
            output: Vec::new(),
            input: Vec::new(),
        })
    }

    /// `POST /api/ws/broadcast/kpi`, or to the room's path; returns the recipients that the receipt
    /// counts, if it does.
    pub async fn kpi(&mut self, payload: &[u8]) -> Result<Option<u64>, ClientError> {
        let (answer, count) = match self.rooms {
            Rooms::Commands => {
                let path = "/api/ws/broadcast/kpi";
                let answer = self.request("POST", path, payload).await?;
                (answer, &b"\"recipients\":"[..])
            }
            Rooms::Path => {
                let (path, body) = nchan::broadcast(payload)?;
                let answer = self.request("POST", &path, &body).await?;
                (answer, &b"\"subscribers\": "[..])
            }
        };
        if !(200..300).contains(&answer.status) {
            return Err(answer.refusal(STAGE));
        }
        Ok(number_after(&answer.body, count))
    }

    /// Sends a request with a JSON body and awaits its answer.
    pub async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Answer, ClientError> {
        self.output.clear();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.output.extend_from_slice(head.as_bytes());
        self.output.extend_from_slice(body);
        let exchange = async {
            let write = async {
                self.stream.write_all(&self.output).await?;
                self.stream.flush().await
            };
            write.await.map_err(|error| ClientError::Io(STAGE, error))?;
            read_answer(&mut self.stream, &mut self.input, STAGE).await
        };
        timeout(STEP, exchange)
            .await
            .unwrap_or(Err(ClientError::TimedOut(STAGE, Duration::as_secs(&STEP))))
    }
}
