//! Patterns of schemas. They are ECMA-262's; validators run them by the engine of their own language. What those
//! engines take differently is narrowed to what all of them match.

/// Blanks of every engine: `\s` of some has those of Unicode, too.
const BLANKS: &str = "\\t\\n\\x0b\\x0c\\r ";

/// The pattern in the syntax of Rust's crate regex.
pub fn strict(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let (mut in_class, mut negated) = (false, false);
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let escaped = chars.next();
                match escaped {
                    Some('s') if !in_class => out.push_str(&format!("[{BLANKS}]")),
                    Some('s') if !negated => out.push_str(BLANKS),
                    // Without the letters and digits beyond ASCII that only some engines know as such.
                    Some('W') if !in_class => out.push_str("[^\\p{L}\\p{M}\\p{N}\\p{Pc}]"),
                    Some('D') if !in_class => out.push_str("[^\\p{N}]"),
                    _ => {
                        out.push(c);
                        out.extend(escaped);
                    }
                }
            }
            '[' if !in_class => {
                in_class = true;
                out.push(c);
                negated = chars.next_if_eq(&'^').is_some();
                out.push_str(if negated { "^" } else { "" });
            }
            ']' => {
                in_class = false;
                out.push(c);
            }
            // In a class Rust would take them for classes within it and for operators.
            '[' | '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '.' if !in_class => out.push_str("[^\\n\\r\\x{85}\\x{2028}\\x{2029}]"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::strict;

    #[test]
    fn what_engines_take_differently_is_narrowed() {
        for (pattern, strict_pattern) in [
            ("^[a-z]+\\.\\d{2}$", "^[a-z]+\\.\\d{2}$"),
            ("a.b", "a[^\\n\\r\\x{85}\\x{2028}\\x{2029}]b"),
            ("[.\\]x]", "[.\\]x]"),
            ("\\s[\\s][^\\s]\\S", "[\\t\\n\\x0b\\x0c\\r ][\\t\\n\\x0b\\x0c\\r ][^\\s]\\S"),
            ("[[a&&b]", "[\\[a\\&\\&b]"),
            ("\\D\\\\.", "[^\\p{N}]\\\\[^\\n\\r\\x{85}\\x{2028}\\x{2029}]"),
        ] {
            assert_eq!(strict_pattern, strict(pattern));
        }
    }
}
