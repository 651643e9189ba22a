//! How a plain client speaks, which its first messages show (protocol, section 4).

use serde_json::value::RawValue;

use super::envelope::{Envelope, Inbound, Tenant, encoding};
use crate::domain::json::Members;
use crate::domain::words::ORGANIZATION;
use crate::hub::outbound::Encoding;

/// Longer data is not read for the name of its tenant.
const MAX_NAMING_BYTES: usize = 16 * 1024;

/// The form in which a client reads, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speech {
    pub envelope: Envelope,
    pub is_decided: bool,
    pub tenant: Tenant,
}

impl Speech {
    pub fn encoding(self) -> Encoding {
        encoding(self.envelope, self.tenant)
    }

    /// The spelling in a token counts where the client itself uses none that tells.
    pub fn know(&mut self, organization_alias: Option<&str>) {
        if self.tenant == Tenant::Other {
            self.tenant = organization_alias.map_or(Tenant::Other, Tenant::of_alias);
        }
    }

    /// The first message that shows an envelope decides.
    pub fn hear(&mut self, inbound: &Inbound) {
        if let Some(data) = &inbound.data
            && self.tenant == Tenant::Other
            && data.get().len() <= MAX_NAMING_BYTES
        {
            self.tenant = named_tenant(data).unwrap_or_default();
        }
        if self.is_decided {
            return;
        }
        match inbound.envelope {
            Some(envelope) => {
                self.envelope = envelope;
                self.is_decided = true;
            }
            // A bare `{"type": "ping"}`: `payload` is what the system that sends it reads.
            None if self.envelope == Envelope::Event => self.envelope = Envelope::TypePayload,
            None => {}
        }
    }
}

fn named_tenant(data: &RawValue) -> Option<Tenant> {
    let members = Members::of("the data", data).ok()?;
    let names = members.values(|name| ORGANIZATION.0.contains(&name));
    Some(Tenant::of(&names.ok()?))
}
