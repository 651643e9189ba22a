//! A load generator for orgcast and for what one would use instead of it.
//!
//! It costs little itself: frames are written by hand, nothing on the hot path is parsed as JSON,
//! and an idle connection holds no buffer. It checks what it counts: every broadcast carries a
//! [`mark::Mark`], every receiver holds an [`ear::Ear`] that knows which message comes next, and a
//! run that lost, repeated or misdirected one fails.
//!
//! | module | what it is |
//! |---|---|
//! | [`clock`], [`mark`], [`frame`], [`inflate`], [`packet`], [`answer`] | bytes: time, numbered payloads, WebSocket frames, Socket.IO, HTTP |
//! | [`stream`], [`client`], [`socket`], [`polling`], [`publisher`] | who talks to the server |
//! | [`ear`], [`delivery_tracker`] | what must arrive, and what did |
//! | [`subject`], [`nchan`], [`tls`], [`process`], [`limit`] | the server under load: how to start it, what it costs |
//! | [`crowd`] | many clients on few threads |
//! | [`scenario`], [`options`] | what is measured |
//! | [`compare`] | orgcast beside its peers |
//! | [`report`], [`progress`] | what people and programs read |

pub mod answer;
pub mod client;
pub mod clock;
pub mod compare;
pub mod crowd;
pub mod delivery_tracker;
pub mod ear;
pub mod error;
pub mod frame;
pub mod inflate;
pub mod limit;
pub mod mark;
pub mod nchan;
pub mod options;
pub mod packet;
pub mod polling;
pub mod process;
pub mod progress;
pub mod publisher;
pub mod report;
pub mod scenario;
pub mod socket;
pub mod stream;
pub mod subject;
pub mod tls;
