//! Chat templates (minijinja) and constraints on generated text (llguidance) for the native library, which is the only
//! user: `native/src/text` calls the functions marked `extern "C"`. See `README.md`.

mod constraint;
mod ffi;
mod template;

pub use constraint::{Compiled, Kind, Matcher, Vocabulary};
pub use template::Template;
