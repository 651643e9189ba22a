//! Events, and the catalogue that says which exist and in which channel each one goes.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use super::identity::OrganizationId;
use super::room::{Channel, ChannelError};
use super::time::UnixMillis;

/// How urgent an event is. `low` may be dropped for a connection that is behind; the others never
/// are without closing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Low,
    #[default]
    Medium,
    High,
    Urgent,
}

impl Priority {
    pub const NAMES: &'static str = "low, medium, high, urgent";

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "low" => Some(Self::Low),
            "medium" => Some(Self::Medium),
            "high" => Some(Self::High),
            "urgent" => Some(Self::Urgent),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

/// The name of an event out of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct EventName(Arc<str>);

impl EventName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one published message; sorts by time of publication.
pub type MessageId = uuid::Uuid;

/// One event on its way to clients.
#[derive(Debug)]
pub struct Event {
    pub id: MessageId,
    pub name: EventName,
    pub channel: Option<Channel>,
    pub priority: Priority,
    /// Under which number an acknowledgement is asked for, if one is.
    pub ack_id: Option<AckId>,
    /// The tenant it is for; `None` for an event to everyone.
    pub organization: Option<OrganizationId>,
    /// The payload exactly as the backend wrote it.
    pub payload: Box<RawValue>,
    /// Binary data that the payload has placeholders for (Socket.IO v5, packets with attachments).
    pub attachments: Vec<Bytes>,
    pub timestamp: UnixMillis,
}

/// The number under which all recipients of one event acknowledge it; of this process. It stays below
/// 2^53, the numbers that JavaScript can count to.
pub type AckId = u64;

/// The event that tells a client that its token is about to end. It is in no catalogue, so no
/// backend can send it.
pub const AUTH_EXPIRING: &str = "auth:expiring";

impl Event {
    /// Tells one client when its token ends.
    pub fn auth_expiring(
        organization: OrganizationId,
        expires_at: UnixMillis,
        now: UnixMillis,
    ) -> Self {
        let text = format!(
            r#"{{"expires_at":"{expires_at}","expires_in_ms":{}}}"#,
            expires_at.0.saturating_sub(now.0)
        );
        Self {
            id: MessageId::now_v7(),
            name: EventName(AUTH_EXPIRING.into()),
            channel: None,
            priority: Priority::High,
            ack_id: None,
            organization: Some(organization),
            // A time and a number are always JSON.
            payload: RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned()),
            attachments: Vec::new(),
            timestamp: now,
        }
    }
}

/// An entry of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueEntry {
    pub name: EventName,
    /// Without a channel an event goes to the organization's own room.
    pub channel: Option<Channel>,
    /// Of what it says the latest counts: it is kept for those who come later.
    pub is_value: bool,
    /// A dense number, for counting.
    pub index: usize,
}

/// Every event that may be broadcast, and every channel that may be subscribed to.
#[derive(Debug, Clone)]
pub struct Catalogue {
    entries: HashMap<Arc<str>, CatalogueEntry>,
    channels: BTreeSet<Channel>,
}

/// Why a catalogue can't be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CatalogueError {
    #[error("event `{event}`: channel `{channel}`: {problem}")]
    Channel {
        event: String,
        channel: String,
        problem: ChannelError,
    },
    /// The file that is compiled in is not what a catalogue is, which a test rules out.
    #[error("the built-in catalogue: {0}")]
    BuiltIn(String),
}

/// The built-in catalogue: every event of the systems that orgcast replaces, by channel. The types of the
/// browser client and the table in README.md are made from it, too (`npm run catalogue` in `web-client`).
const BUILT_IN: &str = include_str!("catalogue.json");

/// The events of the built-in catalogue that go to one channel, or to none.
#[derive(Debug, Deserialize)]
struct BuiltInGroup {
    channel: Option<String>,
    events: Vec<BuiltInEvent>,
}

#[derive(Debug, Deserialize)]
struct BuiltInEvent {
    name: String,
    #[serde(default)]
    latest: bool,
}

fn built_in(json: &str) -> Result<Vec<BuiltInGroup>, CatalogueError> {
    serde_json::from_str(json).map_err(|error| CatalogueError::BuiltIn(error.to_string()))
}

impl Catalogue {
    /// The built-in catalogue with `events` (event name to channel, an empty channel meaning none)
    /// added or put in the place of built-in entries, and `channels` declared beside those that an
    /// event goes to.
    pub fn new<'a>(
        events: impl IntoIterator<Item = (&'a str, &'a str)>,
        channels: impl IntoIterator<Item = Channel>,
    ) -> Result<Self, CatalogueError> {
        let mut catalogue = Self {
            entries: HashMap::new(),
            channels: BTreeSet::new(),
        };
        for group in built_in(BUILT_IN)? {
            let channel = group.channel.as_deref().unwrap_or_default();
            for event in &group.events {
                catalogue.add(&event.name, channel, event.latest)?;
            }
        }
        for (event, channel) in events {
            catalogue.add(event, channel, false)?;
        }
        catalogue.channels.insert(Channel::all());
        catalogue.channels.extend(channels);
        Ok(catalogue)
    }

    fn add(&mut self, event: &str, channel: &str, is_value: bool) -> Result<(), CatalogueError> {
        let channel = match channel {
            "" => None,
            text => Some(
                Channel::new(text).map_err(|problem| CatalogueError::Channel {
                    event: event.to_owned(),
                    channel: text.to_owned(),
                    problem,
                })?,
            ),
        };
        if let Some(channel) = &channel {
            self.channels.insert(channel.clone());
        }
        let name: Arc<str> = event.into();
        // What a built-in event is, it is in another channel, too.
        let (index, is_value) = match self.entries.get(&name) {
            Some(entry) => (entry.index, entry.is_value),
            None => (self.entries.len(), is_value),
        };
        self.entries.insert(
            name.clone(),
            CatalogueEntry {
                name: EventName(name),
                channel,
                is_value,
                index,
            },
        );
        Ok(())
    }

    /// The entry of an event that may be broadcast.
    pub fn event(&self, name: &str) -> Option<&CatalogueEntry> {
        self.entries.get(name)
    }

    /// The channel of this name, if it exists.
    pub fn channel(&self, name: &str) -> Option<Channel> {
        Channel::new(name)
            .ok()
            .filter(|channel| self.channels.contains(channel))
    }

    /// All channels, in alphabetical order.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter()
    }

    /// All entries, in no order; their indices are 0 to the count less one.
    pub fn events(&self) -> impl ExactSizeIterator<Item = &CatalogueEntry> {
        self.entries.values()
    }

    /// The known event whose name looks most like `name`, for error messages.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        if name.len() > 64 {
            return None;
        }
        self.entries
            .keys()
            .map(|known| (strsim::jaro_winkler(known, name), &**known))
            .filter(|(likeness, _)| *likeness > 0.7)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_built_in_catalogue_maps_events_to_the_channels_of_the_contract() {
        let catalogue = Catalogue::new([], []).unwrap();
        for (event, channel) in [
            ("kpi:update", Some("kpi")),
            ("alert:escalated", Some("alerts")),
            ("notification:new", Some("notifications")),
            ("shift.started", Some("shifts")),
            ("violation.detected", Some("violations")),
            ("timesheet:approved", Some("timesheets")),
            ("ORDER_CREATED", Some("orders")),
            ("system:maintenance", None),
        ] {
            let entry = catalogue.event(event).unwrap();
            assert_eq!(
                entry.channel.as_ref().map(Channel::as_str),
                channel,
                "{event}"
            );
        }
        assert!(catalogue.event("client:ping").is_none());
        for channel in [
            "kpi",
            "backlog",
            "attendance",
            "alerts",
            "notifications",
            "all",
        ] {
            assert!(catalogue.channel(channel).is_some(), "{channel}");
        }
    }

    #[test]
    fn the_readme_lists_the_events_of_the_built_in_catalogue() {
        let mut table = String::from("| channel | events |\n|---|---|\n");
        for group in built_in(BUILT_IN).unwrap() {
            let channel = group.channel.map(|channel| format!("`{channel}`"));
            let events = group.events.iter().map(|event| format!("`{}`", event.name));
            writeln!(
                table,
                "| {} | {} |",
                channel.as_deref().unwrap_or("none: the whole organization"),
                events.collect::<Vec<_>>().join(" ")
            )
            .unwrap();
        }
        assert!(
            include_str!("../../README.md").contains(&format!("\n\n{table}\n")),
            "the table of events in README.md is not the catalogue's; \
             `npm run catalogue` in web-client writes it anew"
        );
    }

    #[test]
    fn a_built_in_catalogue_that_is_none_is_an_error() {
        for json in ["", "{}", r#"[{"channel": "kpi"}]"#, r#"[{"events": [{}]}]"#] {
            let error = built_in(json).unwrap_err();
            assert!(error.to_string().starts_with("the built-in catalogue: "));
        }
    }

    #[test]
    fn configured_events_extend_and_replace_the_built_in_ones() {
        let extra = Channel::new("high-priority-violations").unwrap();
        let catalogue = Catalogue::new(
            [("ticket:new", "tickets"), ("kpi:alert", "")],
            [extra.clone()],
        )
        .unwrap();
        assert_eq!(catalogue.channel("tickets").unwrap().as_str(), "tickets");
        assert_eq!(catalogue.event("kpi:alert").unwrap().channel, None);
        assert_eq!(catalogue.channel(extra.as_str()), Some(extra));
        let mut indices: Vec<usize> = catalogue.events().map(|entry| entry.index).collect();
        indices.sort_unstable();
        assert_eq!(indices, (0..catalogue.events().len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_misspelt_event_has_a_nearest_one() {
        let catalogue = Catalogue::new([], []).unwrap();
        assert_eq!(catalogue.nearest("kpi:updat"), Some("kpi:update"));
        assert_eq!(catalogue.nearest("zzz"), None);
    }
}
