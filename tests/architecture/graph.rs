//! Which file uses which, worked out from the paths that they name, through re-exports.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Module, Source};

/// What one file names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Other files of ours, where what is named is written.
    pub files: BTreeSet<String>,
    /// Modules of the top level, both where a name is found and where it is written.
    pub tops: BTreeSet<String>,
    /// Full paths that lead out of our code.
    pub foreign: BTreeSet<String>,
    /// Modules of ours that everything is taken from.
    pub globs: BTreeSet<String>,
}

/// Files below `src/` with what they say.
pub type Sources = BTreeMap<String, Source>;

pub struct Graph<'a> {
    modules: BTreeMap<Vec<String>, (&'a str, &'a Module)>,
    sources: &'a Sources,
}

enum Found<'a> {
    /// In this file; the modules of the top level that the way led through.
    Ours(&'a str, BTreeSet<String>),
    Foreign(Vec<String>),
}

impl<'a> Graph<'a> {
    pub fn new(sources: &'a Sources) -> Self {
        let mut modules = BTreeMap::new();
        for (path, source) in sources {
            for module in &source.modules {
                let mut name = module_of(path);
                name.extend(module.name.iter().cloned());
                modules.insert(name, (path.as_str(), module));
            }
        }
        Self { modules, sources }
    }

    pub fn uses(&self) -> BTreeMap<&'a str, Uses> {
        self.sources
            .iter()
            .map(|(path, source)| (path.as_str(), self.uses_of(path, source)))
            .collect()
    }

    fn uses_of(&self, file: &str, source: &Source) -> Uses {
        let mut uses = Uses::default();
        for module in &source.modules {
            let mut here = module_of(file);
            here.extend(module.name.iter().cloned());
            let imports = module.imports.iter().map(|import| &import.path);
            for path in imports.chain(&module.paths) {
                match self.find(&here, path, 0) {
                    Found::Ours(found, tops) => {
                        uses.tops.extend(tops);
                        if found != file {
                            uses.files.insert(found.to_owned());
                        }
                    }
                    Found::Foreign(path) => {
                        uses.foreign.insert(path.join("::"));
                    }
                }
            }
            for import in module.imports.iter().filter(|import| import.alias == "*") {
                if let Found::Ours(..) = self.find(&here, &import.path, 0) {
                    uses.globs.insert(import.path.join("::"));
                }
            }
        }
        uses
    }

    /// Where `path`, named in the module `here`, is written.
    fn find(&self, here: &[String], path: &[String], depth: usize) -> Found<'a> {
        let Some(full) = self.full(here, path, depth) else {
            return Found::Foreign(self.foreign(here, path));
        };
        let known = (0..=full.len())
            .rev()
            .find(|length| self.modules.contains_key(&full[..*length]))
            .unwrap_or_default();
        let Some((file, module)) = self.modules.get(&full[..known]) else {
            return Found::Foreign(full);
        };
        let mut tops: BTreeSet<String> = full.first().cloned().into_iter().collect();
        if let Some(item) = full.get(known)
            && depth < 8
            && let Some(import) = module.imports.iter().find(|import| import.alias == *item)
        {
            let mut behind = import.path.clone();
            behind.extend(full[known + 1..].iter().cloned());
            return match self.find(&full[..known], &behind, depth + 1) {
                Found::Ours(file, more) => {
                    tops.extend(more);
                    Found::Ours(file, tops)
                }
                foreign @ Found::Foreign(_) if known == 0 => foreign,
                Found::Foreign(_) => Found::Ours(file, tops),
            };
        }
        Found::Ours(file, tops)
    }

    /// The path from the root of our code, if it leads there.
    fn full(&self, here: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        let first = path.first()?;
        let mut full = here.to_vec();
        match first.as_str() {
            "crate" => full.clear(),
            "self" => {}
            "super" => {
                full.pop()?;
            }
            name => {
                let (_, module) = self.modules.get(here)?;
                if module.children.contains(name) {
                    full.push(name.to_owned());
                } else if depth < 8
                    && let Some(import) = module
                        .imports
                        .iter()
                        .find(|import| import.alias == *name && import.path.len() > 1)
                {
                    full = self.full(here, &import.path, depth + 1)?;
                } else {
                    return None;
                }
            }
        }
        for name in &path[1..] {
            if name == "super" {
                full.pop()?;
            } else {
                full.push(name.clone());
            }
        }
        Some(full)
    }

    /// The path with what an import in `here` puts in the place of its first name.
    fn foreign(&self, here: &[String], path: &[String]) -> Vec<String> {
        let import = self.modules.get(here).and_then(|(_, module)| {
            module
                .imports
                .iter()
                .find(|import| Some(&import.alias) == path.first() && import.path != path)
        });
        match import {
            Some(import) => [&import.path[..], &path[1..]].concat(),
            None => path.to_vec(),
        }
    }
}

/// `hub::registry` for `hub/registry.rs`, `hub` for `hub/mod.rs`, nothing for `lib.rs`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let mut name: Vec<String> = path.split('/').map(str::to_owned).collect();
    if matches!(name.last().map(String::as_str), Some("mod" | "lib")) {
        name.pop();
    }
    name
}

/// Sets of files each of which comes back to itself through all the others, largest first.
pub fn circles(uses: &BTreeMap<&str, Uses>) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = uses
        .keys()
        .map(|file| (*file, reached_from(file, uses)))
        .collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (file, from) in &reached {
        if !from.contains(file) || found.iter().any(|circle| circle.contains(*file)) {
            continue;
        }
        let circle = from
            .iter()
            .filter(|other| reached[*other].contains(file))
            .map(|other| (*other).to_owned());
        found.push(circle.collect());
    }
    found.sort_by_key(|circle| usize::MAX - circle.len());
    found
}

fn reached_from<'a>(file: &str, uses: &'a BTreeMap<&str, Uses>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file];
    while let Some(next) = open.pop() {
        for other in uses.get(next).into_iter().flat_map(|uses| &uses.files) {
            if reached.insert(other.as_str()) {
                open.push(other);
            }
        }
    }
    reached
}
