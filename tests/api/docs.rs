//! The README's tables say what the code says.

use std::collections::BTreeMap;

use orgcast::config::keys::{KEYS, default_values, value_at};
use orgcast::domain::error::{CloseReason, Code};
use orgcast::domain::event::Catalogue;
use orgcast::metrics::rejections::Rejection;

const README: &str = include_str!("../../README.md");
const PROTOCOL: &str = include_str!("../../docs/protocol.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

#[test]
fn the_readme_has_every_configuration_key_with_its_default() {
    let defaults = default_values();
    // A channel may have the name of a key.
    let (_, configuration) = README.split_once("\n## Configuration\n").unwrap();
    for (key, _) in KEYS {
        let value = value_at(&defaults, key)
            .unwrap()
            .to_string()
            .replace('"', "");
        let row = configuration
            .lines()
            .find(|line| line.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("`{key}` is not in the README"));
        let shown = row.split('|').nth(2).unwrap().replace(['`', '"'], "");
        assert_eq!(shown.trim(), value, "{key}");
        let meaning = row.split('|').nth(3).unwrap().trim();
        assert!(!meaning.is_empty(), "`{key}` has no meaning");
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
