//! `tojson` as transformers defines it: Python's `json.dumps`, with `ensure_ascii` off unless asked for.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::methods::is_dictionary;
use super::objects::{DictView, Range};
use super::python::{float_repr, type_name};

/// Containers nested deeper than this are refused; Python's own limit is near.
const DEEPEST: usize = 512;

struct Style {
    ensure_ascii: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
}

pub fn tojson(state: &State, value: &Value, rest: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    let mut named = [None, None, None, None];
    for (slot, name) in named.iter_mut().zip(["ensure_ascii", "indent", "separators", "sort_keys"]) {
        *slot = kwargs.get::<Option<Value>>(name)?;
    }
    kwargs.assert_all_used()?;
    if rest.len() > named.len() {
        return Err(Error::new(ErrorKind::TooManyArguments, "tojson takes at most 4 arguments"));
    }
    for (slot, value) in named.iter_mut().zip(rest.iter()) {
        if slot.replace(value.clone()).is_some() {
            return Err(Error::new(ErrorKind::TooManyArguments, "tojson got an argument twice"));
        }
    }
    let [ensure_ascii, indent, separators, sort_keys] = named;
    let truth = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let indent = match indent {
        None => None,
        Some(value) if value.is_none() => None,
        Some(value) => Some(match value.as_str() {
            Some(text) => text.to_owned(),
            None if value.kind() == ValueKind::Bool => " ".repeat(usize::from(value.is_true())),
            None => {
                let width = value.as_i64().filter(|_| value.is_integer()).ok_or_else(|| {
                    Error::new(ErrorKind::InvalidOperation, "tojson: indent is neither a number nor a string")
                })?;
                let width = usize::try_from(width).unwrap_or(0);
                if width > 1000 {
                    return Err(Error::new(ErrorKind::InvalidOperation, "tojson: indent is above 1000"));
                }
                " ".repeat(width)
            }
        }),
    };
    let (item_separator, key_separator) = match separators {
        Some(pair) if !pair.is_none() => {
            let pair: Vec<Value> = pair.try_iter()?.collect();
            match &pair[..] {
                [item, key] if item.as_str().is_some() && key.as_str().is_some() => (item.to_string(), key.to_string()),
                _ => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators are two strings")),
            }
        }
        _ => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let style =
        Style { ensure_ascii: truth(ensure_ascii), indent, item_separator, key_separator, sort_keys: truth(sort_keys) };
    let mut writer = Writer { state, style, out: String::new(), charged: 0 };
    writer.value(value, 0)?;
    Ok(writer.out)
}

/// The JSON of a string, with the quotes.
pub fn quote(text: &str, ensure_ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 || (ensure_ascii && !(' '..='~').contains(&c)) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Writer<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    style: Style,
    out: String,
    charged: usize,
}

impl Writer<'_, '_, '_> {
    /// Pays for what was written, while it is written: a value can be far larger than the text it came from.
    fn charge(&mut self) -> Result<(), Error> {
        let written = self.out.len() - self.charged;
        self.charged = self.out.len();
        self.state.consume_fuel(1 + written as u64 / 16)
    }

    fn break_line(&mut self, depth: usize) {
        if let Some(indent) = &self.style.indent {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson: nested more than {DEEPEST} deep")));
        }
        self.charge()?;
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)),
            ValueKind::String => quote(value.as_str().unwrap_or_default(), self.style.ensure_ascii, &mut self.out),
            ValueKind::Map if is_dictionary(value) => self.map(value, depth)?,
            ValueKind::Seq | ValueKind::Iterable if is_list(value) => self.sequence(value, depth)?,
            _ => {
                let message = format!("Object of type {} is not JSON serializable", type_name(value));
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
        Ok(())
    }

    fn sequence(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.out.push('[');
        let mut empty = true;
        for item in value.try_iter()?.checked() {
            if !empty {
                self.out.push_str(&self.style.item_separator);
            }
            empty = false;
            self.break_line(depth + 1);
            self.value(&item?, depth + 1)?;
        }
        if !empty {
            self.break_line(depth);
        }
        self.out.push(']');
        Ok(())
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut keys = value.try_iter()?.checked().collect::<Result<Vec<_>, _>>()?;
        if self.style.sort_keys {
            keys.sort();
        }
        self.out.push('{');
        for (index, key) in keys.iter().enumerate() {
            if index > 0 {
                self.out.push_str(&self.style.item_separator);
            }
            self.break_line(depth + 1);
            let text = match key.kind() {
                ValueKind::String => key.to_string(),
                ValueKind::None => "null".into(),
                ValueKind::Bool => if key.is_true() { "true" } else { "false" }.into(),
                ValueKind::Number => number(key),
                kind => {
                    return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson: a key is of type {kind}")));
                }
            };
            quote(&text, self.style.ensure_ascii, &mut self.out);
            self.out.push_str(&self.style.key_separator);
            self.value(&value.get_item(key)?, depth + 1)?;
        }
        if !keys.is_empty() {
            self.break_line(depth);
        }
        self.out.push('}');
        Ok(())
    }
}

/// Python's lists and tuples are JSON; views, ranges and generators are not.
fn is_list(value: &Value) -> bool {
    value.len().is_some()
        && value.downcast_object_ref::<DictView>().is_none()
        && value.downcast_object_ref::<Range>().is_none()
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(float) if float.is_nan() => "NaN".into(),
        Ok(float) if float.is_infinite() => if float > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        Ok(float) => float_repr(float),
        Err(_) => value.to_string(),
    }
}
