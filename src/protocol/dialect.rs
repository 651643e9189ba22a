//! How a plain client speaks, which its first messages show (protocol, section 4).

use super::envelope::{ClientMessage, Envelope, encoding};
use crate::domain::fields::Tenant;
use crate::hub::outbound::Encoding;

/// The form in which a client reads, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub envelope: Envelope,
    pub is_decided: bool,
    pub tenant: Tenant,
}

impl Dialect {
    pub fn encoding(self) -> Encoding {
        encoding(self.envelope, self.tenant)
    }

    /// The spelling in a token counts where the client itself uses none that tells.
    pub fn know(&mut self, tenant: Tenant) {
        if self.tenant == Tenant::Other {
            self.tenant = tenant;
        }
    }

    /// The first message that shows an envelope decides.
    pub fn learn(&mut self, message: &ClientMessage) {
        if self.tenant == Tenant::Other {
            self.tenant = message.tenant;
        }
        if self.is_decided {
            return;
        }
        match message.envelope {
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
