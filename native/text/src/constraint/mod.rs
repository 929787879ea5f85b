//! Constraints on generated text: which tokens may come next, by llguidance.

mod ffi;
mod gbnf;
mod gbnf_lark;
mod matcher;
mod schema;
mod vocabulary;

pub use matcher::{Compiled, Kind, Matcher};
pub use vocabulary::Vocabulary;
