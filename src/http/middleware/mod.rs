//! What stands before every route; [`super::router`] has its order.

pub(super) mod body_bounds;
pub(super) mod compression;
pub(super) mod origin;
pub(super) mod rate_limit;
pub(super) mod request_head;
