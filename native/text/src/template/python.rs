//! Values as Python prints them.

use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::namespaces::is_namespace;
use super::objects::Group;

/// Containers nested deeper than this are not printed.
const DEEPEST: usize = 512;

/// `repr()` of a float: the shortest digits that give the value back, an exponent outside 1e-4 to 1e16.
pub fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 || (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// `type(value).__name__`
pub fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "Undefined",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String if value.is_safe() => "Markup",
        ValueKind::String => "str",
        ValueKind::Bytes => "bytes",
        ValueKind::Seq if value.is_tuple() => "tuple",
        ValueKind::Seq => "list",
        ValueKind::Map => "dict",
        ValueKind::Iterable => "generator",
        _ => "object",
    }
}

/// Appends `str(value)`.
pub fn plain(state: &State, value: &Value, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::String => out.push_str(value.as_str().unwrap_or_default()),
        ValueKind::Undefined => {}
        _ => repr(state, value, out)?,
    }
    Ok(())
}

/// Appends `repr(value)`.
pub fn repr(state: &State, value: &Value, out: &mut String) -> Result<(), Error> {
    let mut printer = Printer { state, charged: out.len() };
    printer.value(value, 0, out)
}

struct Printer<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    charged: usize,
}

impl Printer<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::new(ErrorKind::InvalidOperation, format!("nested more than {DEEPEST} deep")));
        }
        self.state.consume_fuel(1 + (out.len() - self.charged) as u64 / 16)?;
        self.charged = out.len();
        match value.kind() {
            ValueKind::Undefined => out.push_str("Undefined"),
            ValueKind::None => out.push_str("None"),
            ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
            ValueKind::Number if !value.is_integer() => out.push_str(&float_repr(f64::try_from(value.clone())?)),
            ValueKind::String if value.is_safe() => {
                out.push_str("Markup(");
                string_repr(value.as_str().unwrap_or_default(), out);
                out.push(')');
            }
            ValueKind::String => string_repr(value.as_str().unwrap_or_default(), out),
            ValueKind::Seq if is_plain(value) => {
                let tuple = value.is_tuple() || value.downcast_object_ref::<Group>().is_some();
                out.push(if tuple { '(' } else { '[' });
                for (index, item) in value.try_iter()?.enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    self.value(&item, depth + 1, out)?;
                }
                out.push_str(match (tuple, value.len()) {
                    (true, Some(1)) => ",)",
                    (true, _) => ")",
                    _ => "]",
                });
            }
            ValueKind::Map if is_plain(value) || is_namespace(value) => {
                out.push_str(if is_namespace(value) { "<Namespace {" } else { "{" });
                for (index, key) in value.try_iter()?.enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    self.value(&key, depth + 1, out)?;
                    out.push_str(": ");
                    self.value(&value.get_item(&key)?, depth + 1, out)?;
                }
                out.push_str(if is_namespace(value) { "}>" } else { "}" });
            }
            _ => {
                let _ = write!(out, "{value}");
            }
        }
        Ok(())
    }
}

/// Whether it is a list, tuple or dictionary and not an object that prints itself.
pub fn is_plain(value: &Value) -> bool {
    value.as_object().is_some_and(|object| {
        let name = object.type_name();
        name.contains("Vec<") || name.ends_with("::Group") || name.contains("IndexMap<") || name.ends_with("::Tuple")
    })
}

/// `repr()` of a string.
pub fn string_repr(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// `str.isprintable()`: Rust's `escape_debug` escapes by the same categories of Unicode. It escapes marks as well, but
/// only in front.
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    let text = String::from_iter(['a', c]);
    text.escape_debug().nth(1) == Some(c)
}

/// MarkupSafe's `escape()`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// `str.isspace()` of one character.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Title case of a character, as Unicode's SpecialCasing.txt has it.
pub fn title_case(c: char, out: &mut String) {
    match c {
        'Ǆ'..='ǆ' => out.push('ǅ'),
        'Ǉ'..='ǉ' => out.push('ǈ'),
        'Ǌ'..='ǌ' => out.push('ǋ'),
        'Ǳ'..='ǳ' => out.push('ǲ'),
        // Greek with iota subscript: the capital that keeps it.
        '\u{1f80}'..='\u{1faf}' => out.extend(char::from_u32(u32::from(c) | 8)),
        'ᾳ' | 'ῃ' | 'ῳ' => out.extend(char::from_u32(u32::from(c) + 9)),
        'ᾼ' | 'ῌ' | 'ῼ' => out.push(c),
        _ => {
            let mut upper = c.to_uppercase();
            out.extend(upper.next());
            let is_letter_alone = matches!(c, 'ŉ' | 'ẖ'..='ẚ');
            for other in upper {
                if is_letter_alone || !other.is_alphabetic() {
                    out.push(other);
                } else {
                    out.extend(other.to_lowercase());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_as_short_as_python_prints_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (f64::INFINITY, "inf"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(text, float_repr(value));
        }
    }

    #[test]
    fn strings_are_quoted_as_python_does() {
        let repr = |text: &str| {
            let mut out = String::new();
            string_repr(text, &mut out);
            out
        };
        assert_eq!(r"'a'", repr("a"));
        assert_eq!(r#""it's""#, repr("it's"));
        assert_eq!(r#"'it\'s "q"'"#, repr("it's \"q\""));
        assert_eq!(r"'\x00\x7f\u200b\xa0\u2028\ue000'", repr("\0\x7f\u{200b}\u{a0}\u{2028}\u{e000}"));
        assert_eq!("'é😀e\u{301}'", repr("é😀e\u{301}"));
    }
}
