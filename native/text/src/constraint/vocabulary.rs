//! A model's tokens, set up once for all constraints.

use std::sync::Arc;

use llguidance::api::ParserLimits;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokRxInfo, TokTrie};
use llguidance::ParserFactory;

use crate::ffi::{Failure, Outcome, Status};

const MOST_TOKENS: usize = 1 << 22;
const MOST_TOKEN_BYTES: usize = 1 << 14;

/// The flag of a token that stands for no text: it comes where a grammar names it, never by its bytes.
pub const SPECIAL: u8 = 1;

pub struct Vocabulary {
    factory: ParserFactory,
    n_vocab: usize,
}

impl Vocabulary {
    /// Token i has the bytes `bytes[offsets[i]..offsets[i + 1]]`; without bytes it is never allowed.
    pub fn open(bytes: &[u8], offsets: &[u64], flags: &[u8], end_ids: &[i32]) -> Outcome<Self> {
        let n_vocab = flags.len();
        let invalid = |message: String| Failure::new(Status::InvalidArgument, message);
        if n_vocab == 0 || n_vocab > MOST_TOKENS || offsets.len() != n_vocab + 1 {
            return Err(invalid(format!("a vocabulary of {n_vocab} tokens: 1 to {MOST_TOKENS} are possible")));
        }
        let mut words = Vec::with_capacity(n_vocab);
        for (id, flags) in flags.iter().enumerate() {
            let range = usize::try_from(offsets[id]).ok().zip(usize::try_from(offsets[id + 1]).ok());
            let token = range.and_then(|(from, to)| bytes.get(from..to));
            let token = token.ok_or_else(|| invalid(format!("token {id}: its offsets do not lie in the bytes")))?;
            if token.len() > MOST_TOKEN_BYTES {
                let message = format!("token {id} has {} bytes, more than {MOST_TOKEN_BYTES}", token.len());
                return Err(invalid(message));
            }
            let mut word = Vec::with_capacity(token.len() + 1);
            if flags & SPECIAL != 0 && !token.is_empty() {
                word.push(TokTrie::SPECIAL_TOKEN_MARKER);
            }
            word.extend_from_slice(token);
            words.push(word);
        }
        let mut ends = Vec::with_capacity(end_ids.len());
        for &id in end_ids {
            match u32::try_from(id) {
                Ok(end) if (end as usize) < n_vocab => ends.push(end),
                _ => return Err(invalid(format!("end id {id}: the vocabulary has {n_vocab} tokens"))),
            }
        }
        let Some(&first_end) = ends.first() else {
            return Err(invalid("a constraint needs an end token: no end id is given".to_owned()));
        };
        let mut info = TokRxInfo::new(n_vocab as u32, first_end);
        info.tok_eos = first_end;
        let trie = TokTrie::from(&info, &words).with_eos_tokens(&ends);
        let environment: llguidance::toktrie::TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new(
            &environment,
            InferenceCapabilities::default(),
            &llguidance::earley::SlicedBiasComputer::general_slices(),
        )
        .map_err(|error| Failure::new(Status::Internal, format!("the vocabulary cannot be set up: {error}")))?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Vocabulary { factory, n_vocab })
    }

    pub fn n_vocab(&self) -> usize {
        self.n_vocab
    }

    /// The special token of a name.
    pub fn special_id(&self, name: &str) -> Option<u32> {
        self.factory.tok_env().tok_trie().get_special_token(name)
    }

    pub fn factory(&self) -> &ParserFactory {
        &self.factory
    }
}

/// What a constraint may cost. A mask takes less than 50 ms: a quarter of a microsecond for a unit of the lexer's fuel,
/// and of the parser's items, which are looked for among all others of their row, 12 ms for a row of 4000.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 4500, // four for each of subset::MOST_FIRST_KEYS, and some
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 160_000,
        step_max_items: 20_000,
        max_lexer_states: 50_000,
        max_grammar_size: 500_000,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}
