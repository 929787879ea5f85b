//! JSON schemas before llguidance gets them, and what it says of those that it does not take.

use serde_json::{json, Value};

use crate::ffi::{Failure, Outcome, Status};

/// The key under which llguidance takes options.
const OPTIONS: &str = "x-guidance";

/// Keywords that hold a schema, a list of schemas, or schemas by name.
const SCHEMAS: [&str; 4] = ["items", "additionalItems", "additionalProperties", "contains"];
const LISTS: [&str; 5] = ["prefixItems", "items", "anyOf", "oneOf", "allOf"];
const NAMED: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// The schema as llguidance takes it. JSON is compact unless white space is asked for.
pub fn prepare(source: &str, whitespace: bool) -> Outcome<Value> {
    let mut schema: Value = serde_json::from_str(source).map_err(|error| {
        Failure::new(Status::InvalidArgument, format!("the JSON schema is not JSON: {error}")).at(error.line())
    })?;
    if schema.get(OPTIONS).is_some() {
        return Err(unsupported(format!("the keyword {OPTIONS} is not supported")));
    }
    tighten(&mut schema);
    let options = json!({ "whitespace_flexible": whitespace });
    match &mut schema {
        Value::Object(members) => {
            members.insert(OPTIONS.to_owned(), options);
        }
        Value::Bool(true) => schema = json!({ OPTIONS: options }),
        Value::Bool(false) => return Err(Failure::new(Status::InvalidArgument, "the schema false allows nothing")),
        _ => return Err(Failure::new(Status::InvalidArgument, "a JSON schema is an object or a boolean")),
    }
    Ok(schema)
}

/// Replaces what llguidance takes less strictly than a validator does: 29 February comes in leap years alone, and a
/// 60th second is left out.
fn tighten(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    if let Some(pattern) = members.get("format").and_then(Value::as_str).and_then(exact_pattern) {
        members.remove("format");
        match members.remove("pattern") {
            None => {
                members.insert("pattern".to_owned(), pattern.into());
            }
            Some(other) => {
                let both = [json!({ "pattern": other }), json!({ "pattern": pattern })];
                let all = members.entry("allOf").or_insert_with(|| json!([]));
                if let Value::Array(all) = all {
                    all.extend(both);
                }
            }
        }
    }
    for (keyword, value) in members.iter_mut() {
        match value {
            Value::Array(list) if LISTS.contains(&keyword.as_str()) => list.iter_mut().for_each(tighten),
            Value::Object(named) if NAMED.contains(&keyword.as_str()) => named.values_mut().for_each(tighten),
            Value::Object(_) if SCHEMAS.contains(&keyword.as_str()) => tighten(value),
            _ => {}
        }
    }
}

fn exact_pattern(format: &str) -> Option<String> {
    const DATE: &str = concat!(
        "(?:(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)-(?:",
        "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|",
        "02-(?:0[1-9]|1[0-9]|2[0-8]))|",
        "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)",
    );
    const TIME: &str = concat!(
        "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]+)?",
        "(?:[zZ]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    );
    match format {
        "date" => Some(format!("^{DATE}$")),
        "time" => Some(format!("^{TIME}$")),
        "date-time" => Some(format!("^{DATE}[tT]{TIME}$")),
        _ => None,
    }
}

fn unsupported(message: impl Into<String>) -> Failure {
    Failure::new(Status::Unsupported, message)
}

/// What llguidance says of a schema that it does not take, in words for who wrote the schema.
pub fn refused(error: &str) -> Failure {
    let first = error.lines().next().unwrap_or_default();
    if let Some(keys) = first.split_once("Unimplemented keys: ").map(|(_, keys)| keys) {
        let keys: Vec<String> = serde_json::from_str(keys).unwrap_or_else(|_| vec![keys.to_owned()]);
        return unsupported(format!("JSON schema: not supported: the keyword {}", keys.join(", ")));
    }
    if first.contains("oneOf constraints are not supported") {
        return unsupported(
            "JSON schema: not supported: the keyword oneOf where its alternatives may overlap; anyOf allows each of \
             them",
        );
    }
    if let Some(format) = first.split_once("Unknown format: ").map(|(_, format)| format) {
        let known = "date-time, time, date, duration, email, hostname, ipv4, ipv6, uuid and uri are";
        return unsupported(format!("JSON schema: not supported: the format {format}; {known}"));
    }
    if ["supported", "look-around", "not disjoint", "Unicode-aware", "backreference"]
        .iter()
        .any(|word| error.contains(word))
    {
        return unsupported(format!("JSON schema: not supported: {}", plain(error)));
    }
    Failure::new(Status::InvalidArgument, format!("JSON schema: {}", plain(error)))
}

/// An error's text without its traces.
pub fn plain(error: &str) -> String {
    let end = ["\n<backtrace>", "\n<state>", "\n<non-verbose/>"].iter().filter_map(|mark| error.find(mark)).min();
    let text = &error[..end.unwrap_or(error.len())];
    match text.char_indices().nth(1000) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_tightened_where_schemas_are() {
        let schema = json!({
            "properties": { "format": { "type": "string", "format": "date" } },
            "enum": [{ "format": "date" }],
            "items": [{ "format": "time", "pattern": "^1" }],
        });
        let prepared = prepare(&schema.to_string(), false).unwrap();
        let property = &prepared["properties"]["format"];
        assert!(property.get("format").is_none() && property["pattern"].as_str().unwrap().contains("02-29"));
        assert_eq!(json!([{ "format": "date" }]), prepared["enum"]);
        assert_eq!(json!("^1"), prepared["items"][0]["allOf"][0]["pattern"]);
        assert_eq!(json!(false), prepared[OPTIONS]["whitespace_flexible"]);
    }

    #[test]
    fn what_is_refused_is_named() {
        for (error, status, part) in [
            ("Unimplemented keys: [\"if\", \"then\"]", Status::Unsupported, "keyword if, then"),
            ("oneOf constraints are not supported. Enable", Status::Unsupported, "oneOf"),
            ("Unknown format: iri", Status::Unsupported, "format iri"),
            ("Invalid type: strin", Status::InvalidArgument, "Invalid type: strin"),
        ] {
            let failure = refused(error);
            assert_eq!(status, failure.status);
            assert!(failure.message.contains(part), "{}", failure.message);
        }
        assert_eq!("panic: x", plain("panic: x\n<backtrace>\n..."));
    }
}
