//! What differs in a template's source between jinja2 and minijinja, mended before it is parsed. Lines stay where they
//! are.

/// The source with line ends as `\n`, with `generation` blocks of transformers as `with` blocks, which have a scope of
/// their own as well, and with line ends after `raw` kept.
pub fn prepare(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    let mut raw = false;
    while let Some(start) = ["{%", "{#", "{{"].iter().filter_map(|open| rest.find(open)).min() {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let length = match &tag[..2] {
            "{#" if !raw => tag.find("#}").map_or(tag.len(), |end| end + 2),
            "{{" if !raw => tag_length(tag, "}}"),
            "{%" => {
                let name = block_name(tag);
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
    out
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
        assert_eq!("a{%- with -%}b{% endwith %}", prepare("a{%- generation -%}b{% endgeneration %}"));
        assert_eq!("{% raw +%}\n{% generation %}{% endraw %}", prepare("{% raw %}\r\n{% generation %}{% endraw %}"));
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
            assert_eq!(same, prepare(same));
        }
    }
}
