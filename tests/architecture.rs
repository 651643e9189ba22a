//! Holds the shape of the code: which module may use which, and where a library may be named.
//!
//! The rules are applied to the sources and, to prove that they can fail, to sources that break
//! each of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "architecture/graph.rs"]
mod graph;
#[path = "architecture/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use graph::{Graph, Sources, Uses, circles};

/// Modules with their layer. A module may use those of lower layers, and itself.
const LAYERS: &[(&str, u8)] = &[
    ("domain", 0),
    ("metrics", 1),
    ("wire", 2),
    ("auth", 2),
    ("hub", 3),
    ("node", 4),
    ("protocol", 5),
    ("store", 5),
    ("http", 6),
    ("config", 7),
    ("server", 8),
    ("cli", 9),
    ("fuzzing", 10),
];

/// Modules that don't know each other although one lies above the other: `wire` knows bytes only, and
/// who is where is told by neither bytes nor tokens; what is kept is asked of the node.
const APART: &[(&str, &str)] = &[
    ("wire", "domain"),
    ("hub", "wire"),
    ("hub", "auth"),
    ("http", "store"),
];

/// Libraries that may be named only in these files or folders.
const CONFINED: &[(&str, &[&str])] = &[
    ("socketioxide_core", &["protocol/socket_io/decoder.rs"]),
    (
        "socketioxide_parser_common",
        &["protocol/socket_io/decoder.rs"],
    ),
    (
        "engineioxide_core",
        &["protocol/engine_io/", "protocol/socket_io/decoder.rs"],
    ),
    ("flate2", &["wire/"]),
    ("governor", &["hub/rates.rs"]),
    (
        "rustls",
        &[
            "auth/https.rs",
            "wire/tls.rs",
            "config/tls.rs",
            "server/tls.rs",
        ],
    ),
    ("clap", &["cli/"]),
    ("toml", &["config/", "cli/"]),
    (
        "axum",
        &[
            "http/",
            "server/",
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
    "tokio::",
    "std::net::Tcp",
    "std::fs",
    "SystemTime::now",
    "Instant::now",
];

/// Files that use each other in a circle, each set of them with the reason why it may.
const CIRCLES: &[(&[&str], &str)] = &[
    (
        &[
            "hub/connection.rs",
            "hub/deliver.rs",
            "hub/expiry.rs",
            "hub/authenticated.rs",
            "hub/mod.rs",
            "hub/newcomers.rs",
            "hub/registry.rs",
        ],
        "members, expiry and delivery are parts of the hub that call it",
    ),
    (
        &[
            "protocol/engine_io/mod.rs",
            "protocol/engine_io/polling.rs",
            "protocol/engine_io/session/carriers.rs",
            "protocol/engine_io/session/heartbeat.rs",
            "protocol/engine_io/session/mod.rs",
            "protocol/engine_io/websocket.rs",
        ],
        "what sessions share owns them, and a session's heartbeat and carriers are parts of it",
    ),
    (
        &["wire/send_queue/flusher.rs", "wire/send_queue/link.rs"],
        "a link is put into the flusher's queue, which flushes links",
    ),
];

/// How many lines of code a file may have: neither tests nor comments nor blank lines count.
const MAX_LINES: usize = 400;

/// Roots, which belong to no layer.
const ROOTS: &[&str] = &["lib.rs", "main.rs"];

/// What the rules are: those above, or others that a test gives.
struct Rules<'a> {
    layers: &'a [(&'a str, u8)],
    confined: &'a [(&'a str, &'a [&'a str])],
    circles: &'a [(&'a [&'a str], &'a str)],
    libraries: &'a BTreeSet<String>,
}

impl Rules<'_> {
    /// All that the sources, files below `src/` with their text, break.
    fn violations(&self, texts: &BTreeMap<String, String>) -> Vec<String> {
        let sources = read(texts);
        let uses = Graph::new(&sources).uses();
        let mut found = self.stale_entries(texts, &uses);
        for (path, uses) in &uses {
            found.extend(
                self.broken_by(path, uses)
                    .into_iter()
                    .map(|problem| format!("{path}: {problem}")),
            );
            let lines = sources[*path].code_lines;
            if lines > MAX_LINES {
                found.push(format!(
                    "{path}: {lines} lines of code, more than {MAX_LINES}"
                ));
            }
        }
        found.extend(self.circles_not_listed(&uses));
        found
    }

    fn layer_of(&self, module: &str) -> Option<u8> {
        self.layers
            .iter()
            .find(|(name, _)| *name == module)
            .map(|(_, layer)| *layer)
    }

    fn broken_by(&self, path: &str, uses: &Uses) -> Vec<String> {
        let mut found = Vec::new();
        let module = path.split(['/', '.']).next().unwrap_or_default();
        if !ROOTS.contains(&path) {
            let layer = self.layer_of(module);
            if layer.is_none() {
                found.push(format!("{module} has no layer"));
            }
            for other in uses.tops.iter().filter(|other| *other != module) {
                let is_below = self
                    .layer_of(other)
                    .is_some_and(|other| layer > Some(other));
                if !is_below || APART.contains(&(module, other)) {
                    found.push(format!("{module} uses {other}"));
                }
            }
        }
        for (library, homes) in self.confined {
            if names(uses, library) && !homes.iter().any(|home| path.starts_with(home)) {
                found.push(format!("names {library}"));
            }
        }
        if module == "domain" {
            let impure = uses
                .foreign
                .iter()
                .filter(|path| IMPURE.iter().any(|word| format!("{path}::").contains(word)));
            found.extend(impure.map(|path| format!("the pure core names {path}")));
        }
        found.extend(
            uses.globs
                .iter()
                .map(|glob| format!("takes everything from {glob}")),
        );
        found
    }

    fn circles_not_listed(&self, uses: &BTreeMap<&str, Uses>) -> Vec<String> {
        let mut found = Vec::new();
        for circle in circles(uses) {
            let is_listed = self
                .circles
                .iter()
                .any(|(files, _)| circle.iter().all(|file| files.contains(&file.as_str())));
            if is_listed {
                continue;
            }
            found.push(format!("a circle of files that is not listed: {circle:?}"));
            for file in &circle {
                let on: Vec<_> = uses[file.as_str()].files.intersection(&circle).collect();
                found.push(format!("  {file} uses {on:?}"));
            }
        }
        found
    }

    /// Entries of the tables that no longer say anything.
    fn stale_entries(
        &self,
        texts: &BTreeMap<String, String>,
        uses: &BTreeMap<&str, Uses>,
    ) -> Vec<String> {
        let mut found = Vec::new();
        for (module, _) in self.layers {
            let is_there = texts.keys().any(|path| {
                path.strip_prefix(module)
                    .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
            if !is_there {
                found.push(format!("there is no module {module}"));
            }
        }
        for (library, homes) in self.confined {
            if !self.libraries.contains(*library) {
                found.push(format!("there is no library {library}"));
            }
            for home in *homes {
                let is_named = uses
                    .iter()
                    .any(|(path, uses)| path.starts_with(home) && names(uses, library));
                if !is_named {
                    found.push(format!("nothing at {home} names {library}"));
                }
            }
        }
        let circles = circles(uses);
        for (files, reason) in self.circles {
            for file in *files {
                let is_in_one = circles.iter().any(|circle| circle.contains(*file));
                if !is_in_one {
                    found.push(format!(
                        "{file} is in no circle, but is listed with {files:?}"
                    ));
                }
            }
            if reason.is_empty() {
                found.push(format!("a circle without a reason: {files:?}"));
            }
        }
        found
    }
}

fn names(uses: &Uses, library: &str) -> bool {
    uses.foreign
        .iter()
        .any(|path| path.split("::").next() == Some(library))
}

/// What the files say, those left out that belong to tests only.
fn read(files: &BTreeMap<String, String>) -> Sources {
    let mut sources = Sources::new();
    let mut tests = BTreeSet::new();
    for (path, text) in files {
        let source = source::read(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let folder = match path.strip_suffix("mod.rs").or(path.strip_suffix("lib.rs")) {
            Some(folder) => folder.to_owned(),
            None => format!("{}/", path.trim_end_matches(".rs")),
        };
        for name in &source.test_files {
            if Path::new(name).extension().is_some() {
                let beside = Path::new(path).with_file_name(name);
                tests.insert(beside.to_string_lossy().into_owned());
            } else {
                tests.insert(format!("{folder}{name}.rs"));
                tests.insert(format!("{folder}{name}/"));
            }
        }
        sources.insert(path.clone(), source);
    }
    sources.retain(|path, _| {
        !tests
            .iter()
            .any(|test| path == test || (test.ends_with('/') && path.starts_with(test.as_str())))
    });
    sources
}

fn read_texts(folder: &Path, below: &str, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            read_texts(&entry.path(), &format!("{name}/"), into);
        } else if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "rs")
        {
            into.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// What may be named in our sources, as it is spelt there.
fn libraries() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(|name| name.replace('-', "_"))
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_file_keeps_to_the_rules() {
    let mut texts = BTreeMap::new();
    read_texts(&root().join("src"), "", &mut texts);
    assert!(texts.len() > 20, "the sources were not found");
    let rules = Rules {
        layers: LAYERS,
        confined: CONFINED,
        circles: CIRCLES,
        libraries: &libraries(),
    };
    let found = rules.violations(&texts);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What is found in these files by rules for them alone.
fn found_in(files: &[(&str, &str)], circles: &[(&[&str], &str)]) -> Vec<String> {
    let mut texts = BTreeMap::new();
    for (path, text) in files {
        texts.insert((*path).to_owned(), (*text).to_owned());
    }
    let layers: Vec<_> = LAYERS
        .iter()
        .copied()
        .filter(|(name, _)| files.iter().any(|(path, _)| path.starts_with(name)))
        .collect();
    let confined = [("axum", &["http/fine.rs"][..])];
    texts.insert("http/fine.rs".to_owned(), "use axum::Router;".to_owned());
    let layers = [&layers[..], &[("http", 6)]].concat();
    Rules {
        layers: &layers,
        confined: &confined,
        circles,
        libraries: &BTreeSet::from(["axum".to_owned()]),
    }
    .violations(&texts)
}

#[test]
fn each_rule_finds_who_breaks_it() {
    let long = "const A: u8 = 1;\n".repeat(MAX_LINES + 1);
    for (path, text, expected) in [
        ("domain/a.rs", "use crate::hub::Hub;", "domain uses hub"),
        (
            "wire/a.rs",
            "use crate::domain::event::Event;",
            "wire uses domain",
        ),
        (
            "hub/a.rs",
            "use crate::auth::credentials::Credentials;",
            "hub uses auth",
        ),
        (
            "hub/a.rs",
            "use crate::{domain::x, auth::y};",
            "hub uses auth",
        ),
        (
            "hub/a.rs",
            "use super::super::auth as words;",
            "hub uses auth",
        ),
        (
            "hub/a.rs",
            "mod inner { use super::super::super::auth::Y; }",
            "hub uses auth",
        ),
        (
            "hub/a.rs",
            "pub(crate) use crate::auth::Y;",
            "hub uses auth",
        ),
        (
            "hub/a.rs",
            "fn f() { say!(crate::auth::y()) }",
            "hub uses auth",
        ),
        (
            "hub/a.rs",
            "#[cfg(test)] use a::b;\nuse crate::auth::y;",
            "hub uses auth",
        ),
        (
            "hub/a.rs",
            "#[cfg(test)] mod tests { } fn f() { crate::auth::y() }",
            "hub uses auth",
        ),
        (
            "hub/a.rs",
            "struct A { #[cfg(test)] a: u8, b: crate::auth::Y }",
            "hub uses auth",
        ),
        (
            "protocol/a.rs",
            "fn f() { crate::http::router::router() }",
            "protocol uses http",
        ),
        ("nowhere/a.rs", "", "nowhere has no layer"),
        ("hub/a.rs", "use axum::Router;", "names axum"),
        ("hub/a.rs", "use {axum as web};", "names axum"),
        ("hub/a.rs", "fn f() -> ::axum::Router { }", "names axum"),
        (
            "domain/a.rs",
            "fn f() { std::time::Instant::now(); }",
            "the pure core names",
        ),
        (
            "domain/a.rs",
            "use std::{fs, io};",
            "the pure core names std::fs",
        ),
        (
            "domain/a.rs",
            "use std::time; fn f() { time::SystemTime::now(); }",
            "the pure core names",
        ),
        (
            "domain/a.rs",
            "use tokio::spawn;",
            "the pure core names tokio",
        ),
        ("hub/a.rs", "use super::*;", "takes everything from super"),
        ("http/a.rs", &long, "401 lines of code"),
    ] {
        let found = found_in(
            &[
                (path, text),
                ("auth/mod.rs", ""),
                ("hub/mod.rs", ""),
                ("domain/mod.rs", ""),
                ("http/mod.rs", ""),
            ],
            &[],
        );
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "{path}: {text}: {found:?}"
        );
    }
}

#[test]
fn what_keeps_to_the_rules_is_left_alone() {
    let tests = "#[cfg(test)]\nmod tests { use super::*; use crate::app::y; }";
    let comments = "/// crate::auth::x\n// use crate::auth::x;\n\n".repeat(MAX_LINES);
    let words = r#"const A: &str = "use crate::auth::x;"; /* use crate::auth::x; */"#;
    let found = found_in(
        &[
            (
                "hub/mod.rs",
                "mod a; mod b; mod c; #[cfg(test)] mod testing; pub(in crate::app) fn f() {}",
            ),
            (
                "hub/a.rs",
                "use crate::domain::event::Event; // crate::auth::x",
            ),
            ("hub/b.rs", tests),
            ("hub/c.rs", &format!("{comments}{words}")),
            ("hub/testing.rs", "use crate::app::y;"),
            ("domain/event.rs", ""),
        ],
        &[],
    );
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_circle_of_files_is_found_through_groups_and_re_exports() {
    let root = "mod a; mod b; pub use b::B;";
    let two: &[&str] = &["hub/a.rs", "hub/b.rs"];
    let three: &[&str] = &["hub/a.rs", "hub/b.rs", "hub/mod.rs"];
    for (a, b, circle) in [
        ("use super::b::B;", "use super::a::A;", two),
        (
            "use super::{b::{self}};",
            "fn f() { crate::hub::a::f() }",
            two,
        ),
        ("use super::B;", "use crate::hub::a;", two),
        (
            "fn f() -> crate::hub::B {}",
            "use crate::{hub::{a::A}};",
            two,
        ),
        (
            "use crate::hub; fn f() -> hub::B {}",
            "use super::a::A;",
            three,
        ),
    ] {
        let files = [("hub/mod.rs", root), ("hub/a.rs", a), ("hub/b.rs", b)];
        let found = found_in(&files, &[]);
        assert!(
            found[0].ends_with(&format!("not listed: {:?}", BTreeSet::from_iter(circle))),
            "{a} {b}: {found:?}"
        );
        assert_eq!(found_in(&files, &[(circle, "all say so")]), [""; 0]);
        let unfounded = found_in(&files, &[(circle, "")]);
        assert!(unfounded[0].contains("without a reason"), "{unfounded:?}");
    }
    let straight = [
        ("hub/mod.rs", root),
        ("hub/a.rs", "use super::B;"),
        ("hub/b.rs", ""),
    ];
    assert_eq!(found_in(&straight, &[]), [""; 0]);
    let stale = found_in(&straight, &[(two, "all say so")]);
    assert!(stale[0].contains("hub/a.rs is in no circle"), "{stale:?}");
}

#[test]
fn an_entry_of_a_table_for_what_is_not_there_is_found() {
    let texts = BTreeMap::from([("hub/a.rs".to_owned(), "use axum::Router;".to_owned())]);
    let found = Rules {
        layers: &[("hub", 0), ("hu", 1)],
        confined: &[("axum", &["hub/a.rs", "hub/b.rs"]), ("redis", &[])],
        circles: &[],
        libraries: &BTreeSet::from(["axum".to_owned()]),
    }
    .violations(&texts);
    assert_eq!(
        found,
        [
            "there is no module hu",
            "nothing at hub/b.rs names axum",
            "there is no library redis",
        ]
    );
}
