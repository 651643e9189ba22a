//! The rules for limits, timeouts of the front door, draining and TLS.

use tracing_subscriber::EnvFilter;

use super::values::{Broken, Config};
use crate::domain::identity::OrganizationId;
use crate::http::client_ip::Network;

/// Adds every rule that is broken.
pub(super) fn check_limits(config: &Config, broken: &mut Broken) {
    for (key, networks) in [
        ("trusted_proxies", &config.trusted_proxies),
        ("operator_networks", &config.operator_networks),
    ] {
        for network in networks {
            if network.parse::<Network>().is_err() {
                broken.add(
                    key,
                    format_args!("{network:?}"),
                    "each is an IP address or a network such as 10.0.0.0/8",
                );
            }
        }
    }
    for organization in config.org_limits.keys() {
        if OrganizationId::new(organization).is_err() {
            broken.add(
                "org_limits",
                format_args!("organization {organization:?}"),
                "an organization id is 1 to 128 bytes without control characters",
            );
        }
    }
    if !(10..=1000).contains(&config.max_headers) {
        broken.add(
            "max_headers",
            config.max_headers,
            "it must be between 10 and 1000",
        );
    }
    if EnvFilter::try_new(&config.log).is_err() {
        broken.add(
            "log",
            format_args!("{:?}", config.log),
            "it is no filter; \"info\" is one, and \"info,orgcast=debug\"",
        );
    }
    if config.drain_batch_size == 0 {
        broken.add("drain_batch_size", 0, "it must be at least 1");
    }
    if config.drain_delay_ms != 0 && config.drain_delay_ms >= config.shutdown_timeout_ms {
        broken.add(
            "drain_delay_ms",
            config.drain_delay_ms,
            "it must be less than shutdown_timeout_ms, of which it is a part",
        );
    }
    if config.tls.cert_file.is_empty() != config.tls.key_file.is_empty() {
        let (key, value) = if config.tls.cert_file.is_empty() {
            ("tls.cert_file", &config.tls.cert_file)
        } else {
            ("tls.key_file", &config.tls.key_file)
        };
        broken.add(
            key,
            format_args!("{value:?}"),
            "tls.cert_file and tls.key_file are set together or not at all",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::TlsConfig;

    fn problems(config: &Config) -> Vec<String> {
        match config.validate() {
            Ok(()) => Vec::new(),
            Err(error) => error.to_string().lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn a_delay_is_a_part_of_the_time_for_a_shutdown() {
        let mut config = Config {
            drain_delay_ms: 29_999,
            ..Config::default()
        };
        assert_eq!(problems(&config), Vec::<String>::new());
        config.drain_delay_ms = 30_000;
        assert!(problems(&config)[0].starts_with("`drain_delay_ms` is 30000"));
    }

    #[test]
    fn a_certificate_needs_its_key_and_a_key_its_certificate() {
        for (cert_file, key_file, missing) in [("", "k", "cert_file"), ("c", "", "key_file")] {
            let config = Config {
                tls: TlsConfig {
                    cert_file: cert_file.to_owned(),
                    key_file: key_file.to_owned(),
                },
                ..Config::default()
            };
            assert!(problems(&config)[0].starts_with(&format!("`tls.{missing}`")));
        }
    }
}
