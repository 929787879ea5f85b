//! What crosses to C++: borrowed bytes in, owned bytes out, a status and a message. No panic crosses.
//!
//! Every function here is declared in `native/src/text/ffi.h`.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

/// The values of `reprise_status` that this crate uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    Ok = 0,
    InvalidArgument = 1,
    Internal = 13,
    Template = 14,
    Unsupported = 15,
}

/// Why a call failed: the message names what was wrong; the line is that of the source, 0 where there is none.
#[derive(Debug)]
pub struct Failure {
    pub status: Status,
    pub message: String,
    pub line: u32,
}

impl Failure {
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Failure { status, message: message.into(), line: 0 }
    }

    pub fn at(mut self, line: usize) -> Self {
        self.line = u32::try_from(line).unwrap_or(u32::MAX);
        self
    }
}

pub type Outcome<T> = Result<T, Failure>;

/// Bytes of the caller's, valid during the call. `data` may be null where `len` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    data: *const u8,
    len: usize,
}

impl Bytes {
    /// # Safety
    /// `data` points at `len` bytes that outlive the returned slice.
    pub unsafe fn as_slice<'a>(self) -> &'a [u8] {
        if self.len == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(self.data, self.len)
        }
    }
}

/// # Safety
/// `data` points at `len` items that outlive the returned slice, or `len` is 0.
pub unsafe fn items<'a, T>(data: *const T, len: usize) -> &'a [T] {
    if len == 0 {
        &[]
    } else {
        std::slice::from_raw_parts(data, len)
    }
}

/// Memory of this crate's that `text_free_buffer()` takes back.
#[repr(C)]
pub struct Buffer {
    data: *mut u8,
    len: usize,
    capacity: usize,
}

impl Buffer {
    pub fn of(bytes: Vec<u8>) -> Self {
        let mut bytes = std::mem::ManuallyDrop::new(bytes);
        Buffer { data: bytes.as_mut_ptr(), len: bytes.len(), capacity: bytes.capacity() }
    }
}

/// The failure of a call, filled in where the returned status is not `Ok`.
#[repr(C)]
pub struct FailureOut {
    message: Buffer,
    line: u32,
}

/// Runs the body; what it returns as an error, or panics with, becomes a status and a message.
///
/// # Safety
/// `failure` points at memory that may be written.
pub unsafe fn guarded(failure: *mut FailureOut, body: impl FnOnce() -> Outcome<()>) -> i32 {
    silence_panics();
    let outcome = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(outcome) => outcome,
        Err(panic) => Err(Failure::new(Status::Internal, format!("a panic: {}", panic_text(panic.as_ref())))),
    };
    match outcome {
        Ok(()) => Status::Ok as i32,
        Err(error) => {
            failure.write(FailureOut { message: Buffer::of(error.message.into_bytes()), line: error.line });
            error.status as i32
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "without a message"
    }
}

/// The library prints nothing: what a panic says goes into the failure's message.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}

/// Frees what a call returned in a `Buffer`. An empty one is fine.
///
/// # Safety
/// The buffer came from this crate and was not freed before.
#[no_mangle]
pub unsafe extern "C" fn text_free_buffer(buffer: Buffer) {
    if !buffer.data.is_null() {
        drop(Vec::from_raw_parts(buffer.data, buffer.len, buffer.capacity));
    }
}
