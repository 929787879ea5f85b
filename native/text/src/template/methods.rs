//! Methods of Python's strings, lists and dictionaries, those that change nothing.

use std::collections::VecDeque;

use minijinja::value::{Kwargs, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::objects::{BoundMethod, DictView};
use super::operators::{dictionary, equal, hashable, wrong};
use super::python::type_name;
use super::str_methods;

const OF_LISTS: [&str; 3] = ["count", "index", "copy"];
const OF_DICTIONARIES: [&str; 5] = ["items", "keys", "values", "get", "copy"];
/// The sandbox of jinja2 refuses these: lists and dictionaries stay as they are.
const CHANGE_LISTS: [&str; 8] = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];
const CHANGE_DICTIONARIES: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];

/// Whether a name is that of a method of strings, lists or dictionaries: `value.name` may mean the method.
pub fn is_method(name: &str) -> bool {
    [&OF_LISTS[..], &OF_DICTIONARIES[..], &CHANGE_LISTS[..], &CHANGE_DICTIONARIES[..], str_methods::NAMES]
        .iter()
        .any(|names| names.contains(&name))
}

/// `value.name` where it is not called at once: in Python a method comes before an item of a dictionary.
pub fn attribute(value: &Value, name: &str) -> Result<Value, Error> {
    let has_method = match value.kind() {
        ValueKind::String => str_methods::NAMES.contains(&name),
        ValueKind::Map if is_dictionary(value) => {
            OF_DICTIONARIES.contains(&name) || CHANGE_DICTIONARIES.contains(&name)
        }
        ValueKind::Seq => OF_LISTS.contains(&name) || (!value.is_tuple() && CHANGE_LISTS.contains(&name)),
        _ => false,
    };
    if has_method {
        return Ok(Value::from_object(BoundMethod { receiver: value.clone(), name: name.to_owned() }));
    }
    value.get_attr(name)
}

/// Namespaces, loops and the like are maps as well.
pub fn is_dictionary(value: &Value) -> bool {
    value.kind() == ValueKind::Map && value.as_object().is_some_and(|object| object.type_name().contains("IndexMap<"))
}

pub fn not_iterable(value: &Value) -> Error {
    wrong(format!("'{}' object is not iterable", type_name(value)))
}

/// `list(value)`
pub fn items_of(state: &State, value: &Value) -> Result<Vec<Value>, Error> {
    if value.is_none() {
        return Err(not_iterable(value));
    }
    let mut items = Vec::new();
    for item in value.try_iter()?.checked() {
        items.push(item?);
        if items.len() % 64 == 0 {
            state.consume_fuel(32)?;
        }
    }
    Ok(items)
}

/// What the engine calls where an object does not know a method itself.
pub fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => str_methods::call(state, value, method, args),
        ValueKind::Map => of_dictionary(state, value, method, args),
        ValueKind::Seq => of_list(state, value, method, args),
        ValueKind::Undefined => Err(Error::new(ErrorKind::UndefinedError, "a value is undefined")),
        _ => Err(unknown(value, method)),
    }
}

pub fn unknown(value: &Value, method: &str) -> Error {
    Error::new(ErrorKind::UnknownMethod, format!("'{} object' has no attribute '{method}'", type_name(value)))
}

fn changes(value: &Value, method: &str) -> Error {
    wrong(format!("access to attribute '{method}' of '{}' object is unsafe.", type_name(value)))
}

fn of_dictionary(state: &State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if CHANGE_DICTIONARIES.contains(&method) && is_dictionary(value) {
        return Err(changes(value, method));
    }
    let Some(object) = value.as_object() else {
        return Err(unknown(value, method));
    };
    let view = |kind: &'static str, items: Vec<Value>| {
        state.consume_fuel(items.len() as u64)?;
        Ok(Value::from_object(DictView { kind, items }))
    };
    let mut arguments = Arguments::new(method, args)?;
    let pairs = || object.try_iter_pairs().into_iter().flatten();
    match method {
        "keys" => {
            arguments.end()?;
            view("keys", pairs().map(|(key, _)| key).collect())
        }
        "values" => {
            arguments.end()?;
            view("values", pairs().map(|(_, value)| value).collect())
        }
        "items" => {
            arguments.end()?;
            view("items", pairs().map(|(key, value)| Value::from(Tuple::from([key, value]))).collect())
        }
        "get" => {
            let key = arguments.required()?;
            let default = arguments.optional()?.unwrap_or_else(|| Value::from(()));
            arguments.end()?;
            hashable(state, &key)?;
            Ok(object.get_value(&key).unwrap_or(default))
        }
        "copy" => {
            arguments.end()?;
            Ok(value.clone())
        }
        _ => Err(unknown(value, method)),
    }
}

fn of_list(state: &State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if CHANGE_LISTS.contains(&method) && !value.is_tuple() {
        return Err(changes(value, method));
    }
    let mut arguments = Arguments::new(method, args)?;
    let length = value.len().unwrap_or_default();
    match method {
        "count" => {
            let wanted = arguments.required()?;
            arguments.end()?;
            state.consume_fuel(length as u64)?;
            let mut count = 0;
            for item in value.try_iter()? {
                count += usize::from(equal(state, &item, &wanted)?);
            }
            Ok(Value::from(count))
        }
        "index" => {
            let wanted = arguments.required()?;
            let (start, stop) = arguments.bounds(length)?;
            arguments.end()?;
            state.consume_fuel(length as u64)?;
            for (index, item) in value.try_iter()?.enumerate().take(stop).skip(start) {
                if equal(state, &item, &wanted)? {
                    return Ok(Value::from(index));
                }
            }
            Err(wrong("the value is not in the list"))
        }
        "copy" if !value.is_tuple() => {
            arguments.end()?;
            Ok(value.clone())
        }
        _ => Err(unknown(value, method)),
    }
}

/// The arguments of a method call, taken one after the other.
pub struct Arguments<'a> {
    method: &'a str,
    positional: VecDeque<Value>,
    named: Kwargs,
    taken: usize,
}

impl<'a> Arguments<'a> {
    pub fn new(method: &'a str, args: &[Value]) -> Result<Self, Error> {
        let (positional, named): (&[Value], Kwargs) = minijinja::value::from_args(args)?;
        Ok(Arguments { method, positional: positional.iter().cloned().collect(), named, taken: 0 })
    }

    pub fn required(&mut self) -> Result<Value, Error> {
        self.optional()?.ok_or_else(|| wrong(format!("{}() expects more than {} arguments", self.method, self.taken)))
    }

    pub fn optional(&mut self) -> Result<Option<Value>, Error> {
        self.taken += 1;
        Ok(self.positional.pop_front())
    }

    /// The next one, or that of the name.
    pub fn named(&mut self, name: &str) -> Result<Option<Value>, Error> {
        match self.optional()? {
            Some(value) => Ok(Some(value)),
            None => self.named.get::<Option<Value>>(name),
        }
    }

    /// The next one, or that of the name, as a condition; false where there is none.
    pub fn flag(&mut self, name: &str) -> Result<bool, Error> {
        Ok(self.named(name)?.is_some_and(|value| value.is_true()))
    }

    pub fn text(&mut self) -> Result<Value, Error> {
        let value = self.required()?;
        if value.kind() == ValueKind::String {
            return Ok(value);
        }
        Err(wrong(format!("{}() argument {} must be str, not {}", self.method, self.taken, type_name(&value))))
    }

    pub fn integer_of(&self, value: &Value) -> Result<i64, Error> {
        let number = match value.kind() {
            ValueKind::Bool => Some(i64::from(value.is_true())),
            _ if value.is_integer() => value.as_i64(),
            _ => None,
        };
        number.ok_or_else(|| {
            wrong(format!("{}(): '{}' object cannot be interpreted as an integer", self.method, type_name(value)))
        })
    }

    /// Optional start and end as slices have them, within a length. A start behind the end of everything stays there.
    pub fn bounds(&mut self, length: usize) -> Result<(usize, usize), Error> {
        let mut bound = |default: usize| -> Result<usize, Error> {
            match self.optional()? {
                Some(value) if !value.is_none() => {
                    let number = self.integer_of(&value)?;
                    let from_end = number.saturating_add(length as i64).max(0);
                    Ok(usize::try_from(if number < 0 { from_end } else { number }).unwrap_or(usize::MAX))
                }
                _ => Ok(default),
            }
        };
        let start = bound(0)?;
        let stop = bound(length)?.min(length);
        Ok((start, stop))
    }

    /// All that are left, as what `%` takes: a dictionary of those that are named, else a tuple.
    pub fn rest(self, state: &State) -> Result<Value, Error> {
        let names: Vec<&str> = self.named.args().collect();
        if names.is_empty() {
            return Ok(Value::from(Tuple::from(Vec::from(self.positional))));
        }
        if !self.positional.is_empty() {
            return Err(wrong("can't handle positional and keyword arguments at the same time"));
        }
        let members = names.iter().map(|name| Ok((Value::from(*name), self.named.get::<Value>(name)?)));
        dictionary(state, members.collect::<Result<Vec<_>, Error>>()?.into_iter())
    }

    /// No argument is left.
    pub fn end(self) -> Result<(), Error> {
        if !self.positional.is_empty() {
            return Err(wrong(format!("{}() got too many arguments", self.method)));
        }
        self.named.assert_all_used()
    }
}
