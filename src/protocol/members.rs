//! The data of commands, and how much of it there may be.

use serde_json::value::RawValue;

use crate::domain::error::ClientError;
use crate::domain::json::{self, Members};

/// Members of one object, at the most.
pub(super) const MAX_MEMBERS: usize = 256;

/// Bytes of a command's data, at the most; a publication's payload does not count.
const MAX_COMMAND: usize = 64 * 1024;

/// The members of a command's data, which are about to be read whole.
pub fn of_command<'a>(data: Option<&'a RawValue>, event: &str) -> Result<Members<'a>, ClientError> {
    if data.is_some_and(|data| data.get().len() > MAX_COMMAND) {
        return Err(ClientError::invalid(format!(
            "the data of `{event}` may have {MAX_COMMAND} bytes"
        )));
    }
    members(data, event)
}

/// The members of an event's data.
pub fn members<'a>(data: Option<&'a RawValue>, event: &str) -> Result<Members<'a>, ClientError> {
    let needs =
        |found: &str| ClientError::invalid(format!("`{event}` needs an object as its data{found}"));
    let data = data.filter(|data| data.get() != "null");
    let data = data.ok_or_else(|| needs(""))?;
    if !data.get().starts_with('{') {
        return Err(needs(&format!(", not {}", json::kind_of(data))));
    }
    Members::read(&format!("data of `{event}`"), data.get(), MAX_MEMBERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_or_too_long_is_named() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_COMMAND));
        let many = (0..=MAX_MEMBERS).map(|_| r#""":0"#).collect::<Vec<_>>();
        let many = format!("{{{}}}", many.join(","));
        for (data, problem) in [
            (None, "`subscribe` needs an object as its data"),
            (Some("null"), "`subscribe` needs an object as its data"),
            (
                Some("[1]"),
                "`subscribe` needs an object as its data, not an array",
            ),
            (Some(&long), "the data of `subscribe` may have 65536 bytes"),
            (
                Some(&many),
                "the data of `subscribe` has more than 256 members",
            ),
        ] {
            let data = data.map(|data| RawValue::from_string(data.to_owned()).unwrap());
            let error = of_command(data.as_deref(), "subscribe").unwrap_err();
            assert_eq!(error.message, problem);
        }
        let long = RawValue::from_string(long).unwrap();
        assert!(members(Some(&long), "publish").is_ok());
    }
}
