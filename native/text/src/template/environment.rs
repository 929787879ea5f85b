//! The environment that model authors test their templates in: that of transformers' `apply_chat_template`.

use std::cell::Cell;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::Value;
use minijinja::{AutoEscape, Environment, Error, State, UndefinedBehavior};

use super::operators::wrong;
use super::python::plain;
use super::strftime::strftime;
use super::{filters, methods, operators};

thread_local! {
    /// Seconds of local time at which the rendering in progress takes place.
    pub static NOW: Cell<i64> = const { Cell::new(0) };
}

const MOST_DATE_BYTES: usize = 4096;
/// Of macro calls, recursive loops and blocks; one more takes some KiB of the stack.
const RECURSION_LIMIT: usize = 2000;

/// What a rendering may do: one of it pays for an instruction or for 64 bytes that are made. A longer conversation may
/// take more, since some templates look at all messages for each.
pub fn fuel(json_bytes: usize) -> u64 {
    2_000_000 + 4 * json_bytes.min(1_500_000) as u64
}

/// What such a rendering may take of the stack: values nest, and are freed, as deep as its fuel reaches.
pub fn stack_bytes(json_bytes: usize) -> usize {
    128 * fuel(json_bytes) as usize
}

/// The environment for sources that `lower()` wrote.
pub fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_unknown_method_callback(methods::call);
    environment.set_formatter(|out, state, value| {
        if value.kind() == ValueKind::String || !matches!(state.auto_escape(), AutoEscape::None) {
            return minijinja::escape_formatter(out, state, value);
        }
        let mut text = String::new();
        plain(state, value, &mut text)?;
        out.write_str(&text).map_err(Error::from)
    });
    environment.set_recursion_limit(RECURSION_LIMIT);
    environment.set_syntax(syntax(false, true));
    environment.remove_global("debug"); // which jinja2 has not
    filters::register(&mut environment);
    operators::register(&mut environment);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function(FIXED_DATE, strftime_now);
    environment
}

/// The syntax of jinja2, with blocks trimmed as transformers asks for or not.
pub fn syntax(trimmed: bool, keep_trailing_newline: bool) -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.trim_blocks(trimmed).lstrip_blocks(trimmed).keep_trailing_newline(keep_trailing_newline);
    builder.build().unwrap_or_default()
}

/// Marks the message as the template's own, see `failure_of()`.
pub const RAISED: &str = "\u{1}";

fn raise_exception(state: &State, message: Value) -> Result<Value, Error> {
    let mut text = String::from(RAISED);
    plain(state, &message, &mut text)?;
    Err(wrong(text))
}

/// A variable of this name that is a string is what the function returns, whatever the format.
pub const FIXED_DATE: &str = "strftime_now";

fn strftime_now(_: &State, format: &str) -> Result<String, Error> {
    strftime(format, NOW.get(), MOST_DATE_BYTES).ok_or_else(|| wrong("strftime_now: the format asks for too much text"))
}
