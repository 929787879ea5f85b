//! The block `{% generation %}` of transformers marks what the model writes; rendering takes no notice of it, but its
//! body has a scope of its own. So does the body of `{% with %}`, and the words fit into the same place: every line and
//! column of the source stays what it was.

/// The source with `generation` blocks as `with` blocks; the text itself where there are none.
pub fn accept_generation(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut raw = false;
    while let Some(start) = rest.find("{%").into_iter().chain(rest.find("{#")).chain(rest.find("{{")).min() {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let length = match &tag[..2] {
            "{#" if !raw => tag.find("#}").map_or(tag.len(), |end| end + 2),
            "{{" if !raw => tag_length(tag, "}}"),
            "{%" => {
                let name = block_name(tag);
                raw = (raw && name != "endraw") || name == "raw";
                if !raw && (name == "generation" || name == "endgeneration") {
                    let at = tag.len() - tag[2..].trim_start_matches(['-', '+']).trim_start().len();
                    out.push_str(&tag[..at]);
                    out.push_str(if name == "generation" { "with      " } else { "endwith      " });
                    rest = &tag[at + name.len()..];
                    continue;
                }
                if raw {
                    2
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

/// The word that a block tag begins with.
fn block_name(tag: &str) -> &str {
    let inside = tag[2..].trim_start_matches(['-', '+']).trim_start();
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
        assert_eq!(
            "a{%- with       -%}b{% endwith       %}",
            accept_generation("a{%- generation -%}b{% endgeneration %}")
        );
        for same in [
            "{# {% generation %} #}",
            "{% raw %}{% generation %}{% endraw %}",
            "{{ generation }}",
            "{{ '{% generation %}' }}",
            "{% set a = \"\\\"{% generation %}\" %}",
            "{% if generation %}{% endif %}",
            "{% generations %}",
            "{#",
            "{",
            "",
        ] {
            assert_eq!(same, accept_generation(same));
        }
    }
}
