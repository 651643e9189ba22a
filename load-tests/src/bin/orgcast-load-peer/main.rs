//! Peers that are written in Rust; see `peers/` for the others.
//!
//! Each serves the flow of the generator and nothing more, on a free loopback port, and prints
//! `listening on http://127.0.0.1:PORT/ws` when it is ready.

mod floor;
mod oxide;

use std::io;
use std::net::Ipv4Addr;
use std::process::ExitCode;

use tokio::net::{TcpListener, TcpSocket};

/// The allocator that orgcast uses, so that it makes no difference.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("floor") => floor::run(),
        Some("socketioxide") => oxide::run(),
        _ => {
            eprintln!("usage: orgcast-load-peer floor|socketioxide");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orgcast-load-peer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Listens with a backlog for a storm, and says where.
fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(4096)?;
    println!("listening on http://{}/ws", listener.local_addr()?);
    Ok(listener)
}
