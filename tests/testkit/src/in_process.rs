//! The server inside the test's own process.

use orgcast::config::Config;
use orgcast::config::options::Options;
use orgcast::server::{Running, start};

/// A server in this process, on any free port, without limits that the test does not set.
pub async fn here(change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config {
        port: 0,
        max_connections_total: 0,
        max_connections_per_org: 0,
        rate_limit_messages_per_second: 0,
        rate_limit_requests_per_second: 0,
        connect_timeout_ms: 1000,
        ..Config::default()
    };
    change(&mut config);
    config.validate().unwrap();
    start(Options::of(&config).unwrap()).await.unwrap()
}
