//! The functions of `native/src/text/ffi.h` about templates.

use super::environment::stack_bytes;
use super::Template;
use crate::ffi::{guarded, items, Buffer, Bytes, FailureOut};

/// # Safety
/// `special_offsets` has `n_special` + 1 items, or `n_special` is 0. The pointers may be read and
/// written as their types say.
#[no_mangle]
pub unsafe extern "C" fn text_template_open(
    source: Bytes,
    special: Bytes,
    special_offsets: *const u64,
    n_special: usize,
    template: *mut *mut Template,
    failure: *mut FailureOut,
) -> i32 {
    guarded(failure, || {
        let (special, offsets) =
            (special.as_slice(), items(special_offsets, if n_special == 0 { 0 } else { n_special + 1 }));
        let special = offsets.windows(2).filter_map(|range| special.get(range[0] as usize..range[1] as usize));
        let opened = Template::open(source.as_slice(), special)?;
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
/// As above; `text` and `origins` (pairs of u64) get buffers that `text_free_buffer()` takes back.
#[no_mangle]
pub unsafe extern "C" fn text_template_render(
    template: *const Template,
    json: Bytes,
    now: i64,
    text: *mut Buffer,
    origins: *mut Buffer,
    failure: *mut FailureOut,
) -> i32 {
    guarded(failure, || {
        let rendered = (*template).render(json.as_slice(), now)?;
        let ranges = rendered.origins.iter().flat_map(|range| [range.start as u64, range.end as u64]);
        origins.write(Buffer::of(ranges.flat_map(u64::to_ne_bytes).collect()));
        text.write(Buffer::of(rendered.text.into_bytes()));
        Ok(())
    })
}

/// How large a stack the calls above need for JSON of so many bytes.
#[no_mangle]
pub extern "C" fn text_template_stack_bytes(json_bytes: usize) -> usize {
    stack_bytes(json_bytes)
}
