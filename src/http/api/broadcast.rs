//! Broadcasts from backends (protocol, section 5).

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, RawQuery, State};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::target::{read_target, user_ids};
use crate::domain::event::Priority;
use crate::domain::fault::Fault;
use crate::domain::identity::OrganizationId;
use crate::domain::json::{self, Members};
use crate::domain::spelling;
use crate::domain::words::{self, Word};
use crate::http::extract::api_key::{ApiKey, Broadcast};
use crate::http::extract::body::{self, Body};
use crate::http::extract::query;
use crate::http::response::Refusal;
use crate::http::state::App;
use crate::hub::audience::Target;
use crate::node::publish::Publication;

/// The event that carries a notification of `{title, body}`.
const NOTIFICATION: &str = "notification";

/// What may stand in the query of a broadcast.
#[derive(Debug, Default)]
struct Options {
    /// How long to wait for acknowledgements.
    wait_ms: Option<u64>,
    priority: Option<Priority>,
    requires_ack: Option<bool>,
    cascade: Option<bool>,
}

type Remote = ConnectInfo<SocketAddr>;
type Answer = Result<Json<Value>, Refusal>;

pub(in crate::http) async fn broadcast(
    key: ApiKey<Broadcast>,
    State(app): State<App>,
    remote: Remote,
    query: RawQuery,
    body: Body,
) -> Answer {
    publish(&app, &key, remote, query, body, |body| {
        let mut publication = Request::read(body)?.publication(key.organization())?;
        publication.target = within_reach(publication.target, &key)?;
        Ok(publication)
    })
    .await
}

/// The target as far as the caller reaches: an organization's key is refused every other
/// organization, and of the connections that it names only its own are meant.
fn within_reach(target: Target, key: &ApiKey<Broadcast>) -> Result<Target, Fault> {
    match &target {
        Target::Place(place) => key.within(Some(place.organization.clone())).map(drop)?,
        Target::Users(organization, _) => key.within(Some(organization.clone())).map(drop)?,
        Target::Everyone { within: None, .. } => key.operator("`all`")?,
        Target::Connections(..) | Target::Everyone { .. } => {}
    }
    Ok(match target {
        Target::Connections(named, ids) => Target::Connections(key.within(named)?, ids),
        Target::Everyone { within, except } => Target::Everyone {
            within: key.within(within)?,
            except,
        },
        other => other,
    })
}

pub(in crate::http) async fn kpi(
    key: ApiKey<Broadcast>,
    state: State<App>,
    remote: Remote,
    query: RawQuery,
    body: Body,
) -> Answer {
    shortcut("kpi:update", &key, state, remote, query, body).await
}

pub(in crate::http) async fn backlog(
    key: ApiKey<Broadcast>,
    state: State<App>,
    remote: Remote,
    query: RawQuery,
    body: Body,
) -> Answer {
    shortcut("backlog:update", &key, state, remote, query, body).await
}

pub(in crate::http) async fn attendance(
    key: ApiKey<Broadcast>,
    state: State<App>,
    remote: Remote,
    query: RawQuery,
    body: Body,
) -> Answer {
    shortcut("attendance:update", &key, state, remote, query, body).await
}

pub(in crate::http) async fn alert(
    key: ApiKey<Broadcast>,
    state: State<App>,
    remote: Remote,
    query: RawQuery,
    body: Body,
) -> Answer {
    shortcut("alert:triggered", &key, state, remote, query, body).await
}

async fn shortcut(
    event: &str,
    key: &ApiKey<Broadcast>,
    State(app): State<App>,
    remote: Remote,
    query: RawQuery,
    body: Body,
) -> Answer {
    let read = |body: &[u8]| shortcut_publication(event, key, body);
    publish(&app, key, remote, query, body, read).await
}

/// The body is the payload, and its ids are the target.
fn shortcut_publication(
    event: &str,
    key: &ApiKey<Broadcast>,
    body: &[u8],
) -> Result<Publication, Fault> {
    const PLACE: [Word; 3] = [words::ORGANIZATION, words::DEPARTMENT, words::QUEUE];
    let members = body::members(body)?;
    let ids = members.values(|name| PLACE.iter().any(|word| word.0.contains(&name)))?;
    let place = words::place(&ids, key.organization())?
        .ok_or_else(|| Fault::invalid("`organization_id` is missing: it says whom this is for"))?;
    Ok(Publication {
        event: event.to_owned(),
        payload: json::parse("the body", body)?.to_owned(),
        target: within_reach(Target::Place(place), key)?,
        channel: None,
        priority: Priority::default(),
        requires_ack: false,
        attachments: Vec::new(),
        cascade: false,
    })
}

fn inputs(app: &App, RawQuery(query): RawQuery, body: Body) -> Result<(Options, Bytes), Fault> {
    let options = Options::read(query.as_deref())?;
    Ok((options, body::bytes(body, app.max_message_size)?))
}

impl Options {
    fn read(query: Option<&str>) -> Result<Self, Fault> {
        let known = [REQUIRES_ACK, WAIT, PRIORITY, CASCADE];
        let parameters = query::parameters(query, &known)?;
        Ok(Self {
            wait_ms: query::number(&parameters, WAIT.name(), 0..=u64::MAX)?,
            priority: query::text(&parameters, PRIORITY.name())
                .map(parse_priority)
                .transpose()?,
            requires_ack: query::flag(&parameters, REQUIRES_ACK.name())?,
            cascade: query::flag(&parameters, CASCADE.name())?,
        })
    }

    /// The publication with what the query says about it, and how long to wait.
    fn apply(&self, mut publication: Publication) -> Result<(Publication, Option<u64>), Fault> {
        publication.priority = self.priority.unwrap_or(publication.priority);
        publication.requires_ack = self.requires_ack.unwrap_or(publication.requires_ack);
        publication.cascade = self.cascade.unwrap_or(publication.cascade);
        if self.wait_ms.is_some() && !publication.requires_ack {
            return Err(Fault::invalid("`wait_ms` needs `requires_ack`: true"));
        }
        Ok((publication, self.wait_ms))
    }
}

fn parse_priority(text: &str) -> Result<Priority, Fault> {
    Priority::parse(text).ok_or_else(|| {
        let text = words::shown(text);
        Fault::invalid(format!(
            "`priority` is `{text}`; allowed are {}",
            Priority::NAMES
        ))
    })
}

/// So many bytes of a body count as one request.
const BYTES_OF_A_REQUEST: usize = 16 * 1024;

/// Publishes what `read` makes of the body, unless there were too many requests. They are counted
/// before it is read, and one that can't be read counts as well.
async fn publish(
    app: &App,
    key: &ApiKey<Broadcast>,
    ConnectInfo(remote): Remote,
    query: RawQuery,
    body: Body,
    read: impl FnOnce(&[u8]) -> Result<Publication, Fault>,
) -> Answer {
    let (admission, address, own) = (&app.hub.admission, remote.ip(), key.organization());
    let inputs = inputs(app, query, body);
    let length = inputs.as_ref().map_or(0, |(_, body)| body.len());
    let cost = u32::try_from(length.div_ceil(BYTES_OF_A_REQUEST)).unwrap_or(u32::MAX);
    // Which organization an operator's request is about is known once it was read.
    let known_before = if own.is_some() {
        cost.max(1)
    } else {
        cost.saturating_sub(1)
    };
    admission.requests(own, address, known_before)?;
    let read = inputs.and_then(|(options, body)| options.apply(read(&body)?));
    if own.is_none() {
        let publication = read.as_ref().ok().map(|(publication, _)| publication);
        let organization = publication.and_then(|publication| publication.target.organization());
        admission.requests(organization, address, 1)?;
    }
    let (publication, wait_ms) = read?;
    let event = publication.event.clone();
    let receipt = app.node.publish(publication).await?;
    let plural = if receipt.recipients == 1 { "" } else { "s" };
    let mut answer = json!({
        "success": true,
        "message": format!("{event} was sent to {} connection{plural}", receipt.recipients),
        "message_id": receipt.message_id,
        "timestamp": receipt.timestamp,
        "recipients": receipt.recipients,
    });
    if receipt.dropped > 0 {
        answer["dropped"] = receipt.dropped.into();
    }
    // Of acknowledgements that nobody waited for there is nothing to say: 0 would read as none.
    if let Some(time) = wait_ms.map(Duration::from_millis) {
        answer["acks"] = app.node.wait_for_acks(&receipt, time).await.into();
    }
    Ok(Json(answer))
}

const REQUIRES_ACK: Word = Word(&["requires_ack", "requiresAck"]);
const WAIT: Word = Word(&["wait_ms"]);
const PRIORITY: Word = Word(&["priority"]);
const CASCADE: Word = Word(&["cascade"]);
const EVENT: Word = Word(&["event"]);
const DATA: Word = Word(&["data"]);
const TARGET: Word = Word(&["target"]);
const CHANNEL: Word = Word(&["channel"]);
const TITLE: Word = Word(&["title"]);
const BODY: Word = Word(&["body"]);
const EXCLUDED: Word = Word(&["excludeUserIds", "exclude_user_ids"]);

/// The body of `POST /api/ws/broadcast`: an event with a target, or a notification for everyone.
#[derive(Debug)]
struct Request {
    event: Option<String>,
    data: Option<Box<RawValue>>,
    target: Option<Map<String, Value>>,
    channel: Option<String>,
    priority: Option<Priority>,
    requires_ack: bool,
    cascade: bool,

    title: Option<Box<RawValue>>,
    body: Option<Box<RawValue>>,
    exclude_user_ids: Option<Vec<String>>,
}

impl Request {
    fn read(body: &[u8]) -> Result<Self, Fault> {
        let mut members = body::members(body)?;
        let known = [
            EVENT,
            DATA,
            TARGET,
            CHANNEL,
            PRIORITY,
            REQUIRES_ACK,
            CASCADE,
            TITLE,
            BODY,
            EXCLUDED,
        ];
        spelling::check_all(members.names(), "the body", &known)?;
        // These are passed on as they were written.
        let data = members.take_once(DATA.name())?;
        let (title, body) = (
            written_text(&mut members, TITLE)?,
            written_text(&mut members, BODY)?,
        );
        let members = members.values(|_| true)?;
        let text = |word| words::text(&members, word).map(|text| text.map(str::to_owned));
        let flag = |word| words::flag(&members, word).map(Option::unwrap_or_default);
        Ok(Self {
            event: text(EVENT)?,
            data: data.map(RawValue::to_owned),
            target: words::object(&members, TARGET)?.cloned(),
            channel: text(CHANNEL)?,
            priority: words::text(&members, PRIORITY)?
                .map(parse_priority)
                .transpose()?,
            requires_ack: flag(REQUIRES_ACK)?,
            cascade: flag(CASCADE)?,
            title,
            body,
            exclude_user_ids: words::texts(&members, EXCLUDED)?,
        })
    }

    /// `own` is the only organization that the caller reaches, if there is one: a notification is for
    /// everyone in it.
    fn publication(self, own: Option<&OrganizationId>) -> Result<Publication, Fault> {
        match (&self.event, &self.title) {
            (Some(_), None) => self.event_publication(),
            (None, Some(_)) => self.notification(own),
            (Some(_), Some(_)) => Err(Fault::invalid(
                "a body has an `event` with its `target`, or a `title` with its `body`, not both",
            )),
            (None, None) => Err(Fault::invalid(
                "the body needs an `event` (with `data` and `target`) or a `title` (with `body`)",
            )),
        }
    }

    fn event_publication(self) -> Result<Publication, Fault> {
        if self.body.is_some() || self.exclude_user_ids.is_some() {
            return Err(Fault::invalid(
                "`body` and `excludeUserIds` belong to a notification with a `title`",
            ));
        }
        let target = self.target.ok_or_else(|| {
            Fault::invalid("`target` is missing: {\"organization_id\": ...} or {\"all\": true}")
        })?;
        Ok(Publication {
            event: self.event.unwrap_or_default(),
            payload: self.data.unwrap_or_else(|| RawValue::NULL.to_owned()),
            target: read_target(&target)?,
            channel: self.channel,
            priority: self.priority.unwrap_or_default(),
            requires_ack: self.requires_ack,
            attachments: Vec::new(),
            cascade: self.cascade,
        })
    }

    fn notification(self, own: Option<&OrganizationId>) -> Result<Publication, Fault> {
        if self.data.is_some() || self.target.is_some() || self.channel.is_some() {
            return Err(Fault::invalid(
                "`data`, `target` and `channel` belong to an `event`; a `title` goes to everyone",
            ));
        }
        let body = self
            .body
            .ok_or_else(|| Fault::invalid("`body` is missing beside `title`"))?;
        let except = user_ids(&self.exclude_user_ids.unwrap_or_default(), "excludeUserIds")?;
        let payload = Notification {
            title: self.title,
            body,
        };
        Ok(Publication {
            event: NOTIFICATION.to_owned(),
            payload: serde_json::value::to_raw_value(&payload)
                .map_err(|error| Fault::invalid(error.to_string()))?,
            target: Target::Everyone {
                within: own.cloned(),
                except: except.into_iter().collect(),
            },
            channel: None,
            priority: self.priority.unwrap_or_default(),
            requires_ack: self.requires_ack,
            attachments: Vec::new(),
            cascade: false,
        })
    }
}

/// The payload of a notification.
#[derive(Serialize)]
struct Notification {
    title: Option<Box<RawValue>>,
    body: Box<RawValue>,
}

/// A text as it was written.
fn written_text(members: &mut Members<'_>, word: Word) -> Result<Option<Box<RawValue>>, Fault> {
    let name = word.name();
    match members.take_once(name)? {
        Some(text) if text.get().starts_with('"') => Ok(Some(text.to_owned())),
        Some(other) => {
            let kind = json::kind_of(other);
            Err(Fault::invalid(format!(
                "`{name}` must be a string, not {kind}"
            )))
        }
        None => Ok(None),
    }
}
