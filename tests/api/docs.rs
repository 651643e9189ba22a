//! The README's tables say what the code says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use orgcast::config::Config;
use orgcast::config::schema::keys;
use orgcast::domain::error::{CloseReason, Code};
use orgcast::domain::event::Catalogue;
use orgcast::metrics::rejections::Rejection;

const README: &str = include_str!("../../README.md");
const PROTOCOL: &str = include_str!("../../docs/protocol.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// The README's table of keys, as the schema has it.
fn table_of_keys() -> String {
    let defaults = Config::default();
    let mut table = "| key | default | meaning |\n|---|---|---|\n".to_owned();
    for key in keys() {
        let default = key.value(&defaults).unwrap().to_string();
        let default = match default.trim_matches('"') {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        // A bar would end the cell.
        let meaning = key.doc().replace('|', "\\|");
        writeln!(table, "| `{}` | {default} | {meaning} |", key.name()).unwrap();
    }
    table
}

/// `WRITE_TABLES=1 cargo test --test api docs` writes it.
#[test]
fn the_readme_has_the_table_of_keys_that_the_schema_makes() {
    let table = table_of_keys();
    if std::env::var_os("WRITE_TABLES").is_some() {
        let (before, rest) = README.split_once("| key | default | meaning |\n").unwrap();
        let after = rest.trim_start_matches(|c| c != '\n');
        let lines = after.split_inclusive('\n').skip(1);
        let after: String = lines.skip_while(|line| line.starts_with('|')).collect();
        let readme = format!("{}/README.md", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(readme, [before, &table, &after].concat()).unwrap();
        return;
    }
    assert!(
        README.contains(&table),
        "the table is not as `WRITE_TABLES=1 cargo test --test api docs` writes it:\n{table}"
    );
}

/// The schema of a file, and what an editor says of one.
#[test]
fn the_json_schema_takes_what_the_server_takes() {
    let schema = orgcast::config::json_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let read = |text: &str| serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
    let defaults = read(&Config::default().to_toml());
    assert_eq!(
        validator
            .validate(&defaults)
            .map_err(|error| error.to_string()),
        Ok(())
    );
    for right in [
        "port = 0",
        "[org_limits.a]\nmax_connections = 5",
        "[api_keys.crm]\nhash = \"sha256:0\"\nscopes = [\"read\"]\norganization = \"a\"",
        "default_envelope = \"type_data\"",
        "[auth]\nalgorithms = [\"ES256\"]",
        "",
    ] {
        assert!(validator.is_valid(&read(right)), "{right}");
    }
    for wrong in [
        "prot = 1",
        "port = 65536",
        "port = \"1\"",
        "max_headers = 9",
        "ping_interval_ms = 0",
        "default_envelope = \"xml\"",
        "channels = [1]",
        "[auth]\nalow_insecure = true",
        "[org_limits.a]\nmax = 5",
        "[tls]\ncert_file = 1",
    ] {
        assert!(!validator.is_valid(&read(wrong)), "{wrong}");
    }
}

#[test]
fn the_readme_has_every_event_in_its_channel() {
    let mut channels: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in Catalogue::new([], []).unwrap().events() {
        let channel = entry
            .channel
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        channels
            .entry(channel)
            .or_default()
            .push(entry.name.to_string());
    }
    for (channel, events) in channels {
        let start = if channel.is_empty() {
            "| none".to_owned()
        } else {
            format!("| `{channel}` |")
        };
        let row = README.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("`{channel}` is not in the README"));
        let mut listed: Vec<&str> = row
            .split('|')
            .nth(2)
            .unwrap()
            .split('`')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .collect();
        listed.sort_unstable();
        let mut events = events;
        events.sort_unstable();
        assert_eq!(listed, events, "{channel}");
    }
}

#[test]
fn the_protocol_has_every_error_code_and_every_close() {
    for code in Code::ALL {
        let row = format!("| `{}` | {} |", code.as_str(), code.http_status());
        assert!(PROTOCOL.contains(&row), "{row}");
    }
    for reason in CloseReason::ALL {
        let row = PROTOCOL
            .lines()
            .find(|line| line.starts_with(&format!("| {} |", reason.code())));
        let row = row.unwrap_or_else(|| panic!("{reason:?}"));
        let text = reason.text().split(':').next().unwrap();
        assert!(row.contains(&format!("`{text}`")), "{reason:?}");
        let says_yes = row.split('|').nth(3).unwrap().trim().starts_with("yes");
        assert_eq!(says_yes, reason.should_reconnect(), "{reason:?}");
    }
}

/// What the first column of the table with this head names.
fn rows(text: &str, head: &str) -> Vec<String> {
    let (_, table) = text.split_once(&format!("| {head} |")).unwrap();
    let mut names: Vec<String> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('`').nth(1).unwrap().to_owned())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn operators_find_every_reason_that_is_counted_and_no_other() {
    let mut closes = CloseReason::ALL.map(CloseReason::label);
    closes.sort_unstable();
    assert_eq!(rows(OPERATIONS, "closed by reason"), closes);
    let mut refusals = Rejection::ALL.map(Rejection::label);
    refusals.sort_unstable();
    assert_eq!(rows(OPERATIONS, "refused by reason"), refusals);
}
