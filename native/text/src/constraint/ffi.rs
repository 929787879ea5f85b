//! The functions of `native/src/text/ffi.h` about constraints.

use std::sync::Arc;

use super::{Compiled, Kind, Matcher, Vocabulary};
use crate::ffi::{guarded, items, Bytes, FailureOut};

/// # Safety
/// `offsets` has one more item than `flags`, which has `n_vocab`; `end_ids` has `n_end_ids`.
#[no_mangle]
pub unsafe extern "C" fn text_vocabulary_open(
    bytes: Bytes,
    offsets: *const u64,
    flags: *const u8,
    n_vocab: usize,
    end_ids: *const i32,
    n_end_ids: usize,
    vocabulary: *mut *const Vocabulary,
    failure: *mut FailureOut,
) -> i32 {
    guarded(failure, || {
        let opened = Vocabulary::open(
            bytes.as_slice(),
            items(offsets, n_vocab + 1),
            items(flags, n_vocab),
            items(end_ids, n_end_ids),
        )?;
        vocabulary.write(Arc::into_raw(Arc::new(opened)));
        Ok(())
    })
}

/// # Safety
/// `vocabulary` came from `text_vocabulary_open()` and is not used afterwards. Constraints may outlive it.
#[no_mangle]
pub unsafe extern "C" fn text_vocabulary_close(vocabulary: *const Vocabulary, failure: *mut FailureOut) -> i32 {
    guarded(failure, || {
        drop(Arc::from_raw(vocabulary));
        Ok(())
    })
}

/// # Safety
/// `vocabulary` is open; `constraint` may be written.
#[no_mangle]
pub unsafe extern "C" fn text_constraint_open(
    vocabulary: *const Vocabulary,
    kind: i32,
    source: Bytes,
    json_whitespace: bool,
    constraint: *mut *mut Compiled,
    failure: *mut FailureOut,
) -> i32 {
    guarded(failure, || {
        Arc::increment_strong_count(vocabulary);
        let shared = Arc::from_raw(vocabulary);
        let compiled = Compiled::open(shared, Kind::of(kind)?, source.as_slice(), json_whitespace)?;
        constraint.write(Box::into_raw(Box::new(compiled)));
        Ok(())
    })
}

/// # Safety
/// `constraint` came from `text_constraint_open()` and is not used afterwards. Matchers may outlive it.
#[no_mangle]
pub unsafe extern "C" fn text_constraint_close(constraint: *mut Compiled, failure: *mut FailureOut) -> i32 {
    guarded(failure, || {
        drop(Box::from_raw(constraint));
        Ok(())
    })
}

/// # Safety
/// `constraint` is open; `matcher` may be written.
#[no_mangle]
pub unsafe extern "C" fn text_matcher_open(
    constraint: *const Compiled,
    matcher: *mut *mut Matcher,
    failure: *mut FailureOut,
) -> i32 {
    guarded(failure, || {
        matcher.write(Box::into_raw(Box::new((*constraint).matcher()?)));
        Ok(())
    })
}

/// # Safety
/// `matcher` is open and in no other call; `copy` may be written.
#[no_mangle]
pub unsafe extern "C" fn text_matcher_clone(
    matcher: *const Matcher,
    copy: *mut *mut Matcher,
    failure: *mut FailureOut,
) -> i32 {
    guarded(failure, || {
        copy.write(Box::into_raw(Box::new((*matcher).clone())));
        Ok(())
    })
}

/// # Safety
/// `matcher` came from `text_matcher_open()` or `text_matcher_clone()` and is not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn text_matcher_close(matcher: *mut Matcher, failure: *mut FailureOut) -> i32 {
    guarded(failure, || {
        drop(Box::from_raw(matcher));
        Ok(())
    })
}

/// # Safety
/// `matcher` is open and in no other call; `mask` has `n_words`.
#[no_mangle]
pub unsafe extern "C" fn text_matcher_mask(
    matcher: *mut Matcher,
    mask: *mut u32,
    n_words: usize,
    failure: *mut FailureOut,
) -> i32 {
    guarded(failure, || {
        let words = if n_words == 0 { &mut [] } else { std::slice::from_raw_parts_mut(mask, n_words) };
        (*matcher).mask(words)
    })
}

/// # Safety
/// `matcher` is open and in no other call; `accepted` may be written.
#[no_mangle]
pub unsafe extern "C" fn text_matcher_accept(
    matcher: *mut Matcher,
    token: i32,
    accepted: *mut bool,
    failure: *mut FailureOut,
) -> i32 {
    guarded(failure, || {
        accepted.write((*matcher).accept(token)?);
        Ok(())
    })
}

/// # Safety
/// `matcher` is open and in no other call; `complete` and `ended` may be written.
#[no_mangle]
pub unsafe extern "C" fn text_matcher_state(
    matcher: *mut Matcher,
    complete: *mut bool,
    ended: *mut bool,
    failure: *mut FailureOut,
) -> i32 {
    guarded(failure, || {
        complete.write((*matcher).complete());
        ended.write((*matcher).ended());
        Ok(())
    })
}
