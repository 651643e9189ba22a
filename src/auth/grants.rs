//! Grants out of a token's claim: `{"channels": [..], "departments": [..], "queues": [..],
//! "events": [..]}`.

use serde_json::{Map, Value};

use crate::domain::error::{ClientError, Code, reason};
use crate::domain::fields::{self, Field};
use crate::domain::grants::{Grants, Nodes};
use crate::domain::identity::{DepartmentId, QueueName};
use crate::domain::room::Channel;

const CHANNELS: Field = Field(&["channels"]);
const DEPARTMENTS: Field = Field(&["departments", "department_ids"]);
const QUEUES: Field = Field(&["queues", "queue_names"]);
const EVENTS: Field = Field(&["events"]);

/// Without the claim everything is granted that needs no grant. A member that is not known is
/// refused: it may be a misspelt restriction.
pub fn read(claim: Option<&Value>) -> Result<Grants, ClientError> {
    let object = match claim {
        None | Some(Value::Null) => return Ok(Grants::default()),
        Some(Value::Object(object)) => object,
        Some(other) => {
            let kind = fields::kind_of(other);
            return Err(refused(format!("the grants are {kind}, not an object")));
        }
    };
    for name in object.keys() {
        let known = [CHANNELS, DEPARTMENTS, QUEUES, EVENTS];
        if !known.iter().any(|field| field.0.contains(&name.as_str())) {
            let name: String = name.chars().take(64).collect();
            return Err(refused(format!("the grants have an unknown `{name}`")));
        }
    }
    let channels = set(object, CHANNELS, Channel::new)?;
    let departments = set(object, DEPARTMENTS, DepartmentId::new)?;
    let queues = set(object, QUEUES, QueueName::new)?;
    let events = set(object, EVENTS, |name| Ok::<_, ClientError>(name.to_owned()))?;
    let nodes = (departments.is_some() || queues.is_some()).then(|| Nodes {
        departments: departments.unwrap_or_default(),
        queues: queues.unwrap_or_default(),
    });
    Ok(Grants {
        channels,
        nodes,
        events: events.unwrap_or_default(),
    })
}

fn set<T: Ord, E: std::fmt::Display>(
    object: &Map<String, Value>,
    field: Field,
    make: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<std::collections::BTreeSet<T>>, ClientError> {
    let texts = fields::texts(object, field).map_err(|error| refused(error.message))?;
    texts
        .map(|texts| {
            texts
                .iter()
                .map(|text| {
                    make(text).map_err(|problem| {
                        refused(format!("the grants' `{}`: {problem}", field.name()))
                    })
                })
                .collect()
        })
        .transpose()
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> ClientError {
    ClientError::new(Code::AuthFailed, message).because(reason::CLAIM_INVALID)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_claim_of_the_contract_is_read() {
        let claim = json!({"channels": ["kpi", "alerts"], "departments": ["dept_456"]});
        let grants = read(Some(&claim)).unwrap();
        assert_eq!(grants.channels.unwrap().len(), 2);
        let nodes = grants.nodes.unwrap();
        assert_eq!(nodes.departments.len(), 1);
        assert!(nodes.queues.is_empty());
        assert!(grants.events.is_empty());
        assert_eq!(read(None).unwrap(), Grants::default());
    }

    #[test]
    fn a_restriction_that_is_not_understood_is_no_permission() {
        for bad in [
            json!([]),
            json!("kpi"),
            json!({"channel": ["kpi"]}),
            json!({"channels": {"kpi": true}}),
            json!({"channels": ["KPI"]}),
            json!({"channels": [7]}),
            json!({"departments": [""]}),
            json!({"queues": ["a\u{0}b"]}),
        ] {
            let error = read(Some(&bad)).unwrap_err();
            assert_eq!(error.code, Code::AuthFailed, "{bad}");
        }
    }

    #[test]
    fn an_empty_list_grants_nothing() {
        let grants = read(Some(&json!({"channels": [], "queues": []}))).unwrap();
        assert!(grants.channels.unwrap().is_empty());
        assert_eq!(grants.nodes, Some(Nodes::default()));
    }
}
