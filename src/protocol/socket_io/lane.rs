//! The one way out to a Socket.IO client, whichever transport it is on.
//!
//! On WebSocket, frames go straight to the [`Link`]; on polling they go through the Socket.IO
//! library's own queue, and so do events whose acknowledgement the library matches. To keep one
//! order over both ways, a change from the library's queue to the link waits at a gate: the lane
//! sends a marker through the queue and holds everything back until the marker comes out of it. A
//! client that is to come back to another server leaves polling the same way: the transport is closed
//! once the marker came out behind all that was sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use super::item::{Item, Load};
use crate::domain::fault::CloseReason;
use crate::hub::ports::Delivery;
use crate::wire::frame::{Opcode, close_frame, server_frame};
use crate::wire::link::{Class, Link, LinkOptions, Overdue, Pushed};

/// The packet after which a client does not come back by itself (Socket.IO v5, DISCONNECT).
const SOCKET_IO_DISCONNECT: &[u8] = b"41";

/// What the library's queue did with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Emitted {
    Sent,
    Full,
    Closed,
}

/// The Socket.IO library's own queue for one client.
pub(super) trait Pipe: Send + Sync {
    fn emit(&self, item: &Item) -> Emitted;
    /// Sends the marker that the link watches for.
    fn emit_marker(&self) -> Emitted;
    /// Whether the client is on polling and has not moved to WebSocket yet.
    fn is_polling(&self) -> bool;
    /// Ends the Socket.IO connection: the client will not come back by itself.
    fn disconnect(&self);
    /// Ends the transport: the client will reconnect.
    fn close_transport(&self);
    /// Counts that the client was closed for not taking what it was sent.
    fn was_too_slow(&self);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// CONNECT is not acknowledged yet.
    Connecting,
    /// Everything goes through the library's queue; always so on polling.
    Polling,
    /// The marker is on its way through the library's queue: to the link, or, if the client is to be
    /// closed on polling, to the answer of one of its requests.
    Gated {
        since: Instant,
    },
    /// Everything goes straight to the link.
    Direct,
    Closed,
}

struct State {
    mode: Mode,
    link: Option<Arc<Link>>,
    held: VecDeque<Item>,
    held_bytes: usize,
    /// What the library's queue holds at most while the client polls.
    in_library: Load,
    /// It is to be closed as soon as everything sent before has gone.
    closing: Option<Closing>,
}

#[derive(Debug, Clone, Copy)]
struct Closing {
    reason: CloseReason,
    /// When the client last took something.
    since: Instant,
}

impl Closing {
    fn now(reason: CloseReason) -> Self {
        let since = Instant::now();
        Self { reason, since }
    }
}

/// One client's way out.
pub(super) struct Lane<P> {
    pipe: P,
    options: LinkOptions,
    state: Mutex<State>,
    /// Told when less than [`PAUSE_MESSAGES`] are held again.
    room: Notify,
}

/// Held items above which a polling client's next request waits.
const PAUSE_MESSAGES: usize = 256;

impl<P: Pipe> Lane<P> {
    pub fn new(pipe: P, link: Option<Arc<Link>>, options: LinkOptions) -> Self {
        let state = State {
            mode: Mode::Connecting,
            link,
            held: VecDeque::new(),
            held_bytes: 0,
            in_library: Load::default(),
            closing: None,
        };
        Self {
            pipe,
            options,
            state: Mutex::new(state),
            room: Notify::new(),
        }
    }

    /// CONNECT was acknowledged: what was held may go.
    pub fn open(&self) {
        let mut state = self.state.lock();
        if state.mode == Mode::Connecting {
            state.mode = Mode::Polling;
            self.advance(&mut state);
        }
    }

    /// The client is about to move to this link.
    pub fn set_link(&self, link: Arc<Link>) {
        let mut state = self.state.lock();
        if let Mode::Gated { .. } = state.mode {
            // The marker that was meant for a request may come out of the queue here.
            link.watch();
        }
        state.link = Some(link);
    }

    /// The marker came out of the library's queue.
    pub fn marker_passed(&self) {
        let mut state = self.state.lock();
        if let Mode::Gated { .. } = state.mode {
            state.mode = Mode::Direct;
            self.advance(&mut state);
        }
        let closing = state.closing.take();
        drop(state);
        if let Some(closing) = closing {
            self.end(closing.reason, None);
        }
    }

    /// A poll has ended: the library's queue has room again.
    pub fn pump(&self) {
        let mut state = self.state.lock();
        state.in_library.poll_ended();
        if let Some(closing) = &mut state.closing {
            closing.since = Instant::now();
        }
        self.advance(&mut state);
    }

    /// A poll has found nothing and waits: the library's queue is empty. What was held for want of
    /// room would otherwise stay until something else ends the poll.
    pub fn poll_waits(&self) {
        let mut state = self.state.lock();
        state.in_library = Load::default();
        self.advance(&mut state);
    }

    /// Whether the answer to a poll may have the marker in it.
    pub fn is_leaving(&self) -> bool {
        let state = self.state.lock();
        state.closing.is_some() && matches!(state.mode, Mode::Gated { .. })
    }

    pub fn warm_link(&self) {
        if let Some(link) = &self.state.lock().link {
            link.warm();
        }
    }

    pub fn send(&self, item: Item) -> Delivery {
        let mut state = self.state.lock();
        match state.mode {
            Mode::Closed => return Delivery::Gone,
            _ if state.closing.is_some() => return Delivery::Gone,
            Mode::Direct if state.held.is_empty() && !item.needs_library() => {
                let Some(link) = &state.link else {
                    return Delivery::Gone;
                };
                let pushed = item.push(link, item.class());
                if pushed == Pushed::Overflow {
                    drop(state);
                    self.abandon();
                }
                return delivery(pushed);
            }
            _ => {}
        }
        match self.room_for(&state, &item) {
            Delivery::Queued => {}
            Delivery::Overflow => {
                drop(state);
                self.abandon();
                return Delivery::Overflow;
            }
            refused => return refused,
        }
        state.held_bytes += item.size();
        state.held.push_back(item);
        self.advance(&mut state);
        Delivery::Queued
    }

    fn room_for(&self, state: &State, item: &Item) -> Delivery {
        let (messages, bytes) = (state.held.len() + 1, state.held_bytes + item.size());
        let LinkOptions {
            max_messages,
            max_bytes,
            ..
        } = self.options;
        match item.class() {
            Class::Reply if messages > max_messages * 8 || bytes > max_bytes * 8 => {
                Delivery::Overflow
            }
            Class::Reply => Delivery::Queued,
            // One event larger than the whole queue still fits into an empty one.
            _ if state.held.is_empty() => Delivery::Queued,
            Class::Droppable if messages * 2 > max_messages || bytes * 2 > max_bytes => {
                Delivery::Dropped
            }
            _ if messages > max_messages || bytes > max_bytes => Delivery::Overflow,
            _ => Delivery::Queued,
        }
    }

    /// Sends what is held, as far as it may go now.
    fn advance(&self, state: &mut State) {
        loop {
            match state.mode {
                Mode::Connecting | Mode::Gated { .. } | Mode::Closed => return,
                // On the library's queue although the client is on WebSocket: move to the link.
                Mode::Polling if state.link.is_some() && !self.pipe.is_polling() => {
                    if !self.close_gate(state) {
                        return;
                    }
                }
                Mode::Polling => {
                    let Some(item) = state.held.front() else {
                        if state.closing.is_some() {
                            self.close_gate(state);
                        }
                        return;
                    };
                    if !state
                        .in_library
                        .has_room_for(item, self.options.max_message_size)
                    {
                        return;
                    }
                    match self.pipe.emit(item) {
                        Emitted::Sent => {
                            state.in_library.add(item);
                            self.pop(state);
                        }
                        Emitted::Full | Emitted::Closed => return,
                    }
                }
                Mode::Direct => {
                    let Some(item) = state.held.front() else {
                        return;
                    };
                    if item.needs_library() {
                        if self.pipe.emit(item) != Emitted::Sent {
                            return;
                        }
                        self.pop(state);
                        // Whatever comes next stays behind it: without room for the marker now, the
                        // gate is closed on the next occasion.
                        state.mode = Mode::Polling;
                    } else {
                        let class = match item.class() {
                            Class::Reply => Class::Reply,
                            // It was counted as sent when it was held.
                            Class::Event | Class::Droppable => Class::Event,
                        };
                        let pushed = state.link.as_ref().map(|link| item.push(link, class));
                        self.pop(state);
                        if pushed == Some(Pushed::Overflow) {
                            state.mode = Mode::Closed;
                            if let Some(link) = &state.link {
                                link.abandon(&too_slow());
                            }
                            self.pipe.was_too_slow();
                        }
                    }
                }
            }
        }
    }

    fn pop(&self, state: &mut State) {
        if let Some(item) = state.held.pop_front() {
            state.held_bytes -= item.size();
        }
        if state.held.len() == PAUSE_MESSAGES {
            self.room.notify_waiters();
        }
        if state.held.is_empty() {
            state.held = VecDeque::new();
        }
    }

    /// Sends the marker, after which the mode is `Gated`. False if the queue had no room.
    fn close_gate(&self, state: &mut State) -> bool {
        if let Some(link) = &state.link {
            link.watch();
        }
        if self.pipe.emit_marker() != Emitted::Sent {
            return false;
        }
        state.mode = Mode::Gated {
            since: Instant::now(),
        };
        true
    }

    /// Waits until the answers to the client's own requests no longer pile up.
    pub async fn uncongested(&self) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Registered before the look, so that no change falls between.
            room.as_mut().enable();
            if self.state.lock().held.len() <= PAUSE_MESSAGES {
                return;
            }
            room.await;
        }
    }

    pub fn queued(&self) -> usize {
        let state = self.state.lock();
        state.held.len() + state.link.as_ref().map_or(0, |link| link.waiting().0)
    }

    pub fn is_polling(&self) -> bool {
        self.pipe.is_polling()
    }

    /// Closes a client that does not move.
    pub fn look_after(&self, now: Instant) -> Option<CloseReason> {
        let (link, stuck) = {
            let mut state = self.state.lock();
            self.advance(&mut state);
            let is_over = |since| now.saturating_duration_since(since) > self.options.write_timeout;
            let stuck = match (state.mode, state.closing) {
                // A client that is told to go, and polls no more.
                (Mode::Connecting | Mode::Polling, Some(closing)) => is_over(closing.since),
                // While something waits on the link, that is what the marker is behind.
                (Mode::Gated { since }, _) => {
                    let waits = state.link.as_ref().is_some_and(|link| link.waiting().0 > 0);
                    !waits && is_over(since)
                }
                _ => false,
            };
            (state.link.clone(), stuck)
        };
        let overdue = link.and_then(|link| link.kill_if_overdue(now));
        if overdue.is_some() || stuck {
            self.kill();
        }
        (stuck || overdue == Some(Overdue::Stalled)).then_some(CloseReason::TooSlow)
    }

    /// Tells the client why and closes, behind everything sent before.
    pub fn end(&self, reason: CloseReason, last_words: Option<Value>) {
        if let Some(error) = last_words {
            self.send(Item::reply("error", &error));
        }
        let (mode, link) = {
            let mut state = self.state.lock();
            if let Mode::Gated { .. } = state.mode {
                // Closed now, the last words would be lost behind the gate.
                state.closing.get_or_insert(Closing::now(reason));
                return;
            }
            let is_open = matches!(state.mode, Mode::Connecting | Mode::Polling);
            if is_open && reason.should_reconnect() && self.pipe.is_polling() {
                // Closed now, what the next polls would fetch would be lost.
                state.closing.get_or_insert(Closing::now(reason));
                self.advance(&mut state);
                return;
            }
            (
                std::mem::replace(&mut state.mode, Mode::Closed),
                state.link.clone(),
            )
        };
        match link.filter(|_| !self.pipe.is_polling()) {
            _ if mode == Mode::Closed => {}
            Some(link) => {
                if !reason.should_reconnect() {
                    link.push(
                        &server_frame(Opcode::Text, SOCKET_IO_DISCONNECT),
                        Class::Reply,
                    );
                }
                link.finish(Some(&close_frame(reason.code(), reason.text())));
            }
            None if reason.should_reconnect() => self.pipe.close_transport(),
            None => self.pipe.disconnect(),
        }
    }

    /// The client is gone: nothing is sent any more.
    pub fn ended(&self) {
        let mut state = self.state.lock();
        state.mode = Mode::Closed;
        state.held = VecDeque::new();
        state.held_bytes = 0;
        drop(state);
        self.room.notify_waiters();
    }

    /// Closes a client that does not take what it is sent, and tells it so if it reads on.
    fn abandon(&self) {
        self.ended();
        let link = self.state.lock().link.clone();
        match link.filter(|_| !self.pipe.is_polling()) {
            Some(link) => link.abandon(&too_slow()),
            None => self.pipe.close_transport(),
        }
    }

    /// Closes at once.
    pub fn kill(&self) {
        self.ended();
        let link = self.state.lock().link.clone();
        match link {
            Some(link) => link.kill(),
            None => self.pipe.close_transport(),
        }
    }
}

fn too_slow() -> Bytes {
    close_frame(CloseReason::TooSlow.code(), CloseReason::TooSlow.text())
}

fn delivery(pushed: Pushed) -> Delivery {
    match pushed {
        Pushed::Written => Delivery::Written,
        Pushed::Queued => Delivery::Queued,
        Pushed::Dropped => Delivery::Dropped,
        Pushed::Overflow => Delivery::Overflow,
        Pushed::Closed => Delivery::Gone,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::domain::event::{Catalogue, Event, MessageId, Priority};
    use crate::domain::time::UnixMillis;
    use crate::hub::outbound::Outbound;
    use crate::wire::flusher::Flusher;
    use crate::wire::stream::Stream;
    use crate::wire::testing::{self, QuietTap};
    use crate::wire::transport::Transport;

    /// The library's queue: what is in it, and how much room it has.
    #[derive(Default)]
    struct Queue {
        is_websocket: AtomicBool,
        room: AtomicUsize,
        sent: Mutex<Vec<String>>,
    }

    impl Queue {
        fn put(&self, what: String) -> Emitted {
            let taken = self
                .room
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
                    room.checked_sub(1)
                });
            if taken.is_err() {
                return Emitted::Full;
            }
            self.sent.lock().push(what);
            Emitted::Sent
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.sent.lock())
        }
    }

    impl Pipe for Arc<Queue> {
        fn emit(&self, item: &Item) -> Emitted {
            match item {
                Item::Event(outbound) => self.put(outbound.event.payload.get().to_owned()),
                Item::Reply(event, _) => self.put((*event).to_owned()),
                Item::Ack(id, _) => self.put(format!("ack {id}")),
            }
        }

        fn emit_marker(&self) -> Emitted {
            self.put("marker".to_owned())
        }

        fn is_polling(&self) -> bool {
            !self.is_websocket.load(Ordering::Relaxed)
        }

        fn disconnect(&self) {
            self.sent.lock().push("disconnect".to_owned());
        }

        fn close_transport(&self) {
            self.sent.lock().push("close".to_owned());
        }

        fn was_too_slow(&self) {}
    }

    const OPTIONS: LinkOptions = LinkOptions {
        max_messages: 4,
        ..testing::OPTIONS
    };

    fn event(payload: &str, priority: Priority, requires_ack: bool) -> Item {
        let entry = Catalogue::new([], [])
            .unwrap()
            .event("kpi:update")
            .unwrap()
            .clone();
        let event = Event {
            id: MessageId::nil(),
            name: entry.name,
            channel: entry.channel,
            priority,
            requires_ack,
            organization: None,
            payload: RawValue::from_string(payload.to_owned()).unwrap(),
            timestamp: UnixMillis(0),
        };
        Item::Event(Arc::new(Outbound::new(event, Instant::now())))
    }

    fn plain(number: u32) -> Item {
        event(&number.to_string(), Priority::Medium, false)
    }

    /// The link of a connection whose task runs, and its client.
    async fn connection() -> (Arc<Link>, TcpStream) {
        let (server, client) = testing::tcp_pair().await;
        let transport = Transport::Tcp(server);
        let mut stream = Stream::new(
            transport,
            Bytes::new(),
            b"",
            OPTIONS,
            &Flusher::default(),
            Arc::new(QuietTap::default()),
        );
        let link = Arc::clone(stream.link());
        tokio::spawn(async move { stream.read(&mut [0; 16]).await });
        (link, client)
    }

    /// The payloads of the next events that the client reads.
    async fn read(client: &mut TcpStream, count: usize) -> Vec<String> {
        let mut payloads = Vec::new();
        for _ in 0..count {
            let mut head = [0; 2];
            client.read_exact(&mut head).await.unwrap();
            let length = match head[1] {
                126 => usize::from(client.read_u16().await.unwrap()),
                short => usize::from(short),
            };
            let mut text = vec![0; length];
            client.read_exact(&mut text).await.unwrap();
            let text = String::from_utf8(text).unwrap();
            let payload = text.strip_prefix("42[\"kpi:update\",").unwrap_or(&text);
            payloads.push(payload.split(',').next().unwrap().to_owned());
        }
        payloads
    }

    fn lane(room: usize, link: Option<Arc<Link>>) -> (Arc<Queue>, Lane<Arc<Queue>>) {
        let queue = Arc::new(Queue::default());
        queue.room.store(room, Ordering::Relaxed);
        queue.is_websocket.store(link.is_some(), Ordering::Relaxed);
        (Arc::clone(&queue), Lane::new(queue, link, OPTIONS))
    }

    #[tokio::test]
    async fn nothing_passes_the_connect_acknowledgement() {
        let (link, mut client) = connection().await;
        let (queue, lane) = lane(10, Some(link));
        assert_eq!(
            lane.send(plain(1)),
            Delivery::Queued,
            "CONNECT is not acknowledged"
        );
        assert!(queue.take().is_empty());
        lane.open();
        lane.send(plain(2));
        assert_eq!(
            queue.take(),
            ["marker"],
            "the acknowledgement is still in the queue"
        );
        lane.marker_passed();
        assert!(lane.send(plain(3)).is_accepted());
        assert_eq!(read(&mut client, 3).await, ["1", "2", "3"]);
    }

    #[tokio::test]
    async fn an_event_with_acknowledgement_keeps_its_place() {
        let (link, mut client) = connection().await;
        let (queue, lane) = lane(10, Some(link));
        lane.open();
        lane.marker_passed();
        queue.take();
        lane.send(plain(1));
        lane.send(event("2", Priority::High, true));
        lane.send(plain(3));
        lane.send(event("4", Priority::High, true));
        assert_eq!(queue.take(), ["2", "marker"]);
        assert_eq!(read(&mut client, 1).await, ["1"]);
        lane.marker_passed();
        assert_eq!(
            read(&mut client, 1).await,
            ["3"],
            "behind 2, which the library has written"
        );
        assert_eq!(queue.take(), ["4", "marker"]);
        lane.marker_passed();
        assert!(lane.send(plain(5)).is_accepted());
    }

    #[tokio::test]
    async fn the_order_holds_over_the_move_to_websocket() {
        let (queue, lane) = lane(2, None);
        lane.open();
        for number in 1..=4 {
            lane.send(plain(number));
        }
        assert_eq!(queue.take(), ["1", "2"], "no room for more");
        let (link, mut client) = connection().await;
        lane.set_link(link);
        queue.room.store(10, Ordering::Relaxed);
        lane.pump();
        assert_eq!(queue.take(), ["3", "4"], "the client is still on polling");
        queue.is_websocket.store(true, Ordering::Relaxed);
        lane.send(plain(5));
        assert_eq!(queue.take(), ["marker"]);
        lane.marker_passed();
        assert_eq!(read(&mut client, 1).await, ["5"]);
    }

    #[tokio::test]
    async fn a_long_event_does_not_wait_behind_one_that_a_poll_has_fetched() {
        let (queue, lane) = lane(10, None);
        lane.open();
        lane.send(plain(1));
        lane.pump();
        let long = "x".repeat(OPTIONS.max_message_size);
        let length = long.len() + 2;
        lane.send(event(&format!("\"{long}\""), Priority::Medium, false));
        assert_eq!(queue.take(), ["1"], "the poll may have missed it");
        lane.poll_waits();
        let sent = queue.take();
        assert_eq!((sent.len(), sent[0].len()), (1, length));
    }

    #[tokio::test]
    async fn a_client_on_polling_is_sent_away_behind_what_waits_for_it() {
        let (queue, lane) = lane(2, None);
        lane.open();
        for number in 1..=3 {
            lane.send(plain(number));
        }
        lane.end(CloseReason::GoingAway, None);
        assert_eq!(queue.take(), ["1", "2"], "no room for more");
        assert_eq!(lane.send(plain(4)), Delivery::Gone);
        queue.room.store(10, Ordering::Relaxed);
        lane.pump();
        assert_eq!(queue.take(), ["3", "marker"]);
        assert!(lane.is_leaving());
        lane.marker_passed();
        assert_eq!(queue.take(), ["close"]);
        assert!(!lane.is_leaving());
    }

    #[tokio::test]
    async fn a_client_that_moves_to_websocket_while_it_is_sent_away_is_closed_there() {
        let (queue, lane) = lane(10, None);
        lane.open();
        lane.end(CloseReason::GoingAway, None);
        assert_eq!(queue.take(), ["marker"]);
        let (link, mut client) = connection().await;
        lane.set_link(Arc::clone(&link));
        assert!(link.is_watching(), "the marker comes out of the link now");
        queue.is_websocket.store(true, Ordering::Relaxed);
        lane.marker_passed();
        let mut head = [0; 4];
        client.read_exact(&mut head).await.unwrap();
        assert_eq!(u16::from_be_bytes([head[2], head[3]]), 1001);
        assert!(queue.take().is_empty());
    }

    #[tokio::test]
    async fn a_client_that_polls_no_more_is_not_waited_for() {
        let (queue, lane) = lane(0, None);
        lane.open();
        lane.send(plain(1));
        lane.end(CloseReason::GoingAway, None);
        let now = Instant::now();
        assert_eq!(lane.look_after(now + Duration::from_secs(5)), None);
        let eleven = now + Duration::from_secs(11);
        assert_eq!(lane.look_after(eleven), Some(CloseReason::TooSlow));
        assert_eq!(queue.take(), ["close"]);
    }

    #[tokio::test]
    async fn a_full_queue_drops_low_priorities_first_and_then_closes() {
        let (queue, lane) = lane(0, None);
        lane.open();
        assert_eq!(lane.send(plain(1)), Delivery::Queued);
        assert_eq!(lane.send(plain(2)), Delivery::Queued);
        assert_eq!(
            lane.send(event("3", Priority::Low, false)),
            Delivery::Dropped
        );
        assert_eq!(
            lane.send(Item::ack(1, &Value::Null)),
            Delivery::Queued,
            "replies are never lost"
        );
        assert_eq!(lane.send(plain(4)), Delivery::Queued);
        assert_eq!(lane.send(plain(5)), Delivery::Overflow);
        assert_eq!(queue.take(), ["close"]);
        assert_eq!(lane.send(plain(6)), Delivery::Gone);
        assert_eq!(lane.queued(), 0);
    }
}
