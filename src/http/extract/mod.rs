//! What the handlers take out of a request.

pub(super) mod api_key;
pub(super) mod body;
pub(super) mod query;
