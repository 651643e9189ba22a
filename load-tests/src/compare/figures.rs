//! Writes what a comparison found into documents.
//!
//! A document has a place for each table, between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`,
//! each on a line of its own. What stands between them is replaced.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::markdown::{BLOCKS, headline, render};
use super::{Outcome, chart};
use crate::error::LoadError;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What `compare --json` wrote
    #[arg(long, default_value = "bench.json")]
    pub from: PathBuf,
    /// Also draw the headline's figures into this file, which the headline then shows
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// The documents to write into
    #[arg(required = true)]
    pub documents: Vec<PathBuf>,
}

/// Writes every document, or none: what is missing is found before.
pub fn run(options: &Options) -> Result<(), LoadError> {
    let read = |path: &PathBuf| {
        fs::read_to_string(path).map_err(|error| LoadError::Read(path.clone(), error))
    };
    let outcome: Outcome = serde_json::from_str(&read(&options.from)?)
        .map_err(|error| LoadError::Read(options.from.clone(), error.into()))?;
    if outcome.quick {
        return Err(LoadError::Usage(format!(
            "{} is of a quick comparison, whose figures are for nobody else; `make bench` makes \
             those for documents",
            options.from.display()
        )));
    }
    let picture = options.svg.as_ref().map(|path| path.to_string_lossy());
    let mut written = Vec::new();
    for path in &options.documents {
        let text = fill(&read(path)?, |name| {
            render(name, &outcome, picture.as_deref())
        })
        .map_err(|problem| LoadError::Usage(format!("{}: {problem}", path.display())))?;
        written.push((path, text));
    }
    if let Some(path) = &options.svg {
        written.push((path, chart::draw(&headline(&outcome), &[])));
    }
    for (path, text) in written {
        fs::write(path, text).map_err(|error| LoadError::Write(path.clone(), error))?;
    }
    Ok(())
}

/// The document with every block rendered anew.
fn fill(document: &str, render: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let mut filled = String::with_capacity(document.len());
    let mut lines = document.lines();
    let mut found = 0;
    while let Some(line) = lines.next() {
        filled.push_str(line);
        filled.push('\n');
        let Some(name) = line
            .strip_prefix("<!-- bench:")
            .and_then(|rest| rest.strip_suffix(" -->"))
        else {
            continue;
        };
        let end = format!("<!-- /bench:{name} -->");
        if !lines.any(|line| line == end) {
            return Err(format!("no line `{end}` follows `{line}`"));
        }
        filled.push_str(&render(name)?);
        filled.push_str(&end);
        filled.push('\n');
        found += 1;
    }
    if found == 0 {
        let names = BLOCKS.join(", ");
        return Err(format!(
            "no line `<!-- bench:NAME -->`, where NAME is one of {names}"
        ));
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;

    const DOCUMENT: &str = "a\n<!-- bench:one -->\nold\n\nolder\n<!-- /bench:one -->\nb\n";

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let render = |name: &str| Ok(format!("new {name}\n"));
        let filled = fill(DOCUMENT, render).unwrap();
        assert_eq!(
            filled,
            "a\n<!-- bench:one -->\nnew one\n<!-- /bench:one -->\nb\n"
        );
        assert_eq!(fill(&filled, render).unwrap(), filled);
    }

    #[test]
    fn a_document_that_can_not_be_filled_says_why() {
        let render = |_: &str| Ok(String::new());
        let problem = fill("a\n", render).unwrap_err();
        assert!(problem.contains("headline"), "{problem}");
        let problem = fill("<!-- bench:one -->\n", render).unwrap_err();
        assert!(problem.contains("<!-- /bench:one -->"), "{problem}");
        let problem = fill(DOCUMENT, |name| super::render(name, &outcome(), None)).unwrap_err();
        assert!(problem.contains("`one`"), "{problem}");
    }

    #[test]
    fn the_documents_of_this_repository_have_a_place_for_every_table() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("bench.json");
        fs::write(&from, serde_json::to_string(&outcome()).unwrap()).unwrap();
        let mut filled = String::new();
        let documents = ["README.md", "docs/performance.md"].map(|name| {
            let copy = directory.path().join(name.replace('/', "-"));
            fs::copy(format!("{root}/{name}"), &copy).unwrap();
            copy
        });
        let options = Options {
            from,
            svg: Some(directory.path().join("figures.svg")),
            documents: documents.to_vec(),
        };
        run(&options).unwrap();
        for document in documents {
            filled.push_str(&fs::read_to_string(document).unwrap());
        }
        for name in BLOCKS {
            let begin = format!("<!-- bench:{name} -->\n");
            assert_eq!(filled.matches(&begin).count(), 1, "{name}");
        }
        let svg = fs::read_to_string(directory.path().join("figures.svg")).unwrap();
        assert!(svg.contains("one-publisher"), "{svg}");
    }

    #[test]
    fn quick_figures_are_for_no_document() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("bench.json");
        let quick = Outcome {
            quick: true,
            ..outcome()
        };
        fs::write(&from, serde_json::to_string(&quick).unwrap()).unwrap();
        let options = Options {
            from,
            svg: None,
            documents: Vec::new(),
        };
        assert!(matches!(run(&options), Err(LoadError::Usage(_))));
    }
}
