//! What the node does about what happens in the hub.

use std::collections::HashSet;
use std::sync::Arc;

use super::Node;
use crate::hub::events::{Heard, HubEvent};

/// Holds the streams of the organizations that have connections. Goes on for as long as it is polled.
pub async fn follow_hub(node: Arc<Node>) {
    // What was told before, perhaps to a task that ended, is so now.
    look_up(&node).await;
    loop {
        match node.hub.next_event().await {
            Heard::Event(HubEvent::OrganizationOccupied(id)) => node.streams.hold(&id),
            Heard::Event(HubEvent::OrganizationVacated(id)) => node.streams.release(&id),
            Heard::Lost => look_up(&node).await,
        }
    }
}

async fn look_up(node: &Node) {
    let occupied: HashSet<_> = node.hub.organizations().await.into_iter().collect();
    for id in node.streams.held() {
        if !occupied.contains(&id) {
            node.streams.release(&id);
        }
    }
    for id in &occupied {
        node.streams.hold(id);
    }
}
