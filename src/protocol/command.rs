//! What a client can ask for, read from an event's name and data.

use std::collections::HashSet;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::members::of_command;
use crate::auth::credentials::Credentials;
use crate::domain::error::{ClientError, Code};
use crate::domain::event::MessageId;
use crate::domain::fields::{self, CHANNELS, FILTERS, Field};
use crate::domain::identity::OrganizationId;
use crate::domain::json::{Members, text};
use crate::domain::position::{Position, PositionError};
use crate::domain::room::Place;
use crate::domain::suggest;
use crate::metrics::Received;
use crate::node::opening::{MAX_HISTORY, Wanted};
use crate::node::reading::Range;

/// The events that clients may send. Each has one name for its reply (protocol, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Authenticate,
    Subscribe,
    Unsubscribe,
    /// `client:ping`, `ping` and `heartbeat`, which differ in what answers them.
    Ping(PingKind),
    Ack,
    /// A client's own event.
    Publish,
    /// Events of before.
    History,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingKind {
    Client,
    Short,
    Heartbeat,
}

const NAMES: &str =
    "authenticate, subscribe, unsubscribe, publish, history, client:ping, ping, heartbeat, ack";

impl Verb {
    pub fn parse(event: &str) -> Result<Self, ClientError> {
        Ok(match event {
            "authenticate" => Self::Authenticate,
            "subscribe" | "client:subscribe" => Self::Subscribe,
            "unsubscribe" | "client:unsubscribe" => Self::Unsubscribe,
            "client:ping" => Self::Ping(PingKind::Client),
            "ping" => Self::Ping(PingKind::Short),
            "heartbeat" => Self::Ping(PingKind::Heartbeat),
            "ack" => Self::Ack,
            "publish" | "client:publish" => Self::Publish,
            "history" => Self::History,
            other => {
                let shown = fields::shown(other);
                return Err(ClientError::invalid(format!(
                    "unknown event `{shown}`; clients may send: {NAMES}"
                )));
            }
        })
    }

    /// The event that carries the reply.
    pub fn reply(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticated",
            Self::Subscribe => "client:subscribe",
            Self::Unsubscribe => "client:unsubscribe",
            Self::Ping(PingKind::Client) => "client:pong",
            Self::Ping(PingKind::Short) => "pong",
            Self::Ping(PingKind::Heartbeat) => "heartbeat",
            Self::Ack => "ack",
            Self::Publish => "client:publish",
            Self::History => "history",
        }
    }

    pub fn counted_as(self) -> Received {
        match self {
            Self::Authenticate => Received::Authenticate,
            Self::Subscribe => Received::Subscribe,
            Self::Unsubscribe => Received::Unsubscribe,
            Self::Ping(_) => Received::Ping,
            Self::Ack => Received::Ack,
            Self::Publish => Received::Publish,
            Self::History => Received::History,
        }
    }
}

/// Who somebody says to be, out of the data of `authenticate`.
pub fn credentials(data: &Members<'_>) -> Result<Option<Credentials>, ClientError> {
    let wanted = [fields::USER, fields::ORGANIZATION, Field(&["token"])];
    let object = data.values(|name| wanted.iter().any(|field| field.0.contains(&name)))?;
    Credentials::from_object(&object)
}

/// The offset up to which a client was served elsewhere, out of the data of `authenticate`.
pub fn offset(data: &Members<'_>) -> Result<Option<Position>, ClientError> {
    position(&data.values(|name| name == OFFSET)?, OFFSET)
}

const OFFSET: &str = "offset";

fn position(object: &Map<String, Value>, name: &str) -> Result<Option<Position>, ClientError> {
    let invalid = |why: String| Err(ClientError::invalid(format!("`{name}`: {why}")));
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match text.parse() {
            Ok(position) => Ok(Some(position)),
            Err(error) => invalid(format!("{error}, not `{}`", fields::shown(text))),
        },
        Some(other) => invalid(format!("{PositionError}, not {}", fields::kind_of(other))),
    }
}

/// What a client asks for that subscribes.
pub struct Subscription {
    pub channels: Vec<String>,
    pub place: Place,
    pub wanted: Wanted,
}

/// Which channels a subscription names, and where, and what it is to open with.
pub fn subscription(data: &Members<'_>, own: &OrganizationId) -> Result<Subscription, ClientError> {
    let object = data.known(&SUBSCRIPTION)?;
    let channels = channels(&object)?;
    let wanted = wanted(&object)?;
    let place = fields::place(&filter(object)?, Some(own))?;
    Ok(Subscription {
        channels,
        place: place.unwrap_or_else(|| Place::organization(own.clone())),
        wanted,
    })
}

const SINCE: &str = "since";
const BEFORE: &str = "before";
const EVENT: Field = Field(&["event"]);
const ORDER: Field = Field(&["order"]);
const LIMIT: Field = Field(&["limit"]);
const LATEST: &str = "latest";
const HISTORY: &str = "history";

fn wanted(object: &Map<String, Value>) -> Result<Wanted, ClientError> {
    let refused = |name: &str, allowed: String, found: &Value| {
        let found = match found {
            Value::Number(number) => number.to_string(),
            other => fields::kind_of(other).to_owned(),
        };
        ClientError::invalid(format!("`{name}` must be {allowed}, not {found}"))
    };
    let latest = match object.get(LATEST) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(latest)) => *latest,
        Some(other) => return Err(refused(LATEST, "true or false".to_owned(), other)),
    };
    let history = match object.get(HISTORY) {
        None | Some(Value::Null) => None,
        Some(found) => {
            let count = found.as_u64().and_then(|count| usize::try_from(count).ok());
            let count = count.filter(|count| (1..=MAX_HISTORY).contains(count));
            let allowed = || format!("a whole number from 1 to {MAX_HISTORY}");
            Some(count.ok_or_else(|| refused(HISTORY, allowed(), found))?)
        }
    };
    if latest && history.is_some() {
        return Err(ClientError::invalid(
            "a subscription opens with `latest` or with `history`, not with both",
        ));
    }
    Ok(Wanted {
        since: position(object, SINCE)?,
        latest,
        history,
    })
}

/// The channels of a subscription: a list, or a single name.
fn channels(object: &Map<String, Value>) -> Result<Vec<String>, ClientError> {
    let mut channels = fields::texts(object, CHANNELS)?.unwrap_or_default();
    let mut seen = HashSet::new();
    channels.retain(|channel| seen.insert(channel.clone()));
    if channels.is_empty() {
        suggest::check(object, "a subscription", &SUBSCRIPTION)?;
        return Err(ClientError::new(
            Code::SubscriptionFailed,
            "`channels` must name at least one channel",
        ));
    }
    Ok(channels)
}

/// What names a place.
const PLACE: &[Field] = &[fields::ORGANIZATION, fields::DEPARTMENT, fields::QUEUE];

/// What a subscription is read from.
const SUBSCRIPTION: [Field; 8] = [
    CHANNELS,
    Field(&[SINCE]),
    Field(&[LATEST]),
    Field(&[HISTORY]),
    fields::ORGANIZATION,
    fields::DEPARTMENT,
    fields::QUEUE,
    FILTERS,
];

/// The filter of a subscription: its own fields, and those of the object under `filters`. One that is
/// almost a name of a filter is refused, since without it the subscription would hear more.
fn filter(mut object: Map<String, Value>) -> Result<Map<String, Value>, ClientError> {
    suggest::check(&object, "a subscription", &SUBSCRIPTION)?;
    // Both names with different filters are refused.
    FILTERS.find(&object)?;
    let filters = FILTERS
        .0
        .iter()
        .find_map(|name| object.remove(*name).filter(|filters| !filters.is_null()));
    match filters {
        None => Ok(object),
        Some(Value::Object(filters)) => {
            suggest::check(&filters, "the filter of a subscription", PLACE)?;
            for (name, value) in filters {
                let earlier = object.insert(name.clone(), value);
                if earlier.is_some_and(|earlier| object.get(&name) != Some(&earlier)) {
                    let name = fields::shown(&name);
                    return Err(ClientError::invalid(format!(
                        "`{name}` is given twice, inside `filters` and beside it"
                    )));
                }
            }
            Ok(object)
        }
        Some(other) => Err(ClientError::invalid(format!(
            "`filters` must be an object, not {}",
            fields::kind_of(&other)
        ))),
    }
}

/// Which events of before a client asks for.
pub struct Reading {
    pub channels: Vec<String>,
    pub place: Place,
    pub event: Option<String>,
    pub range: Range,
    pub limit: usize,
}

/// Events that one answer has at the most.
const MAX_READ: usize = 100;

/// Reads `{channels, place .., event?, since? | order: "desc", before?, limit?}`.
pub fn reading(data: &Members<'_>, own: &OrganizationId) -> Result<Reading, ClientError> {
    let fields = [EVENT, Field(&[SINCE]), Field(&[BEFORE]), ORDER, LIMIT];
    let place_and_channels = [CHANNELS, FILTERS].into_iter().chain(PLACE.iter().copied());
    let known: Vec<Field> = fields.into_iter().chain(place_and_channels).collect();
    let mut object = data.known(&known)?;
    let channels = channels(&object)?;
    let event = fields::text(&object, EVENT)?.map(str::to_owned);
    let order = fields::text(&object, ORDER)?.map(str::to_owned);
    let (since, before) = (position(&object, SINCE)?, position(&object, BEFORE)?);
    let range = Range::read(order.as_deref(), since, before)?;
    let limit = match object.get(LIMIT.name()) {
        None | Some(Value::Null) => MAX_READ,
        Some(found) => {
            let limit = found.as_u64().and_then(|limit| usize::try_from(limit).ok());
            let limit = limit.filter(|limit| (1..=MAX_READ).contains(limit));
            limit.ok_or_else(|| {
                ClientError::invalid(format!(
                    "`limit` must be a whole number from 1 to {MAX_READ}"
                ))
            })?
        }
    };
    object.retain(|name, _| fields.iter().all(|field| field.name() != name));
    let place = fields::place(&filter(object)?, Some(own))?;
    Ok(Reading {
        channels,
        place: place.unwrap_or_else(|| Place::organization(own.clone())),
        event,
        range,
        limit,
    })
}

/// A client's own event, as it asks for it.
pub struct OwnEvent {
    pub event: String,
    pub payload: Box<RawValue>,
    pub place: Place,
}

/// Reads `{event, data, target?}`; without a target it is for the client's own organization.
pub fn publication(
    mut members: Members<'_>,
    own: &OrganizationId,
) -> Result<OwnEvent, ClientError> {
    let known = [Field(&["event"]), Field(&["data"]), Field(&["target"])];
    suggest::check_all(members.names(), "`publish`", &known)?;
    let event = members
        .take("event")
        .ok_or_else(|| ClientError::invalid("`publish` needs the name of an `event`"))?;
    let event = text("`event`", event)?;
    let payload = members.take("data").unwrap_or(RawValue::NULL).to_owned();
    let target = members.take("target");
    let place = match target.filter(|target| target.get() != "null") {
        None => None,
        Some(target) => {
            let target = of_command(Some(target), "target")?;
            suggest::check_all(target.names(), "a client's `target`", PLACE)?;
            fields::place(&target.values(|_| true)?, Some(own))?
        }
    };
    Ok(OwnEvent {
        event,
        payload,
        place: place.unwrap_or_else(|| Place::organization(own.clone())),
    })
}

/// The message that is acknowledged.
pub fn acknowledged(data: &Members<'_>) -> Result<MessageId, ClientError> {
    data.values(|name| name == "id")?
        .get("id")
        .and_then(Value::as_str)
        .and_then(|id| MessageId::try_parse(id).ok())
        .ok_or_else(|| {
            ClientError::invalid("`ack` needs the `id` of the message that it acknowledges")
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(data: &Value) -> Result<(Vec<String>, Place), ClientError> {
        let own = OrganizationId::new("own").unwrap();
        let data = serde_json::value::to_raw_value(data).unwrap();
        let asked = subscription(&of_command(Some(&data), "subscribe")?, &own)?;
        Ok((asked.channels, asked.place))
    }

    #[test]
    fn what_the_documents_send_is_a_subscription() {
        let narrow = (Some("dept_456"), Some("support"));
        for (data, place) in [
            (
                json!({"channels": ["kpi"], "organization_id": "org_123"}),
                (None, None),
            ),
            (
                json!({"channels": ["alerts"], "filters": {"organization_id": "org_123"}}),
                (None, None),
            ),
            (
                json!({"channels": ["kpi"], "filters": {
                    "organization_id": "org_123", "department_id": "dept_456", "queue_name": "support"
                }}),
                narrow,
            ),
            (
                json!({
                    "channels": ["kpi"], "organization_id": "org_123", "department_id": "dept_456",
                    "queue_name": "support", "timestamp": "2024-01-15T10:30:00Z"
                }),
                narrow,
            ),
            (
                json!({"channels": ["kpi"], "organization_id": "org_123", "queue_name": "support"}),
                (None, Some("support")),
            ),
            (json!({"channel": "high-priority-violations"}), (None, None)),
            (
                json!({
                    "channel": "shifts", "userId": "user-1", "companyId": "company-1",
                    "timestamp": 1_700_000_000_000_u64
                }),
                (None, None),
            ),
            (
                json!({
                    "channels": ["orders"], "userId": "user123", "storeId": "store456",
                    "sessionId": "s", "timestamp": "2024-01-15T10:30:00Z"
                }),
                (None, None),
            ),
            (
                json!({"channels": ["timesheets"], "tenant_id": "tenant-123", "sub": "u", "token": "t"}),
                (None, None),
            ),
            (
                json!({"channels": ["kpi"], "filters": {"department_id": null, "queue_name": null}}),
                (None, None),
            ),
            (
                json!({
                    "channels": ["kpi"], "userId": "u", "organizationId": "org_123", "url": "x",
                    "autoConnect": true, "priority": "high", "requires_ack": false, "locale": "de"
                }),
                (None, None),
            ),
        ] {
            let (_, found) = read(&data).unwrap_or_else(|error| panic!("{data}: {error}"));
            let found = (
                found.department.as_ref().map(|id| id.as_str().to_owned()),
                found.queue.as_ref().map(|id| id.as_str().to_owned()),
            );
            let (department, queue): (Option<&str>, Option<&str>) = place;
            let expected = (department.map(str::to_owned), queue.map(str::to_owned));
            assert_eq!(found, expected, "{data}");
        }
    }

    #[test]
    fn a_slip_does_not_widen_a_subscription() {
        for (data, wrong, meant) in [
            (
                json!({"orgnization_id": "org_123"}),
                "orgnization_id",
                "organization_id",
            ),
            (json!({"dept": "d"}), "dept", "department_id"),
            (
                json!({"department": "d", "organization_id": "own"}),
                "department",
                "department_id",
            ),
            (
                json!({"departmentID": "d"}),
                "departmentID",
                "department_id",
            ),
            (json!({"queueName ": "q"}), "queueName ", "queue_name"),
            (
                json!({"department_id": "d", "queue-name": "q"}),
                "queue-name",
                "queue_name",
            ),
            (
                json!({"filters": {"queueNames": "q"}}),
                "queueNames",
                "queue_name",
            ),
            (json!({"filter": {"dept": "d"}}), "dept", "department_id"),
            (json!({"fliters": {"dept_id": "d"}}), "fliters", "filters"),
            (json!({"Filters": {"dept_id": "d"}}), "Filters", "filters"),
        ] {
            let mut data = data;
            data["channels"] = json!(["kpi"]);
            let error = read(&data).unwrap_err();
            assert_eq!(error.code, Code::InvalidMessage, "{data}");
            let said = format!("has an unknown `{wrong}`; did you mean `{meant}`? known are ");
            assert!(error.message.contains(&said), "{data}: {error}");
        }
        let error = read(&json!({"chanels": ["kpi"]})).unwrap_err();
        assert!(
            error.message.contains("did you mean `channels`?"),
            "{error}"
        );
        assert!(
            read(&json!({
                "channels": ["kpi"], "filter": {"queue": "q"}, "filters": {"queue": "r"}
            }))
            .is_err()
        );
    }
}
