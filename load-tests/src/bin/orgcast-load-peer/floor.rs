//! The floor: one thread, and a loop that writes one ready-made frame to every socket of a room.
//!
//! It has no heartbeat, no limits and no queues, reads only what the generator sends (whose masks
//! are zero), and closes whoever does not take a frame at once. Nothing that does more can cost
//! less, unless it makes fewer system calls.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use memchr::memmem::find;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// The answer to the key that the generator always sends.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Protocol {
    SocketIo,
    Plain,
}

type Room = Vec<Rc<TcpStream>>;

/// Members by protocol and queue.
type Rooms = Rc<RefCell<HashMap<(Protocol, Vec<u8>), Room>>>;

pub fn run() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = crate::listen()?;
        let rooms = Rooms::default();
        loop {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            let rooms = Rc::clone(&rooms);
            tokio::task::spawn_local(async move {
                // Whatever ends a connection, it leaves with its next broadcast.
                let _ = serve(tcp, rooms).await;
            });
        }
    })
}

async fn serve(mut tcp: TcpStream, rooms: Rooms) -> io::Result<()> {
    let mut input = Vec::new();
    loop {
        let Some(head) = find(&input, b"\r\n\r\n").map(|at| at + 4) else {
            read(&mut tcp, &mut input).await?;
            continue;
        };
        if input.starts_with(b"GET") {
            let is_socket_io = find(&input[..head], b"EIO=4").is_some();
            let protocol = if is_socket_io {
                Protocol::SocketIo
            } else {
                Protocol::Plain
            };
            input.drain(..head);
            return converse(Rc::new(tcp), protocol, input, &rooms).await;
        }
        let length = number_after(&input[..head], b"Content-Length: ").unwrap_or(0);
        while input.len() < head + length {
            read(&mut tcp, &mut input).await?;
        }
        let recipients = broadcast(&rooms, &input[head..head + length]);
        input.drain(..head + length);
        let receipt = format!("{{\"success\":true,\"recipients\":{recipients}}}");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n\
             {receipt}",
            receipt.len()
        );
        write(&tcp, answer.as_bytes())?;
    }
}

async fn read(tcp: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<()> {
    match tcp.read_buf(input).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Writes everything or fails.
fn write(tcp: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    match tcp.try_write(bytes)? {
        count if count == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

fn broadcast(rooms: &Rooms, body: &[u8]) -> usize {
    let text = String::from_utf8_lossy(body);
    let queue = queue(body);
    let meta = r#""id":"00000000-0000-7000-8000-000000000000","channel":"kpi","priority":"medium""#;
    let timestamp = r#""timestamp":"2026-01-01T00:00:00.000Z""#;
    let mut rooms = rooms.borrow_mut();
    let mut recipients = 0;
    for protocol in [Protocol::SocketIo, Protocol::Plain] {
        let Some(members) = rooms.get_mut(&(protocol, queue.to_vec())) else {
            continue;
        };
        let message = match protocol {
            Protocol::SocketIo => {
                format!("42[\"kpi:update\",{text},{{{meta},{timestamp}}}]")
            }
            Protocol::Plain => format!(
                "{{\"event\":\"kpi:update\",\"data\":{text},{meta},{timestamp},\
                 \"organization_id\":\"load\"}}"
            ),
        };
        let frame = frame(message.as_bytes());
        members.retain(|member| write(member, &frame).is_ok());
        recipients += members.len();
    }
    recipients
}

async fn converse(
    tcp: Rc<TcpStream>,
    protocol: Protocol,
    mut input: Vec<u8>,
    rooms: &Rooms,
) -> io::Result<()> {
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
    .into_bytes();
    if protocol == Protocol::SocketIo {
        answer.extend(frame(
            br#"0{"sid":"floor","upgrades":[],"pingInterval":25000,"pingTimeout":60000}"#,
        ));
    }
    write(&tcp, &answer)?;
    loop {
        while let Some((text, taken)) = text(&input)? {
            if let Some(reply) = handle(protocol, text, &tcp, rooms) {
                write(&tcp, &frame(reply.as_bytes()))?;
            }
            input.drain(..taken);
        }
        input.shrink_to_fit();
        tcp.readable().await?;
        let mut chunk = [0; 512];
        match tcp.try_read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => input.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn handle(protocol: Protocol, text: &[u8], tcp: &Rc<TcpStream>, rooms: &Rooms) -> Option<String> {
    if find(text, b"\"subscribe\"").is_some() {
        let key = (protocol, queue(text).to_vec());
        rooms
            .borrow_mut()
            .entry(key)
            .or_default()
            .push(Rc::clone(tcp));
    }
    match protocol {
        Protocol::SocketIo if text == b"40" => Some(r#"40{"sid":"floor"}"#.to_owned()),
        Protocol::SocketIo => {
            let id = number_after(text, b"42")?;
            Some(format!("43{id}[{{\"success\":true}}]"))
        }
        Protocol::Plain => {
            let id = number_after(text, b"\"id\":")?;
            Some(format!(
                "{{\"id\":{id},\"event\":\"reply\",\"data\":{{\"success\":true}}}}"
            ))
        }
    }
}

/// The queue that a message names.
fn queue(text: &[u8]) -> &[u8] {
    const KEY: &[u8] = b"\"queue_name\":\"";
    let Some(start) = find(text, KEY).map(|at| at + KEY.len()) else {
        return b"";
    };
    let rest = &text[start..];
    &rest[..memchr::memchr(b'"', rest).unwrap_or(0)]
}

fn number_after(text: &[u8], key: &[u8]) -> Option<usize> {
    let start = find(text, key)? + key.len();
    let digits = text[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let digits: String = digits.map(|digit| char::from(*digit)).collect();
    digits.parse().ok()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    let length = payload.len();
    if let Some(short) = u8::try_from(length).ok().filter(|short| *short < 126) {
        frame.push(short);
    } else {
        frame.push(0x7e);
        // The generator's messages are far shorter than 64 KB.
        frame.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    }
    frame.extend_from_slice(payload);
    frame
}

/// The text of the client's frame at the front of `input`, and the length of the frame.
fn text(input: &[u8]) -> io::Result<Option<(&[u8], usize)>> {
    let [_, length, rest @ ..] = input else {
        return Ok(None);
    };
    let (header, length) = match length & 0x7f {
        0x7f => return Err(io::ErrorKind::InvalidData.into()),
        0x7e => match rest.first_chunk() {
            Some(bytes) => (4, usize::from(u16::from_be_bytes(*bytes))),
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    let start = header + 4;
    Ok(input
        .get(start..start + length)
        .map(|text| (text, start + length)))
}
