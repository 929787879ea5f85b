//! The texts of a vocabulary's special tokens, and where they occur.

use std::collections::HashSet;

#[derive(Default)]
pub struct Specials {
    /// Texts of one length in bytes each.
    by_length: Vec<(usize, HashSet<String>)>,
    first_bytes: HashSet<u8>,
    longest: usize,
    /// Proper beginnings and ends of the texts.
    starts: HashSet<String>,
    ends: HashSet<String>,
    /// All of them, a NUL between two.
    all: String,
    /// Characters of theirs that ordinary words and numbers lack.
    telling: HashSet<char>,
}

/// A text of a special token in a larger one, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Occurrence {
    pub start: usize,
    pub end: usize,
}

impl Specials {
    pub fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut specials = Specials::default();
        for text in texts.filter(|text| !text.is_empty()) {
            specials.first_bytes.insert(text.as_bytes()[0]);
            specials.longest = specials.longest.max(text.len());
            specials.all.push_str(text);
            specials.all.push('\0');
            specials.telling.extend(text.chars().filter(|&c| !c.is_alphanumeric() && !" _-.,:\n".contains(c)));
            for at in (1..text.len()).filter(|&at| text.is_char_boundary(at)) {
                specials.starts.insert(text[..at].to_owned());
                specials.ends.insert(text[at..].to_owned());
            }
            match specials.by_length.iter_mut().find(|(length, _)| *length == text.len()) {
                Some((_, texts)) => texts.insert(text.to_owned()),
                None => {
                    specials.by_length.push((text.len(), HashSet::from([text.to_owned()])));
                    true
                }
            };
        }
        specials
    }

    pub fn is_empty(&self) -> bool {
        self.by_length.is_empty()
    }

    pub fn contains(&self, text: &str) -> bool {
        self.by_length.iter().any(|(length, texts)| *length == text.len() && texts.contains(text))
    }

    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.by_length.iter().flat_map(|(_, texts)| texts.iter().map(String::as_str))
    }

    /// All occurrences, overlapping ones as well, by where they start.
    pub fn find(&self, text: &str) -> Vec<Occurrence> {
        let mut found = Vec::new();
        for (start, first) in text.bytes().enumerate() {
            if !self.first_bytes.contains(&first) || !text.is_char_boundary(start) {
                continue;
            }
            for (length, texts) in &self.by_length {
                if text.get(start..start + length).is_some_and(|part| texts.contains(part)) {
                    found.push(Occurrence { start, end: start + length });
                }
            }
        }
        found
    }

    /// Ends of a text that begin a special token, and beginnings that end one.
    pub fn pieces(&self, text: &str) -> Vec<Occurrence> {
        let mut found = Vec::new();
        for length in 1..=self.longest.min(text.len()) {
            let (from, to) = (text.len() - length, length);
            if text.get(from..).is_some_and(|end| self.starts.contains(end)) {
                found.push(Occurrence { start: from, end: text.len() });
            }
            if text.get(..to).is_some_and(|start| self.ends.contains(start)) {
                found.push(Occurrence { start: 0, end: to });
            }
        }
        found
    }

    /// Whether a text could become a special token or part of one: it has a character that only they are likely to
    /// have, or is, begins with or ends with a part of one. White space around it may be stripped.
    pub fn relate(&self, text: &str) -> bool {
        if text.contains(|c| self.telling.contains(&c)) {
            return true;
        }
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return false;
        }
        (trimmed.len() <= self.longest && self.all.contains(trimmed))
            || (1..=self.longest.min(trimmed.len())).any(|length| {
                let end = trimmed.get(trimmed.len() - length..);
                let start = trimmed.get(..length);
                end.is_some_and(|end| self.starts.contains(end)) || start.is_some_and(|start| self.ends.contains(start))
            })
    }
}

/// The parts of a text that would be part of a special token beside others: an end of it, a beginning or all of it.
/// Occurrences of the whole are `Specials::find()`'s.
pub fn parts(text: &str, special: &str) -> Vec<Occurrence> {
    let trimmed = text.trim();
    let mut found = Vec::new();
    if trimmed.is_empty() {
        return found;
    }
    let start = text.len() - text.trim_start().len();
    let end = start + trimmed.len();
    if trimmed.len() < special.len() && special.contains(trimmed) {
        found.push(Occurrence { start, end });
    }
    for length in 1..special.len().min(trimmed.len() + 1) {
        if special.get(..length).is_some_and(|prefix| trimmed.ends_with(prefix)) {
            found.push(Occurrence { start: end - length, end });
        }
        if special.get(special.len() - length..).is_some_and(|suffix| trimmed.starts_with(suffix)) {
            found.push(Occurrence { start, end: start + length });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_overlap() {
        let specials = Specials::new(["<s>", "<s><s>", "</s>", "ab", "é"].into_iter());
        let found: Vec<_> = specials.find("<s><s>é ab").iter().map(|o| (o.start, o.end)).collect();
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(vec![(0, 3), (0, 6), (3, 6), (6, 8), (9, 11)], sorted);
        assert!(specials.find("< s> <").is_empty());
    }

    #[test]
    fn parts_of_a_special_token_are_found() {
        let parts = |text: &str| {
            let mut found: Vec<_> = parts(text, "<|end|>").iter().map(|o| text[o.start..o.end].to_owned()).collect();
            found.sort();
            found
        };
        assert_eq!(vec!["<|e"], parts("a <|e \n"));
        assert_eq!(vec!["nd|>"], parts(" nd|> b"));
        assert_eq!(vec!["end"], parts("end"));
        assert_eq!(vec!["<"], parts("a<"));
        assert_eq!(vec!["|>", "|>"], parts("|>"));
        for none in ["a < b", "", " ", "the end of it"] {
            assert!(parts(none).is_empty(), "{none}");
        }
        let specials = Specials::new(["<|end|>", "[INST]"].into_iter());
        for related in ["a <|e ", "nd|> b", "end", "a<", "INST", "x < y", "a<|end|>b"] {
            assert!(specials.relate(related), "{related}");
        }
        for unrelated in ["the end of it", "", "INSTR", "e-n_d. 1,5"] {
            assert!(!specials.relate(unrelated), "{unrelated}");
        }
    }
}
