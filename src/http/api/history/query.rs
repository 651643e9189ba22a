//! Which events are asked for.

use serde_json::{Map, Value};
use utoipa::IntoParams;

use crate::domain::error::{ClientError, Code};
use crate::domain::fields::{self, DEPARTMENT, Field, ORGANIZATION, QUEUE};
use crate::domain::identity::{DepartmentId, OrganizationId, QueueName};
use crate::domain::position::{MAX_POSITION_BYTES, Position};
use crate::domain::room::{Channel, Place};
use crate::http::api::page::{self, LIMIT};
use crate::http::extract::api_key::{ApiKey, Read};
use crate::http::extract::query::{self, FromQuery};
use crate::http::response::ErrorResponse;
use crate::http::state::App;
use crate::node::reading::{Range, Selection};

const CHANNEL: Field = Field(&["channel"]);
const EVENT: Field = Field(&["event"]);
const SINCE: Field = Field(&["since"]);
const BEFORE: Field = Field(&["before"]);
const ORDER: Field = Field(&["order"]);

/// Which events are meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct LatestQuery {
    /// The organization that is meant; that of an organization's key if there is none.
    #[param(value_type = Option<String>)]
    organization_id: Option<OrganizationId>,
    /// What is heard in this department.
    #[param(value_type = Option<String>)]
    department_id: Option<DepartmentId>,
    /// What is heard in this queue.
    #[param(value_type = Option<String>)]
    queue_name: Option<QueueName>,
    /// Of this channel alone.
    channel: Option<String>,
    /// Of this name alone.
    event: Option<String>,
}

impl LatestQuery {
    fn of(parameters: &Map<String, Value>) -> Result<Self, ClientError> {
        let text = |field: Field| query::text(parameters, field.name()).map(str::to_owned);
        Ok(Self {
            organization_id: fields::organization(parameters)?,
            department_id: DEPARTMENT.id(parameters, DepartmentId::new)?,
            queue_name: QUEUE.id(parameters, QueueName::new)?,
            channel: text(CHANNEL),
            event: text(EVENT),
        })
    }

    /// Of one organization, which the key or the query names.
    pub fn selection(self, app: &App, key: &ApiKey<Read>) -> Result<Selection, ErrorResponse> {
        let organization = key.within(self.organization_id)?;
        let organization = organization.ok_or_else(|| {
            ClientError::invalid("name the `organization_id` whose events are meant")
        })?;
        let channel = match self.channel {
            None => None,
            Some(name) => Some(app.node.known_channel(&name, Code::InvalidMessage)?),
        };
        Ok(Selection {
            place: Place {
                organization,
                department: self.department_id,
                queue: self.queue_name,
            },
            channels: channel
                .into_iter()
                .filter(|channel| *channel != Channel::all())
                .collect(),
            event: self.event,
            user: None,
        })
    }
}

impl FromQuery for LatestQuery {
    const KNOWN: &'static [Field] = &[ORGANIZATION, DEPARTMENT, QUEUE, CHANNEL, EVENT];

    fn read(parameters: &Map<String, Value>) -> Result<Self, ClientError> {
        Self::of(parameters)
    }
}

/// Which part of the history is meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct RangeQuery {
    /// Most events of the page.
    #[param(value_type = Option<usize>, minimum = 1, maximum = 10_000, default = 1000)]
    pub limit: usize,
    /// Events behind this offset; without it from the oldest on that is kept.
    #[param(value_type = Option<String>)]
    since: Option<Position>,
    /// With `order=desc`: events before this offset; without it from the newest on.
    #[param(value_type = Option<String>)]
    before: Option<Position>,
    /// `asc`, the oldest first, or `desc`.
    #[param(default = "asc")]
    order: Option<String>,
}

impl RangeQuery {
    pub fn range(&self) -> Result<Range, ClientError> {
        Range::read(self.order.as_deref(), self.since, self.before)
    }
}

/// The query of a history.
pub(in crate::http) struct HistoryQuery(pub LatestQuery, pub RangeQuery);

fn offset(parameters: &Map<String, Value>, field: Field) -> Result<Option<Position>, ClientError> {
    let Some(text) = query::text(parameters, field.name()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|error| {
        let found: String = text.chars().take(MAX_POSITION_BYTES).collect();
        ClientError::invalid(format!("`{}`: {error}, not `{found}`", field.name()))
    })
}

impl FromQuery for HistoryQuery {
    const KNOWN: &'static [Field] = &[
        ORGANIZATION,
        DEPARTMENT,
        QUEUE,
        CHANNEL,
        EVENT,
        LIMIT,
        SINCE,
        BEFORE,
        ORDER,
    ];

    fn read(parameters: &Map<String, Value>) -> Result<Self, ClientError> {
        let (since, before) = (offset(parameters, SINCE)?, offset(parameters, BEFORE)?);
        let range = RangeQuery {
            limit: page::limit(parameters)?,
            since,
            before,
            order: query::text(parameters, ORDER.name()).map(str::to_owned),
        };
        range.range()?;
        Ok(Self(LatestQuery::of(parameters)?, range))
    }
}
