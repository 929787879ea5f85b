//! Lark grammars before llguidance gets them: the JSON schemas in them are held to what those alone are, and what it
//! takes but cannot match is refused.

use serde_json::{Deserializer, Value};

use super::schema;
use crate::ffi::Outcome;

const SCHEMA: &str = "%json";
const NESTED: &str = "%lark";
const IGNORE: &str = "%ignore";

/// The grammar with its schemas prepared. Lines stay where they are. What is malformed stays as it is, for llguidance
/// to say where.
pub fn prepare(source: &str) -> Outcome<String> {
    // Text that is ignored leaves every nested grammar, also where one must follow: the parser panics there.
    if let (Some(ignore), Some(nests)) = (find(source, &[IGNORE]), find(source, &[SCHEMA, NESTED])) {
        let words = &source[nests..][..SCHEMA.len()];
        let message = format!(
            "Lark grammar: not supported: {IGNORE} in a grammar with {words}; put the white space that may come into \
             the rules"
        );
        return Err(schema::unsupported(message).at(source[..ignore].matches('\n').count() + 1));
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = find(rest, &[SCHEMA]) {
        let (before, json) = rest.split_at(at + SCHEMA.len());
        out.push_str(before);
        let mut values = Deserializer::from_str(json).into_iter::<Value>();
        let Some(Ok(given)) = values.next() else {
            rest = json;
            continue;
        };
        let end = values.byte_offset();
        let line = out.matches('\n').count() + 1;
        let prepared = schema::prepare_nested(given).map_err(|failure| failure.at(line))?.to_string();
        // Between its first brace and the rest a schema may have line ends.
        out.push_str(" {");
        out.extend(std::iter::repeat_n('\n', json[..end].matches('\n').count()));
        out.push_str(&prepared[1..]);
        rest = &json[end..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the first of these directives is, outside of texts, regular expressions and comments.
fn find(text: &str, directives: &[&str]) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut position = 0;
    while position < bytes.len() {
        match bytes[position] {
            b'/' if bytes.get(position + 1) == Some(&b'/') => {
                position += text[position..].find('\n').unwrap_or(text.len() - position);
            }
            quote @ (b'"' | b'/') => {
                position += 1;
                while position < bytes.len() && bytes[position] != quote && bytes[position] != b'\n' {
                    position += if bytes[position] == b'\\' { 2 } else { 1 };
                }
                position += 1;
            }
            b'%' if directives.iter().any(|word| bytes[position..].starts_with(word.as_bytes())) => {
                return Some(position);
            }
            _ => position += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::prepare;
    use crate::ffi::Status;

    #[test]
    fn schemas_are_prepared_where_they_are() {
        let source = "start: \"%json {\" x // %json {\nx: %json {\n\"type\": \"null\"\n} y\ny: /%json {/ %json";
        let prepared = prepare(source).unwrap();
        assert_eq!(source.lines().count(), prepared.lines().count());
        assert!(prepared.starts_with("start: \"%json {\" x // %json {\nx: %json {\n\n\"type\":\"null\""), "{prepared}");
        assert!(prepared.ends_with("} y\ny: /%json {/ %json"), "{prepared}");
        let failure = prepare("start: x\nx: %json {\"not\": {}}").unwrap_err();
        assert_eq!((Status::Unsupported, 2), (failure.status, failure.line));
        assert!(failure.message.contains("not, in #"));
    }
}
