//! Constraints on generated text: which tokens may come next, by llguidance.

mod ffi;
mod formats;
mod gbnf;
mod gbnf_lark;
mod lark;
mod matcher;
mod pattern;
mod schema;
mod subset;
mod vocabulary;

pub use matcher::{Compiled, Kind, Matcher};
pub use vocabulary::Vocabulary;
