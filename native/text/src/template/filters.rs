//! Filters, tests and functions of jinja2 that minijinja lacks or has otherwise.

use std::borrow::Cow;
use std::cmp::Ordering;

use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, ValueOrKwargs};
use minijinja::{filters, tests};
use minijinja::{Environment, Error, State, Value};

use super::methods::{attribute, is_dictionary, items_of, not_iterable, Arguments};
use super::objects::{cycler, generator, joiner, DictView, Group, Range};
use super::operators::{add, dictionary, equal, hashable, is_in, order, percent, rem, undefined, wrong};
use super::python::{escape, is_space, plain, repr, type_name};
use super::str_methods;
use super::tojson::tojson;

pub fn register(environment: &mut Environment) {
    for name in ["upper", "lower", "capitalize"] {
        environment.add_filter(name, move |state: &State, value: Value| {
            str_methods::call(state, &soft_str(state, &value)?, name, &[])
        });
    }
    environment.add_filter("tojson", tojson);
    environment.add_filter("trim", |state: &State, value: Value, characters: Option<Value>| {
        let arguments: Vec<Value> = characters.into_iter().collect();
        str_methods::call(state, &soft_str(state, &value)?, "strip", &arguments)
    });
    environment.add_filter("replace", replace);
    environment.add_filter("string", |state: &State, value: Value| soft_str(state, &value));
    for name in ["e", "escape"] {
        environment.add_filter(name, |state: &State, value: Value| {
            if value.is_safe() {
                return Ok(value);
            }
            force_escape(state, value)
        });
    }
    environment.add_filter("safe", |state: &State, value: Value| {
        Ok::<_, Error>(Value::from_safe_string(soft_str(state, &value)?.as_str().unwrap_or_default().to_owned()))
    });
    environment.add_filter("title", |state: &State, value: Value| {
        let text = soft_str(state, &value)?;
        Ok::<_, Error>(filters::title(text.as_str().unwrap_or_default().into()))
    });
    environment.add_filter("forceescape", force_escape);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("indent", indent);
    environment.add_filter("join", join);
    environment.add_filter("list", |state: &State, value: Value| items_of(state, &value).map(Value::from));
    environment.add_filter("last", |value: Value| match value.kind() {
        ValueKind::Iterable if value.len().is_none() => {
            Err(wrong(format!("'{}' object is not reversible", type_name(&value))))
        }
        _ => filters::last(value),
    });
    environment.add_filter("reverse", reverse);
    environment.add_filter("sort", sort);
    environment.add_filter("dictsort", dictsort);
    environment.add_filter("groupby", groupby);
    environment.add_filter("min", |state: &State, value: Value, args: Rest<ValueOrKwargs>| {
        extreme(state, value, args, Ordering::Less)
    });
    environment.add_filter("max", |state: &State, value: Value, args: Rest<ValueOrKwargs>| {
        extreme(state, value, args, Ordering::Greater)
    });
    environment.add_filter("sum", sum);
    environment.add_filter("format", |state: &State, value: Value, args: Rest<ValueOrKwargs>| {
        let arguments = arguments("format", args)?;
        let text = soft_str(state, &value)?;
        let values = arguments.rest(state)?;
        percent(state, text.as_str().unwrap_or_default(), values)
    });
    environment.add_filter("pprint", |state: &State, value: Value| {
        let mut out = String::new();
        repr(state, &value, &mut out)?;
        Ok::<_, Error>(out)
    });
    environment.add_filter("unique", unique);
    environment.add_filter("items", pairs);
    environment.add_filter("attr", |value: Value, name: &str| match value.kind() {
        ValueKind::Map if is_dictionary(&value) => {
            Ok(Some(attribute(&value, name)?).filter(|found| found.kind() == ValueKind::Plain).unwrap_or_default())
        }
        _ => attribute(&value, name),
    });
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("striptags", striptags);
    environment.add_filter("wordcount", |state: &State, value: Value| {
        let text = soft_str(state, &value)?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let words = text.as_str().unwrap_or_default().split(|c| !is_word(c)).filter(|word| !word.is_empty());
        Ok::<_, Error>(words.count())
    });
    environment.add_filter("truncate", truncate);
    environment.add_filter("round", round);
    environment.add_filter("center", |state: &State, value: Value, width: Option<usize>| {
        let text = soft_str(state, &value)?;
        str_methods::pad(state, "center", text.as_str().unwrap_or_default(), width.unwrap_or(80), None)
    });
    generators(environment);

    environment.add_test("sequence", |value: Value| match value.kind() {
        ValueKind::String | ValueKind::Seq | ValueKind::Undefined => true,
        ValueKind::Map => is_dictionary(&value),
        ValueKind::Iterable => value.len().is_some() && value.downcast_object_ref::<DictView>().is_none(),
        _ => false,
    });
    environment.add_test("mapping", |value: Value| is_dictionary(&value));
    environment.add_test("iterable", |value: Value| {
        matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Undefined | ValueKind::Iterable)
            || is_dictionary(&value)
    });
    environment.add_test("callable", |value: Value| {
        value.as_object().is_some_and(|object| {
            ["Macro", "Function", "BoundMethod", "Joiner"].iter().any(|name| object.type_name().ends_with(name))
        })
    });

    environment.add_test("odd", |state: &State, value: Value| equal(state, &rem(state, value, 2.into())?, &1.into()));
    environment.add_test("even", |state: &State, value: Value| equal(state, &rem(state, value, 2.into())?, &0.into()));
    environment.add_test("divisibleby", |state: &State, value: Value, by: Value| {
        equal(state, &rem(state, value, by)?, &0.into())
    });
    environment.add_test("filter", |state: &State, value: Value| is_name(state, &value, tests::is_filter));
    environment.add_test("test", |state: &State, value: Value| is_name(state, &value, tests::is_test));
    comparisons(environment);

    environment.add_function("range", |bounds: Rest<i64>| Range::new(&bounds).map(Value::from_object));
    environment.add_function("dict", dict);
    environment.add_function("namespace", |state: &State, positional: Option<Value>, named: Kwargs| {
        let members = dict(state, positional, named)?;
        minijinja::functions::namespace(Some(ValueOrKwargs::from(members)))
    });
    environment.add_function("cycler", cycler);
    environment.add_function("joiner", joiner);
}

/// Tests that compare.
fn comparisons(environment: &mut Environment) {
    for name in ["eq", "equalto", "=="] {
        environment.add_test(name, |state: &State, a: Value, b: Value| equal(state, &a, &b));
    }
    for name in ["ne", "!="] {
        environment.add_test(name, |state: &State, a: Value, b: Value| Ok::<_, Error>(!equal(state, &a, &b)?));
    }
    for (name, operator, holds) in [
        ("lt", "<", Ordering::is_lt as fn(Ordering) -> bool),
        ("lessthan", "<", Ordering::is_lt),
        ("<", "<", Ordering::is_lt),
        ("le", "<=", Ordering::is_le),
        ("<=", "<=", Ordering::is_le),
        ("gt", ">", Ordering::is_gt),
        ("greaterthan", ">", Ordering::is_gt),
        (">", ">", Ordering::is_gt),
        ("ge", ">=", Ordering::is_ge),
        (">=", ">=", Ordering::is_ge),
    ] {
        environment.add_test(name, move |state: &State, a: Value, b: Value| {
            Ok::<_, Error>(order(state, operator, &a, &b)?.is_some_and(holds))
        });
    }
    environment.add_test("in", |state: &State, a: Value, b: Value| is_in(state, a, b));
}

/// Filters of minijinja's that give a list where jinja2's give a generator.
fn generators(environment: &mut Environment) {
    environment.add_filter("map", |state: &mut State, value: Value, args: Rest<ValueOrKwargs>| {
        filters::map(state, value, args).map(generator)
    });
    environment.add_filter(
        "select",
        |state: &mut State, value: Value, test: Option<Cow<str>>, args: Rest<ValueOrKwargs>| {
            filters::select(state, value, test, args).map(generator)
        },
    );
    environment.add_filter(
        "reject",
        |state: &mut State, value: Value, test: Option<Cow<str>>, args: Rest<ValueOrKwargs>| {
            filters::reject(state, value, test, args).map(generator)
        },
    );
    environment.add_filter(
        "selectattr",
        |state: &mut State, value: Value, name: Cow<str>, test: Option<Cow<str>>, args: Rest<ValueOrKwargs>| {
            filters::selectattr(state, value, name, test, args).map(generator)
        },
    );
    environment.add_filter(
        "rejectattr",
        |state: &mut State, value: Value, name: Cow<str>, test: Option<Cow<str>>, args: Rest<ValueOrKwargs>| {
            filters::rejectattr(state, value, name, test, args).map(generator)
        },
    );
    environment.add_filter("batch", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        Ok::<_, Error>(generator(filters::batch(state, value, count, fill)?.try_iter()?.collect()))
    });
    environment.add_filter("slice", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        Ok::<_, Error>(generator(filters::slice(state, value, count, fill)?.try_iter()?.collect()))
    });
}

/// `str(value)`, Markup as it is.
fn soft_str(state: &State, value: &Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String {
        return Ok(value.clone());
    }
    let mut out = String::new();
    plain(state, value, &mut out)?;
    Ok(Value::from(out))
}

fn force_escape(state: &State, value: Value) -> Result<Value, Error> {
    let text = soft_str(state, &value)?;
    Ok(Value::from_safe_string(escape(text.as_str().unwrap_or_default())))
}

fn replace(state: &State, value: Value, old: Value, new: Value, count: Option<i64>) -> Result<String, Error> {
    let [text, old, new] = [soft_str(state, &value)?, soft_str(state, &old)?, soft_str(state, &new)?];
    let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    str_methods::replace(state, &part(&text), &part(&old), &part(&new), count.unwrap_or(-1))
}

fn default(value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = arguments("default", args)?;
    let otherwise = arguments.named("default_value")?.unwrap_or_else(|| Value::from(""));
    let boolean = arguments.flag("boolean")?;
    arguments.end()?;
    Ok(if value.is_undefined() || (boolean && !value.is_true()) { otherwise } else { value })
}

fn whole(value: f64) -> Option<Value> {
    const LIMIT: f64 = (1u128 << 126) as f64;
    let value = value.trunc();
    if value.abs() < i64::MAX as f64 {
        Some(Value::from(value as i64))
    } else if value.abs() < LIMIT {
        Some(Value::from(value as i128))
    } else {
        None
    }
}

fn int(value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = arguments("int", args)?;
    let otherwise = arguments.named("default")?.unwrap_or_else(|| Value::from(0));
    let base = match arguments.named("base")? {
        Some(base) => u32::try_from(arguments.integer_of(&base)?).unwrap_or(1),
        None => 10,
    };
    arguments.end()?;
    let converted = match value.kind() {
        ValueKind::Undefined => return Err(undefined()),
        ValueKind::Bool => Some(Value::from(i64::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => Some(value.clone()),
        ValueKind::Number => whole(f64::try_from(value)?),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            parse_int(text, base).map(Value::from).or_else(|| parse_float(text).and_then(whole))
        }
        _ => None,
    };
    Ok(converted.unwrap_or(otherwise))
}

/// Digits may have single underscores between them.
fn digits(text: &str) -> Option<String> {
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    Some(text.replace('_', ""))
}

fn parse_int(text: &str, base: u32) -> Option<i64> {
    let text = text.trim_matches(is_space);
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (base, unsigned) = [(16, "0x"), (8, "0o"), (2, "0b")]
        .iter()
        .find(|(of_prefix, prefix)| (base == 0 || base == *of_prefix) && lower.starts_with(prefix))
        .map_or((if base == 0 { 10 } else { base }, lower.as_str()), |(of_prefix, prefix)| {
            (*of_prefix, &lower[prefix.len()..])
        });
    if !(2..=36).contains(&base) || unsigned.starts_with(['+', '-']) {
        return None;
    }
    let number = i64::from_str_radix(&digits(unsigned)?, base).ok()?;
    Some(if negative { -number } else { number })
}

fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    let unsigned = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    if text.len() - unsigned.len() > 1 {
        return None;
    }
    digits(text)?.parse().ok()
}

fn float(value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = arguments("float", args)?;
    let otherwise = arguments.named("default")?.unwrap_or_else(|| Value::from(0.0));
    arguments.end()?;
    let converted = match value.kind() {
        ValueKind::Undefined => return Err(undefined()),
        ValueKind::Bool => Some(if value.is_true() { 1.0 } else { 0.0 }),
        ValueKind::Number => f64::try_from(value).ok(),
        ValueKind::String => parse_float(value.as_str().unwrap_or_default()),
        _ => None,
    };
    Ok(converted.map_or(otherwise, Value::from))
}

/// The arguments of a filter behind the value that it is applied to.
fn arguments<'a>(filter: &'a str, args: Rest<ValueOrKwargs>) -> Result<Arguments<'a>, Error> {
    Arguments::new(filter, &args.0.into_iter().map(ValueOrKwargs::into_value).collect::<Vec<_>>())
}

fn indent(state: &State, value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = arguments("indent", args)?;
    let width = arguments.named("width")?.unwrap_or_else(|| Value::from(4));
    let first = arguments.flag("first")?;
    let blank = arguments.flag("blank")?;
    arguments.end()?;
    if value.kind() != ValueKind::String {
        return Err(wrong(format!("unsupported operand type(s) for +=: '{}' and 'str'", type_name(&value))));
    }
    let indention = match width.as_str() {
        Some(text) => text.to_owned(),
        None => {
            let width = usize::try_from(i64::try_from(width)?).unwrap_or(0);
            state.consume_fuel(width as u64 / 64)?;
            " ".repeat(width)
        }
    };
    let text = format!("{}\n", value.as_str().unwrap_or_default());
    let lines = str_methods::call(state, &Value::from(text), "splitlines", &[])?;
    let mut out = String::new();
    for (index, line) in lines.try_iter()?.enumerate() {
        let line = line.as_str().unwrap_or_default();
        state.consume_fuel(1 + (indention.len() + line.len()) as u64 / 64)?;
        if index > 0 {
            out.push('\n');
        }
        if if index == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&indention);
        }
        out.push_str(line);
    }
    Ok(if value.is_safe() { Value::from_safe_string(out) } else { Value::from(out) })
}

fn join(state: &State, value: Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let mut arguments = arguments("join", args)?;
    let separator = match arguments.named("d")? {
        Some(separator) => soft_str(state, &separator)?.as_str().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let name = arguments.named("attribute")?.filter(|name| !name.is_none());
    arguments.end()?;
    if value.is_none() {
        return Err(not_iterable(&value));
    }
    let mut out = String::new();
    for (index, item) in value.try_iter()?.checked().enumerate() {
        let item = match &name {
            Some(name) => item_at(&item?, name)?,
            None => item?,
        };
        state.consume_fuel(1 + separator.len() as u64 / 64)?;
        if index > 0 {
            out.push_str(&separator);
        }
        plain(state, &item, &mut out)?;
    }
    Ok(out)
}

/// What jinja2's `attribute` arguments name: an item or attribute, of a path with dots between its names.
fn item_at(value: &Value, name: &Value) -> Result<Value, Error> {
    let Some(path) = name.as_str() else {
        return value.get_item(name);
    };
    path.split('.').try_fold(value.clone(), |value, part| match part.parse::<i64>() {
        Ok(index) => value.get_item(&Value::from(index)),
        Err(_) => match value.get_item(&Value::from(part))? {
            found if found.is_undefined() => attribute(&value, part),
            found => Ok(found),
        },
    })
}

fn reverse(state: &State, value: Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = items_of(state, &value)?;
    items.reverse();
    Ok(if value.kind() == ValueKind::Iterable && value.len().is_none() { Value::from(items) } else { generator(items) })
}

/// What items are compared by: attributes, in lower case unless case matters.
fn sort_keys(items: Vec<Value>, case_sensitive: bool, names: &[Value]) -> Result<Vec<(Vec<Value>, Value)>, Error> {
    let fold = |value: Value| match value.as_str() {
        Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
        _ => value,
    };
    let keys = |item: &Value| -> Result<Vec<Value>, Error> {
        if names.is_empty() {
            return Ok(vec![fold(item.clone())]);
        }
        names.iter().map(|name| item_at(item, name).map(fold)).collect()
    };
    items.into_iter().map(|item| Ok((keys(&item)?, item))).collect()
}

fn names_of(attribute: Option<Value>) -> Vec<Value> {
    match attribute {
        Some(value) if value.is_none() => vec![],
        Some(value) => match value.as_str() {
            Some(text) => text.split(',').map(Value::from).collect(),
            None => vec![value],
        },
        None => vec![],
    }
}

/// Sorts and stays stable; fails where Python cannot compare.
fn sort(state: &State, value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = arguments("sort", args)?;
    let reverse = arguments.flag("reverse")?;
    let case_sensitive = arguments.flag("case_sensitive")?;
    let names = names_of(arguments.named("attribute")?);
    arguments.end()?;
    let mut keyed = sort_keys(items_of(state, &value)?, case_sensitive, &names)?;
    sort_keyed(state, &mut keyed, reverse)?;
    Ok(Value::from(keyed.into_iter().map(|(_, item)| item).collect::<Vec<_>>()))
}

fn sort_keyed(state: &State, keyed: &mut [(Vec<Value>, Value)], reverse: bool) -> Result<(), Error> {
    state.consume_fuel(keyed.len() as u64 * 16)?;
    let mut failure = None;
    let mut compare = |left: &Value, right: &Value| match order(state, "<", left, right) {
        Ok(Some(ordering)) => ordering,
        // With numbers that are none no order is right; any that is one will do.
        Ok(None) => left.cmp(right),
        Err(error) => {
            failure.get_or_insert(error);
            Ordering::Equal
        }
    };
    keyed.sort_by(|(a, _), (b, _)| {
        let ordering = a.iter().zip(b).map(|(left, right)| compare(left, right)).find(|ordering| ordering.is_ne());
        let ordering = ordering.unwrap_or(Ordering::Equal);
        if reverse {
            ordering.reverse()
        } else {
            ordering
        }
    });
    failure.map_or(Ok(()), Err)
}

fn dictsort(state: &State, value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = arguments("dictsort", args)?;
    let case_sensitive = arguments.flag("case_sensitive")?;
    let by = arguments.named("by")?.unwrap_or_else(|| Value::from("key"));
    let reverse = arguments.flag("reverse")?;
    arguments.end()?;
    let index = match by.as_str() {
        Some("key") => 0,
        Some("value") => 1,
        _ => return Err(wrong("You can only sort by either \"key\" or \"value\"")),
    };
    if !is_dictionary(&value) {
        return Err(wrong(format!("'{}' object has no attribute 'items'", type_name(&value))));
    }
    let items = items_of(state, &pairs(state, value)?)?;
    let mut keyed = sort_keys(items, case_sensitive, &[Value::from(index)])?;
    sort_keyed(state, &mut keyed, reverse)?;
    Ok(Value::from(keyed.into_iter().map(|(_, item)| item).collect::<Vec<_>>()))
}

fn unique(state: &State, value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = arguments("unique", args)?;
    let case_sensitive = arguments.flag("case_sensitive")?;
    let names = names_of(arguments.named("attribute")?);
    arguments.end()?;
    let mut seen = std::collections::HashSet::new();
    let keyed = sort_keys(items_of(state, &value)?, case_sensitive, &names)?;
    keyed.iter().flat_map(|(keys, _)| keys).try_for_each(|key| hashable(state, key))?;
    Ok(generator(keyed.into_iter().filter(|(key, _)| seen.insert(key.clone())).map(|(_, item)| item).collect()))
}

fn groupby(state: &State, value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = arguments("groupby", args)?;
    let name = arguments.named("attribute")?.ok_or_else(|| wrong("groupby: an attribute is wanted"))?;
    let default = arguments.named("default")?;
    let case_sensitive = arguments.flag("case_sensitive")?;
    arguments.end()?;
    let found = |item: &Value| match (item_at(item, &name)?, &default) {
        (found, Some(default)) if found.is_undefined() => Ok(default.clone()),
        (found, _) => Ok::<_, Error>(found),
    };
    let items = items_of(state, &value)?.into_iter().map(|item| Ok(Value::from(Tuple::from([found(&item)?, item]))));
    let mut keyed = sort_keys(items.collect::<Result<_, Error>>()?, case_sensitive, &[Value::from(0)])?;
    sort_keyed(state, &mut keyed, false)?;
    let mut groups: Vec<(Value, Group)> = Vec::new();
    for (keys, pair) in keyed {
        let key = keys.into_iter().next().unwrap_or_default();
        let item = pair.get_item(&Value::from(1))?;
        match groups.last_mut() {
            Some((last, group)) if equal(state, last, &key)? => group.list.push(item),
            _ => groups.push((key, Group { grouper: pair.get_item(&Value::from(0))?, list: vec![item] })),
        }
    }
    Ok(Value::from(groups.into_iter().map(|(_, group)| Value::from_object(group)).collect::<Vec<_>>()))
}

/// `min` or `max`: the first of those that come first in the order.
fn extreme(state: &State, value: Value, args: Rest<ValueOrKwargs>, wanted: Ordering) -> Result<Value, Error> {
    let mut arguments = arguments("min or max", args)?;
    let case_sensitive = arguments.flag("case_sensitive")?;
    let names = names_of(arguments.named("attribute")?);
    arguments.end()?;
    let mut best: Option<(Vec<Value>, Value)> = None;
    for (keys, item) in sort_keys(items_of(state, &value)?, case_sensitive, &names)? {
        let better = match &best {
            None => true,
            Some((of_best, _)) => match (keys.first(), of_best.first()) {
                (Some(key), Some(of_best)) => order(state, "<", key, of_best)? == Some(wanted),
                _ => false,
            },
        };
        if better {
            best = Some((keys, item));
        }
    }
    Ok(best.map(|(_, item)| item).unwrap_or_default())
}

fn sum(state: &State, value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = arguments("sum", args)?;
    let name = arguments.named("attribute")?.filter(|name| !name.is_none());
    let start = arguments.named("start")?.unwrap_or_else(|| Value::from(0));
    arguments.end()?;
    if start.kind() == ValueKind::String {
        return Err(wrong("sum() can't sum strings [use ''.join(seq) instead]"));
    }
    items_of(state, &value)?.iter().try_fold(start, |sum, item| match &name {
        Some(name) => add(state, &sum, &item_at(item, name)?),
        None => add(state, &sum, item),
    })
}

fn pairs(state: &State, value: Value) -> Result<Value, Error> {
    if value.is_undefined() {
        return Ok(generator(vec![]));
    }
    if !is_dictionary(&value) {
        return Err(wrong("Can only get item pairs from a mapping."));
    }
    let keys = items_of(state, &value)?;
    let pairs = keys.into_iter().map(|key| {
        let item = value.get_item(&key)?;
        Ok(Value::from(Tuple::from([key, item])))
    });
    pairs.collect::<Result<Vec<_>, Error>>().map(generator)
}

fn urlencode(state: &State, value: Value) -> Result<String, Error> {
    let quote = |value: &Value, query: bool| -> Result<String, Error> {
        let text = soft_str(state, value)?;
        let quoted = filters::urlencode(&text)?.replace("%7E", "~");
        Ok(if query { quoted.replace('/', "%2F").replace("%20", "+") } else { quoted })
    };
    let pairs = match value.kind() {
        ValueKind::Map => pairs(state, value)?,
        ValueKind::Seq | ValueKind::Iterable => value,
        _ => return quote(&value, false),
    };
    let encoded = pairs.try_iter()?.map(|pair| {
        let (key, item) = (pair.get_item(&Value::from(0))?, pair.get_item(&Value::from(1))?);
        Ok(format!("{}={}", quote(&key, true)?, quote(&item, true)?))
    });
    Ok(encoded.collect::<Result<Vec<_>, Error>>()?.join("&"))
}

/// MarkupSafe's: comments and tags go, white space becomes single spaces, the usual entities are resolved.
fn striptags(state: &State, value: Value) -> Result<String, Error> {
    let text = soft_str(state, &value)?;
    let mut rest = text.as_str().unwrap_or_default();
    let mut out = String::new();
    for (open, close) in [("<!--", "-->"), ("<", ">")] {
        let mut kept = String::new();
        while let Some((start, end)) = rest.find(open).and_then(|at| Some((at, at + rest[at..].find(close)?))) {
            kept.push_str(&rest[..start]);
            rest = &rest[end + close.len()..];
        }
        kept.push_str(rest);
        out = kept;
        rest = &out;
    }
    let words: Vec<&str> = out.split(is_space).filter(|word| !word.is_empty()).collect();
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&#34;", "\""), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    Ok(entities.iter().fold(words.join(" "), |text, (entity, character)| text.replace(entity, character)))
}

/// Whether a filter or test is called so; what cannot be looked up is an error.
fn is_name(state: &State, value: &Value, is: fn(&State, &str) -> bool) -> Result<bool, Error> {
    hashable(state, value)?;
    Ok(value.as_str().is_some_and(|name| is(state, name)))
}

/// What is rounded down or up is a float in Python, an integer that was one too.
fn round(value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = arguments("round", args)?;
    let precision = match arguments.named("precision")? {
        Some(precision) => i32::try_from(arguments.integer_of(&precision)?).unwrap_or(i32::MAX),
        None => 0,
    };
    let method = arguments.named("method")?;
    arguments.end()?;
    let method = method.as_ref().map_or(Some("common"), |name| name.as_str()).unwrap_or_default();
    let directed = ["ceil", "floor"].contains(&method);
    let number = match value.kind() {
        ValueKind::Bool if directed => Value::from(f64::from(value.is_true())),
        ValueKind::Bool => Value::from(i64::from(value.is_true())),
        ValueKind::Number if directed => Value::from(f64::try_from(value)?),
        _ => value,
    };
    filters::round(number, Some(precision), Some(method), Kwargs::from_iter::<[(&str, Value); 0]>([]))
}

fn truncate(state: &State, value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = arguments("truncate", args)?;
    let mut size = |name: &str, default: i64| -> Result<usize, Error> {
        let number = match arguments.named(name)? {
            Some(value) if !value.is_none() => arguments.integer_of(&value)?,
            _ => default,
        };
        Ok(usize::try_from(number).unwrap_or(0))
    };
    let length = size("length", 255)?;
    let kill_words = arguments.flag("killwords")?;
    let end = arguments.named("end")?.unwrap_or_else(|| Value::from("..."));
    let leeway = match arguments.named("leeway")? {
        Some(value) if !value.is_none() => usize::try_from(arguments.integer_of(&value)?).unwrap_or(0),
        _ => 5,
    };
    arguments.end()?;
    let characters = |text: &str| text.chars().count();
    let count = |value: &Value| match value.kind() {
        ValueKind::Undefined => Ok(0),
        ValueKind::String => Ok(characters(value.as_str().unwrap_or_default())),
        _ => value.len().ok_or_else(|| wrong(format!("object of type '{}' has no len()", type_name(value)))),
    };
    let kept = length.checked_sub(count(&end)?);
    let kept = kept.ok_or_else(|| wrong("truncate: the length is smaller than that of the end"))?;
    if count(&value)? <= length + leeway {
        return Ok(value);
    }
    let (Some(text), Some(end)) = (value.as_str(), end.as_str()) else {
        return Err(wrong(format!("'{}' object cannot be cut", type_name(&value))));
    };
    state.consume_fuel(text.len() as u64 / 64)?;
    let start: String = text.chars().take(kept).collect();
    let start =
        if kill_words { start.as_str() } else { start.rsplit_once(' ').map_or(start.as_str(), |(head, _)| head) };
    Ok(Value::from(format!("{start}{end}")))
}

fn dict(state: &State, positional: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let mut members: Vec<(Value, Value)> = Vec::new();
    match positional {
        Some(value) if value.kind() == ValueKind::Map => {
            for key in value.try_iter()? {
                members.push((key.clone(), value.get_item(&key)?));
            }
        }
        Some(value) => {
            for pair in value.try_iter()?.checked() {
                let pair = pair?;
                if pair.len() != Some(2) {
                    return Err(wrong("dictionary update sequence elements must have length 2"));
                }
                members.push((pair.get_item(&Value::from(0))?, pair.get_item(&Value::from(1))?));
            }
        }
        None => {}
    }
    for name in named.args() {
        members.push((Value::from(name), named.peek::<Value>(name)?));
    }
    dictionary(state, members.into_iter())
}
