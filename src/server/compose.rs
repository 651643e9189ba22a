//! What a server is put together from.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::auth_start::Started;
use super::clock::SystemClock;
use super::housekeeping::keep_house;
use super::supervise::supervise;
use crate::config::auth::AuthConfigError;
use crate::config::options::Options;
use crate::http::realtime::Site;
use crate::http::router::router;
use crate::hub::Hub;
use crate::node::Node;
use crate::node::follow::follow_hub;
use crate::protocol::DeliveryTimes;
use crate::protocol::plain::PlainGateway;
use crate::protocol::socket_io::{SocketIo, SocketIoGateway};
use crate::store::streams::MemoryBroker;
use crate::wire::send_queue::flusher::SendQueues;

/// A server without its sockets.
pub(crate) struct Composed {
    pub hub: Arc<Hub>,
    pub site: Arc<Site>,
    pub tasks: Vec<JoinHandle<()>>,
}

/// Puts a server together, in the runtime that this is called in.
pub(crate) async fn compose(options: &Options) -> Result<Composed, AuthConfigError> {
    let hub = Hub::new(
        options.hub.clone(),
        options.catalogue.clone(),
        Arc::new(SystemClock),
    );
    let Started {
        authenticator,
        revocations,
        mut tasks,
    } = options.auth.clone().start().await?;
    let observer = Arc::new(DeliveryTimes(Arc::clone(&hub)));
    let queues = SendQueues::new(options.link, observer);
    let broker = Arc::new(MemoryBroker::new(options.streams));
    let node = Node::new(
        Arc::clone(&hub),
        options.node,
        authenticator,
        revocations,
        broker,
    );
    let socket_io = SocketIo::new(Arc::clone(&node), options.socket_io);
    let buffers = Arc::clone(&queues.buffers);
    let socket_io = SocketIoGateway::new(socket_io, options.engine_io, Arc::clone(&queues));
    let socket_io = Arc::new(socket_io);
    let ping_interval = options.plain.ping_interval;
    let plain = PlainGateway::new(Arc::clone(&node), options.plain, queues);
    let site = Arc::new(router(
        Arc::clone(&node),
        Arc::clone(&socket_io),
        Arc::new(plain),
        buffers,
        &options.http,
    ));
    let following = Arc::clone(&node);
    tasks.push(supervise("following the hub", move || {
        follow_hub(Arc::clone(&following))
    }));
    let of_house = Arc::clone(&node);
    tasks.push(supervise("housekeeping", move || {
        keep_house(Arc::clone(&of_house), ping_interval)
    }));
    tasks.push(supervise("Engine.IO time", move || socket_io.keep_time()));
    Ok(Composed { hub, site, tasks })
}
