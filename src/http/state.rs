//! What the handlers share.

use std::sync::Arc;

use super::options::ApiAccess;
use crate::hub::Hub;
use crate::node::Node;
use crate::protocol::plain::PlainGateway;
use crate::protocol::socket_io::SocketIoGateway;
use crate::wire::buffers::Buffers;
use crate::wire::connections::Connections;

pub(super) struct Shared {
    pub hub: Arc<Hub>,
    pub node: Arc<Node>,
    pub socket_io: Arc<SocketIoGateway>,
    pub plain: Arc<PlainGateway>,
    pub access: ApiAccess,
    pub max_message_size: usize,
    /// Whether permessage-deflate is agreed on.
    pub compresses: bool,
    pub connections: Arc<Connections>,
    pub buffers: Arc<Buffers>,
}

pub(super) type App = Arc<Shared>;
