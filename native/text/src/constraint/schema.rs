//! JSON schemas before llguidance gets them, and what it says of those that it does not take.

use serde_json::{json, Map, Value};

use super::formats;
use super::pattern;
use super::subset;
use crate::ffi::{Failure, Outcome, Status};

/// The key under which llguidance takes options.
const OPTIONS: &str = "x-guidance";
const FLEXIBLE: &str = "whitespace_flexible";

/// The schema as llguidance takes it. JSON is compact unless white space is asked for.
pub fn prepare(source: &str, whitespace: bool) -> Outcome<Value> {
    prepare_with(source, json!({ FLEXIBLE: whitespace }))
}

/// options: of white space, as llguidance takes them.
fn prepare_with(source: &str, mut options: Value) -> Outcome<Value> {
    let mut schema: Value = serde_json::from_str(source).map_err(|error| {
        // serde_json has no other way of telling it, and no other limit than 128.
        if error.to_string().starts_with("recursion limit") {
            return unsupported("JSON schema: not supported: JSON nested 128 deep or more").at(error.line());
        }
        Failure::new(Status::InvalidArgument, format!("the JSON schema is not JSON: {error}")).at(error.line())
    })?;
    subset::check(&schema)?;
    tighten(&mut schema);
    // A \u escape could spell a key that the schema names, and a length would count it as more than one character.
    options["json_allowed_escapes"] = json!("nrbtf\\\"");
    match &mut schema {
        Value::Object(members) => {
            members.insert(OPTIONS.to_owned(), options);
        }
        Value::Bool(true) => schema = json!({ OPTIONS: options }),
        Value::Bool(false) => return Err(Failure::new(Status::InvalidArgument, "the schema false allows nothing")),
        _ => return Err(Failure::new(Status::Internal, "a schema passed that is neither an object nor a boolean")),
    }
    Ok(schema)
}

/// A schema that stands in a Lark grammar. It may say itself that it is compact, and how it separates.
pub fn prepare_nested(mut schema: Value) -> Outcome<Value> {
    let mut options = json!({ FLEXIBLE: true });
    match schema.as_object_mut().and_then(|members| members.remove(OPTIONS)) {
        None => {}
        Some(Value::Object(given)) => {
            for (key, value) in given {
                let separates = |mark: &str| value.as_str().is_some_and(|text| text.trim_matches(' ') == mark);
                let known = match key.as_str() {
                    FLEXIBLE => value.is_boolean(),
                    "key_separator" => separates(":"),
                    "item_separator" => separates(","),
                    _ => false,
                };
                if !known {
                    return Err(unsupported(format!(
                        "{OPTIONS}: {key}: {value}; supported are {FLEXIBLE} (true, false), key_separator (a colon and \
                         spaces) and item_separator (a comma and spaces)"
                    )));
                }
                options[key] = value;
            }
        }
        Some(other) => return Err(unsupported(format!("{OPTIONS} is no object but {other}"))),
    }
    prepare_with(&schema.to_string(), options)
}

/// Replaces what llguidance takes less strictly than one validator or another does: formats become patterns, and
/// patterns mean what every engine takes them for.
fn tighten(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    let strict = members.get("pattern").and_then(Value::as_str).map(pattern::strict);
    if let Some(strict) = strict {
        members.insert("pattern".to_owned(), strict.into());
    }
    if let Some(format) = members.get("format").and_then(Value::as_str).and_then(formats::pattern) {
        members.remove("format");
        add_pattern(members, format);
    }
    subset::for_subschemas(members, tighten);
}

fn add_pattern(members: &mut Map<String, Value>, pattern: String) {
    let Some(other) = members.remove("pattern") else {
        members.insert("pattern".to_owned(), pattern.into());
        return;
    };
    if let Value::Array(all) = members.entry("allOf").or_insert_with(|| json!([])) {
        all.extend([json!({ "pattern": other }), json!({ "pattern": pattern })]);
    }
}

pub fn unsupported(message: impl Into<String>) -> Failure {
    Failure::new(Status::Unsupported, message)
}

/// What llguidance says of a schema that it does not take, in words for who wrote the schema.
pub fn refused(error: &str) -> Failure {
    let first = error.lines().next().unwrap_or_default();
    if first.contains("oneOf constraints are not supported") {
        return unsupported(
            "JSON schema: not supported: the keyword oneOf where its alternatives may overlap; anyOf allows each of \
             them",
        );
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
            "allOf": [{ "format": "time", "pattern": "^1" }],
        });
        let prepared = prepare(&schema.to_string(), false).unwrap();
        let property = &prepared["properties"]["format"];
        assert!(property.get("format").is_none() && property["pattern"].as_str().unwrap().contains("02-29"));
        assert_eq!(json!([{ "format": "date" }]), prepared["enum"]);
        assert_eq!(json!("^1"), prepared["allOf"][0]["allOf"][0]["pattern"]);
        assert_eq!(json!(false), prepared[OPTIONS]["whitespace_flexible"]);
    }

    #[test]
    fn a_nested_schema_says_how_it_separates() {
        let nested = |options: Value| prepare_nested(json!({ "type": "object", "x-guidance": options }));
        let prepared = nested(json!({ "whitespace_flexible": false, "key_separator": ": " })).unwrap();
        assert_eq!(json!(": "), prepared[OPTIONS]["key_separator"]);
        assert_eq!(json!(false), prepared[OPTIONS][FLEXIBLE]);
        for options in [json!({ "item_separator": ";" }), json!({ FLEXIBLE: 1 }), json!({ "lenient": true }), json!(1)]
        {
            assert_eq!(Status::Unsupported, nested(options).unwrap_err().status);
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        for (error, status, part) in [
            ("oneOf constraints are not supported. Enable", Status::Unsupported, "oneOf"),
            ("Invalid type: strin", Status::InvalidArgument, "Invalid type: strin"),
        ] {
            let failure = refused(error);
            assert_eq!(status, failure.status);
            assert!(failure.message.contains(part), "{}", failure.message);
        }
        assert_eq!("panic: x", plain("panic: x\n<backtrace>\n..."));
    }
}
