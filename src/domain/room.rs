//! Room names: where an event goes and what a subscription names (protocol, section 2).
//!
//! This module is the only one that can make a [`RoomName`], so no caller can reach a room by
//! writing its name by hand. `%`, `:` and nothing else are percent-encoded inside an id, which makes
//! the encoding injective: two different rooms never share a name.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use super::identity::{DepartmentId, OrganizationId, QueueName, UserId};

/// Longest channel name in bytes.
pub const MAX_CHANNEL_BYTES: usize = 64;

/// A topic: `kpi`, `alerts`, … A subscription to `all` hears every one of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Channel(Arc<str>);

/// Why a text is not a channel name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "a channel name has 1 to {MAX_CHANNEL_BYTES} characters out of a-z, 0-9, `_` and `-`, and is not `org`"
)]
pub struct ChannelError;

impl Channel {
    pub fn new(text: &str) -> Result<Self, ChannelError> {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
        };
        // `org:…` is how the organization's own rooms begin.
        let fits = (1..=MAX_CHANNEL_BYTES).contains(&text.len())
            && text.bytes().all(allowed)
            && text != "org";
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(ChannelError)
        }
    }

    /// The channel whose subscribers hear every other one.
    pub fn all() -> Self {
        Self("all".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in an organization's tree: what an event is aimed at, or what a subscription filters by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub organization: OrganizationId,
    pub department: Option<DepartmentId>,
    pub queue: Option<QueueName>,
}

impl Place {
    pub fn organization(organization: OrganizationId) -> Self {
        Self {
            organization,
            department: None,
            queue: None,
        }
    }

    /// Whether this names more than the organization.
    pub fn is_narrow(&self) -> bool {
        self.department.is_some() || self.queue.is_some()
    }

    /// Whether a subscription with `self` as its filter hears an event at `target`: every field
    /// that the filter names equals the target's.
    pub fn hears(&self, target: &Place) -> bool {
        self.organization == target.organization
            && (self.department.is_none() || self.department == target.department)
            && (self.queue.is_none() || self.queue == target.queue)
    }

    /// Whether `self` lies at or beneath `target` in the tree: what a cascading event reaches in
    /// addition to those who hear it anyway.
    pub fn is_beneath(&self, target: &Place) -> bool {
        target.hears(self)
    }
}

/// One room.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Room {
    /// Every authenticated connection of the organization.
    Organization(OrganizationId),
    /// Every connection of one user.
    User(OrganizationId, UserId),
    /// Everybody who subscribed to a channel with this filter.
    Subscription(Channel, Place),
}

/// Where in the tree a room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Organization,
    Department,
    Queue,
    User,
}

impl Level {
    pub const ALL: [Self; 4] = [
        Self::Organization,
        Self::Department,
        Self::Queue,
        Self::User,
    ];

    /// As operators read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Organization => "org",
            Self::Department => "dept",
            Self::Queue => "queue",
            Self::User => "user",
        }
    }
}

impl Serialize for Level {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The name of a room, as operators and acknowledgements show it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RoomName(Arc<str>);

impl RoomName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a room's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "not a room name; rooms are `org:ID`, `org:ID:user:ID` or `CHANNEL:org:ID[:dept:ID][:queue:ID]`"
)]
pub struct RoomNameError;

impl Room {
    pub fn organization(&self) -> &OrganizationId {
        match self {
            Self::Organization(organization) | Self::User(organization, _) => organization,
            Self::Subscription(_, place) => &place.organization,
        }
    }

    pub fn level(&self) -> Level {
        match self {
            Self::User(..) => Level::User,
            Self::Subscription(_, place) if place.queue.is_some() => Level::Queue,
            Self::Subscription(_, place) if place.department.is_some() => Level::Department,
            Self::Organization(_) | Self::Subscription(..) => Level::Organization,
        }
    }

    pub fn name(&self) -> RoomName {
        let mut name = String::with_capacity(64);
        match self {
            Self::Organization(organization) => {
                name.push_str("org:");
                encode(organization.as_str(), &mut name);
            }
            Self::User(organization, user) => {
                name.push_str("org:");
                encode(organization.as_str(), &mut name);
                name.push_str(":user:");
                encode(user.as_str(), &mut name);
            }
            Self::Subscription(channel, place) => {
                name.push_str(channel.as_str());
                name.push_str(":org:");
                encode(place.organization.as_str(), &mut name);
                if let Some(department) = &place.department {
                    name.push_str(":dept:");
                    encode(department.as_str(), &mut name);
                }
                if let Some(queue) = &place.queue {
                    name.push_str(":queue:");
                    encode(queue.as_str(), &mut name);
                }
            }
        }
        RoomName(name.into())
    }

    /// The room that has this name; the inverse of [`Room::name`]. Only canonical names are read.
    pub fn parse(name: &str) -> Result<Self, RoomNameError> {
        let parts: Vec<&str> = name.split(':').collect();
        let organization = |text| id(text, OrganizationId::new);
        let room = match parts.as_slice() {
            ["org", org] => Self::Organization(organization(org)?),
            ["org", org, "user", user] => Self::User(organization(org)?, id(user, UserId::new)?),
            [channel, "org", org, rest @ ..] => {
                let (department, queue) = match rest {
                    [] => (None, None),
                    ["dept", dept] => (Some(*dept), None),
                    ["queue", queue] => (None, Some(*queue)),
                    ["dept", dept, "queue", queue] => (Some(*dept), Some(*queue)),
                    _ => return Err(RoomNameError),
                };
                let place = Place {
                    organization: organization(org)?,
                    department: department
                        .map(|text| id(text, DepartmentId::new))
                        .transpose()?,
                    queue: queue.map(|text| id(text, QueueName::new)).transpose()?,
                };
                Self::Subscription(Channel::new(channel).map_err(|_| RoomNameError)?, place)
            }
            _ => return Err(RoomNameError),
        };
        Ok(room)
    }
}

/// The subscription rooms that an event in `channel` at `target` reaches, without cascade: one for
/// each filter that hears it, in the event's channel and in `all`. At most eight, all different.
pub fn audience(channel: &Channel, target: &Place) -> Vec<RoomName> {
    let mut channels = vec![channel.clone()];
    if *channel != Channel::all() {
        channels.push(Channel::all());
    }
    let mut rooms = Vec::with_capacity(8);
    for channel in channels {
        for filter in filters_that_hear(target) {
            rooms.push(Room::Subscription(channel.clone(), filter).name());
        }
    }
    rooms
}

fn filters_that_hear(target: &Place) -> Vec<Place> {
    let mut filters = vec![Place::organization(target.organization.clone())];
    if target.department.is_some() {
        filters.push(Place {
            queue: None,
            ..target.clone()
        });
    }
    if target.queue.is_some() {
        filters.push(Place {
            department: None,
            ..target.clone()
        });
    }
    if target.department.is_some() && target.queue.is_some() {
        filters.push(target.clone());
    }
    filters
}

fn encode(id: &str, into: &mut String) {
    for character in id.chars() {
        match character {
            '%' => into.push_str("%25"),
            ':' => into.push_str("%3A"),
            other => into.push(other),
        }
    }
}

/// Decodes one component. Anything that [`encode`] would not have written is refused, so that a
/// room has exactly one name.
fn id<T, E>(encoded: &str, make: impl FnOnce(&str) -> Result<T, E>) -> Result<T, RoomNameError> {
    let decoded = encoded.replace("%3A", ":").replace("%25", "%");
    let mut canonical = String::with_capacity(encoded.len());
    encode(&decoded, &mut canonical);
    if canonical != encoded {
        return Err(RoomNameError);
    }
    make(&decoded).map_err(|_| RoomNameError)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Ids from a tiny alphabet that is all separators and escapes, so that collisions would show.
    fn id_text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a:%25A3]{1,6}",
            Just("org".to_owned()),
            Just("user".to_owned()),
            Just("dept".to_owned()),
            Just("queue".to_owned()),
            "[^\\p{Cc}]{1,20}",
        ]
    }

    fn place() -> impl Strategy<Value = Place> {
        (
            id_text(),
            proptest::option::of(id_text()),
            proptest::option::of(id_text()),
        )
            .prop_map(|(org, dept, queue)| Place {
                organization: OrganizationId::new(&org).unwrap(),
                department: dept.map(|text| DepartmentId::new(&text).unwrap()),
                queue: queue.map(|text| QueueName::new(&text).unwrap()),
            })
    }

    fn channel() -> impl Strategy<Value = Channel> {
        prop_oneof!["kpi|alerts|all|user|dept|queue", "[a-z0-9_-]{1,4}"]
            .prop_filter_map("`org` is no channel", |text| Channel::new(&text).ok())
    }

    fn room() -> impl Strategy<Value = Room> {
        prop_oneof![
            id_text().prop_map(|org| Room::Organization(OrganizationId::new(&org).unwrap())),
            (id_text(), id_text()).prop_map(|(org, user)| Room::User(
                OrganizationId::new(&org).unwrap(),
                UserId::new(&user).unwrap()
            )),
            (channel(), place()).prop_map(|(channel, place)| Room::Subscription(channel, place)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_room_is_read_back_from_its_name(room in room()) {
            prop_assert_eq!(Room::parse(room.name().as_str()), Ok(room));
        }

        #[test]
        fn no_two_rooms_share_a_name(rooms in proptest::collection::vec(room(), 2..60)) {
            let mut named: HashMap<RoomName, Room> = HashMap::new();
            for room in rooms {
                let earlier = named.insert(room.name(), room.clone());
                prop_assert!(earlier.is_none_or(|earlier| earlier == room));
            }
        }

        #[test]
        fn a_text_that_is_read_as_a_room_is_that_rooms_only_name(
            text in "(org|kpi|all):(org|[a%:25A3]{1,4})(:(user|dept|queue|org):[a%:25A3]{1,4}){0,3}"
        ) {
            if let Ok(room) = Room::parse(&text) {
                let name = room.name();
                prop_assert_eq!(name.as_str(), text.as_str());
            }
        }

        /// The naive definition: channel equal or `all`, and every named field equal.
        #[test]
        fn the_audience_is_what_the_filter_definition_says(
            event in channel(), target in small_place(), subscribed in channel(), filter in small_place(),
        ) {
            let naive = (subscribed == event || subscribed.as_str() == "all")
                && filter.organization == target.organization
                && filter.department.as_ref().is_none_or(|d| Some(d) == target.department.as_ref())
                && filter.queue.as_ref().is_none_or(|q| Some(q) == target.queue.as_ref());
            let room = Room::Subscription(subscribed, filter.clone()).name();
            let audience = audience(&event, &target);
            prop_assert_eq!(audience.contains(&room), naive);
            prop_assert_eq!(audience.iter().filter(|name| **name == room).count(), usize::from(naive));
            prop_assert_eq!(filter.hears(&target), {
                filters_that_hear(&target).contains(&filter)
            });
        }
    }

    /// Places that often coincide.
    fn small_place() -> impl Strategy<Value = Place> {
        (
            "[ab]",
            proptest::option::of("[xy]"),
            proptest::option::of("[xy]"),
        )
            .prop_map(|(org, dept, queue)| Place {
                organization: OrganizationId::new(&org).unwrap(),
                department: dept.map(|text| DepartmentId::new(&text).unwrap()),
                queue: queue.map(|text| QueueName::new(&text).unwrap()),
            })
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let place = Place {
            organization: OrganizationId::new("org_123").unwrap(),
            department: Some(DepartmentId::new("dept_456").unwrap()),
            queue: Some(QueueName::new("support").unwrap()),
        };
        let kpi = Channel::new("kpi").unwrap();
        let names: Vec<String> = audience(&kpi, &place)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            names,
            [
                "kpi:org:org_123",
                "kpi:org:org_123:dept:dept_456",
                "kpi:org:org_123:queue:support",
                "kpi:org:org_123:dept:dept_456:queue:support",
                "all:org:org_123",
                "all:org:org_123:dept:dept_456",
                "all:org:org_123:queue:support",
                "all:org:org_123:dept:dept_456:queue:support",
            ]
        );
        let user = Room::User(
            OrganizationId::new("a:b").unwrap(),
            UserId::new("50%").unwrap(),
        );
        assert_eq!(user.name().as_str(), "org:a%3Ab:user:50%25");
    }

    #[test]
    fn hand_written_and_wildcard_names_are_no_rooms() {
        for bad in [
            "",
            "org",
            "org:",
            "kpi",
            "kpi:org:",
            "*:org:a",
            "kpi:org:a:dept:",
            "kpi:org:a:queue:x:dept:y",
            "KPI:org:a",
            "org:org:a",
            "kpi:org:a%3a",
            "kpi:org:%41",
            "kpi:org:a:dept:b:dept:c",
        ] {
            assert_eq!(Room::parse(bad), Err(RoomNameError), "{bad}");
        }
    }
}
