//! Tests of the whole schema.

use std::collections::BTreeMap;
use std::net::IpAddr;

use toml::{Table, Value};

use super::error::ConfigError;
use super::schema::limits::OrgLimits;
use super::schema::tls::TlsConfig;
use super::schema::{Config, LogFormat, find, keys};
use crate::protocol::envelope::Envelope;

/// A configuration that is written, whatever rules it breaks.
fn read(text: &str) -> Config {
    let mut config = Config::default();
    let table: Table = text.parse().unwrap();
    for (name, value) in table {
        let mut set = |name: &str, value: &Value| {
            let key = find(name).unwrap_or_else(|| panic!("{name}"));
            assert!(key.set(&mut config, value), "{name}");
        };
        match (find(&name), &value) {
            (None, Value::Table(group)) => group
                .iter()
                .for_each(|(key, value)| set(&format!("{name}.{key}"), value)),
            _ => set(&name, &value),
        }
    }
    config
}

fn problems(config: &Config) -> Vec<String> {
    match config.validate() {
        Ok(()) => Vec::new(),
        Err(ConfigError::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("validation does not read anything: {other}"),
    }
}

#[test]
fn the_defaults_are_valid() {
    assert_eq!(problems(&Config::default()), Vec::<String>::new());
}

#[test]
fn every_broken_rule_is_reported_on_its_own_line() {
    let config = Config {
        host: IpAddr::from([0, 0, 0, 0]),
        path: "ws".to_owned(),
        cors_origins: vec!["http://localhost:3000/".into()],
        allowed_hosts: vec!["http://localhost".into()],
        max_message_size_bytes: 1023,
        ping_interval_ms: 0,
        ping_timeout_ms: 86_400_001,
        connect_timeout_ms: 0,
        auth_timeout_ms: 0,
        ack_timeout_ms: 0,
        write_timeout_ms: 0,
        shutdown_timeout_ms: 0,
        header_timeout_ms: 0,
        body_timeout_ms: 0,
        keep_alive_timeout_ms: 0,
        drain_interval_ms: 0,
        drain_batch_size: 0,
        trusted_proxies: vec!["proxy".into()],
        operator_networks: vec!["127.0.0.1/33".into()],
        max_headers: 9,
        org_limits: BTreeMap::from([("".into(), OrgLimits::default())]),
        send_queue_max_messages: 0,
        send_queue_max_bytes: 0,
        max_buffered_bytes: 1,
        channels: vec!["KPI".into()],
        events: BTreeMap::from([("error".to_owned(), "no good".to_owned())]),
        ..Config::default()
    };
    let lines = problems(&config);
    let keys = [
        "host",
        "path",
        "cors_origins",
        "allowed_hosts",
        "trusted_proxies",
        "operator_networks",
        "org_limits",
        "max_message_size_bytes",
        "max_headers",
        "header_timeout_ms",
        "body_timeout_ms",
        "keep_alive_timeout_ms",
        "ping_interval_ms",
        "ping_timeout_ms",
        "connect_timeout_ms",
        "auth_timeout_ms",
        "ack_timeout_ms",
        "send_queue_max_messages",
        "send_queue_max_bytes",
        "max_buffered_bytes",
        "write_timeout_ms",
        "shutdown_timeout_ms",
        "drain_batch_size",
        "drain_interval_ms",
        "channels",
        "events",
        "events",
    ];
    assert_eq!(lines.len(), keys.len(), "{lines:#?}");
    for (line, key) in lines.iter().zip(keys) {
        assert!(line.starts_with(&format!("`{key}` is ")), "{line}");
    }
    let text = config.validate().unwrap_err().to_string();
    assert_eq!(text.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn an_address_beyond_loopback_needs_allow_insecure_and_the_refusal_says_why() {
    for loopback in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
        let config = Config {
            host: loopback.parse().unwrap(),
            ..Config::default()
        };
        assert_eq!(problems(&config), Vec::<String>::new(), "{loopback}");
    }
    for reachable in [
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "::ffff:10.0.0.1",
        "2001:db8::1",
    ] {
        let mut config = Config {
            host: reachable.parse().unwrap(),
            ..Config::default()
        };
        let lines = problems(&config);
        assert_eq!(lines.len(), 1, "{reachable}");
        for part in [
            reachable,
            "no token key",
            "may say who it is",
            "127.0.0.1",
            "auth.allow_insecure = true",
        ] {
            assert!(lines[0].contains(part), "{part} is not in {}", lines[0]);
        }
        config.auth.allow_insecure = true;
        assert_eq!(problems(&config), Vec::<String>::new(), "{reachable}");
    }
}

#[test]
fn an_event_may_have_no_channel() {
    let events = BTreeMap::from([("heads-up".to_owned(), String::new())]);
    assert_eq!(
        problems(&Config {
            events,
            ..Config::default()
        }),
        Vec::<String>::new()
    );
}

#[test]
fn the_default_file_has_every_key_with_its_doc_and_reads_back_as_the_defaults() {
    let text = Config::default().to_toml();
    assert_eq!(read(&text), Config::default());
    for key in keys() {
        let (doc, name) = (key.doc(), key.name().rsplit('.').next().unwrap());
        assert!(text.contains(&format!("# {doc}\n{name} = ")), "{name}");
    }
}

#[test]
fn any_configuration_survives_being_written_and_read() {
    let mut config = Config {
        host: "2001:db8::1".parse().unwrap(),
        cors_origins: vec!["*".into(), "http://a\"b".into()],
        default_envelope: Envelope::TypePayload,
        channels: vec!["orders".into()],
        events: BTreeMap::from([
            ("order.created".to_owned(), "orders".to_owned()),
            ("a \"b\"\\ é".to_owned(), String::new()),
        ]),
        log_format: LogFormat::Json,
        org_limits: BTreeMap::from([(
            "a \"b\" é".into(),
            OrgLimits {
                max_connections: Some(0),
                messages_per_second: Some(7),
                ..OrgLimits::default()
            },
        )]),
        ..Config::default()
    };
    config.auth.allow_insecure = true;
    assert_eq!(read(&config.to_toml()), config);
}

#[test]
fn a_number_beyond_toml_is_a_comment_and_not_a_panic() {
    let text = Config {
        ping_timeout_ms: u64::MAX,
        ..Config::default()
    }
    .to_toml();
    assert!(text.starts_with("# not expressible"), "{text}");
    assert!(text.parse::<Table>().unwrap().is_empty(), "{text}");
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
