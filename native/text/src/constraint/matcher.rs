//! A compiled constraint and the state of one generation under it.

use std::sync::{Arc, Mutex};

use llguidance::api::{GrammarWithLexer, StopReason, TopLevelGrammar};
use llguidance::toktrie::SimpleVob;
use llguidance::TokenParser;

use super::gbnf;
use super::gbnf_lark::to_lark;
use super::lark;
use super::schema;
use super::vocabulary::Vocabulary;
use crate::ffi::{Failure, Outcome, Status};

const MOST_SOURCE_BYTES: usize = 1 << 20;
/// Of texts that a constraint is tried with before it counts as compiled.
const TRIALS: usize = 3;
const TRIAL_TOKENS: usize = 6;

/// The values of `reprise_constraint_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    JsonSchema,
    Regex,
    Lark,
    Gbnf,
}

impl Kind {
    pub fn of(number: i32) -> Outcome<Self> {
        match number {
            0 => Ok(Kind::JsonSchema),
            1 => Ok(Kind::Regex),
            2 => Ok(Kind::Lark),
            3 => Ok(Kind::Gbnf),
            _ => Err(Failure::new(Status::InvalidArgument, format!("constraint kind {number} is none of 0 to 3"))),
        }
    }
}

/// A constraint that was compiled and checked; matchers are made from it.
pub struct Compiled {
    start: Mutex<Matcher>,
}

impl Compiled {
    pub fn open(vocabulary: Arc<Vocabulary>, kind: Kind, source: &[u8], json_whitespace: bool) -> Outcome<Self> {
        if source.len() > MOST_SOURCE_BYTES {
            let message = format!("the constraint has {} bytes; at most {MOST_SOURCE_BYTES} are read", source.len());
            return Err(Failure::new(Status::InvalidArgument, message));
        }
        let source = std::str::from_utf8(source).map_err(|error| {
            let message = format!("the constraint is not UTF-8 at byte {}", error.valid_up_to());
            Failure::new(Status::InvalidArgument, message)
        })?;
        let grammar = match kind {
            Kind::JsonSchema => GrammarWithLexer::from_json_schema(schema::prepare(source, json_whitespace)?),
            Kind::Regex => GrammarWithLexer::from_regex(source),
            Kind::Lark => GrammarWithLexer::from_lark(lark::prepare(source)?),
            Kind::Gbnf => {
                let grammar = gbnf::parse(source)?;
                GrammarWithLexer::from_lark(to_lark(&grammar, &|name| vocabulary.special_id(name))?)
            }
        };
        let grammar = TopLevelGrammar::from_grammar(grammar);
        let parser = vocabulary.factory().create_parser(grammar);
        let mut parser = parser.map_err(|error| refused(kind, &error.to_string()))?;
        parser.start_without_prompt();
        let start = Matcher { vocabulary, parser, allowed: None, failed: None, busy: false };
        // What allows nothing, or is too complex near its beginning, is found out here. What the lexer learns stays:
        // the first masks of a generation take the less time.
        let mut number = 1;
        for _ in 0..TRIALS {
            start.clone().try_some(&mut number)?;
        }
        Ok(Compiled { start: Mutex::new(start) })
    }

    /// A matcher in its start state. It shares nothing that changes with others.
    pub fn matcher(&self) -> Outcome<Matcher> {
        let start = self.start.lock().map_err(|_| Failure::new(Status::Internal, "an earlier call panicked"))?;
        let parser = start.parser.deep_clone();
        Ok(Matcher { vocabulary: Arc::clone(&start.vocabulary), parser, allowed: None, failed: None, busy: false })
    }
}

/// What llguidance says of a constraint that it does not take. Its own words are about the Lark grammar.
fn refused(kind: Kind, error: &str) -> Failure {
    let invalid = |message: String| Failure::new(Status::InvalidArgument, message);
    match kind {
        Kind::JsonSchema => schema::refused(error),
        Kind::Regex => {
            let text = schema::plain(error);
            let text = text.split("\n   1 | ").next().unwrap_or_default();
            let text = text.split_once("(in regex): ").map_or(text, |(_, text)| text);
            if text.contains("not supported") {
                return Failure::new(Status::Unsupported, format!("regular expression: not supported: {text}"));
            }
            invalid(format!("regular expression: {text}"))
        }
        Kind::Lark => {
            let line =
                error.trim_start_matches("at ").split('(').next().and_then(|line| line.parse().ok()).unwrap_or(0);
            invalid(format!("Lark grammar: {}", schema::plain(error))).at(line)
        }
        Kind::Gbnf => invalid(format!("GBNF: {}", schema::plain(error))),
    }
}

/// Which tokens may come next in one generation.
pub struct Matcher {
    vocabulary: Arc<Vocabulary>,
    parser: TokenParser,
    /// The mask of the next token, where it was computed.
    allowed: Option<SimpleVob>,
    failed: Option<String>,
    /// A call is going on, or one panicked.
    busy: bool,
}

impl Clone for Matcher {
    fn clone(&self) -> Self {
        Matcher {
            vocabulary: Arc::clone(&self.vocabulary),
            parser: self.parser.clone(),
            allowed: self.allowed.clone(),
            failed: self.failed.clone(),
            busy: self.busy,
        }
    }
}

impl Matcher {
    /// Fills in one bit per token, see `Constraint::mask()` in `native/src/session/constraint.h`.
    pub fn mask(&mut self, mask: &mut [u32]) -> Outcome<()> {
        self.begin()?;
        let outcome = self.fill(mask);
        self.busy = false;
        outcome
    }

    fn fill(&mut self, mask: &mut [u32]) -> Outcome<()> {
        let n_vocab = self.vocabulary.n_vocab();
        if mask.len() != n_vocab.div_ceil(32) {
            let message = format!("a mask of {} words: {n_vocab} tokens need {}", mask.len(), n_vocab.div_ceil(32));
            return Err(Failure::new(Status::InvalidArgument, message));
        }
        let allowed = if self.parser.stopped() {
            self.vocabulary.factory().tok_env().tok_trie().eos_token_set()
        } else {
            match self.parser.compute_mask() {
                Ok(allowed) => allowed,
                Err(error) => return Err(self.fail(&error)),
            }
        };
        mask.fill(0);
        for (word, bits) in mask.iter_mut().zip(allowed.as_slice()) {
            *word = *bits;
        }
        self.allowed = Some(allowed);
        if !n_vocab.is_multiple_of(32) {
            if let Some(last) = mask.last_mut() {
                *last &= (1 << (n_vocab % 32)) - 1;
            }
        }
        Ok(())
    }

    /// Takes a token if it is allowed; says whether it was. The state stays as it was if not.
    pub fn accept(&mut self, token: i32) -> Outcome<bool> {
        self.begin()?;
        let outcome = self.try_accept(token);
        self.busy = false;
        outcome
    }

    fn try_accept(&mut self, token: i32) -> Outcome<bool> {
        let Some(id) = u32::try_from(token).ok().filter(|&id| (id as usize) < self.vocabulary.n_vocab()) else {
            let message = format!("token {token}: the vocabulary has {} tokens", self.vocabulary.n_vocab());
            return Err(Failure::new(Status::InvalidArgument, message));
        };
        if self.parser.stopped() {
            return Ok(self.is_end(id));
        }
        let taken = self.take(id);
        taken.map_err(|error| self.fail(&error))
    }

    fn take(&mut self, id: u32) -> anyhow::Result<bool> {
        // To ask the parser costs as much as the step itself.
        let known = self.allowed.as_ref().map(|allowed| allowed.is_allowed(id));
        if !known.map_or_else(|| self.parser.validate_token(id), Ok)? {
            return Ok(false);
        }
        self.allowed = None;
        self.parser.consume_token(id)?;
        self.parser.check_stop()?;
        Ok(true)
    }

    /// Takes a few tokens that are drawn by a number, which goes on. Behind the first one it is no error that the
    /// vocabulary has no token for what must follow: others may have been drawn.
    fn try_some(&mut self, number: &mut u32) -> Outcome<()> {
        let mut mask = vec![0u32; self.vocabulary.n_vocab().div_ceil(32)];
        for step in 0..TRIAL_TOKENS {
            match self.mask(&mut mask) {
                Err(failure) if step > 0 && failure.status == Status::InvalidArgument => break,
                outcome => outcome?,
            }
            let count: u32 = mask.iter().map(|word| word.count_ones()).sum();
            if self.ended() || count == 0 {
                break;
            }
            *number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); // Numerical Recipes
            let mut left = (*number >> 8) % count;
            let token = (0..self.vocabulary.n_vocab()).find(|id| {
                let is_set = mask[id / 32] >> (id % 32) & 1 == 1;
                let found = is_set && left == 0;
                left = left.saturating_sub(u32::from(is_set));
                found
            });
            if !self.accept(token.map_or(-1, |id| id as i32))? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the text so far is complete.
    pub fn complete(&mut self) -> bool {
        !self.busy && self.failed.is_none() && self.parser.is_accepting()
    }

    /// Whether nothing but an end token may follow.
    pub fn ended(&self) -> bool {
        self.parser.stopped()
    }

    fn is_end(&self, id: u32) -> bool {
        self.vocabulary.factory().tok_env().tok_trie().eos_tokens().contains(&id)
    }

    fn begin(&mut self) -> Outcome<()> {
        if std::mem::replace(&mut self.busy, true) {
            return Err(Failure::new(Status::Internal, "an earlier call on this constraint panicked"));
        }
        match &self.failed {
            None => Ok(()),
            Some(message) => {
                self.busy = false;
                Err(Failure::new(Status::Unsupported, message.clone()))
            }
        }
    }

    /// The parser cannot go on: from here on every call says why.
    fn fail(&mut self, error: &anyhow::Error) -> Failure {
        let (status, message) = match self.parser.stop_reason() {
            StopReason::LexerTooComplex | StopReason::ParserTooComplex => {
                let message = format!("the constraint is too complex: {}", schema::plain(&error.to_string()));
                (Status::Unsupported, message)
            }
            StopReason::NoExtensionBias => {
                let message = "the constraint allows no text from here on, with this vocabulary";
                (Status::InvalidArgument, message.to_owned())
            }
            _ => {
                let message = format!("the constraint cannot go on: {}", schema::plain(&error.to_string()));
                (Status::Unsupported, message)
            }
        };
        self.failed = Some(message.clone());
        Failure::new(status, message)
    }
}
