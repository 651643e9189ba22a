//! Names that are almost those of the protocol. An unknown member of an object is harmless as a
//! rule; one that was meant to narrow something down, and is overlooked, makes it wider.

use serde_json::{Map, Value};

use super::fault::Fault;
use super::words::{Word, shown};

/// How like two names must be for the one to be taken for a slip of the other.
const ALIKE: f64 = 0.75;

/// Stems that are shorter are like too many other words.
const SHORT_STEM: usize = 6;

/// Nobody sends more in good faith, and each is compared with every name there is.
const MAX_MEMBERS: usize = 100;

/// Refuses a member that is none of `words` and looks like one of them that the object does not have.
/// `null` is no value, and what is like nothing known is left to whoever sent it.
pub fn check(object: &Map<String, Value>, what: &str, words: &[Word]) -> Result<(), Fault> {
    if object.len() > MAX_MEMBERS {
        let count = object.len();
        return Err(Fault::invalid(format!(
            "{what} has {count} members; {MAX_MEMBERS} are allowed"
        )));
    }
    for (name, _) in object.iter().filter(|(_, value)| !value.is_null()) {
        if let Some(word) = meant(name, words)
            && word.find(object)?.is_none()
        {
            return Err(unknown(what, name, words));
        }
    }
    Ok(())
}

/// Refuses every member that is none of `words`.
pub fn check_all<T: AsRef<str>>(
    names: impl IntoIterator<Item = T>,
    what: &str,
    words: &[Word],
) -> Result<(), Fault> {
    let mut names = names.into_iter();
    match names.find(|name| !is_known(name.as_ref(), words)) {
        None => Ok(()),
        Some(name) => Err(unknown(what, name.as_ref(), words)),
    }
}

fn unknown(what: &str, name: &str, words: &[Word]) -> Fault {
    let known: Vec<&str> = words.iter().map(|word| word.name()).collect();
    let known = match known.as_slice() {
        [] => "it takes none".to_owned(),
        names => format!("known are {}", names.join(", ")),
    };
    let hint = meant(name, words).map_or_else(String::new, |word| {
        format!("did you mean `{}`? ", word.name())
    });
    let name = shown(name);
    Fault::invalid(format!("{what} has an unknown `{name}`; {hint}{known}"))
}

fn is_known(name: &str, words: &[Word]) -> bool {
    words.iter().any(|word| word.0.contains(&name))
}

/// The word that a name which is none of them looks most like.
fn meant(name: &str, words: &[Word]) -> Option<Word> {
    if is_known(name, words) || name.len() > 64 {
        return None;
    }
    let written = plain(name);
    words
        .iter()
        .flat_map(|word| word.0.iter().map(move |alias| (*word, plain(alias))))
        .map(|(word, alias)| (word, likeness(&written, &alias)))
        .filter(|(_, likeness)| *likeness > ALIKE)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(word, _)| word)
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
    use crate::domain::words::{DEPARTMENT, ORGANIZATION, QUEUE};

    const WORDS: [Word; 3] = [ORGANIZATION, DEPARTMENT, QUEUE];

    fn word_meant_by(name: &str) -> Option<&'static str> {
        meant(name, &WORDS).map(Word::name)
    }

    #[test]
    fn slips_are_known_for_what_was_meant() {
        for (word, slips) in [
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
                assert_eq!(word_meant_by(slip), Some(word), "{slip:?}");
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
            assert_eq!(word_meant_by(name), None, "{name:?}");
        }
        assert_eq!(word_meant_by(&"organization_id".repeat(9)), None);
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
            let outcome = check(object.as_object().unwrap(), "it", &WORDS);
            assert_eq!(outcome.is_ok(), is_harmless, "{object}: {outcome:?}");
        }
    }

    #[test]
    fn an_object_can_not_be_made_of_work() {
        let members = |count: usize| (0..count).map(|at| (format!("x{at}"), json!(1))).collect();
        assert!(check(&members(MAX_MEMBERS), "it", &WORDS).is_ok());
        assert!(check(&members(MAX_MEMBERS + 1), "it", &WORDS).is_err());
    }

    #[test]
    fn what_is_known_is_said() {
        let object = json!({"dept": "d\n"});
        let fault = check(object.as_object().unwrap(), "the filter", &WORDS).unwrap_err();
        assert_eq!(
            fault.message,
            "the filter has an unknown `dept`; did you mean `department_id`? known are \
             organization_id, department_id, queue_name"
        );
        let long = "x\n".repeat(500);
        let fault = check_all([&long], "it", &[]).unwrap_err();
        assert!(fault.message.len() < 200 && fault.message.ends_with("`; it takes none"));
    }

    proptest! {
        #[test]
        fn every_name_is_looked_at_without_a_panic(name in "\\PC{0,70}") {
            let _ = word_meant_by(&name);
        }
    }
}
