//! The fields of the protocol (section 1): each thing has one name on output and several on input.

use serde_json::{Map, Value};

use super::error::ClientError;
use super::identity::{DepartmentId, IdError, OrganizationId, QueueName, UserId};
use super::room::Place;

/// A thing with its accepted names; the first one is used on output.
#[derive(Debug, Clone, Copy)]
pub struct Field(pub &'static [&'static str]);

pub const ORGANIZATION: Field = Field(&[
    "organization_id",
    "organizationId",
    "org_id",
    "orgId",
    "company_id",
    "companyId",
    "tenant_id",
    "tenantId",
    "store_id",
    "storeId",
]);
pub const DEPARTMENT: Field = Field(&["department_id", "departmentId", "dept_id", "deptId"]);
pub const QUEUE: Field = Field(&["queue_name", "queueName", "queue"]);
pub const USER: Field = Field(&["user_id", "userId", "sub"]);
pub const USERS: Field = Field(&["user_ids", "userIds"]);
pub const CONNECTIONS: Field = Field(&[
    "socket_ids",
    "socketIds",
    "connection_ids",
    "connectionIds",
    "socket_id",
    "connection_id",
]);
pub const CHANNELS: Field = Field(&["channels", "channel"]);
pub const FILTERS: Field = Field(&["filters", "filter"]);

/// How somebody names their tenant, which tells systems apart that are written to in the same envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tenant {
    #[default]
    Other,
    /// `storeId`
    Store,
    /// `tenant_id`
    Tenant,
}

impl Tenant {
    /// From the spelling that an object uses for the organization: the first of the field's names.
    pub fn of_names<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.collect();
        let first = ORGANIZATION.0.iter().find(|name| names.contains(*name));
        first.map_or(Self::Other, |name| Self::of_alias(name))
    }

    /// From one spelling of the organization.
    pub fn of_alias(name: &str) -> Self {
        if name.starts_with("store") {
            Self::Store
        } else if name.starts_with("tenant") {
            Self::Tenant
        } else {
            Self::Other
        }
    }
}

impl Field {
    pub fn name(self) -> &'static str {
        self.0[0]
    }

    /// The value under any of the names, `null` counting as absent. Two names with different values
    /// are refused: guessing which one was meant could reach the wrong organization.
    pub fn find(
        self,
        object: &Map<String, Value>,
    ) -> Result<Option<(&'static str, &Value)>, ClientError> {
        let mut found: Option<(&'static str, &Value)> = None;
        for name in self.0 {
            let Some(value) = object.get(*name).filter(|value| !value.is_null()) else {
                continue;
            };
            match found {
                Some((first, earlier)) if earlier != value => {
                    return Err(ClientError::invalid(format!(
                        "`{first}` and `{name}` mean the same and differ"
                    )));
                }
                Some(_) => {}
                None => found = Some((name, value)),
            }
        }
        Ok(found)
    }

    /// The id under any of the names. A number is taken as its decimal digits, since many backends
    /// number their users.
    pub fn id<T>(
        self,
        object: &Map<String, Value>,
        make: impl FnOnce(&str) -> Result<T, IdError>,
    ) -> Result<Option<T>, ClientError> {
        let Some((name, value)) = self.find(object)? else {
            return Ok(None);
        };
        id_from(name, value, make).map(Some)
    }
}

/// The id in one value, which errors call `name`.
pub fn id_from<T>(
    name: &str,
    value: &Value,
    make: impl FnOnce(&str) -> Result<T, IdError>,
) -> Result<T, ClientError> {
    let parsed = match value {
        Value::String(text) => make(text),
        Value::Number(number) if number.is_u64() => make(&number.to_string()),
        _ => {
            return Err(wrong_kind(name, "a string", value));
        }
    };
    parsed.map_err(|problem| ClientError::invalid(format!("`{name}` is not an id: {problem}")))
}

/// The user id, if there is one.
pub fn user(object: &Map<String, Value>) -> Result<Option<UserId>, ClientError> {
    USER.id(object, UserId::new)
}

/// The organization, if there is one.
pub fn organization(object: &Map<String, Value>) -> Result<Option<OrganizationId>, ClientError> {
    ORGANIZATION.id(object, OrganizationId::new)
}

/// The place that the object names. `default` is the organization where it names none; without
/// either the place is refused.
pub fn place(
    object: &Map<String, Value>,
    default: Option<&OrganizationId>,
) -> Result<Option<Place>, ClientError> {
    let department = DEPARTMENT.id(object, DepartmentId::new)?;
    let queue = QUEUE.id(object, QueueName::new)?;
    match organization(object)?.or_else(|| default.cloned()) {
        Some(organization) => Ok(Some(Place {
            organization,
            department,
            queue,
        })),
        None if department.is_some() || queue.is_some() => Err(ClientError::invalid(
            "`organization_id` is missing beside the department or queue",
        )),
        None => Ok(None),
    }
}

/// One text or a list of texts, under any of the names.
pub fn texts(
    object: &Map<String, Value>,
    field: Field,
) -> Result<Option<Vec<String>>, ClientError> {
    let Some((name, value)) = field.find(object)? else {
        return Ok(None);
    };
    match value {
        Value::String(text) => Ok(Some(vec![text.clone()])),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                item.as_str().map(str::to_owned).ok_or_else(|| {
                    let kind = kind_of(item);
                    ClientError::invalid(format!(
                        "`{name}` must be a list of strings, and has {kind} in it"
                    ))
                })
            })
            .collect::<Result<_, _>>()
            .map(Some),
        other => Err(wrong_kind(name, "a list of strings", other)),
    }
}

/// A text, under any of the names.
pub fn text(object: &Map<String, Value>, field: Field) -> Result<Option<&str>, ClientError> {
    match field.find(object)? {
        None => Ok(None),
        Some((_, Value::String(text))) => Ok(Some(text)),
        Some((name, other)) => Err(wrong_kind(name, "a string", other)),
    }
}

/// `true` or `false`, under any of the names.
pub fn flag(object: &Map<String, Value>, field: Field) -> Result<Option<bool>, ClientError> {
    match field.find(object)? {
        None => Ok(None),
        Some((_, Value::Bool(flag))) => Ok(Some(*flag)),
        Some((name, other)) => Err(wrong_kind(name, "true or false", other)),
    }
}

/// An object, under any of the names.
pub fn object(
    object: &Map<String, Value>,
    field: Field,
) -> Result<Option<&Map<String, Value>>, ClientError> {
    match field.find(object)? {
        None => Ok(None),
        Some((_, Value::Object(inner))) => Ok(Some(inner)),
        Some((name, other)) => Err(wrong_kind(name, "an object", other)),
    }
}

fn wrong_kind(name: &str, expected: &str, found: &Value) -> ClientError {
    let kind = kind_of(found);
    ClientError::invalid(format!("`{name}` must be {expected}, not {kind}"))
}

/// Why a text is no JSON, without the words of the library that reads it.
pub fn not_json(what: &str, error: &serde_json::Error) -> ClientError {
    let (line, column) = (error.line(), error.column());
    ClientError::invalid(if error.is_eof() && (line, column) <= (1, 0) {
        format!("{what} is empty; JSON is expected")
    } else if error.is_eof() {
        format!("{what} is not JSON: it ends too early, at line {line}, column {column}")
    // The library has no type for this one.
    } else if error.to_string().starts_with("recursion limit") {
        format!("{what} is nested too deeply")
    } else {
        format!("{what} is not JSON: the mistake is at line {line}, column {column}")
    })
}

/// What a JSON value is, in an error's words.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A text from outside as an error shows it: not longer than needed, and on one line.
pub fn shown(text: &str) -> String {
    let start: String = text.chars().take(64).collect();
    start.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_alias_of_the_contract_names_the_organization() {
        for name in ORGANIZATION.0 {
            let found = organization(&object(json!({ *name: "acme" }))).unwrap();
            assert_eq!(found, Some(OrganizationId::new("acme").unwrap()), "{name}");
        }
    }

    #[test]
    fn two_spellings_that_differ_are_refused() {
        let error = organization(&object(json!({"org_id": "a", "storeId": "b"}))).unwrap_err();
        assert_eq!(
            error.message,
            "`org_id` and `storeId` mean the same and differ"
        );
        assert!(organization(&object(json!({"org_id": "a", "storeId": "a"}))).is_ok());
    }

    #[test]
    fn a_wrong_type_is_named() {
        let error = user(&object(json!({"userId": ["a"]}))).unwrap_err();
        assert_eq!(error.message, "`userId` must be a string, not an array");
        assert_eq!(
            user(&object(json!({"userId": 7}))).unwrap(),
            Some(UserId::new("7").unwrap())
        );
        assert_eq!(user(&object(json!({"userId": null}))).unwrap(), None);
    }

    #[test]
    fn a_department_without_an_organization_is_refused() {
        assert!(place(&object(json!({"dept_id": "d"})), None).is_err());
        assert_eq!(place(&object(json!({})), None), Ok(None));
    }
}
