//! `str.translate()` and `str.maketrans()` of Python.

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use super::methods::Arguments;
use super::operators::{dictionary, wrong};
use super::python::type_name;

/// Every character as a table has it by its code: a text, another code, or none where it goes.
pub fn translate(state: &State, text: &str, table: &Value) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        state.consume_fuel(1)?;
        let found = match table.kind() {
            ValueKind::Map => table.as_object().and_then(|object| object.get_value(&Value::from(u32::from(c)))),
            ValueKind::Seq => table.get_item_by_index(u32::from(c) as usize).ok().filter(|item| !item.is_undefined()),
            ValueKind::String => {
                table.as_str().and_then(|text| text.chars().nth(u32::from(c) as usize)).map(Value::from)
            }
            ValueKind::Undefined => None,
            _ => return Err(wrong(format!("'{}' object is not subscriptable", type_name(table)))),
        };
        match found {
            None => out.push(c),
            Some(value) if value.is_none() => {}
            Some(value) => match value.as_str() {
                Some(text) => {
                    state.consume_fuel(text.len() as u64 / 64)?;
                    out.push_str(text);
                }
                None => {
                    let code = value.as_i64().filter(|_| value.is_integer()).and_then(|code| u32::try_from(code).ok());
                    let other = code
                        .and_then(char::from_u32)
                        .ok_or_else(|| wrong("character mapping must return integer, None or str"))?;
                    out.push(other);
                }
            },
        }
    }
    Ok(out)
}

/// A table for `translate()`: of a dictionary of characters and codes, or of texts whose characters correspond, and one
/// of those that go.
pub fn table(state: &State, arguments: &mut Arguments) -> Result<Value, Error> {
    let from = arguments.required()?;
    let Some(to) = arguments.optional()? else {
        return of_dictionary(state, &from);
    };
    let removed = arguments.optional()?;
    let text = |value: &Value| {
        let text = value.as_str().map(|text| text.chars().map(u32::from).collect::<Vec<_>>());
        text.ok_or_else(|| wrong(format!("maketrans(): arguments must be str, not {}", type_name(value))))
    };
    let (from, to) = (text(&from)?, text(&to)?);
    let removed = removed.as_ref().map_or(Ok(Vec::new()), text)?;
    if from.len() != to.len() {
        return Err(wrong("the first two maketrans arguments must have equal length"));
    }
    let pairs = from.into_iter().zip(to.into_iter().map(Value::from));
    let pairs = pairs.chain(removed.into_iter().map(|code| (code, Value::from(()))));
    dictionary(state, pairs.map(|(code, value)| (Value::from(code), value)))
}

fn of_dictionary(state: &State, given: &Value) -> Result<Value, Error> {
    let Some(members) =
        given.as_object().filter(|_| given.kind() == ValueKind::Map).and_then(|map| map.try_iter_pairs())
    else {
        return Err(wrong("if you give only one argument to maketrans it must be a dict"));
    };
    let mut pairs = Vec::new();
    for (key, value) in members {
        let code = match key.as_str().map(|text| (text.chars().next(), text.chars().nth(1))) {
            Some((Some(c), None)) => Value::from(u32::from(c)),
            Some(_) => return Err(wrong("string keys in translate table must be of length 1")),
            None if key.is_integer() => key,
            None => return Err(wrong("keys in translate table must be strings or integers")),
        };
        pairs.push((code, value));
    }
    dictionary(state, pairs.into_iter())
}
