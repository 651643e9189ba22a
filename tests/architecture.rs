//! Holds the shape of the code: which module may use which, and where a library may be named.
//!
//! The rules are applied to the sources and, to prove that they can fail, to sources that break
//! each of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Modules with their layer. A module may use those of lower layers, and itself.
const LAYERS: &[(&str, u8)] = &[
    ("domain", 0),
    ("wire", 1),
    ("auth", 1),
    ("hub", 1),
    ("protocol", 2),
    ("http", 3),
    ("app", 4),
    ("fuzzing", 5),
];

/// `wire` knows bytes only, so it uses nothing of ours.
const ALONE: &[&str] = &["domain", "wire"];

/// Libraries that may be named only in these files or folders.
const CONFINED: &[(&str, &[&str])] = &[
    ("socketioxide", &[]),
    ("socketioxide_core", &["protocol/socket_io/decoder.rs"]),
    (
        "socketioxide_parser_common",
        &["protocol/socket_io/decoder.rs"],
    ),
    ("engineioxide", &[]),
    (
        "engineioxide_core",
        &["protocol/engine_io/", "protocol/socket_io/decoder.rs"],
    ),
    ("flate2", &["wire/"]),
    ("redis", &["store/redis.rs", "cluster/redis.rs"]),
    ("governor", &["hub/rates.rs"]),
    ("rustls", &["auth/https.rs", "wire/tls.rs", "app/tls.rs"]),
    ("clap", &["app/"]),
    ("toml", &["app/"]),
    ("tokio_tungstenite", &[]),
    (
        "axum",
        &[
            "http/",
            "app/",
            "protocol/mod.rs",
            "protocol/engine_io/",
            "protocol/socket_io/mod.rs",
            "fuzzing.rs",
        ],
    ),
    ("jsonwebtoken", &["auth/"]),
];

/// What no module of the pure core may name.
const IMPURE: &[&str] = &[
    "tokio",
    "std::net::Tcp",
    "std::fs",
    "SystemTime::now",
    "Instant::now",
];

/// About how long a file may be, tests left out.
const MAX_LINES: usize = 420;

type Sources = BTreeMap<String, String>;

fn violations(sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources {
        let code = without_tests_and_comments(text);
        let module = path.split(['/', '.']).next().unwrap_or_default();
        let layer = layer_of(module);
        for (other, other_layer) in LAYERS {
            let is_used = [
                format!("crate::{other}::"),
                format!("crate::{other};"),
                format!("crate::{other} "),
            ]
            .iter()
            .any(|used| code.contains(used.as_str()));
            let allowed = *other == module
                || layer.is_none()
                || (layer > Some(*other_layer) && !ALONE.contains(&module));
            if is_used && !allowed {
                found.push(format!("{path}: {module} uses {other}"));
            }
        }
        for (library, homes) in CONFINED {
            let is_named = code.contains(&format!("{library}::"));
            if is_named && !homes.iter().any(|home| path.starts_with(home)) {
                found.push(format!("{path}: names {library}"));
            }
        }
        if module == "domain" {
            for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                found.push(format!("{path}: the pure core names {word}"));
            }
        }
        if code.lines().count() > MAX_LINES {
            found.push(format!("{path}: longer than {MAX_LINES} lines"));
        }
    }
    found
}

fn layer_of(module: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

fn without_tests_and_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn read_sources(folder: &Path, below: &str, into: &mut Sources) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            read_sources(&entry.path(), &format!("{name}/"), into);
        } else if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "rs")
        {
            into.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

#[test]
fn every_module_keeps_to_its_layer() {
    let mut sources = Sources::new();
    read_sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        "",
        &mut sources,
    );
    assert!(sources.len() > 20, "the sources were not found");
    let found = violations(&sources);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_has_a_layer() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(src).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let is_root = matches!(name.as_str(), "main.rs" | "lib.rs" | "fuzzing.rs");
        assert!(is_root || layer_of(&name).is_some(), "{name} has no layer");
    }
}

#[test]
fn each_rule_finds_who_breaks_it() {
    for (path, text, expected) in [
        ("domain/a.rs", "use crate::hub::Hub;", "domain uses hub"),
        (
            "wire/a.rs",
            "use crate::domain::event::Event;",
            "wire uses domain",
        ),
        (
            "hub/a.rs",
            "use crate::auth::claim::Claim;",
            "hub uses auth",
        ),
        (
            "protocol/a.rs",
            "fn f() { crate::http::router::router() }",
            "protocol uses http",
        ),
        (
            "hub/a.rs",
            "use socketioxide::SocketIo;",
            "names socketioxide",
        ),
        (
            "protocol/plain/mod.rs",
            "use engineioxide::Socket;",
            "names engineioxide",
        ),
        (
            "domain/a.rs",
            "let now = std::time::Instant::now();",
            "the pure core names",
        ),
        ("http/a.rs", &"line\n".repeat(MAX_LINES + 1), "longer than"),
    ] {
        let found = violations(&Sources::from([(path.to_owned(), text.to_owned())]));
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "{path}: {found:?}"
        );
    }
    let fine = Sources::from([
        (
            "hub/a.rs".to_owned(),
            "use crate::domain::event::Event; // crate::auth::x".to_owned(),
        ),
        (
            "hub/b.rs".to_owned(),
            "// use crate::auth::x;\n#[cfg(test)] use crate::app::y;".to_owned(),
        ),
    ]);
    let found = violations(&fine);
    assert_eq!(
        found.len(),
        1,
        "a comment behind code counts as code: {found:?}"
    );
}
