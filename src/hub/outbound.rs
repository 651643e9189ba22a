//! An event on its way out, encoded once for each form that clients read, and compressed once.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use crate::domain::event::Event;
use crate::domain::position::Position;

/// The forms in which an event can go out. Socket.IO has five: with the meta beside the payload or
/// without it, with the offset behind the meta, and for Engine.IO v3, which writes attachments in another way. The plain protocol has
/// five: three envelopes, two of which two systems fill differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    SocketIo,
    SocketIoPayload,
    SocketIoOffset,
    SocketIoV3,
    SocketIoV3Payload,
    Event,
    TypeData,
    TypeDataStore,
    TypePayload,
    TypePayloadTenant,
}

const ENCODINGS: usize = 10;

/// An event with its frames, each made when the first connection needs it and then shared by all.
#[derive(Debug)]
pub struct Outbound {
    pub event: Arc<Event>,
    /// Where it stands in its organization's stream; `None` if it is for one client alone.
    pub position: Option<Position>,
    /// It is sent outside the order of the stream: it says nothing of what came before it.
    pub is_replayed: bool,
    /// When it was accepted, for the publish-to-socket time.
    pub accepted_at: Instant,
    /// Nothing else was being delivered when this began to be, nor just before, so that nothing may be
    /// expected to come together with it.
    pub is_alone: AtomicBool,
    frames: [OnceLock<Bytes>; ENCODINGS],
    /// `None` inside where the plain frame is the better one.
    compressed: [OnceLock<Option<Bytes>>; ENCODINGS],
}

impl Outbound {
    pub fn new(event: Arc<Event>, position: Option<Position>, accepted_at: Instant) -> Self {
        Self {
            event,
            position,
            is_replayed: false,
            accepted_at,
            is_alone: AtomicBool::new(false),
            frames: Default::default(),
            compressed: Default::default(),
        }
    }

    /// The same for one that is sent outside the order of the stream.
    pub fn replayed(event: Arc<Event>, position: Position) -> Self {
        Self {
            is_replayed: true,
            ..Self::new(event, Some(position), Instant::now())
        }
    }

    /// The frame in this encoding; `encode` runs at most once for all recipients.
    pub fn frame(&self, encoding: Encoding, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.frames[encoding as usize].get_or_init(|| encode(self))
    }

    /// The frame for connections that read compressed ones. `compress`, which gets the plain frame
    /// and answers `None` to leave it, runs at most once for all recipients.
    pub fn compressed(
        &self,
        encoding: Encoding,
        encode: impl FnOnce(&Self) -> Bytes,
        compress: impl FnOnce(&Bytes) -> Option<Bytes>,
    ) -> &Bytes {
        let plain = self.frame(encoding, encode);
        self.compressed[encoding as usize]
            .get_or_init(|| compress(plain))
            .as_ref()
            .unwrap_or(plain)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::value::RawValue;

    use super::*;
    use crate::domain::event::{Catalogue, MessageId, Priority};
    use crate::domain::time::UnixMillis;

    #[test]
    fn an_event_is_encoded_and_compressed_once_however_many_recipients_it_has() {
        let entry = Catalogue::new([], [])
            .unwrap()
            .event("kpi:update")
            .unwrap()
            .clone();
        let event = Event {
            id: MessageId::nil(),
            name: entry.name,
            channel: entry.channel,
            priority: Priority::Medium,
            ack_id: None,
            attachments: Vec::new(),
            organization: None,
            payload: RawValue::NULL.to_owned(),
            timestamp: UnixMillis(0),
        };
        let outbound = Outbound::new(Arc::new(event), None, Instant::now());
        let (encoded, compressed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let encode = |_: &Outbound| {
            encoded.fetch_add(1, Ordering::Relaxed);
            Bytes::from_static(b"plain")
        };
        let compress = |smaller: Option<&'static [u8]>| {
            let compressed = &compressed;
            move |plain: &Bytes| {
                assert_eq!(plain, "plain");
                compressed.fetch_add(1, Ordering::Relaxed);
                smaller.map(Bytes::from_static)
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..250 {
                        let small = compress(Some(b"small"));
                        let frame = outbound.compressed(Encoding::Event, encode, small);
                        assert_eq!(frame, "small");
                        let left = outbound.compressed(Encoding::SocketIo, encode, compress(None));
                        assert_eq!(left, "plain");
                        assert_eq!(outbound.frame(Encoding::Event, encode), "plain");
                    }
                });
            }
        });
        assert_eq!(encoded.into_inner(), 2, "once an encoding");
        assert_eq!(compressed.into_inner(), 2, "once an encoding");
    }
}
