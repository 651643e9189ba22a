//! Names that are almost those of the protocol. An unknown member of an object is harmless as a
//! rule; one that was meant to narrow something down, and is overlooked, makes it wider.

use serde_json::{Map, Value};

use super::error::ClientError;
use super::fields::{Field, shown};

/// How like two names must be for the one to be taken for a slip of the other.
const ALIKE: f64 = 0.75;

/// Stems that are shorter are like too many other names.
const SHORT_STEM: usize = 6;

/// Nobody sends more in good faith.
const MAX_MEMBERS: usize = 100;

/// Pairs of names that are compared letter by letter for one object: each takes microseconds. Nobody
/// has so many members in good faith that are made of the letters of known ones.
const MAX_COMPARISONS: usize = 32;

/// Refuses a member that is none of `fields` and looks like one of them that the object does not have.
/// `null` is no value, and what is like nothing known is left to whoever sent it.
pub fn check(object: &Map<String, Value>, what: &str, fields: &[Field]) -> Result<(), ClientError> {
    if object.len() > MAX_MEMBERS {
        let count = object.len();
        return Err(ClientError::invalid(format!(
            "{what} has {count} members; {MAX_MEMBERS} are allowed"
        )));
    }
    let mut speller = Speller::new(fields);
    for (name, _) in object.iter().filter(|(_, value)| !value.is_null()) {
        let meant = speller.meant(name).map_err(|TooAlike| {
            let known = list(fields);
            ClientError::invalid(format!(
                "{what} has too many members that are almost known; {known}"
            ))
        })?;
        if let Some(field) = meant
            && field.find(object)?.is_none()
        {
            return Err(unknown(what, name, fields, Some(field)));
        }
    }
    Ok(())
}

/// Refuses every member that is none of `fields`.
pub fn check_all<T: AsRef<str>>(
    names: impl IntoIterator<Item = T>,
    what: &str,
    fields: &[Field],
) -> Result<(), ClientError> {
    let mut names = names.into_iter();
    match names.find(|name| !is_known(name.as_ref(), fields)) {
        None => Ok(()),
        Some(name) => {
            let name = name.as_ref();
            // One name alone is never too much.
            let meant = Speller::new(fields).meant(name).unwrap_or_default();
            Err(unknown(what, name, fields, meant))
        }
    }
}

fn list(fields: &[Field]) -> String {
    let known: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    match known.as_slice() {
        [] => "it takes none".to_owned(),
        names => format!("known are {}", names.join(", ")),
    }
}

fn unknown(what: &str, name: &str, fields: &[Field], meant: Option<Field>) -> ClientError {
    let known = list(fields);
    let hint = meant.map_or_else(String::new, |field| {
        format!("did you mean `{}`? ", field.name())
    });
    let name = shown(name);
    ClientError::invalid(format!("{what} has an unknown `{name}`; {hint}{known}"))
}

fn is_known(name: &str, fields: &[Field]) -> bool {
    fields.iter().any(|field| field.0.contains(&name))
}

/// Too many names had to be compared.
#[derive(Debug, PartialEq, Eq)]
struct TooAlike;

/// Knows the fields, and how much work is left.
struct Speller<'a> {
    fields: &'a [Field],
    aliases: Vec<(Field, Plain)>,
    comparisons_left: usize,
}

impl<'a> Speller<'a> {
    fn new(fields: &'a [Field]) -> Self {
        let mut aliases: Vec<(Field, Plain)> = Vec::new();
        for field in fields {
            for alias in field.0 {
                let plain = Plain::of(alias);
                if !aliases.iter().any(|(_, known)| known.whole == plain.whole) {
                    aliases.push((*field, plain));
                }
            }
        }
        Self {
            fields,
            aliases,
            comparisons_left: MAX_COMPARISONS,
        }
    }

    /// The field that a name which is none of them looks most like.
    fn meant(&mut self, name: &str) -> Result<Option<Field>, TooAlike> {
        if is_known(name, self.fields) || name.len() > 64 {
            return Ok(None);
        }
        let written = Plain::of(name);
        let mut best: Option<(Field, f64)> = None;
        for (field, alias) in &self.aliases {
            if written.may_be(alias) {
                let left = self.comparisons_left.checked_sub(1);
                self.comparisons_left = left.ok_or(TooAlike)?;
                let likeness = written.likeness(alias);
                if likeness > ALIKE && best.is_none_or(|(_, before)| likeness >= before) {
                    best = Some((*field, likeness));
                }
            }
        }
        Ok(best.map(|(field, _)| field))
    }
}

/// A name without what people get wrong first, and its letters.
struct Plain {
    whole: String,
    letters: Letters,
    letters_of_stem: Letters,
}

impl Plain {
    fn of(name: &str) -> Self {
        let whole = plain(name);
        Self {
            letters: Letters::of(&whole),
            letters_of_stem: Letters::of(stem(&whole)),
            whole,
        }
    }

    /// Whether it can be alike, by the letters alone, which is looked up in no time.
    fn may_be(&self, alias: &Self) -> bool {
        self.letters.most_alike(&alias.letters) > ALIKE
            || self.letters_of_stem.most_alike(&alias.letters_of_stem) > ALIKE
    }

    fn likeness(&self, alias: &Self) -> f64 {
        likeness(&self.whole, &alias.whole)
    }
}

/// How often each letter and digit is in a text; all others count as one.
struct Letters {
    counts: [u8; 37],
    length: usize,
}

impl Letters {
    fn of(text: &str) -> Self {
        let mut counts = [0; 37];
        for character in text.chars() {
            let slot = match character {
                'a'..='z' => character as usize - 'a' as usize,
                '0'..='9' => 26 + (character as usize - '0' as usize),
                _ => 36,
            };
            counts[slot] += 1;
        }
        let length = text.chars().count();
        Self { counts, length }
    }

    /// No less than how like the texts are: each letter that is not in both has to be changed.
    #[expect(clippy::cast_precision_loss, reason = "names are short")]
    fn most_alike(&self, other: &Self) -> f64 {
        let both: usize = self
            .counts
            .iter()
            .zip(&other.counts)
            .map(|(one, other)| usize::from(*one.min(other)))
            .sum();
        both as f64 / self.length.max(other.length).max(1) as f64
    }
}

fn likeness(written: &str, alias: &str) -> f64 {
    let whole = strsim::normalized_damerau_levenshtein(written, alias);
    let (written, alias) = (stem(written), stem(alias));
    let stems = if written == alias {
        1.0
    } else if alias.len() < SHORT_STEM {
        0.0
    } else {
        strsim::normalized_damerau_levenshtein(written, alias)
    };
    whole.max(stems)
}

/// Without what people get wrong first: case, dashes, blanks.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// `department` of `departmentid`, `departmentname` and `departments`.
fn stem(plain: &str) -> &str {
    ["ids", "names", "id", "name", "s"]
        .iter()
        .find_map(|end| plain.strip_suffix(end).filter(|stem| stem.len() > 2))
        .unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::fields::{DEPARTMENT, ORGANIZATION, QUEUE};

    const FIELDS: [Field; 3] = [ORGANIZATION, DEPARTMENT, QUEUE];

    fn field_meant_by(name: &str) -> Option<&'static str> {
        let meant = Speller::new(&FIELDS).meant(name);
        meant.unwrap().map(Field::name)
    }

    /// The definition, without what saves work.
    fn naively_meant(name: &str) -> Option<&'static str> {
        let written = plain(name);
        FIELDS
            .iter()
            .flat_map(|field| field.0.iter().map(move |alias| (*field, plain(alias))))
            .map(|(field, alias)| (field, likeness(&written, &alias)))
            .filter(|(_, likeness)| *likeness > ALIKE)
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|_| !is_known(name, &FIELDS) && name.len() <= 64)
            .map(|(field, _)| field.name())
    }

    #[test]
    fn slips_are_known_for_what_was_meant() {
        for (field, slips) in [
            (
                "organization_id",
                &[
                    "orgnization_id",
                    "organisation_id",
                    "organisationId",
                    "organization",
                    "OrganizationID",
                    "organizationid",
                    "organization-id",
                    "org",
                    "orgs",
                    "orgID",
                    "company",
                    "compnay_id",
                    "companyID",
                    "tenant",
                    "tenent_id",
                    "TENANT_ID",
                    "store",
                    "storeID",
                    "stroeId",
                    " org_id",
                    "organization_ids",
                ][..],
            ),
            (
                "department_id",
                &[
                    "department",
                    "departmentID",
                    "departement_id",
                    "departmentIds",
                    "dept",
                    "dept_ID",
                    "DeptId",
                    "depratment_id",
                    "department_name",
                    "department_id ",
                ],
            ),
            (
                "queue_name",
                &[
                    "queueName ",
                    "queue-name",
                    "QueueName",
                    "queues",
                    "queue_id",
                    "quene",
                    "queu_name",
                    "Queue",
                ],
            ),
        ] {
            for slip in slips {
                assert_eq!(field_meant_by(slip), Some(field), "{slip:?}");
            }
        }
    }

    #[test]
    fn other_words_are_nobodys_slips() {
        for name in [
            "",
            "id",
            "name",
            "user",
            "user_id",
            "userId",
            "token",
            "timestamp",
            "sessionId",
            "clientTime",
            "priority",
            "cascade",
            "event",
            "type",
            "data",
            "payload",
            "employee_id",
            "shift_id",
            "widgetId",
            "requires_ack",
            "sub",
            "since",
            "limit",
            "version",
            "locale",
            "request_id",
            "client_id",
            "team",
            "region",
            "site",
            "score",
            "order",
            "depth",
        ] {
            assert_eq!(field_meant_by(name), None, "{name:?}");
        }
        assert_eq!(field_meant_by(&"organization_id".repeat(9)), None);
    }

    #[test]
    fn a_slip_beside_what_was_meant_or_without_a_value_does_no_harm() {
        for (object, is_harmless) in [
            (json!({"department_id": "d", "department": "Sales"}), true),
            (json!({"deptId": "d", "department_name": "Sales"}), true),
            (json!({"department": null}), true),
            (json!({"department_id": null, "department": "d"}), false),
            (json!({"queue": "q", "department": "d"}), false),
        ] {
            let outcome = check(object.as_object().unwrap(), "it", &FIELDS);
            assert_eq!(outcome.is_ok(), is_harmless, "{object}: {outcome:?}");
        }
    }

    #[test]
    fn an_object_can_not_be_made_of_work() {
        let members = |count: usize| (0..count).map(|at| (format!("x{at}"), json!(1))).collect();
        assert!(check(&members(MAX_MEMBERS), "it", &FIELDS).is_ok());
        assert!(check(&members(MAX_MEMBERS + 1), "it", &FIELDS).is_err());
    }

    #[test]
    fn what_is_known_is_said() {
        let object = json!({"dept": "d\n"});
        let error = check(object.as_object().unwrap(), "the filter", &FIELDS).unwrap_err();
        assert_eq!(
            error.message,
            "the filter has an unknown `dept`; did you mean `department_id`? known are \
             organization_id, department_id, queue_name"
        );
        let long = "x\n".repeat(500);
        let error = check_all([&long], "it", &[]).unwrap_err();
        assert!(error.message.len() < 200 && error.message.ends_with("`; it takes none"));
    }

    #[test]
    fn what_is_made_of_the_letters_of_known_names_is_not_compared_for_ever() {
        // Its letters in another order are like nothing, and each has to be compared to know.
        let mut letters: Vec<char> = "organizationid".chars().collect();
        let mut members = Map::new();
        let mut random: usize = 1;
        for _ in 0..10 * MAX_MEMBERS {
            for at in 1..letters.len() {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                letters.swap(at, (random >> 33) % (at + 1));
            }
            let name: String = letters.iter().collect();
            if members.len() == MAX_MEMBERS {
                break;
            }
            if field_meant_by(&name).is_none() {
                members.insert(name, json!(1));
            }
        }
        let error = check(&members, "it", &FIELDS).unwrap_err();
        assert!(
            error
                .message
                .starts_with("it has too many members that are almost known")
        );
        // Others cost nothing.
        let mut speller = Speller::new(&FIELDS);
        for at in 0..MAX_MEMBERS {
            speller.meant(&format!("x{at}")).unwrap();
            speller.meant(&format!("payload_{at}")).unwrap();
        }
        assert_eq!(speller.comparisons_left, MAX_COMPARISONS);
    }

    fn slip() -> impl Strategy<Value = String> {
        let aliases: Vec<&str> = FIELDS.iter().flat_map(|field| field.0).copied().collect();
        let slips = proptest::collection::vec((any::<prop::sample::Index>(), "[a-z_ -]?"), 0..5);
        (prop::sample::select(aliases), slips).prop_map(|(alias, slips)| {
            let mut name: Vec<char> = alias.chars().collect();
            for (at, letter) in slips {
                let at = at.index(name.len());
                match letter.chars().next() {
                    Some(letter) => name.insert(at, letter),
                    None if name.len() > 1 => drop(name.remove(at)),
                    None => {}
                }
            }
            name.into_iter().collect()
        })
    }

    proptest! {
        #[test]
        fn what_saves_work_changes_no_answer(name in prop_oneof!["\\PC{0,70}", slip()]) {
            prop_assert_eq!(field_meant_by(&name), naively_meant(&name));
        }
    }
}
