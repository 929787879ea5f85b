//! Operations of Python that minijinja does otherwise, as functions that `lower.rs` calls.

use std::cmp::Ordering;

use minijinja::formatting::{format, FormatStyle};
use minijinja::value::{Rest, Tuple, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::lower::PREFIX;
use super::methods::{self, attribute};
use super::namespaces::held;
use super::python::{escape, plain, repr, type_name};

pub fn register(environment: &mut Environment) {
    let name = |operation: &str| format!("{PREFIX}{operation}");
    environment.add_function(name("add"), |state: &State, operands: Rest<Value>| fold(state, &operands, add));
    environment.add_function(name("concat"), concat);
    environment.add_function(name("rem"), rem);
    environment
        .add_function(name("lt"), |state: &State, a: Value, b: Value| compare(state, "<", &a, &b, Ordering::is_lt));
    environment
        .add_function(name("lte"), |state: &State, a: Value, b: Value| compare(state, "<=", &a, &b, Ordering::is_le));
    environment
        .add_function(name("gt"), |state: &State, a: Value, b: Value| compare(state, ">", &a, &b, Ordering::is_gt));
    environment
        .add_function(name("gte"), |state: &State, a: Value, b: Value| compare(state, ">=", &a, &b, Ordering::is_ge));
    environment.add_function(name("in"), is_in);
    environment.add_function(name("slice"), slice);
    environment.add_function(name("iter"), iter);
    environment.add_function(name("attribute"), |value: Value, name: &str| attribute(&value, name));
    environment.add_function(name("eq"), |state: &State, a: Value, b: Value| equal(state, &a, &b));
    environment.add_function(name("ne"), |state: &State, a: Value, b: Value| Ok::<_, Error>(!equal(state, &a, &b)?));
    environment.add_function(name("chain"), chain);
    environment.add_function(name("item"), item);
    environment.add_function(name("dict"), |state: &State, members: Rest<Value>| {
        dictionary(state, members.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())))
    });
    environment.add_function(name("scalar"), |state: &State, value: Value| match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            let mut shown = String::new();
            repr(state, &value, &mut shown)?;
            Ok(Value::from(shown))
        }
        _ => Ok::<_, Error>(value),
    });
    environment.add_function(name("held"), held);
    environment.add_function(name("no_loader"), || -> Result<Value, Error> {
        Err(wrong("no loader for this environment specified: a template cannot name another"))
    });
}

pub fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

pub fn undefined() -> Error {
    Error::new(ErrorKind::UndefinedError, "a value is undefined")
}

fn fold(
    state: &State,
    operands: &[Value],
    operation: fn(&State, &Value, &Value) -> Result<Value, Error>,
) -> Result<Value, Error> {
    let (first, rest) = operands.split_first().ok_or_else(|| wrong("nothing to add"))?;
    // Strings alone, the usual case, are joined at once.
    if operands.iter().all(|operand| operand.kind() == ValueKind::String && !operand.is_safe()) {
        let pieces: Vec<&str> = operands.iter().filter_map(|operand| operand.as_str()).collect();
        return Ok(Value::from(pieces.concat()));
    }
    rest.iter().try_fold(first.clone(), |sum, operand| operation(state, &sum, operand))
}

/// An integer or a boolean.
fn integer(value: &Value) -> Option<i128> {
    match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    }
}

fn float(value: &Value) -> Option<f64> {
    match integer(value) {
        Some(whole) => Some(whole as f64),
        None if value.is_number() => f64::try_from(value.clone()).ok(),
        None => None,
    }
}

fn whole(value: i128) -> Value {
    i64::try_from(value).map_or_else(|_| Value::from(value), Value::from)
}

fn unsupported(operator: &str, a: &Value, b: &Value) -> Error {
    if a.is_undefined() || b.is_undefined() {
        return undefined();
    }
    wrong(format!("unsupported operand type(s) for {operator}: '{}' and '{}'", type_name(a), type_name(b)))
}

pub fn add(state: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(left), Some(right)) = (a.as_str(), b.as_str()) {
        if a.is_safe() || b.is_safe() {
            let side = |value: &Value, text: &str| if value.is_safe() { text.to_owned() } else { escape(text) };
            return Ok(Value::from_safe_string(side(a, left) + &side(b, right)));
        }
        return Ok(Value::from([left, right].concat()));
    }
    if let (Some(left), Some(right)) = (integer(a), integer(b)) {
        return left.checked_add(right).map(whole).ok_or_else(|| wrong("an integer of more than 128 bits"));
    }
    if let (Some(left), Some(right)) = (float(a), float(b)) {
        return Ok(Value::from(left + right));
    }
    if a.kind() == ValueKind::Seq && b.kind() == ValueKind::Seq && a.is_tuple() == b.is_tuple() {
        let length = a.len().unwrap_or_default() + b.len().unwrap_or_default();
        state.consume_fuel(length as u64 / 2)?;
        let items = a.try_iter()?.chain(b.try_iter()?).collect::<Vec<_>>();
        return Ok(if a.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) });
    }
    Err(unsupported("+", a, b))
}

fn concat(state: &State, operands: Rest<Value>) -> Result<Value, Error> {
    let mut out = String::new();
    for operand in operands.iter() {
        match operand.as_str() {
            Some(text) => out.push_str(text),
            None => plain(state, operand, &mut out)?,
        }
    }
    Ok(Value::from(out))
}

pub fn rem(state: &State, a: Value, b: Value) -> Result<Value, Error> {
    if let Some(text) = a.as_str() {
        return percent(state, text, b).map(Value::from);
    }
    if let (Some(left), Some(right)) = (integer(&a), integer(&b)) {
        let remainder = left.checked_rem(right).ok_or_else(|| wrong("integer modulo by zero"))?;
        let other_sign = remainder != 0 && (remainder < 0) != (right < 0);
        return Ok(whole(if other_sign { remainder + right } else { remainder }));
    }
    if let (Some(left), Some(right)) = (float(&a), float(&b)) {
        if right == 0.0 {
            return Err(wrong("float modulo by zero"));
        }
        let remainder = left % right;
        let other_sign = remainder != 0.0 && (remainder < 0.0) != (right < 0.0);
        return Ok(Value::from(if other_sign {
            remainder + right
        } else if remainder == 0.0 {
            0f64.copysign(right)
        } else {
            remainder
        }));
    }
    Err(unsupported("%", &a, &b))
}

/// `text % values`. A tuple holds one value for each specification, a dictionary those that are named.
pub fn percent(state: &State, text: &str, values: Value) -> Result<String, Error> {
    // As of everything that has items but strings and tuples, Python does not ask whether all were used.
    let named = !values.is_tuple() && matches!(values.kind(), ValueKind::Map | ValueKind::Seq | ValueKind::Undefined);
    let listed: Vec<Value> = if values.is_tuple() { values.try_iter()?.collect() } else { vec![values.clone()] };
    let mut next = listed.into_iter();
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('%') {
        out.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        let name = match rest.strip_prefix('(').and_then(|inside| inside.split_once(')')) {
            Some((name, after)) => {
                rest = after;
                Some(name)
            }
            None => None,
        };
        let end = rest.find(|c: char| c == '%' || c.is_ascii_alphabetic() && !"hlL".contains(c));
        let end = end.ok_or_else(|| wrong("incomplete format"))?;
        let (mut flags, conversion) = (rest[..end].to_owned(), &rest[end..end + 1]);
        rest = &rest[end + 1..];
        if conversion == "%" {
            out.push('%');
            continue;
        }
        let mut take = || next.next().ok_or_else(|| wrong("not enough arguments for format string"));
        while flags.contains('*') {
            let width = integer(&take()?).ok_or_else(|| wrong("* wants int"))?;
            flags = flags.replacen('*', &width.to_string(), 1);
        }
        let value = match name {
            Some(name) => values.get_item(&Value::from(name))?,
            None => take()?,
        };
        let (conversion, value) = match conversion {
            "r" | "a" => {
                let mut shown = String::new();
                repr(state, &value, &mut shown)?;
                ("s", Value::from(shown))
            }
            "s" => {
                let mut shown = String::new();
                plain(state, &value, &mut shown)?;
                ("s", Value::from(shown))
            }
            "d" | "i" | "u" if value.is_number() && !value.is_integer() => {
                let shown = f64::try_from(value)?.trunc();
                if !shown.is_finite() || shown.abs() > 1e38 {
                    return Err(wrong("cannot convert float to integer"));
                }
                ("d", whole(shown as i128))
            }
            other => (other, value),
        };
        let widths = flags.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
        let widest = widths.map(|digits| digits.parse().unwrap_or(u64::MAX)).max().unwrap_or(0);
        state.consume_fuel(4 + widest / 64)?;
        out.push_str(&format(FormatStyle::Printf, &format!("%{flags}{conversion}"), &[value])?);
    }
    out.push_str(rest);
    if !named && next.next().is_some() {
        return Err(wrong("not all arguments converted during string formatting"));
    }
    Ok(out)
}

/// Python orders numbers, strings, lists and tuples, each among themselves.
pub fn order(state: &State, operator: &str, a: &Value, b: &Value) -> Result<Option<Ordering>, Error> {
    state.consume_fuel(1)?;
    if let (Some(left), Some(right)) = (a.as_str(), b.as_str()) {
        state.consume_fuel(left.len().min(right.len()) as u64 / 64)?;
        return Ok(Some(left.cmp(right)));
    }
    if let (Some(left), Some(right)) = (integer(a), integer(b)) {
        return Ok(Some(left.cmp(&right)));
    }
    if let (Some(left), Some(right)) = (float(a), float(b)) {
        return Ok(left.partial_cmp(&right));
    }
    if a.kind() == ValueKind::Seq && b.kind() == ValueKind::Seq && a.is_tuple() == b.is_tuple() {
        for (left, right) in a.try_iter()?.zip(b.try_iter()?) {
            if !equal(state, &left, &right)? {
                return order(state, operator, &left, &right);
            }
        }
        return Ok(Some(a.len().cmp(&b.len())));
    }
    if a.is_undefined() || b.is_undefined() {
        return Err(undefined());
    }
    Err(wrong(format!("'{operator}' not supported between instances of '{}' and '{}'", type_name(a), type_name(b))))
}

fn compare(state: &State, operator: &str, a: &Value, b: &Value, holds: fn(Ordering) -> bool) -> Result<bool, Error> {
    Ok(order(state, operator, a, b)?.is_some_and(holds))
}

/// Containers within containers are compared so deep.
const DEEPEST: usize = 1000;

/// `a == b`
pub fn equal(state: &State, a: &Value, b: &Value) -> Result<bool, Error> {
    equal_at(state, a, b, 0)
}

fn equal_at(state: &State, a: &Value, b: &Value, depth: usize) -> Result<bool, Error> {
    state.consume_fuel(1)?;
    if depth > DEEPEST {
        return Err(wrong("maximum recursion depth exceeded in comparison"));
    }
    match (a.kind(), b.kind()) {
        (ValueKind::Seq | ValueKind::Iterable, ValueKind::Seq | ValueKind::Iterable) => {
            if a.is_tuple() != b.is_tuple() || a.len() != b.len() || a.len().is_none() {
                return Ok(false);
            }
            for (left, right) in a.try_iter()?.zip(b.try_iter()?) {
                if !equal_at(state, &left, &right, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (ValueKind::Map, ValueKind::Map) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for key in a.try_iter()? {
                let found = b.as_object().and_then(|object| object.get_value(&key));
                match found {
                    Some(found) if equal_at(state, &a.get_item(&key)?, &found, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (ValueKind::String, ValueKind::String) => {
            state.consume_fuel(a.as_bytes().map_or(0, <[u8]>::len) as u64 / 64)?;
            Ok(a == b)
        }
        _ => Ok(a == b),
    }
}

/// `a < b == c …`: operands with the symbols between them.
fn chain(state: &State, steps: Rest<Value>) -> Result<bool, Error> {
    for step in steps.windows(3).step_by(2) {
        let [a, operator, b] = step else { continue };
        let operator = operator.as_str().unwrap_or_default();
        let holds = match operator {
            "==" => equal(state, a, b)?,
            "!=" => !equal(state, a, b)?,
            "<" => compare(state, operator, a, b, Ordering::is_lt)?,
            "<=" => compare(state, operator, a, b, Ordering::is_le)?,
            ">" => compare(state, operator, a, b, Ordering::is_gt)?,
            ">=" => compare(state, operator, a, b, Ordering::is_ge)?,
            "in" => is_in(state, a.clone(), b.clone())?,
            _ => !is_in(state, a.clone(), b.clone())?,
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A key of a dictionary: lists and dictionaries are none, and a tuple is one if its items are.
pub fn hashable(state: &State, key: &Value) -> Result<(), Error> {
    state.consume_fuel(1)?;
    match key.kind() {
        _ if key.is_tuple() => key.try_iter()?.try_for_each(|item| hashable(state, &item)),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            Err(wrong(format!("unhashable type: '{}'", type_name(key))))
        }
        _ => Ok(()),
    }
}

pub fn dictionary(state: &State, members: impl Iterator<Item = (Value, Value)>) -> Result<Value, Error> {
    let members: Vec<_> = members.collect();
    state.consume_fuel(members.len() as u64 * 2)?;
    members.iter().try_for_each(|(key, _)| hashable(state, key))?;
    Ok(Value::from_pairs(members))
}

/// `value[key]`: what cannot be a key finds nothing, and what names no item may name a method.
fn item(state: &State, value: Value, key: Value) -> Result<Value, Error> {
    match key.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => match hashable(state, &key) {
            Ok(()) if value.kind() == ValueKind::Map => value.get_item(&key),
            _ if value.is_undefined() => Err(undefined()),
            _ => Ok(Value::UNDEFINED),
        },
        ValueKind::String => match value.get_item(&key)? {
            found if found.is_undefined() => attribute(&value, key.as_str().unwrap_or_default()),
            found => Ok(found),
        },
        _ => {
            if value.kind() == ValueKind::String {
                state.consume_fuel(value.as_bytes().map_or(0, <[u8]>::len) as u64 / 64)?;
            }
            value.get_item(&key)
        }
    }
}

pub fn is_in(state: &State, needle: Value, container: Value) -> Result<bool, Error> {
    match container.kind() {
        ValueKind::String if needle.kind() != ValueKind::String => {
            Err(wrong(format!("'in <string>' requires string as left operand, not {}", type_name(&needle))))
        }
        ValueKind::String => {
            let text = container.as_str().unwrap_or_default();
            state.consume_fuel(text.len() as u64 / 64)?;
            Ok(text.contains(needle.as_str().unwrap_or_default()))
        }
        ValueKind::Map => {
            hashable(state, &needle)?;
            Ok(container.as_object().is_some_and(|object| object.get_value(&needle).is_some()))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            for found in container.try_iter()?.checked() {
                if equal(state, &found?, &needle)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        ValueKind::Undefined => Ok(false),
        _ => Err(wrong(format!("argument of type '{}' is not iterable", type_name(&container)))),
    }
}

/// What a loop goes over. jinja2 looks ahead in a generator and counts what is left of it where it is asked to.
fn iter(state: &State, value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Iterable if value.len().is_none() => methods::items_of(state, &value).map(Value::from),
        ValueKind::String => methods::items_of(state, &value).map(Value::from),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Undefined | ValueKind::Invalid => Ok(value),
        _ => Err(methods::not_iterable(&value)),
    }
}

/// Indices that a slice of something of a length takes, as Python's `slice.indices()`.
fn indices(bounds: [&Value; 3], length: usize) -> Result<impl Iterator<Item = usize>, Error> {
    let bound = |value: &Value| match integer(value) {
        Some(number) => Ok(Some(number)),
        None if value.is_none() => Ok(None),
        None => Err(wrong("slice indices must be integers or None")),
    };
    let [start, stop, step] = bounds;
    let (start, stop, step) = (bound(start)?, bound(stop)?, bound(step)?.unwrap_or(1));
    if step == 0 {
        return Err(wrong("slice step cannot be zero"));
    }
    let length = length as i128;
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |value: i128| if value < 0 { (value.saturating_add(length)).max(lowest) } else { value.min(highest) };
    let start = start.map_or(if step > 0 { lowest } else { highest }, clamp);
    let stop = stop.map_or(if step > 0 { highest } else { lowest }, clamp);
    let span = if step > 0 { stop - start } else { start - stop };
    let count = if span > 0 { (span - 1) / step.abs() + 1 } else { 0 };
    Ok((0..count).map(move |index| (start + index * step) as usize))
}

fn slice(state: &State, value: Value, start: Value, stop: Value, step: Value) -> Result<Value, Error> {
    let bounds = [&start, &stop, &step];
    match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            state.consume_fuel(text.len() as u64 / 64)?;
            if text.is_ascii() {
                let bytes = text.as_bytes();
                return Ok(Value::from(
                    indices(bounds, bytes.len())?.map(|i| char::from(bytes[i])).collect::<String>(),
                ));
            }
            let chars: Vec<char> = text.chars().collect();
            Ok(Value::from(indices(bounds, chars.len())?.map(|i| chars[i]).collect::<String>()))
        }
        ValueKind::Seq => {
            let length = value.len().unwrap_or_default();
            let mut items = Vec::new();
            for index in indices(bounds, length)? {
                if items.len() % 64 == 0 {
                    state.consume_fuel(32)?;
                }
                items.push(value.get_item_by_index(index)?);
            }
            Ok(if value.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) })
        }
        ValueKind::Undefined => Err(undefined()),
        // jinja2's look-up of an item that is a slice fails as any other does.
        ValueKind::Map => Err(wrong("unhashable type: 'slice'")),
        _ => Err(wrong(format!("'{}' object is not subscriptable", type_name(&value)))),
    }
}

/// `text.format(…)`. What is formatted as text is made so first: only Python's way of it is bounded.
pub fn str_format(state: &State, text: &str, args: &[Value]) -> Result<String, Error> {
    let shown = |value: &Value| match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable if !value.is_kwargs() => {
            let mut out = String::new();
            plain(state, value, &mut out)?;
            Ok(Value::from(out))
        }
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::String => Ok(value.clone()),
        _ => Ok::<_, Error>(value.clone()),
    };
    let widths = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    for width in widths {
        state.consume_fuel(width.parse::<u64>().unwrap_or(u64::MAX) / 64)?;
    }
    let arguments = args.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    format(FormatStyle::StrFormat, text, &arguments)
}
