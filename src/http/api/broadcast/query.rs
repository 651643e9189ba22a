//! What the query of a broadcast asks.

use serde_json::{Map, Value};
use utoipa::IntoParams;

use super::request::{CASCADE, PRIORITY, REQUIRES_ACK, VERSION, parse_priority};
use crate::domain::error::ClientError;
use crate::domain::event::Priority;
use crate::domain::fields::Field;
use crate::http::extract::query::{self, FromQuery};
use crate::node::publish::Publication;

const WAIT: Field = Field(&["wait_ms"]);

/// What may stand in the query of a broadcast; the body may say the same but for `wait_ms`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct BroadcastQuery {
    /// How long to wait for acknowledgements; needs `requires_ack`.
    wait_ms: Option<u64>,
    /// `low`, `medium`, `high` or `urgent`.
    #[param(value_type = Option<String>)]
    priority: Option<Priority>,
    /// Whether clients are to acknowledge it.
    requires_ack: Option<bool>,
    /// Whether it goes to what is beneath the place as well.
    cascade: Option<bool>,
    /// Of a value: it is sent only if this is greater than the version of the one before it.
    version: Option<u64>,
}

impl FromQuery for BroadcastQuery {
    const KNOWN: &'static [Field] = &[REQUIRES_ACK, WAIT, PRIORITY, CASCADE, VERSION];

    fn read(parameters: &Map<String, Value>) -> Result<Self, ClientError> {
        Ok(Self {
            wait_ms: query::number(parameters, WAIT.name(), 0..=u64::MAX)?,
            priority: query::text(parameters, PRIORITY.name())
                .map(parse_priority)
                .transpose()?,
            requires_ack: query::flag(parameters, REQUIRES_ACK.name())?,
            cascade: query::flag(parameters, CASCADE.name())?,
            version: query::number(parameters, VERSION.name(), 0..=u64::MAX)?,
        })
    }
}

impl BroadcastQuery {
    /// The publication with what the query says about it, and how long to wait.
    pub fn apply(
        &self,
        mut publication: Publication,
    ) -> Result<(Publication, Option<u64>), ClientError> {
        publication.priority = self.priority.unwrap_or(publication.priority);
        publication.requires_ack = self.requires_ack.unwrap_or(publication.requires_ack);
        publication.cascade = self.cascade.unwrap_or(publication.cascade);
        publication.version = self.version.or(publication.version);
        if self.wait_ms.is_some() && !publication.requires_ack {
            return Err(ClientError::invalid("`wait_ms` needs `requires_ack`: true"));
        }
        Ok((publication, self.wait_ms))
    }
}
