//! GBNF, the grammars of llama.cpp (`grammars/README.md` there), read into a tree.

use std::collections::HashMap;

use crate::ffi::{Failure, Outcome, Status};

/// Parentheses within parentheses.
const DEEPEST: usize = 200;
const MOST_RULES: usize = 5000;
const MOST_REPETITIONS: u32 = 10_000;

/// Code points from the first to the last.
pub type Range = (u32, u32);

#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// One character of a set of ranges, or of all others.
    Class {
        ranges: Vec<Range>,
        negated: bool,
    },
    Rule(usize),
    Sequence(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat {
        of: Box<Node>,
        least: u32,
        most: Option<u32>,
    },
    /// One token, or any other than it: by its id or its name.
    Token {
        name: TokenName,
        negated: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum TokenName {
    Id(u32),
    Name(String),
}

/// Rules by number, the root first.
#[derive(Debug)]
pub struct Grammar {
    pub rules: Vec<Node>,
}

pub fn parse(source: &str) -> Outcome<Grammar> {
    let mut parser = Parser { source, position: 0, numbers: HashMap::new(), rules: Vec::new() };
    parser.number("root");
    parser.skip_space(true);
    while parser.position < source.len() {
        parser.rule()?;
        if parser.rules.len() > MOST_RULES {
            return Err(parser.wrong(&format!("more than {MOST_RULES} rules")));
        }
    }
    if source.trim().is_empty() {
        return Err(parser.wrong("there is no rule"));
    }
    let mut names: Vec<(&usize, &String)> = parser.numbers.iter().map(|(name, number)| (number, name)).collect();
    names.sort();
    if let Some((_, name)) = names.into_iter().find(|(&number, _)| parser.rules[number].is_none()) {
        return Err(Failure::new(Status::InvalidArgument, format!("GBNF: the rule '{name}' is not defined")));
    }
    Ok(Grammar { rules: parser.rules.into_iter().flatten().collect() })
}

struct Parser<'a> {
    source: &'a str,
    position: usize,
    numbers: HashMap<String, usize>,
    rules: Vec<Option<Node>>,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.source[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.position += text.len();
        }
        found
    }

    fn wrong(&self, message: &str) -> Failure {
        let line = self.source[..self.position].matches('\n').count() + 1;
        Failure::new(Status::InvalidArgument, format!("GBNF: {message}")).at(line)
    }

    /// White space and comments; line ends as well where a rule cannot end.
    fn skip_space(&mut self, line_ends: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => {}
                '\n' | '\r' if line_ends => {}
                '#' => {
                    let end = self.rest().find(['\n', '\r']).unwrap_or(self.rest().len());
                    self.position += end;
                    continue;
                }
                _ => break,
            }
            self.next();
        }
    }

    fn name(&mut self) -> Outcome<String> {
        let end = self.rest().find(|c| !is_word(c)).unwrap_or(self.rest().len());
        if end == 0 {
            return Err(self.wrong("a name is wanted"));
        }
        let name = self.rest()[..end].to_owned();
        self.position += end;
        Ok(name)
    }

    fn number(&mut self, name: &str) -> usize {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        self.rules.push(None);
        self.numbers.insert(name.to_owned(), self.rules.len() - 1);
        self.rules.len() - 1
    }

    fn rule(&mut self) -> Outcome<()> {
        let name = self.name()?;
        self.skip_space(false);
        if !self.take("::=") {
            return Err(self.wrong(&format!("'::=' is wanted after '{name}'")));
        }
        self.skip_space(true);
        let number = self.number(&name);
        let node = self.alternatives(0)?;
        if self.rules[number].replace(node).is_some() {
            return Err(self.wrong(&format!("the rule '{name}' is defined twice")));
        }
        match self.peek() {
            None | Some('\n' | '\r') => {}
            Some(_) => return Err(self.wrong("a line end is wanted after a rule")),
        }
        self.skip_space(true);
        Ok(())
    }

    fn alternatives(&mut self, depth: usize) -> Outcome<Node> {
        if depth > DEEPEST {
            return Err(self.wrong(&format!("nested more than {DEEPEST} deep")));
        }
        let mut all = vec![self.sequence(depth)?];
        while self.take("|") {
            self.skip_space(true);
            all.push(self.sequence(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Node::Alternatives(all) })
    }

    fn sequence(&mut self, depth: usize) -> Outcome<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        // Where the element begins that a repetition applies to.
        let mut element = 0;
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.next();
                    element = nodes.len();
                    while !self.take("\"") {
                        let c = self.character()?;
                        nodes.push(Node::Class { ranges: vec![(c, c)], negated: false });
                    }
                    // What repeats is the whole text.
                    if nodes.len() != element + 1 {
                        let text = nodes.split_off(element);
                        nodes.push(Node::Sequence(text));
                    }
                }
                '[' => {
                    element = nodes.len();
                    let class = self.class()?;
                    nodes.push(class);
                }
                '.' => {
                    self.next();
                    element = nodes.len();
                    nodes.push(Node::Class { ranges: Vec::new(), negated: true });
                }
                '(' => {
                    self.next();
                    self.skip_space(true);
                    element = nodes.len();
                    let group = self.alternatives(depth + 1)?;
                    nodes.push(group);
                    if !self.take(")") {
                        return Err(self.wrong("')' is wanted"));
                    }
                }
                '<' | '!' => {
                    element = nodes.len();
                    let token = self.token()?;
                    nodes.push(token);
                }
                '*' | '+' | '?' | '{' => {
                    if element >= nodes.len() {
                        return Err(self.wrong(&format!("nothing before '{c}' can be repeated")));
                    }
                    let (least, most) = self.repetition()?;
                    let of = Box::new(nodes.remove(element));
                    nodes.push(Node::Repeat { of, least, most });
                }
                c if is_word(c) => {
                    element = nodes.len();
                    let name = self.name()?;
                    let number = self.number(&name);
                    nodes.push(Node::Rule(number));
                }
                _ => break,
            }
            self.skip_space(depth > 0);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Sequence(nodes) })
    }

    fn repetition(&mut self) -> Outcome<(u32, Option<u32>)> {
        match self.next() {
            Some('*') => return Ok((0, None)),
            Some('+') => return Ok((1, None)),
            Some('?') => return Ok((0, Some(1))),
            _ => {}
        }
        self.skip_space(true);
        let least = self.count()?;
        self.skip_space(true);
        let most = if self.take(",") {
            self.skip_space(true);
            self.count()?
        } else {
            Some(least.ok_or_else(|| self.wrong("a number is wanted after '{'"))?)
        };
        self.skip_space(true);
        if !self.take("}") {
            return Err(self.wrong("'}' is wanted"));
        }
        let least = least.unwrap_or(0);
        if most.is_some_and(|most| most < least) {
            return Err(self.wrong("a repetition ends before it begins"));
        }
        Ok((least, most))
    }

    fn count(&mut self) -> Outcome<Option<u32>> {
        let end = self.rest().find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest().len());
        if end == 0 {
            return Ok(None);
        }
        let count = self.rest()[..end].parse().ok().filter(|&count| count <= MOST_REPETITIONS);
        let count = count.ok_or_else(|| self.wrong(&format!("more than {MOST_REPETITIONS} repetitions")))?;
        self.position += end;
        Ok(Some(count))
    }

    fn class(&mut self) -> Outcome<Node> {
        self.next();
        let negated = self.take("^");
        let mut ranges = Vec::new();
        while !self.take("]") {
            let first = self.character()?;
            let is_range = self.rest().starts_with('-') && !self.rest().starts_with("-]");
            let last = if is_range {
                self.next();
                self.character()?
            } else {
                first
            };
            if last < first {
                return Err(self.wrong("a range of characters ends before it begins"));
            }
            ranges.push((first, last));
        }
        if ranges.is_empty() && !negated {
            return Err(self.wrong("a class of no characters"));
        }
        Ok(Node::Class { ranges, negated })
    }

    /// One character of a text or class, escaped or not.
    fn character(&mut self) -> Outcome<u32> {
        let c = self.next().ok_or_else(|| self.wrong("a text or class does not end"))?;
        if c != '\\' {
            return Ok(u32::from(c));
        }
        let escape = self.next().ok_or_else(|| self.wrong("a text or class does not end"))?;
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            't' => return Ok(9),
            'n' => return Ok(10),
            'r' => return Ok(13),
            '\\' | '"' | '[' | ']' | '-' | '^' => return Ok(u32::from(escape)),
            _ => return Err(self.wrong(&format!("the escape \\{escape} is unknown"))),
        };
        let code = self.rest().get(..digits).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.filter(|&code| char::from_u32(code).is_some());
        let code =
            code.ok_or_else(|| self.wrong(&format!("{digits} hexadecimal digits are wanted after \\{escape}")))?;
        self.position += digits;
        Ok(code)
    }

    /// `<name>`, `<[id]>`, with `!` in front any other token.
    fn token(&mut self) -> Outcome<Node> {
        let negated = self.take("!");
        if !self.take("<") {
            return Err(self.wrong("'<' is wanted after '!'"));
        }
        let end = self.rest().find('>').ok_or_else(|| self.wrong("'>' is wanted after '<'"))?;
        let inside = self.rest()[..end].to_owned();
        self.position += end + 1;
        let name = match inside.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')) {
            Some(id) => TokenName::Id(id.parse().map_err(|_| self.wrong(&format!("'{id}' is no token id")))?),
            None => TokenName::Name(format!("<{inside}>")),
        };
        Ok(Node::Token { name, negated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(first: char, last: char) -> Node {
        Node::Class { ranges: vec![(u32::from(first), u32::from(last))], negated: false }
    }

    #[test]
    fn rules_are_read() {
        let grammar =
            parse("# a list\nroot ::= item+ # items\nitem ::= \"- \" [a-z]{2,} |\n  (\"x\"\n | .)? \"\\n\"\n").unwrap();
        assert_eq!(2, grammar.rules.len());
        assert_eq!(Node::Repeat { of: Box::new(Node::Rule(1)), least: 1, most: None }, grammar.rules[0]);
        let Node::Alternatives(all) = &grammar.rules[1] else { panic!("{:?}", grammar.rules[1]) };
        let text = Node::Sequence(vec![class('-', '-'), class(' ', ' ')]);
        let letters = Node::Repeat { of: Box::new(class('a', 'z')), least: 2, most: None };
        assert_eq!(Node::Sequence(vec![text, letters]), all[0]);
    }

    #[test]
    fn escapes_and_classes_are_read() {
        let grammar = parse(r#"root ::= [^\x41\u00e9\U0001F600\]\\-] "\"\t" [a-]"#).unwrap();
        let Node::Sequence(nodes) = &grammar.rules[0] else { panic!() };
        let codes = [0x41, 0xe9, 0x1f600, 0x5d, 0x5c, 0x2d].map(|code| (code, code)).to_vec();
        assert_eq!(Node::Class { ranges: codes, negated: true }, nodes[0]);
        assert_eq!(Node::Class { ranges: vec![(0x61, 0x61), (0x2d, 0x2d)], negated: false }, nodes[2]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (source, line, part) in [
            ("", 1, "no rule"),
            ("root ::= x", 0, "'x' is not defined"),
            ("a ::= \"x\"", 0, "'root' is not defined"),
            ("root ::= \"x\"\nroot ::= \"y\"", 2, "twice"),
            ("root ::= \"x", 1, "does not end"),
            ("root ::= (\"x\"", 1, "')'"),
            ("root ::= *", 1, "repeated"),
            ("root ::= \"x\"{3,2}", 1, "before it begins"),
            ("root ::= \"x\"{20000}", 1, "10000"),
            ("root ::= [z-a]", 1, "before it begins"),
            ("root ::= \"\\q\"", 1, "\\q"),
            ("root ::= \"\\xg0\"", 1, "hexadecimal"),
            ("root = \"x\"", 1, "'::='"),
            ("root ::= \"x\" )", 1, "line end"),
            ("root ::= <[x]>", 1, "token id"),
        ] {
            let failure = parse(source).unwrap_err();
            assert!(failure.message.contains(part), "{source}: {}", failure.message);
            assert_eq!(line, failure.line, "{source}");
        }
    }
}
