//! Whom a broadcast names.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::error::ClientError;
use crate::domain::fields::{self, CONNECTIONS, Field, USERS};
use crate::domain::identity::{ConnectionId, DepartmentId, OrganizationId, QueueName, UserId};
use crate::domain::room::Place;
use crate::domain::suggest;
use crate::domain::target::Target;

/// Most ids that one broadcast may name.
pub(super) const MAX_IDS: usize = 10_000;

/// The users with these ids, each once.
pub(super) fn user_ids(ids: &[String], name: &str) -> Result<HashSet<UserId>, ClientError> {
    each_once(ids, name, |id| {
        UserId::new(id).map_err(|problem| {
            let id = fields::shown(id);
            ClientError::invalid(format!("`{name}`: `{id}` is not an id: {problem}"))
        })
    })
}

/// What the ids stand for, each once, unless there are too many: nothing is looked up for those.
fn each_once<T: Eq + Hash>(
    ids: &[String],
    name: &str,
    read: impl Fn(&str) -> Result<T, ClientError>,
) -> Result<HashSet<T>, ClientError> {
    if ids.len() > MAX_IDS {
        let count = ids.len();
        return Err(ClientError::invalid(format!(
            "`{name}` has {count} ids; {MAX_IDS} are allowed in one broadcast"
        )));
    }
    ids.iter().map(|id| read(id)).collect()
}

/// The members of a target beside the ids of a place.
const ALL: Field = Field(&["all"]);

/// Whom a broadcast is for: a place, users in an organization, connections, or everyone.
#[derive(Debug, ToSchema)]
pub(super) struct TargetRequest {
    #[schema(value_type = Option<String>)]
    organization_id: Option<OrganizationId>,
    #[schema(value_type = Option<String>)]
    department_id: Option<DepartmentId>,
    #[schema(value_type = Option<String>)]
    queue_name: Option<QueueName>,
    /// Users in the organization.
    #[schema(value_type = Option<Vec<String>>, max_items = 10_000)]
    user_ids: Option<HashSet<UserId>>,
    /// Connections by their ids.
    #[schema(max_items = 10_000)]
    socket_ids: Option<Vec<String>>,
    /// Everyone; stands alone.
    #[schema(value_type = Option<bool>)]
    all: bool,
}

impl TargetRequest {
    pub fn read(target: &Map<String, Value>) -> Result<Self, ClientError> {
        let known = [
            fields::ORGANIZATION,
            fields::DEPARTMENT,
            fields::QUEUE,
            USERS,
            fields::USER,
            CONNECTIONS,
            ALL,
        ];
        suggest::check_all(target.keys(), "`target`", &known)?;
        let place = fields::place(target, None)?;
        let named = fields::texts(target, USERS)?.unwrap_or_default();
        let mut users = user_ids(&named, USERS.name())?;
        users.extend(fields::user(target)?);
        // An empty list is a list.
        let has_list = target.keys().any(|key| USERS.0.contains(&key.as_str()));
        let (organization_id, department_id, queue_name) = match place {
            None => (None, None, None),
            Some(place) => (Some(place.organization), place.department, place.queue),
        };
        Ok(Self {
            organization_id,
            department_id,
            queue_name,
            user_ids: (has_list || !users.is_empty()).then_some(users),
            socket_ids: fields::texts(target, CONNECTIONS)?,
            all: fields::flag(target, ALL)?.unwrap_or(false),
        })
    }

    pub fn target(self) -> Result<Target, ClientError> {
        let is_narrow = self.department_id.is_some() || self.queue_name.is_some();
        match (
            self.all,
            self.user_ids,
            self.socket_ids,
            self.organization_id,
        ) {
            (true, None, None, None) => Ok(Target::Everyone {
                within: None,
                except: Arc::default(),
            }),
            (true, ..) => Err(ClientError::invalid("`all` stands alone in a target")),
            (_, Some(_), Some(_), _) => Err(ClientError::invalid(
                "a target has `user_ids` or `socket_ids`, not both",
            )),
            (_, Some(_), ..) | (_, _, Some(_), _) if is_narrow => Err(ClientError::invalid(
                "users and connections are not inside a department or queue",
            )),
            (false, Some(users), None, Some(organization)) => {
                Ok(Target::Users(organization, Vec::from_iter(users)))
            }
            (false, Some(_), None, None) => Err(ClientError::invalid(
                "`organization_id` is missing beside the users",
            )),
            (false, None, Some(ids), organization) => {
                Ok(Target::Connections(organization, connection_ids(&ids)?))
            }
            (false, None, None, Some(organization)) => Ok(Target::Place(Place {
                organization,
                department: self.department_id,
                queue: self.queue_name,
            })),
            (false, None, None, None) => Err(ClientError::invalid(
                "`target` names nobody: give an organization_id, user_ids, socket_ids or all",
            )),
        }
    }
}

fn connection_ids(ids: &[String]) -> Result<Vec<ConnectionId>, ClientError> {
    let read = |id: &str| {
        ConnectionId::parse(id).ok_or_else(|| {
            let id = fields::shown(id);
            ClientError::invalid(format!("`{id}` is not a connection id"))
        })
    };
    each_once(ids, CONNECTIONS.name(), read).map(Vec::from_iter)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(value: Value) -> Result<Target, ClientError> {
        match value {
            Value::Object(target) => TargetRequest::read(&target)?.target(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn targets_are_read() {
        assert!(matches!(
            target(json!({"orgId": "a", "queue": "q"})),
            Ok(Target::Place(_))
        ));
        assert!(matches!(
            target(json!({"all": true})),
            Ok(Target::Everyone { .. })
        ));
        assert!(
            matches!(target(json!({"org_id": "a", "user_ids": ["u", "v"]})), Ok(Target::Users(_, users)) if users.len() == 2)
        );
        let id = ConnectionId::from_random(7).to_string();
        assert!(matches!(
            target(json!({"socket_ids": [id]})),
            Ok(Target::Connections(None, _))
        ));
    }

    #[test]
    fn ids_count_once_and_are_bounded() {
        let id = ConnectionId::from_random(7).to_string();
        for (ids, count) in [(vec!["u"; MAX_IDS], 1), (vec!["u", "v", "u"], 2)] {
            let users = target(json!({"org_id": "a", "user_ids": ids})).unwrap();
            assert!(matches!(users, Target::Users(_, users) if users.len() == count));
        }
        let same = target(json!({"socket_ids": vec![&id; MAX_IDS]})).unwrap();
        assert!(matches!(same, Target::Connections(None, ids) if ids.len() == 1));
        let many = MAX_IDS + 1;
        for (bad, name) in [
            (
                json!({"org_id": "a", "userIds": vec!["u"; many]}),
                "user_ids",
            ),
            (json!({"socket_ids": vec![&id; many]}), "socket_ids"),
        ] {
            let error = target(bad).unwrap_err();
            let said = format!("`{name}` has {many} ids; {MAX_IDS} are allowed in one broadcast");
            assert_eq!(error.message, said);
        }
    }

    #[test]
    fn targets_that_name_nobody_or_contradict_themselves_are_refused() {
        for (bad, problem) in [
            (json!({}), "names nobody"),
            (json!({"all": true, "org_id": "a"}), "stands alone"),
            (
                json!({"organisation": "a"}),
                "unknown `organisation`; did you mean `organization_id`?",
            ),
            (json!({"user_ids": ["u"]}), "`organization_id` is missing"),
            (json!({"queue_name": "q"}), "`organization_id` is missing"),
            (
                json!({"org_id": "a", "dept_id": "d", "user_id": "u"}),
                "not inside a department",
            ),
            (
                json!({"socket_ids": ["nobody"]}),
                "`nobody` is not a connection id",
            ),
            (json!({"all": "yes"}), "`all` must be true or false"),
        ] {
            let error = target(bad.clone()).unwrap_err();
            assert!(error.message.contains(problem), "{bad}: {error}");
        }
    }
}
