//! What an operator probably meant.

use super::error::{Origin, Problem};
use super::names::VARIABLE_PREFIX;
use super::schema::find;

/// How alike two names are at least, out of 1, for one to be taken for a slip of the other.
const LEAST_LIKENESS: f64 = 0.5;

/// The known name that looks most like this one, if any looks like it at all.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    // The case and the kind of dash are what people get wrong first; they are no distance. What
    // every variable starts with is no likeness.
    let plain = |name: &str| {
        let name = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name);
        name.to_lowercase().replace('-', "_")
    };
    let mut best = (LEAST_LIKENESS, None);
    for candidate in known {
        let likeness = strsim::normalized_damerau_levenshtein(&plain(name), &plain(&candidate));
        if likeness > best.0 {
            best = (likeness, Some(candidate));
        }
    }
    best.1
}

/// The problem of a key of the file that exists, but not in the table that it stands in.
pub(super) fn misplaced(origin: &Origin) -> Option<Problem> {
    let Origin::File { key, .. } = origin else {
        return None;
    };
    let (table, name) = key.rsplit_once('.')?;
    find(name).is_some().then(|| Problem::Misplaced {
        origin: origin.clone(),
        name: name.to_owned(),
        table: table.to_owned(),
    })
}
