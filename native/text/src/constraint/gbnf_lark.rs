//! GBNF as a Lark grammar of llguidance.
//!
//! GBNF knows characters; Lark has lexemes, of which the lexer takes the longest, so that the text of one must not run
//! into the next. A grammar without recursion is one lexeme. In one with recursion a lexeme is one character, but for
//! rules whose texts tell themselves where they end (a quoted string does), which is much faster.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use super::gbnf::{Grammar, Node, Range, TokenName};
use super::schema::unsupported;
use crate::ffi::{Failure, Outcome, Status};

const LAST: u32 = 0x10ffff;
/// Characters of a rule's expression, counted once for each place, above which it is no lexeme of its own.
const MOST_POSITIONS: usize = 400;
/// Steps that are taken to find such rules. A grammar that takes more has no lexemes but characters.
const MOST_STEPS: usize = 2_000_000;
/// Characters of a grammar that is one lexeme, counted once for each place where a rule is named.
const MOST_CHARACTERS: u64 = 1 << 20;

/// `token_id`: the id of a special token by its name.
pub fn to_lark(grammar: &Grammar, token_id: &dyn Fn(&str) -> Option<u32>) -> Outcome<String> {
    let recursive = recursive_rules(grammar);
    let lexemes = if recursive.is_empty() && !grammar.rules.iter().any(has_token) {
        let count = characters(grammar);
        if count > MOST_CHARACTERS {
            return Err(unsupported(format!(
                "GBNF: the grammar has no recursion and stands for more than {MOST_CHARACTERS} characters in a row or \
                 beside each other: repeat less"
            )));
        }
        BTreeSet::from([0])
    } else {
        self_ending_rules(grammar, &recursive)
    };
    let (rules, lexemes) = reached(grammar, &lexemes);
    let terminals = reached_from(grammar, lexemes.iter().copied().collect(), &BTreeSet::new()).0;
    let mut writer = Writer { grammar, lexemes: &lexemes, token_id, in_terminal: false, out: String::new() };
    writer.out.push_str(if lexemes.contains(&0) { "start: R0\n" } else { "start: r0\n" });
    for number in rules {
        writer.rule('r', number)?;
    }
    writer.in_terminal = true;
    for number in terminals {
        writer.rule('R', number)?;
    }
    Ok(writer.out)
}

struct Writer<'a> {
    grammar: &'a Grammar,
    lexemes: &'a BTreeSet<usize>,
    token_id: &'a dyn Fn(&str) -> Option<u32>,
    in_terminal: bool,
    out: String,
}

impl Writer<'_> {
    fn rule(&mut self, kind: char, number: usize) -> Outcome<()> {
        let _ = write!(self.out, "{kind}{number}: ");
        self.node(&self.grammar.rules[number])?;
        self.out.push('\n');
        Ok(())
    }

    fn list(&mut self, nodes: &[Node], separator: &str) -> Outcome<()> {
        self.out.push('(');
        for (index, node) in nodes.iter().enumerate() {
            self.out.push_str(if index > 0 { separator } else { "" });
            self.node(node)?;
        }
        self.out.push(')');
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Outcome<()> {
        match node {
            Node::Class { ranges, negated } => {
                self.out.push_str(if *negated { "/[^" } else { "/[" });
                if ranges.is_empty() {
                    self.out.truncate(self.out.len() - 1);
                    self.out.push_str("\\x{0}-\\x{10ffff}");
                }
                for (first, last) in ranges {
                    let _ = write!(self.out, "\\x{{{first:x}}}-\\x{{{last:x}}}");
                }
                self.out.push_str("]/");
            }
            Node::Rule(number) => {
                let kind = if self.in_terminal || self.lexemes.contains(number) { 'R' } else { 'r' };
                let _ = write!(self.out, "{kind}{number}");
            }
            Node::Sequence(nodes) if nodes.is_empty() => self.out.push_str("\"\""),
            Node::Sequence(nodes) => self.list(nodes, " ")?,
            Node::Alternatives(nodes) => self.list(nodes, " | ")?,
            Node::Repeat { of, least, most } => {
                self.out.push('(');
                self.node(of)?;
                self.out.push(')');
                let _ = match (least, most) {
                    (0, None) => write!(self.out, "*"),
                    (1, None) => write!(self.out, "+"),
                    (0, Some(1)) => write!(self.out, "?"),
                    (least, None) => write!(self.out, "{{{least},}}"),
                    (least, Some(most)) => write!(self.out, "{{{least},{most}}}"),
                };
            }
            Node::Token { name, negated } => {
                let id = match name {
                    TokenName::Id(id) => *id,
                    TokenName::Name(name) => (self.token_id)(name).ok_or_else(|| {
                        let message = format!("GBNF: the vocabulary has no special token {name}");
                        Failure::new(Status::InvalidArgument, message)
                    })?,
                };
                let _ = write!(self.out, "<[{}{id}]>", if *negated { "^" } else { "" });
            }
        }
        Ok(())
    }
}

fn children(node: &Node) -> &[Node] {
    match node {
        Node::Sequence(nodes) | Node::Alternatives(nodes) => nodes,
        Node::Repeat { of, .. } => std::slice::from_ref(of),
        _ => &[],
    }
}

fn has_token(node: &Node) -> bool {
    matches!(node, Node::Token { .. }) || children(node).iter().any(has_token)
}

fn called(node: &Node, rules: &mut Vec<usize>) {
    if let Node::Rule(number) = node {
        rules.push(*number);
    }
    children(node).iter().for_each(|child| called(child, rules));
}

/// Rules that reach themselves, or a rule that does.
fn recursive_rules(grammar: &Grammar) -> HashSet<usize> {
    let mut callers: Vec<Vec<usize>> = vec![Vec::new(); grammar.rules.len()];
    let mut n_calls = vec![0; grammar.rules.len()];
    for (number, node) in grammar.rules.iter().enumerate() {
        let mut calls = Vec::new();
        called(node, &mut calls);
        n_calls[number] = calls.len();
        calls.into_iter().for_each(|callee| callers[callee].push(number));
    }
    // Those that call none of the rest are taken away, again and again.
    let mut ends: Vec<usize> = (0..n_calls.len()).filter(|&number| n_calls[number] == 0).collect();
    let mut left: HashSet<usize> = (0..n_calls.len()).collect();
    while let Some(rule) = ends.pop() {
        left.remove(&rule);
        for &caller in &callers[rule] {
            n_calls[caller] -= 1;
            if n_calls[caller] == 0 {
                ends.push(caller);
            }
        }
    }
    left
}

/// Of the root of a grammar without recursion: its classes, each as often as rules and repetitions have it, saturating.
fn characters(grammar: &Grammar) -> u64 {
    fn of(node: &Node, rules: &[Option<u64>]) -> u64 {
        let sum = || children(node).iter().fold(0, |sum: u64, child| sum.saturating_add(of(child, rules)));
        match node {
            Node::Class { .. } | Node::Token { .. } => 1,
            Node::Rule(number) => rules[*number].unwrap_or(0),
            Node::Sequence(_) | Node::Alternatives(_) => sum(),
            Node::Repeat { least, most, .. } => sum().saturating_mul(u64::from(most.unwrap_or(*least).max(1))),
        }
    }
    let mut counts = vec![None; grammar.rules.len()];
    let mut open = vec![0];
    while let Some(&number) = open.last() {
        let mut calls = Vec::new();
        called(&grammar.rules[number], &mut calls);
        calls.retain(|&callee| counts[callee].is_none());
        if calls.is_empty() {
            counts[number] = Some(of(&grammar.rules[number], &counts));
            open.pop();
        } else {
            open.extend(calls);
        }
    }
    counts[0].unwrap_or(0)
}

/// What is reached from the root: rules that are none of the lexemes, and the lexemes, beyond which nothing is looked
/// for.
fn reached(grammar: &Grammar, lexemes: &BTreeSet<usize>) -> (BTreeSet<usize>, BTreeSet<usize>) {
    reached_from(grammar, vec![0], lexemes)
}

fn reached_from(
    grammar: &Grammar,
    mut open: Vec<usize>,
    lexemes: &BTreeSet<usize>,
) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let (mut rules, mut used) = (BTreeSet::new(), BTreeSet::new());
    while let Some(rule) = open.pop() {
        if lexemes.contains(&rule) {
            used.insert(rule);
        } else if rules.insert(rule) {
            called(&grammar.rules[rule], &mut open);
        }
    }
    (rules, used)
}

/// Rules without recursion whose texts no text of theirs, of another lexeme or a character alone runs into.
fn self_ending_rules(grammar: &Grammar, recursive: &HashSet<usize>) -> BTreeSet<usize> {
    let mut steps = MOST_STEPS;
    let automata: Vec<Option<Automaton>> = (0..grammar.rules.len())
        .map(|number| {
            let mut automaton = Automaton::default();
            let part = (!recursive.contains(&number))
                .then(|| automaton.add(grammar, &grammar.rules[number], &mut steps))??;
            automaton.first = part.first;
            automaton.last = part.last.into_iter().collect();
            (!part.nullable && !automaton.runs_into(&automaton, &mut steps)).then_some(automaton)
        })
        .collect();
    let mut lexemes: BTreeSet<usize> = (0..automata.len()).filter(|&number| automata[number].is_some()).collect();
    loop {
        let (rules, used) = reached(grammar, &lexemes);
        let mut characters = Vec::new();
        rules.iter().for_each(|&rule| classes(&grammar.rules[rule], &mut characters));
        let mut clashing = Vec::new();
        for &number in &used {
            let Some(automaton) = &automata[number] else { continue };
            let mut others = used.iter().filter_map(|&other| automata[other].as_ref());
            if characters.iter().any(|character| automaton.goes_on_after(character, &mut steps))
                || others.any(|other| other.runs_into(automaton, &mut steps))
            {
                clashing.push(number);
            }
        }
        if steps == 0 {
            return BTreeSet::new();
        }
        if clashing.is_empty() {
            return lexemes;
        }
        clashing.iter().for_each(|number| {
            lexemes.remove(number);
        });
    }
}

fn classes(node: &Node, all: &mut Vec<Vec<Range>>) {
    if let Node::Class { ranges, negated } = node {
        all.push(normal(ranges, *negated));
    }
    children(node).iter().for_each(|child| classes(child, all));
}

/// Ascending ranges that do not touch.
fn normal(ranges: &[Range], negated: bool) -> Vec<Range> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<Range> = Vec::new();
    for (first, last) in sorted {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    if !negated {
        return merged;
    }
    let mut others = Vec::new();
    let mut next = 0;
    for (first, last) in merged {
        if first > next {
            others.push((next, first - 1));
        }
        next = last + 1;
    }
    if next <= LAST {
        others.push((next, LAST));
    }
    others
}

fn meet(a: &[Range], b: &[Range]) -> bool {
    a.iter().any(|(first, last)| b.iter().any(|(other_first, other_last)| first <= other_last && other_first <= last))
}

/// Glushkov's automaton of an expression: a state for each place of a character.
#[derive(Default)]
struct Automaton {
    classes: Vec<Vec<Range>>,
    follow: Vec<HashSet<usize>>,
    first: Vec<usize>,
    last: HashSet<usize>,
}

struct Part {
    nullable: bool,
    first: Vec<usize>,
    last: Vec<usize>,
}

impl Automaton {
    /// Whether one of the characters alone begins a longer text.
    fn goes_on_after(&self, characters: &[Range], steps: &mut usize) -> bool {
        *steps = steps.saturating_sub(self.first.len());
        self.first.iter().any(|&state| !self.follow[state].is_empty() && meet(&self.classes[state], characters))
    }

    /// None where the expression is too large or has tokens.
    fn add(&mut self, grammar: &Grammar, node: &Node, steps: &mut usize) -> Option<Part> {
        *steps = steps.checked_sub(1)?;
        match node {
            Node::Class { ranges, negated } => {
                if self.classes.len() >= MOST_POSITIONS {
                    return None;
                }
                self.classes.push(normal(ranges, *negated));
                self.follow.push(HashSet::new());
                let position = self.classes.len() - 1;
                Some(Part { nullable: false, first: vec![position], last: vec![position] })
            }
            Node::Rule(number) => self.add(grammar, &grammar.rules[*number], steps),
            Node::Sequence(nodes) => nodes.iter().try_fold(Part::empty(), |part, node| {
                let next = self.add(grammar, node, steps)?;
                Some(self.join(part, next))
            }),
            Node::Alternatives(nodes) => {
                let mut all = Part { nullable: false, first: Vec::new(), last: Vec::new() };
                for node in nodes {
                    let part = self.add(grammar, node, steps)?;
                    all.nullable |= part.nullable;
                    all.first.extend(part.first);
                    all.last.extend(part.last);
                }
                Some(all)
            }
            Node::Repeat { of, least, most } => {
                let mut all = Part::empty();
                for _ in 0..*least {
                    let part = self.add(grammar, of, steps)?;
                    all = self.join(all, part);
                }
                match most {
                    None => {
                        let mut part = self.add(grammar, of, steps)?;
                        part.nullable = true;
                        for &last in &part.last {
                            self.follow[last].extend(&part.first);
                        }
                        all = self.join(all, part);
                    }
                    Some(most) => {
                        for _ in *least..*most {
                            let mut part = self.add(grammar, of, steps)?;
                            part.nullable = true;
                            all = self.join(all, part);
                        }
                    }
                }
                Some(all)
            }
            Node::Token { .. } => None,
        }
    }

    fn join(&mut self, left: Part, right: Part) -> Part {
        for &last in &left.last {
            self.follow[last].extend(&right.first);
        }
        let mut first = left.first;
        if left.nullable {
            first.extend(&right.first);
        }
        let mut last = right.last;
        if right.nullable {
            last.extend(&left.last);
        }
        Part { nullable: left.nullable && right.nullable, first, last }
    }

    /// Whether one of these texts is the beginning of a longer one of the other's: a text leads to an end here, and to
    /// a state there that something follows.
    fn runs_into(&self, other: &Automaton, steps: &mut usize) -> bool {
        let mut seen = HashSet::new();
        let mut open: Vec<(usize, usize)> = Vec::new();
        let both = |here: &mut dyn Iterator<Item = usize>, there: &[usize]| {
            here.flat_map(|left| there.iter().map(move |&right| (left, right)))
                .filter(|&(left, right)| meet(&self.classes[left], &other.classes[right]))
                .collect::<Vec<_>>()
        };
        open.extend(both(&mut self.first.iter().copied(), &other.first));
        while let Some((left, right)) = open.pop() {
            if !seen.insert((left, right)) {
                continue;
            }
            if self.last.contains(&left) && !other.follow[right].is_empty() {
                return true;
            }
            let next: Vec<usize> = other.follow[right].iter().copied().collect();
            *steps = steps.saturating_sub(1 + self.follow[left].len() * next.len());
            if *steps == 0 {
                return true;
            }
            open.extend(both(&mut self.follow[left].iter().copied(), &next));
        }
        false
    }
}

impl Part {
    fn empty() -> Self {
        Part { nullable: true, first: Vec::new(), last: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gbnf::parse;
    use super::*;

    fn lark(source: &str) -> String {
        to_lark(&parse(source).unwrap(), &|name| (name == "<think>").then_some(7)).unwrap()
    }

    #[test]
    fn without_recursion_all_is_one_lexeme() {
        assert_eq!(
            "start: R0\nR0: (R1 (/[\\x{78}-\\x{78}]/)?)\nR1: (/[^\\x{a}-\\x{a}]/){2,3}\n",
            lark("root ::= a \"x\"?\na ::= [^\\n]{2,3}")
        );
    }

    #[test]
    fn with_recursion_only_what_ends_by_itself_is_a_lexeme() {
        let json = r#"
            root ::= value
            value ::= string | number | "[" (value ("," value)*)? "]"
            string ::= "\"" ([^"\\] | "\\" ["\\/bfnrt])* "\""
            number ::= [0-9]+
        "#;
        let lark = lark(json);
        assert!(lark.contains("\nR2: ") && lark.contains("\nr1: (R2 | r3 |"), "{lark}");
        // A quote elsewhere could begin a string as well.
        let lark = super::tests::lark(&json.replace("| number", "| number | \"\\\"\""));
        assert!(lark.contains("\nr2: "), "{lark}");
    }

    #[test]
    fn what_multiplies_without_end_is_refused() {
        let chain = |last: usize| {
            let rules = (0..last).map(|i| format!("r{i} ::= r{0} r{0}\n", i + 1)).collect::<String>();
            to_lark(&parse(&format!("root ::= r0\n{rules}r{last} ::= \"a\"")).unwrap(), &|_| None)
        };
        assert!(chain(20).is_ok());
        for last in [21, 1000, 4000] {
            assert_eq!(Status::Unsupported, chain(last).unwrap_err().status);
        }
    }

    #[test]
    fn tokens_are_named_by_their_id() {
        assert_eq!("start: r0\nr0: (<[7]> <[^7]> <[12]>)\n", lark("root ::= <think> !<think> <[12]>"));
        let failure = to_lark(&parse("root ::= <none>").unwrap(), &|_| None).unwrap_err();
        assert!(failure.message.contains("<none>"));
    }
}
