//! Shortcuts: the body is the payload, and its ids are the target.

use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::domain::error::ClientError;
use crate::domain::event::Priority;
use crate::domain::fields::{self, Field};
use crate::domain::identity::{DepartmentId, OrganizationId, QueueName};
use crate::domain::json;
use crate::domain::room::Place;
use crate::domain::target::Target;
use crate::http::extract::body;
use crate::node::publish::Publication;

/// A payload with the place that it is for. Whatever else is in it is passed on as well.
#[derive(ToSchema)]
pub(super) struct ShortcutRequest {
    /// That of an organization's key if there is none.
    #[schema(value_type = Option<String>)]
    organization_id: OrganizationId,
    #[schema(value_type = Option<String>)]
    department_id: Option<DepartmentId>,
    #[schema(value_type = Option<String>)]
    queue_name: Option<QueueName>,
    #[schema(ignore)]
    payload: Box<RawValue>,
}

impl ShortcutRequest {
    pub fn read(body: &[u8], own: Option<&OrganizationId>) -> Result<Self, ClientError> {
        const PLACE: [Field; 3] = [fields::ORGANIZATION, fields::DEPARTMENT, fields::QUEUE];
        let members = body::members(body)?;
        let ids = members.values(|name| PLACE.iter().any(|field| field.0.contains(&name)))?;
        let place = fields::place(&ids, own)?.ok_or_else(|| {
            ClientError::invalid("`organization_id` is missing: it says whom this is for")
        })?;
        Ok(Self {
            organization_id: place.organization,
            department_id: place.department,
            queue_name: place.queue,
            payload: json::parse("the body", body)?.to_owned(),
        })
    }

    pub fn publication(self, event: &str) -> Publication {
        Publication {
            event: event.to_owned(),
            payload: self.payload,
            target: Target::Place(Place {
                organization: self.organization_id,
                department: self.department_id,
                queue: self.queue_name,
            }),
            channel: None,
            priority: Priority::default(),
            requires_ack: false,
            attachments: Vec::new(),
            cascade: false,
            version: None,
        }
    }
}
