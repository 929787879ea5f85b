//! Which special tokens in a rendering are the template's, and which text came from the variables.
//!
//! A rendering says nothing about where its characters come from. So it is done again with marks: a character within
//! the text of a special token is replaced by one that occurs nowhere else. Where the same text results but for the
//! marks, they tell.
//!
//! First the template's own strings are marked, those that are no arguments of a comparison or a search: a token with
//! such a mark is the template's, and one without came from the variables. Where a template puts a token together from
//! pieces (`'<|' + message.role + '|>'`), or takes it from a variable (`bos_token`), the variables are marked instead.
//! Where marks change what the template does, they tell nothing, and every token that the variables could have given
//! counts as theirs.

use std::collections::{BTreeMap, HashSet};

use minijinja::Value;

use super::json_reader::Json;
use super::special::{parts, Occurrence, Specials};
use crate::ffi::Outcome;

/// Letters of a script that nobody writes: they print, and have no case.
const MARKS: std::ops::RangeInclusive<char> = '\u{12000}'..='\u{1236e}';

/// Marks that occur in none of the texts.
pub fn free_marks<'a>(texts: &'a [&'a str]) -> impl Iterator<Item = char> + 'a {
    MARKS.filter(|&mark| !texts.iter().any(|text| text.contains(mark)))
}

/// The text with one character of every occurrence replaced by its mark, of those that share it by the first one's.
pub fn marked(text: &str, occurrences: impl Iterator<Item = (Occurrence, char)>) -> String {
    let mut places = BTreeMap::new();
    for (found, mark) in occurrences {
        places.entry(found.start + place(&text[found.start..found.end])).or_insert(mark);
    }
    let mut out = String::with_capacity(text.len() + 4 * places.len());
    let mut rest = 0;
    for (place, mark) in places {
        out.push_str(&text[rest..place]);
        out.push(mark);
        rest = place + text[place..].chars().next().map_or(0, char::len_utf8);
    }
    out.push_str(&text[rest..]);
    out
}

/// The byte of a token's character that is replaced: one that neither case nor escaping changes, if there is one.
fn place(token: &str) -> usize {
    let rank = |c: char| match c {
        '"' | '\\' | '<' | '>' | '&' | '\'' => 3,
        c if c.is_whitespace() => 4,
        c if c.is_alphabetic() => 2,
        _ if c.is_ascii() => 0,
        _ => 1,
    };
    token.char_indices().min_by_key(|&(_, c)| rank(c)).map_or(0, |(at, _)| at)
}

/// The bytes of `plain` where `with_marks` has a mark; None where they differ otherwise.
fn marks_of(plain: &str, with_marks: &str, marks: &[char]) -> Option<Vec<(usize, char)>> {
    let mut places = Vec::new();
    let mut others = with_marks.chars();
    for (at, c) in plain.char_indices() {
        match others.next()? {
            other if marks.contains(&other) => places.push((at, other)),
            other if other == c => {}
            _ => return None,
        }
    }
    others.next().is_none().then_some(places)
}

/// The marks in an occurrence.
fn within<'a>(places: &'a [(usize, char)], found: &Occurrence) -> impl Iterator<Item = (usize, char)> + 'a {
    let first = places.partition_point(|&(place, _)| place < found.start);
    let end = found.end;
    places[first..].iter().copied().take_while(move |&(place, _)| place < end)
}

/// The strings among the variables that are text, not structure: all but the roles of messages and variables that are a
/// special token as a whole (`bos_token` and the like).
struct UserTexts<'a> {
    specials: &'a Specials,
    structure: HashSet<*const Json>,
    /// Special tokens that a variable is as a whole.
    from_variable: HashSet<&'a str>,
}

impl<'a> UserTexts<'a> {
    fn of(variables: &'a Json, specials: &'a Specials) -> Self {
        let mut structure = HashSet::new();
        let mut from_variable = HashSet::new();
        if let Json::Object(members) = variables {
            for (_, member) in members {
                if let Json::Text(text) = member {
                    if specials.contains(text) {
                        structure.insert(std::ptr::from_ref(member));
                        from_variable.insert(text.as_str());
                    }
                }
            }
        }
        if let Some(Json::Array(messages)) = variables.get("messages") {
            for role in messages.iter().filter_map(|message| message.get("role")) {
                let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                if matches!(role, Json::Text(text) if text.chars().all(is_word)) {
                    structure.insert(std::ptr::from_ref(role));
                }
            }
        }
        UserTexts { specials, structure, from_variable }
    }

    fn is_text(&self, json: &Json) -> bool {
        matches!(json, Json::Text(_)) && !self.structure.contains(&std::ptr::from_ref(json))
    }

    fn any(&self, json: &Json, holds: &dyn Fn(&str, bool) -> bool) -> bool {
        match json {
            Json::Scalar(_) => false,
            Json::Text(text) => self.is_text(json) && holds(text, false),
            Json::Array(items) => items.iter().any(|item| self.any(item, holds)),
            Json::Object(members) => members.iter().any(|(key, member)| holds(key, true) || self.any(member, holds)),
        }
    }

    /// Whether any of them could be, or become, one of the special tokens. Keys are looked at for whole ones alone.
    fn relate(&self, json: &Json) -> bool {
        self.any(json, &|text, key| if key { !self.specials.find(text).is_empty() } else { self.specials.relate(text) })
    }

    /// Whether any of them holds a special token, or could complete it beside others.
    fn give(&self, json: &Json, token: &str) -> bool {
        self.any(json, &|text, key| text.contains(token) || (!key && !parts(text, token).is_empty()))
    }

    /// The variables with marks in all that holds one of the tokens or could complete it.
    fn marked(&self, json: &Json, tokens: &Specials, mark: char) -> Value {
        json.to_value(&mut |text, of| {
            if matches!(of, Json::Text(_)) && !self.is_text(of) {
                return text.to_owned();
            }
            let mut found = tokens.find(text);
            if self.is_text(of) {
                found.extend(tokens.texts().flat_map(|token| parts(text, token)));
            }
            marked(text, found.into_iter().map(|found| (found, mark)))
        })
    }
}

/// The two marks of a template: in whole special tokens, and in pieces of them.
#[derive(Clone, Copy)]
pub struct Marks {
    pub whole: char,
    pub piece: char,
}

/// What `origins()` asks the template to do again.
pub trait Again {
    /// The same rendering by a template whose own special tokens are marked.
    fn with_marked_template(&self) -> Outcome<(String, Marks)>;
    /// A rendering with other variables.
    fn with_variables(&self, variables: Value) -> Outcome<String>;
    /// A mark that occurs neither in the template nor in the variables.
    fn mark(&self) -> Option<char>;
}

/// Byte ranges of the rendered text, in ascending order and apart from each other, in which no special token may be
/// recognised.
pub fn origins(text: &str, variables: &Json, specials: &Specials, again: &dyn Again) -> Vec<Occurrence> {
    let mut found = specials.find(text);
    let users = UserTexts::of(variables, specials);
    if found.is_empty() || !users.relate(variables) {
        return Vec::new();
    }
    let token = |found: &Occurrence| &text[found.start..found.end];
    // An error is as good as another text: the marks changed things.
    let marked = again.with_marked_template().ok();
    let marked = marked
        .and_then(|(with_marks, marks)| Some((marks_of(text, &with_marks, &[marks.whole, marks.piece])?, marks.whole)));
    let in_doubt: Vec<Occurrence> = match &marked {
        Some((places, whole)) => {
            found.retain(|found| !within(places, found).any(|(_, mark)| mark == *whole));
            let pieces = |found: &&Occurrence| within(places, found).next().is_some();
            found.iter().filter(|one| pieces(one) || users.from_variable.contains(token(one))).copied().collect()
        }
        None => found.clone(),
    };
    let tokens: HashSet<&str> = in_doubt.iter().map(token).collect();
    let given = Specials::new(tokens.into_iter().filter(|token| users.give(variables, token)));
    let with_marks = again.mark().filter(|_| !given.is_empty()).and_then(|mark| {
        let with_marks = again.with_variables(users.marked(variables, &given, mark)).ok()?;
        marks_of(text, &with_marks, &[mark])
    });
    let of_template = |one: &&Occurrence| match &with_marks {
        _ if !given.contains(token(one)) => true,
        Some(places) => within(places, one).next().is_none(),
        None => false,
    };
    let settled: HashSet<Occurrence> = in_doubt.iter().filter(of_template).copied().collect();
    found.retain(|found| !settled.contains(found));
    merged(found)
}

fn merged(mut ranges: Vec<Occurrence>) -> Vec<Occurrence> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Occurrence> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}
