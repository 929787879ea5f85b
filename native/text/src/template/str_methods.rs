//! Methods of Python's `str`. Positions count characters.

use minijinja::value::{Kwargs, Tuple, ValueKind};
use minijinja::{Error, State, Value};

use super::methods::{unknown, Arguments};
use super::operators::{str_format, wrong};
use super::python::{is_printable, is_space, title_case, type_name};
use super::translate;

pub const NAMES: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

pub fn call(state: &State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let text = value.as_str().unwrap_or_default();
    // Markup stays Markup.
    let same = |changed: String| if value.is_safe() { Value::from_safe_string(changed) } else { Value::from(changed) };
    if method == "format" {
        return str_format(state, text, args).map(same);
    }
    if method.starts_with("is") || ["title", "capitalize", "swapcase", "casefold"].contains(&method) {
        state.consume_fuel(text.len() as u64 / 8)?; // a look-up or two for each character
    }
    let mut arguments = Arguments::new(method, args)?;
    let result = match method {
        "translate" => same(translate::translate(state, text, &arguments.required()?)?),
        "maketrans" => translate::table(state, &mut arguments)?,
        "format_map" => {
            let mapping = arguments.required()?;
            let members = mapping.as_object().and_then(|object| object.try_iter_pairs()).into_iter().flatten();
            let named = members.filter_map(|(key, value)| key.as_str().map(|name| (name.to_owned(), value)));
            same(str_format(state, text, &[Kwargs::from_iter(named).into()])?)
        }
        "upper" => same(text.to_uppercase()),
        "lower" => same(text.to_lowercase()),
        "casefold" => same(text.to_lowercase().replace('ß', "ss").replace('ς', "σ")),
        "title" => same(title(text)),
        "capitalize" => same(capitalize(text)),
        "swapcase" => same(swap_case(text)),
        "isalnum" | "isalpha" | "isascii" | "isdecimal" | "isdigit" | "isidentifier" | "islower" | "isnumeric"
        | "isprintable" | "isspace" | "istitle" | "isupper" => Value::from(is(method, text)),
        "strip" | "lstrip" | "rstrip" => {
            let characters = arguments.optional()?;
            same(strip(method, text, characters.as_ref())?.to_owned())
        }
        "startswith" | "endswith" => {
            let affix = arguments.required()?;
            let length = text.chars().count();
            let (start, stop) = arguments.bounds(length)?;
            Value::from(start <= length && has_affix(method, window(text, start, stop), &affix, start > stop)?)
        }
        "find" | "rfind" | "index" | "rindex" => {
            let wanted = arguments.text()?;
            let (start, stop) = arguments.bounds(text.chars().count())?;
            match find(text, wanted.as_str().unwrap_or_default(), start, stop, method.starts_with('r')) {
                Some(position) => Value::from(position),
                None if method.ends_with("find") => Value::from(-1),
                None => return Err(wrong("substring not found")),
            }
        }
        "count" => {
            let wanted = arguments.text()?;
            let length = text.chars().count();
            let (start, stop) = arguments.bounds(length)?;
            match wanted.as_str().unwrap_or_default() {
                "" => Value::from(if start > stop { 0 } else { stop - start + 1 }),
                wanted => Value::from(window(text, start, stop).matches(wanted).count()),
            }
        }
        "replace" => {
            let (old, new) = (arguments.text()?, arguments.text()?);
            let count = match arguments.named("count")? {
                Some(count) => arguments.integer_of(&count)?,
                None => -1,
            };
            let (old, new) = (old.as_str().unwrap_or_default(), new.as_str().unwrap_or_default());
            same(replace(state, text, old, new, count)?)
        }
        "split" | "rsplit" => {
            let separator = arguments.named("sep")?.filter(|separator| !separator.is_none());
            let most = match arguments.named("maxsplit")? {
                Some(most) => usize::try_from(arguments.integer_of(&most)?).unwrap_or(usize::MAX),
                None => usize::MAX,
            };
            charge(state, text.len())?;
            Value::from(split(method, text, separator.as_ref(), most)?.into_iter().map(Value::from).collect::<Vec<_>>())
        }
        "splitlines" => {
            let keep_ends = arguments.named("keepends")?.is_some_and(|keep| keep.is_true());
            charge(state, text.len())?;
            Value::from(split_lines(text, keep_ends).into_iter().map(Value::from).collect::<Vec<_>>())
        }
        "partition" | "rpartition" => {
            let separator = arguments.text()?;
            let separator = separator.as_str().unwrap_or_default();
            if separator.is_empty() {
                return Err(wrong("empty separator"));
            }
            let parts = match method {
                "partition" => text.split_once(separator).map_or([text, "", ""], |(a, b)| [a, separator, b]),
                _ => text.rsplit_once(separator).map_or(["", "", text], |(a, b)| [a, separator, b]),
            };
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "join" => {
            let items = arguments.required()?;
            same(join(state, text, &items)?)
        }
        "removeprefix" => {
            let prefix = arguments.text()?;
            same(text.strip_prefix(prefix.as_str().unwrap_or_default()).unwrap_or(text).to_owned())
        }
        "removesuffix" => {
            let suffix = arguments.text()?;
            same(text.strip_suffix(suffix.as_str().unwrap_or_default()).unwrap_or(text).to_owned())
        }
        "ljust" | "rjust" | "center" | "zfill" => {
            let width = arguments.required()?;
            let width = usize::try_from(arguments.integer_of(&width)?).unwrap_or(0);
            let fill = if method == "zfill" { None } else { arguments.optional()? };
            same(pad(state, method, text, width, fill.as_ref())?)
        }
        "expandtabs" => {
            let size = match arguments.named("tabsize")? {
                Some(size) => usize::try_from(arguments.integer_of(&size)?).unwrap_or(0),
                None => 8,
            };
            charge(state, text.matches('\t').count().saturating_mul(size))?;
            same(expand_tabs(text, size))
        }
        "encode" => {
            let encoding = arguments.named("encoding")?;
            let _ = arguments.named("errors")?;
            match encoding.as_ref().map_or("utf-8".to_owned(), |name| name.to_string().to_lowercase()).as_str() {
                "utf-8" | "utf8" | "utf_8" => Value::from_bytes(text.as_bytes().to_vec()),
                other => return Err(wrong(format!("encode(): the encoding {other} is not supported"))),
            }
        }
        _ => return Err(unknown(value, method)),
    };
    arguments.end()?;
    Ok(result)
}

/// Pays for bytes before they are made: the engine does so afterwards.
fn charge(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(bytes as u64 / 64)
}

/// The characters from start to stop.
fn window(text: &str, start: usize, stop: usize) -> &str {
    let offset = |position: usize| text.char_indices().nth(position).map_or(text.len(), |(offset, _)| offset);
    let from = offset(start);
    &text[from..offset(stop).max(from)]
}

pub fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            title_case(c, &mut out);
        }
        in_word = is_cased(c);
    }
    out
}

pub fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let mut out = String::with_capacity(text.len());
    if let Some(first) = chars.next() {
        title_case(first, &mut out);
    }
    // A sigma at the end of a word is told by what is before it.
    let lower = text.to_lowercase();
    let skipped: usize = text.chars().next().map_or(0, |first| first.to_lowercase().map(char::len_utf8).sum());
    out.push_str(lower.get(skipped..).unwrap_or_default());
    out
}

fn swap_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
    }
    out
}

fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | '\u{1f88}'..='\u{1f8f}')
}

/// Digits of scripts that number from zero to nine: those continue an identifier and begin none.
fn is_decimal(c: char) -> bool {
    c.is_ascii_digit() || (c.is_numeric() && unicode_ident::is_xid_continue(c) && !unicode_ident::is_xid_start(c))
}

/// Decimals, superscripts, subscripts, and digits in circles, parentheses and with full stops.
fn is_digit(c: char) -> bool {
    is_decimal(c)
        || matches!(c, '²' | '³' | '¹' | '\u{1369}'..='\u{1371}' | '\u{19da}' | '\u{2070}' | '\u{2074}'..='\u{2079}'
            | '\u{2080}'..='\u{2089}' | '\u{2460}'..='\u{2468}' | '\u{2474}'..='\u{247c}' | '\u{2488}'..='\u{2490}'
            | '\u{24ea}' | '\u{24f5}'..='\u{24fd}' | '\u{24ff}' | '\u{2776}'..='\u{277e}' | '\u{2780}'..='\u{2788}'
            | '\u{278a}'..='\u{2792}' | '\u{10a40}'..='\u{10a43}' | '\u{1f100}'..='\u{1f10a}')
}

/// The numerals of Han that Unicode gives a value.
fn is_numeric(c: char) -> bool {
    c.is_numeric() || "〇一二三四五六七八九十百千万億兆亿零壹贰叁肆伍陆柒捌玖拾佰仟両两".contains(c)
}

fn is(method: &str, text: &str) -> bool {
    let all = |property: fn(char) -> bool| !text.is_empty() && text.chars().all(property);
    match method {
        "isalnum" => all(|c| c.is_alphabetic() && is_letter(c) || is_numeric(c)),
        "isalpha" => all(|c| c.is_alphabetic() && is_letter(c)),
        "isascii" => text.is_ascii(),
        "isdecimal" => all(is_decimal),
        "isdigit" => all(is_digit),
        "isnumeric" => all(is_numeric),
        "isprintable" => text.chars().all(is_printable),
        "isspace" => all(is_space),
        "islower" => text.chars().any(|c| c.is_lowercase()) && !text.chars().any(|c| c.is_uppercase()),
        "isupper" => text.chars().any(|c| c.is_uppercase()) && !text.chars().any(|c| c.is_lowercase()),
        "isidentifier" => {
            let mut chars = text.chars();
            chars.next().is_some_and(|c| c == '_' || unicode_ident::is_xid_start(c))
                && chars.all(unicode_ident::is_xid_continue)
        }
        _ => {
            let mut any = false;
            let mut in_word = false;
            for c in text.chars() {
                if c.is_uppercase() {
                    if in_word {
                        return false;
                    }
                    (in_word, any) = (true, true);
                } else if c.is_lowercase() {
                    if !in_word {
                        return false;
                    }
                    any = true;
                } else {
                    in_word = false;
                }
            }
            any
        }
    }
}

/// Python counts letters; Unicode's alphabetic characters include marks and numbers of letters besides.
fn is_letter(c: char) -> bool {
    unicode_ident::is_xid_start(c) && !c.is_numeric()
}

pub fn strip<'a>(method: &str, text: &'a str, characters: Option<&Value>) -> Result<&'a str, Error> {
    let set: Option<Vec<char>> = match characters {
        None => None,
        Some(value) if value.is_none() => None,
        Some(value) if value.kind() == ValueKind::String => Some(value.as_str().unwrap_or_default().chars().collect()),
        Some(value) => return Err(wrong(format!("{method} arg must be None or str, not {}", type_name(value)))),
    };
    let set = set.map(|mut set| {
        set.sort_unstable();
        set
    });
    let goes = |c: char| match &set {
        None => is_space(c),
        Some(set) => set.binary_search(&c).is_ok(),
    };
    let text = if method == "rstrip" { text } else { text.trim_start_matches(goes) };
    Ok(if method == "lstrip" { text } else { text.trim_end_matches(goes) })
}

fn has_affix(method: &str, text: &str, affix: &Value, impossible: bool) -> Result<bool, Error> {
    let one = |affix: &Value| match affix.kind() {
        ValueKind::String => {
            let affix = affix.as_str().unwrap_or_default();
            Ok(!impossible && if method == "startswith" { text.starts_with(affix) } else { text.ends_with(affix) })
        }
        _ => Err(wrong(format!("{method} first arg must be str or a tuple of str, not {}", type_name(affix)))),
    };
    if !affix.is_tuple() {
        return one(affix);
    }
    for affix in affix.try_iter()? {
        if one(&affix)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn find(text: &str, wanted: &str, start: usize, stop: usize, last: bool) -> Option<usize> {
    if start > stop {
        return None;
    }
    let part = window(text, start, stop);
    let offset = if last { part.rfind(wanted) } else { part.find(wanted) }?;
    Some(start + part[..offset].chars().count())
}

pub fn replace(state: &State, text: &str, old: &str, new: &str, count: i64) -> Result<String, Error> {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let places = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    charge(state, text.len() + places.min(most).saturating_mul(new.len()))?;
    Ok(text.replacen(old, new, most))
}

fn split<'a>(method: &str, text: &'a str, separator: Option<&Value>, most: usize) -> Result<Vec<&'a str>, Error> {
    let Some(separator) = separator else {
        return Ok(if method == "split" { split_words(text, most) } else { rsplit_words(text, most) });
    };
    let Some(separator) = separator.as_str() else {
        return Err(wrong(format!("must be str or None, not {}", type_name(separator))));
    };
    if separator.is_empty() {
        return Err(wrong("empty separator"));
    }
    let pieces = most.saturating_add(1);
    if method == "split" {
        return Ok(text.splitn(pieces, separator).collect());
    }
    let mut parts: Vec<&str> = text.rsplitn(pieces, separator).collect();
    parts.reverse();
    Ok(parts)
}

fn split_words(text: &str, most: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        if words.len() == most {
            words.push(rest);
            break;
        }
        let end = rest.find(is_space).unwrap_or(rest.len());
        words.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    words
}

fn rsplit_words(text: &str, most: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        if words.len() == most {
            words.push(rest);
            break;
        }
        let start = rest.char_indices().rev().find(|&(_, c)| is_space(c)).map_or(0, |(at, c)| at + c.len_utf8());
        words.push(&rest[start..]);
        rest = rest[..start].trim_end_matches(is_space);
    }
    words.reverse();
    words
}

fn split_lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let is_end =
        |c: char| matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some(end) = rest.find(is_end) else {
            lines.push(rest);
            break;
        };
        let length = match rest[end..].chars().next() {
            Some('\r') if rest[end + 1..].starts_with('\n') => 2,
            Some(c) => c.len_utf8(),
            None => 0,
        };
        lines.push(&rest[..if keep_ends { end + length } else { end }]);
        rest = &rest[end + length..];
    }
    lines
}

fn join(state: &State, separator: &str, items: &Value) -> Result<String, Error> {
    if !matches!(items.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        return Err(wrong("can only join an iterable"));
    }
    let mut out = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        let Some(text) = item.as_str().filter(|_| item.kind() == ValueKind::String) else {
            return Err(wrong(format!("sequence item {index}: expected str instance, {} found", type_name(&item))));
        };
        state.consume_fuel(1 + (separator.len() + text.len()) as u64 / 64)?;
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(text);
    }
    Ok(out)
}

pub fn pad(state: &State, method: &str, text: &str, width: usize, fill: Option<&Value>) -> Result<String, Error> {
    let fill = match fill {
        None => ' ',
        Some(value) => {
            let mut chars = value.as_str().unwrap_or_default().chars();
            match (chars.next(), chars.next()) {
                (Some(fill), None) => fill,
                _ => return Err(wrong("The fill character must be exactly one character long")),
            }
        }
    };
    let missing = width.saturating_sub(text.chars().count());
    charge(state, missing.saturating_mul(4))?;
    let fills = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    Ok(match method {
        "ljust" => text.to_owned() + &fills(missing),
        "rjust" => fills(missing) + text,
        "center" => {
            // As CPython shares an odd number out.
            let left = missing / 2 + (missing & width & 1);
            fills(left) + text + &fills(missing - left)
        }
        _ => {
            let (sign, digits) = match text.chars().next() {
                Some('+' | '-') => text.split_at(1),
                _ => ("", text),
            };
            sign.to_owned() + &"0".repeat(missing) + digits
        }
    })
}

fn expand_tabs(text: &str, size: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' => {
                let spaces = if size == 0 { 0 } else { size - column % size };
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}
