//! What differs in a template's source between jinja2 and minijinja, mended before it is parsed. Lines stay where they
//! are.

use crate::ffi::{Failure, Outcome, Status};

/// Blocks within blocks, and branches of one condition: what the parser does of more takes long.
const DEEPEST: usize = 100;
const MOST_BRANCHES: usize = 500;

/// The source with line ends as `\n`, with `generation` blocks of transformers as `with` blocks, which have a scope of
/// their own as well, and with line ends after `raw` kept.
pub fn prepare(source: &str) -> Outcome<String> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    let mut raw = false;
    let mut nesting = Nesting::default();
    while let Some(start) = next_tag(rest) {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let length = match &tag[..2] {
            "{#" if !raw => tag.find("#}").map_or(tag.len(), |end| end + 2),
            "{{" if !raw => tag_length(tag, "}}"),
            "{%" => {
                let name = block_name(tag);
                if !raw {
                    nesting.enter(name).map_err(|message| {
                        let line = out.bytes().filter(|&byte| byte == b'\n').count() + 1;
                        Failure::new(Status::Template, message).at(line)
                    })?;
                }
                if raw {
                    raw = name != "endraw";
                    2
                } else if name == "raw" {
                    raw = true;
                    let at = name_offset(tag) + name.len();
                    let after = tag[at..].trim_start();
                    if after.starts_with("%}") {
                        out.push_str(&tag[..at]);
                        out.push_str(" +");
                        rest = after;
                        continue;
                    }
                    at
                } else if name == "generation" || name == "endgeneration" {
                    let at = name_offset(tag);
                    out.push_str(&tag[..at]);
                    out.push_str(if name == "generation" { "with" } else { "endwith" });
                    rest = &tag[at + name.len()..];
                    continue;
                } else {
                    tag_length(tag, "%}")
                }
            }
            _ => 2,
        };
        out.push_str(&tag[..length]);
        rest = &tag[length..];
    }
    out.push_str(rest);
    Ok(out)
}

fn next_tag(text: &str) -> Option<usize> {
    let is_tag = |&(at, _): &(usize, &str)| matches!(text.as_bytes().get(at + 1), Some(b'%' | b'#' | b'{'));
    text.match_indices('{').find(is_tag).map(|(at, _)| at)
}

#[derive(Default)]
struct Nesting {
    /// Branches so far of the blocks that are open.
    branches: Vec<usize>,
}

impl Nesting {
    fn enter(&mut self, name: &str) -> Result<(), String> {
        match name {
            "if" | "for" | "macro" | "call" | "filter" | "with" | "block" | "autoescape" | "generation" => {
                self.branches.push(0);
                if self.branches.len() > DEEPEST {
                    return Err(format!("blocks are nested more than {DEEPEST} deep"));
                }
            }
            "elif" => {
                if let Some(branches) = self.branches.last_mut() {
                    *branches += 1;
                    if *branches > MOST_BRANCHES {
                        return Err(format!("a condition has more than {MOST_BRANCHES} branches"));
                    }
                }
            }
            "endset" => {} // of a block that its beginning does not tell from an assignment
            _ if name.starts_with("end") => {
                self.branches.pop();
            }
            _ => {}
        }
        Ok(())
    }
}

fn name_offset(tag: &str) -> usize {
    tag.len() - tag[2..].trim_start_matches(['-', '+']).trim_start().len()
}

/// The word that a block tag begins with.
fn block_name(tag: &str) -> &str {
    let inside = &tag[name_offset(tag)..];
    let end = inside.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inside.len());
    &inside[..end]
}

/// Bytes of a tag up to its end, which is not looked for within strings.
fn tag_length(tag: &str, end: &str) -> usize {
    let bytes = tag.as_bytes();
    let mut quote = None;
    let mut position = 2;
    while position < bytes.len() {
        match (quote, bytes[position]) {
            (Some(_), b'\\') => position += 1,
            (Some(open), byte) if open == byte => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, _) if bytes[position..].starts_with(end.as_bytes()) => return position + end.len(),
            _ => {}
        }
        position += 1;
    }
    tag.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_block_tags_change() {
        assert_eq!("a{%- with -%}b{% endwith %}", prepare("a{%- generation -%}b{% endgeneration %}").unwrap());
        assert_eq!(
            "{% raw +%}\n{% generation %}{% endraw %}",
            prepare("{% raw %}\r\n{% generation %}{% endraw %}").unwrap()
        );
        for same in [
            "{# {% generation %} #}",
            "{% raw -%}{% generation %}{% endraw %}",
            "{{ generation }}",
            "{{ '{% generation %}' }}",
            "{% set a = \"\\\"{% generation %}\" %}",
            "{% if generation %}{% endif %}",
            "{% generations %}",
            "{#",
            "{%",
            "{% raw",
            "{",
            "",
        ] {
            assert_eq!(same, prepare(same).unwrap());
        }
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |n: usize| "{% if x %}\n".repeat(n) + &"{% endif %}".repeat(n);
        assert!(prepare(&nested(DEEPEST)).is_ok());
        let failure = prepare(&nested(DEEPEST + 1)).unwrap_err();
        assert_eq!((Status::Template, DEEPEST as u32 + 1), (failure.status, failure.line));
        let branches = |n: usize| format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(n));
        assert!(prepare(&branches(MOST_BRANCHES)).is_ok());
        assert!(prepare(&branches(MOST_BRANCHES + 1)).is_err());
    }
}
