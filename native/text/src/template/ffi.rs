//! The functions of `native/src/text/ffi.h` about templates.

use super::environment::stack_bytes;
use super::Template;
use crate::ffi::{guarded, Buffer, Bytes, FailureOut};

/// # Safety
/// The pointers may be read and written as their types say.
#[no_mangle]
pub unsafe extern "C" fn text_template_open(
    source: Bytes,
    template: *mut *mut Template,
    failure: *mut FailureOut,
) -> i32 {
    guarded(failure, || {
        let opened = Template::open(source.as_slice())?;
        template.write(Box::into_raw(Box::new(opened)));
        Ok(())
    })
}

/// # Safety
/// `template` came from `text_template_open()` and is not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn text_template_close(template: *mut Template, failure: *mut FailureOut) -> i32 {
    guarded(failure, || {
        drop(Box::from_raw(template));
        Ok(())
    })
}

/// # Safety
/// As above; `text` gets a buffer that `text_free_buffer()` takes back.
#[no_mangle]
pub unsafe extern "C" fn text_template_render(
    template: *const Template,
    json: Bytes,
    now: i64,
    text: *mut Buffer,
    failure: *mut FailureOut,
) -> i32 {
    guarded(failure, || {
        let rendered = (*template).render(json.as_slice(), now)?;
        text.write(Buffer::of(rendered.into_bytes()));
        Ok(())
    })
}

/// How large a stack the calls above need for JSON of so many bytes.
#[no_mangle]
pub extern "C" fn text_template_stack_bytes(json_bytes: usize) -> usize {
    stack_bytes(json_bytes)
}
