//! The socketioxide crate behind axum, as its documentation shows, with two changes that a careful
//! user makes: handlers are there before CONNECT is acknowledged (in a middleware), and a socket's
//! queue holds as much as orgcast's, since what does not fit is dropped.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

pub fn run() -> io::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve())
}

async fn serve() -> io::Result<()> {
    let (layer, io) = SocketIo::builder()
        .req_path("/ws")
        .max_buffer_size(1024)
        .ping_interval(Duration::from_secs(25))
        .ping_timeout(Duration::from_mins(1))
        .build_layer();
    let prepare = |socket: SocketRef| {
        socket.on("authenticate", authenticate);
        socket.on("subscribe", subscribe);
        socket.on("client:ping", ping);
        std::future::ready(Ok::<(), Infallible>(()))
    };
    let connected = async |_: SocketRef| {};
    io.ns(
        "/",
        socketioxide::handler::ConnectHandler::with(connected, prepare),
    );
    let router = Router::new()
        .route("/api/ws/broadcast/kpi", post(broadcast))
        .with_state(io)
        .layer(layer);
    axum::serve(crate::listen()?, router).await
}

async fn authenticate(ack: AckSender) {
    // The client may be gone.
    let _ = ack.send(&json!({ "success": true }));
}

async fn subscribe(socket: SocketRef, Data(request): Data<Value>, ack: AckSender) {
    let channels = request["channels"].as_array().into_iter().flatten();
    let rooms: Vec<String> = channels
        .filter_map(|channel| Some(room(channel.as_str()?, &request)))
        .collect();
    socket.join(rooms.clone());
    let _ = ack.send(&json!({ "success": true, "subscriptions": rooms }));
}

async fn ping(Data(data): Data<Value>, ack: AckSender) {
    let _ = ack.send(&json!({ "data": data, "server_time": millis() }));
}

async fn broadcast(State(io): State<SocketIo>, Json(payload): Json<Value>) -> Json<Value> {
    let id = uuid::Uuid::now_v7().to_string();
    let meta = json!({
        "id": id,
        "channel": "kpi",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "priority": "medium",
    });
    let room = room("kpi", &payload);
    // An error counts sockets whose queue is full: the generator sees the hole.
    let sent = io
        .local()
        .to(room)
        .emit("kpi:update", &(payload, meta))
        .await;
    Json(json!({ "success": sent.is_ok(), "message_id": id }))
}

fn room(channel: &str, place: &Value) -> String {
    let mut room = format!(
        "{channel}:org:{}",
        place["organization_id"].as_str().unwrap_or("")
    );
    for (name, key) in [("dept", "department_id"), ("queue", "queue_name")] {
        if let Some(value) = place[key].as_str() {
            // Writing to a text does not fail.
            let _ = write!(room, ":{name}:{value}");
        }
    }
    room
}

fn millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}
