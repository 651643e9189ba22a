//! A load generator for orgcast and for what one would use instead of it.
//!
//! It costs little itself: frames are written by hand, nothing on the hot path is parsed as JSON,
//! and an idle connection holds no buffer. It checks what it counts: every broadcast carries a
//! [`stamp::Stamp`], every receiver holds a [`sequence_checker::SequenceChecker`] that knows which message comes next, and a
//! run that lost, repeated or misdirected one fails.
//!
//! | module | what it is |
//! |---|---|
//! | [`clock`], [`stamp`], [`testkit::frame`], [`inflate`], [`packet`], [`answer`] | bytes: time, numbered payloads, WebSocket frames, Socket.IO, HTTP |
//! | [`stream`], [`client`], [`socket`], [`polling`], [`publisher`] | who talks to the server |
//! | [`sequence_checker`], [`delivery_tracker`] | what must arrive, and what did |
//! | [`server_under_test`], [`nchan`], [`tls`], [`process`], [`limit`] | the server under load: how to start it, what it costs |
//! | [`client_pool`] | many clients on few threads |
//! | [`scenario`], [`options`] | what is measured |
//! | [`compare`] | orgcast beside its peers |
//! | [`report`], [`progress`] | what people and programs read |

pub mod answer;
pub mod client;
pub mod client_pool;
pub mod clock;
pub mod compare;
pub mod delivery_tracker;
pub mod error;
pub mod inflate;
pub mod limit;
pub mod nchan;
pub mod options;
pub mod packet;
pub mod polling;
pub mod process;
pub mod progress;
pub mod publisher;
pub mod report;
pub mod scenario;
pub mod sequence_checker;
pub mod server_under_test;
pub mod socket;
pub mod stamp;
pub mod stream;
pub mod tls;
