//! Constraints on generated text: which tokens may come next, by llguidance.

mod ffi;
mod matcher;
mod vocabulary;

pub use matcher::{Compiled, Kind, Matcher};
pub use vocabulary::Vocabulary;
