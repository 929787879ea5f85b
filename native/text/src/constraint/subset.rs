//! The part of JSON Schema that is enforced. Everything else is refused by name: a keyword that is ignored would let
//! text pass that is not of the schema.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::formats;
use super::schema::unsupported;
use crate::ffi::{Failure, Outcome, Status};

/// Keywords that change nothing about what is valid. The draft is what the whole schema says; a schema within one may
/// repeat it, as those of tools do within that of a call.
const ANNOTATIONS: [&str; 13] = [
    "$anchor",
    "$comment",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
];
const ASSERTIONS: [&str; 19] = [
    "$ref",
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "type",
    "uniqueItems",
];
/// Keywords that hold a schema, a list of schemas, or schemas by name.
const SCHEMAS: [&str; 3] = ["additionalItems", "additionalProperties", "items"];
const LISTS: [&str; 5] = ["allOf", "anyOf", "items", "oneOf", "prefixItems"];
const NAMED: [&str; 4] = ["$defs", "definitions", "patternProperties", "properties"];
/// Of the schema as a whole: further in they would change what references mean.
const OF_THE_ROOT: [&str; 2] = ["$id", "id"];

/// Keys of one object that a schema names: what llguidance does of them grows with their square, a third of a second
/// for so many.
const MOST_NAMES: usize = 1000;
/// Keys that may come first in one place, those of all alternatives: a step's time grows with their square, to 12 ms
/// for so many.
const MOST_FIRST_KEYS: usize = 1000;
/// Patterns and formats that one string must match: whether any does takes time that doubles with each.
const MOST_PATTERNS: usize = 8;
const MOST_STEPS: usize = 1_000_000;
/// Integers above are not told apart by the arithmetic that bounds and constants go through.
const LARGEST_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Calls `change` with the schemas right within a schema.
pub fn for_subschemas(members: &mut Map<String, Value>, change: fn(&mut Value)) {
    for (keyword, value) in members {
        let keyword = keyword.as_str();
        match value {
            Value::Array(list) if LISTS.contains(&keyword) => list.iter_mut().for_each(change),
            Value::Object(named) if NAMED.contains(&keyword) => named.values_mut().for_each(change),
            Value::Object(_) if SCHEMAS.contains(&keyword) => change(value),
            _ => {}
        }
    }
}

/// Refuses what is not enforced, and names it and its place.
pub fn check(schema: &Value) -> Outcome<()> {
    let draft = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    let bounds_are_flags = draft.contains("draft-04");
    let mut checker =
        Checker { places: HashSet::new(), references: Vec::new(), combined: Vec::new(), bounds_are_flags };
    checker.schema(schema, "#")?;
    for (counted, most, what) in [
        (PATTERNS, MOST_PATTERNS, "patterns and formats of one string"),
        (FIRST_KEYS, MOST_FIRST_KEYS, "keys that may come first, of all alternatives"),
    ] {
        let mut counter = Counter { root: schema, what: counted, most, steps: 0 };
        for place in &checker.combined {
            if schema.pointer(&place[1..]).is_some_and(|at| counter.count(at, 0) > most) {
                return Err(unsupported(format!("JSON schema: not supported: more than {most} {what}, in {place}")));
            }
        }
    }
    for (reference, place) in &checker.references {
        if reference.contains(['~', '%']) {
            return Err(unsupported(format!(
                "JSON schema: not supported: $ref {reference} with an escape, in {place}"
            )));
        }
        if !reference.starts_with('#') {
            return Err(unsupported(format!(
                "JSON schema: not supported: $ref {reference}, in {place}: only references within the schema are, as \
                 #/$defs/name"
            )));
        }
        if !checker.places.contains(reference.as_str()) {
            return Err(invalid(format!("$ref {reference}, in {place}: there is no schema")));
        }
    }
    Ok(())
}

struct Checker {
    places: HashSet<String>,
    references: Vec<(String, String)>,
    /// Places of schemas that are made of others.
    combined: Vec<String>,
    /// exclusiveMinimum and exclusiveMaximum are booleans in draft 4.
    bounds_are_flags: bool,
}

fn invalid(message: String) -> Failure {
    Failure::new(Status::InvalidArgument, format!("JSON schema: {message}"))
}

impl Checker {
    fn schema(&mut self, schema: &Value, place: &str) -> Outcome<()> {
        self.places.insert(place.to_owned());
        let Value::Object(members) = schema else {
            return match schema {
                Value::Bool(_) => Ok(()),
                _ => Err(invalid(format!("{place} is neither an object nor a boolean, as a schema is"))),
            };
        };
        let is_known = |keyword: &str| {
            [&ANNOTATIONS[..], &ASSERTIONS, &SCHEMAS, &LISTS, &NAMED].iter().any(|list| list.contains(&keyword))
                || place == "#" && OF_THE_ROOT.contains(&keyword)
                || keyword.starts_with("x-") && keyword != "x-guidance"
        };
        let unknown: Vec<&str> = members.keys().map(String::as_str).filter(|keyword| !is_known(keyword)).collect();
        if !unknown.is_empty() {
            let keywords = unknown.join(", ");
            return Err(unsupported(format!("JSON schema: not supported: the keyword {keywords}, in {place}")));
        }
        self.keywords(members, place)?;
        if ["allOf", "anyOf", "oneOf", "$ref"].iter().any(|keyword| members.contains_key(*keyword)) {
            self.combined.push(place.to_owned());
        }
        for (keyword, value) in members {
            let place = format!("{place}/{keyword}");
            match value {
                Value::Array(list) if LISTS.contains(&keyword.as_str()) => {
                    for (index, schema) in list.iter().enumerate() {
                        self.schema(schema, &format!("{place}/{index}"))?;
                    }
                }
                Value::Object(named) if NAMED.contains(&keyword.as_str()) => {
                    for (name, schema) in named {
                        self.schema(schema, &format!("{place}/{name}"))?;
                    }
                }
                _ if SCHEMAS.contains(&keyword.as_str()) => self.schema(value, &place)?,
                _ if LISTS.contains(&keyword.as_str()) => {
                    return Err(invalid(format!("{place} is no list of schemas")))
                }
                _ if NAMED.contains(&keyword.as_str()) => {
                    return Err(invalid(format!("{place} is no object of schemas")))
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What a keyword's value is to be, where it is not.
    fn expected(&self, keyword: &str, value: &Value) -> Option<&'static str> {
        let strings = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        let (fits, expected) = match keyword {
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
                (value.is_u64(), "a number of 0 or more")
            }
            "exclusiveMinimum" | "exclusiveMaximum" if self.bounds_are_flags => (value.is_boolean(), "a boolean"),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => (value.is_number(), "a number"),
            "multipleOf" => (value.as_f64().is_some_and(|of| of > 0.0), "a number above 0"),
            "pattern" | "format" | "$ref" => (value.is_string(), "a string"),
            "required" => (strings(value), "a list of strings"),
            "type" => (value.is_string() || strings(value), "a string or a list of strings"),
            "enum" => (value.is_array(), "a list"),
            _ => (true, ""),
        };
        (!fits).then_some(expected)
    }

    fn keywords(&mut self, members: &Map<String, Value>, place: &str) -> Outcome<()> {
        let n_properties = members.get("properties").and_then(Value::as_object).map_or(0, Map::len);
        let n_required = members.get("required").and_then(Value::as_array).map_or(0, Vec::len);
        let n_names = n_properties.max(n_required);
        if n_names > MOST_NAMES {
            let message = format!("{n_names} keys of an object, in {place}: at most {MOST_NAMES} can be named");
            return Err(unsupported(format!("JSON schema: not supported: {message}")));
        }
        for (keyword, value) in members {
            if let Some(expected) = self.expected(keyword, value) {
                return Err(invalid(format!("{keyword}, in {place}, is not {expected}")));
            }
            match keyword.as_str() {
                "$ref" => {
                    let reference = value.as_str().unwrap_or_default();
                    self.references.push((reference.to_owned(), place.to_owned()));
                }
                "format" => match value.as_str() {
                    Some(format) if formats::pattern(format).is_some() => {}
                    Some(format) => {
                        return Err(unsupported(format!(
                            "JSON schema: not supported: the format {format}, in {place}; {} are",
                            formats::KNOWN
                        )))
                    }
                    None => {}
                },
                "uniqueItems" if value != &Value::Bool(false) => {
                    return Err(unsupported(format!("JSON schema: not supported: the keyword uniqueItems, in {place}")))
                }
                "minProperties" if !keys_are_known(members) => {
                    return Err(unsupported(format!(
                        "JSON schema: not supported: the keyword minProperties, in {place}, where keys may be added \
                         that the schema does not name; \"additionalProperties\": false forbids them"
                    )))
                }
                "additionalItems" if !members.get("items").is_some_and(Value::is_array) => {
                    return Err(unsupported(format!(
                        "JSON schema: not supported: the keyword additionalItems, in {place}, without a list of items"
                    )))
                }
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" | "const" | "enum" => {
                    if let Some(number) = inexact(value) {
                        return Err(unsupported(format!(
                            "JSON schema: not supported: the number {number}, {keyword} in {place}: at most \
                             {LARGEST_INTEGER} and, with a fraction, 15 digits are exact"
                        )));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What is counted of a schema, and of its alternatives.
struct Count {
    of_one: fn(&Map<String, Value>) -> usize,
    of_alternatives: fn(usize, usize) -> usize,
}

/// Of patterns and formats a string has to match those of one alternative.
const PATTERNS: Count = Count {
    of_one: |members| usize::from(members.contains_key("pattern")) + usize::from(members.contains_key("format")),
    of_alternatives: usize::max,
};
const FIRST_KEYS: Count = Count { of_one: first_keys, of_alternatives: usize::saturating_add };

/// How many keys of an object may come first: those up to the first that has to be there.
fn first_keys(members: &Map<String, Value>) -> usize {
    let Some(properties) = members.get("properties").and_then(Value::as_object) else { return 0 };
    let required: HashSet<&str> =
        members.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let optional = properties.keys().take_while(|name| !required.contains(name.as_str())).count();
    properties.len().min(optional + 1)
}

struct Counter<'a> {
    root: &'a Value,
    what: Count,
    most: usize,
    steps: usize,
}

impl Counter<'_> {
    /// The count for values of the schema; more than allowed where that takes too long to say.
    fn count(&mut self, schema: &Value, depth: usize) -> usize {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return self.most + 1;
        }
        let Some(members) = schema.as_object().filter(|_| depth < 64) else { return 0 };
        let mut n = (self.what.of_one)(members);
        let list = |keyword: &str| members.get(keyword).and_then(Value::as_array).into_iter().flatten();
        for each in list("allOf") {
            n = n.saturating_add(self.count(each, depth + 1));
            if n > self.most {
                return n;
            }
        }
        for keyword in ["anyOf", "oneOf"] {
            let mut of_all = 0;
            for each in list(keyword) {
                of_all = (self.what.of_alternatives)(of_all, self.count(each, depth + 1));
                if of_all > self.most {
                    return of_all;
                }
            }
            n = n.saturating_add(of_all);
        }
        let reference = members.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
        n.saturating_add(reference.and_then(|to| self.root.pointer(to)).map_or(0, |at| self.count(at, depth + 1)))
    }
}

/// Keys that are added may come twice, and then count once.
fn keys_are_known(members: &Map<String, Value>) -> bool {
    let least = members.get("minProperties").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let required = members.get("required").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    least <= required
        || members.get("additionalProperties") == Some(&Value::Bool(false))
            && !members.contains_key("patternProperties")
}

/// A number, or one within, that is not kept to its last digit.
fn inexact(value: &Value) -> Option<&Value> {
    match value {
        Value::Number(number) => {
            let as_float = number.as_f64().unwrap_or(f64::INFINITY);
            let fraction = as_float.fract() != 0.0 && (as_float.abs() < 1e-9 || as_float.to_string().len() > 17);
            (as_float.abs() > LARGEST_INTEGER || fraction).then_some(value)
        }
        Value::Array(items) => items.iter().find_map(inexact),
        Value::Object(members) => members.values().find_map(inexact),
        _ => None,
    }
}
