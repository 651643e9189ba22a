//! What can go wrong in a run.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use testkit::frame::FrameError;

/// Why a client could not go on.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error("failed to {0}: {1}")]
    Io(&'static str, io::Error),
    #[error("failed to {0} within {1} s")]
    TimedOut(&'static str, u64),
    #[error("failed to {0}: the server answered `{1}`")]
    Refused(&'static str, String),
    #[error("failed to {0}: the server is full (503 `{1}`)")]
    Full(&'static str, String),
    #[error("failed to {0}: the answer comes in chunks, which this client does not put together")]
    Chunked(&'static str),
    #[error("failed to {0}: the server closed the connection ({1})")]
    Closed(&'static str, String),
    #[error("failed to read a frame: it is {0}")]
    Frame(#[from] FrameError),
    #[error("failed to agree on permessage-deflate: the server does not answer the offer")]
    NoDeflate,
    #[error("failed to inflate a message")]
    Inflate,
    #[error("failed to subscribe: this server gives a connection one room, which a queue names")]
    OneRoom,
}

/// Why a run could not be made, or failed.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("failed to make a certificate: {0}")]
    Certificate(String),
    #[error("failed to start {0}: {1}")]
    Start(PathBuf, io::Error),
    #[error("failed to start {0}: it did not say `listening on {1}...` within {2} s")]
    NotReady(PathBuf, &'static str, u64),
    #[error("failed to start {0}: it took no connection within {1} s")]
    NotListening(PathBuf, u64),
    #[error("failed to start {0}: it ended before it listened")]
    Ended(PathBuf),
    #[error("failed to read {0} of the server: {1}")]
    Measure(&'static str, io::Error),
    #[error("failed to read {0}: {1}")]
    Read(PathBuf, io::Error),
    #[error("failed to write {0}: {1}")]
    Write(PathBuf, io::Error),
    #[error("failed to start a thread: {0}")]
    Thread(io::Error),
    #[error("{failed} of {asked} clients failed to join; the first: {first}")]
    Joining {
        failed: usize,
        asked: usize,
        first: ClientError,
    },
    #[error("{waiting} broadcasts did not reach everybody within {seconds} s; {faults}")]
    Stuck {
        waiting: u64,
        seconds: u64,
        faults: String,
    },
    #[error("{0}")]
    Usage(String),
}
