//! The environment that model authors test their templates in: that of transformers' `apply_chat_template`.

use std::cell::Cell;

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior};

use super::python_text::float_repr;
use super::strftime::strftime;
use super::tojson::tojson;

thread_local! {
    /// Seconds of local time at which the rendering in progress takes place.
    pub static NOW: Cell<i64> = const { Cell::new(0) };
}

const MOST_DATE_BYTES: usize = 4096;

pub fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_debug(false);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_formatter(|out, state, value| {
        if !value.is_integer() {
            if let (true, Ok(float)) = (value.is_number(), f64::try_from(value.clone())) {
                return out.write_str(&float_repr(float)).map_err(Error::from);
            }
        }
        minijinja::escape_formatter(out, state, value)
    });
    environment.set_recursion_limit(RECURSION_LIMIT);
    let mut syntax = minijinja::syntax::SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    environment.add_filter("tojson", tojson);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment
}

/// Of macro calls, recursive loops and blocks; one more would take some KiB of the stack.
const RECURSION_LIMIT: usize = 2000;

/// Marks the message as the template's own, see `message_of()`.
pub const RAISED: &str = "\u{1}";

fn raise_exception(message: Value) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
}

/// A variable `strftime_now` that is a string is what the function returns, whatever the format.
pub fn with_fixed_date(variables: Value) -> Value {
    const NAME: &str = "strftime_now";
    let Some(date) = variables.get_attr(NAME).ok().filter(|date| date.kind() == ValueKind::String) else {
        return variables;
    };
    let fixed = Value::from_function(move |_: &str| date.clone());
    let pairs = variables.try_iter().into_iter().flatten().map(|key| {
        let value =
            if key.as_str() == Some(NAME) { fixed.clone() } else { variables.get_item(&key).unwrap_or_default() };
        (key, value)
    });
    Value::from_pairs(pairs.collect::<Vec<_>>())
}

fn strftime_now(_: &State, format: &str) -> Result<String, Error> {
    strftime(format, NOW.get(), MOST_DATE_BYTES)
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "strftime_now: the format asks for too much text"))
}
