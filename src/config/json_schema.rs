//! The schema of a configuration file, for editors.

use serde_json::{Map, Value, json};

use super::schema::{Config, keys};

/// A JSON schema (draft 2020-12) of the file: the types, bounds, defaults and meanings of all keys. It says
/// nothing of rules that look at several keys.
#[must_use]
pub fn json_schema() -> Value {
    let defaults = Config::default();
    let mut properties = Map::new();
    for key in keys() {
        let mut schema = key.schema();
        if let Some(default) = key.value(&defaults) {
            schema["default"] = json!(default);
        }
        match key.name().split_once('.') {
            None => {
                properties.insert(key.name().to_owned(), schema);
            }
            Some((group, name)) => {
                let group = properties.entry(group).or_insert_with(
                    || json!({ "type": "object", "properties": {}, "additionalProperties": false }),
                );
                group["properties"][name] = schema;
            }
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The configuration of orgcast",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}
