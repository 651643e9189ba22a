//! Limits of single organizations.

use std::collections::BTreeMap;

use super::key::{Found, Table, section};
use crate::config::kind::{Parsed, TableEntry};
use crate::domain::identity::OrganizationId;

section! {
    /// What holds for one organization in place of the general limits.
    #[derive(Copy, Eq)]
    pub struct OrgLimits in "" {
        /// In place of max_connections_per_org.
        max_connections: Option<usize> = None;
        /// In place of rate_limit_messages_per_second.
        messages_per_second: Option<u32> = None;
        /// In place of rate_limit_messages_per_minute.
        messages_per_minute: Option<u32> = None;
        /// In place of rate_limit_requests_per_second.
        requests_per_second: Option<u32> = None;
    }
}

pub type ByOrganization = BTreeMap<Parsed<OrganizationId>, OrgLimits>;

impl Table for OrgLimits {
    const WHAT: &'static str = "a table of limits";
}

impl TableEntry for OrgLimits {
    const TABLE_EXPECTED: &'static str = "a table of limits, such as { \"id\" = { max_connections = 500, \
        messages_per_second = 200, messages_per_minute = 0, requests_per_second = 50 } }";
}

pub(super) fn check(limits: &ByOrganization, found: &mut Found<'_>) {
    for organization in limits.keys() {
        if let Some(rule) = organization.broken() {
            let id = organization.as_str();
            found.add(format_args!("organization {id:?}"), rule);
        }
    }
}
