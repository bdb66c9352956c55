//! A control request's body, as nginx has read it.

use core::slice;

use nginx_sys::{ngx_buf_t, ngx_http_request_t, ngx_read_file};

use crate::control::form::BadBody;
use crate::ffi::module::Failed;
use crate::ffi::nginx::flags::buf;

/// The body, if it is a form; empty where there is none. A subrequest has none of its own.
pub(crate) fn form(r: &ngx_http_request_t) -> Result<Result<Vec<u8>, BadBody>, Failed> {
    if !core::ptr::eq(r, r.main) {
        return Ok(Ok(Vec::new()));
    }
    let length = buffers(r).map(length).sum();
    // SAFETY: a live request; nginx keeps the header while the request lives.
    let content_type = unsafe { r.headers_in.content_type.as_ref() };
    if let Some(bad) = BadBody::find(length, content_type.map(|line| line.value.as_bytes())) {
        return Ok(Err(bad));
    }
    let mut body = Vec::new();
    for buffer in buffers(r) {
        append(&mut body, buffer)?;
    }
    Ok(Ok(body))
}

/// What the body was read into.
fn buffers(r: &ngx_http_request_t) -> impl Iterator<Item = &ngx_buf_t> {
    // SAFETY: nginx has read the body of a live request; it keeps that, and the chain's end is null.
    let first = unsafe { r.request_body.as_ref().and_then(|body| body.bufs.as_ref()) };
    // SAFETY: as above.
    let links = core::iter::successors(first, |link| unsafe { link.next.as_ref() });
    // SAFETY: as above.
    links.filter_map(|link| unsafe { link.buf.as_ref() })
}

fn in_memory(buffer: &ngx_buf_t) -> bool {
    buf::TEMPORARY.is_set(buffer) || buf::MEMORY.is_set(buffer) || buf::MMAP.is_set(buffer)
}

fn length(buffer: &ngx_buf_t) -> u64 {
    let length = if in_memory(buffer) {
        (buffer.last as usize).saturating_sub(buffer.pos as usize) as i64
    } else {
        buffer.file_last.saturating_sub(buffer.file_pos)
    };
    u64::try_from(length).unwrap_or(0)
}

fn append(body: &mut Vec<u8>, buffer: &ngx_buf_t) -> Result<(), Failed> {
    let length = length(buffer) as usize;
    if length == 0 {
        return Ok(());
    }
    if in_memory(buffer) {
        // SAFETY: nginx has filled the buffer from pos to last.
        body.extend(unsafe { slice::from_raw_parts(buffer.pos, length) });
        return Ok(());
    }
    let old = body.len();
    body.resize(old + length, 0);
    let place = body.get_mut(old..).unwrap_or_default().as_mut_ptr();
    // SAFETY: the buffer is a part of a file that is open, and the place has that many bytes.
    let read = unsafe { ngx_read_file(buffer.file, place, length, buffer.file_pos) };
    if usize::try_from(read) == Ok(length) {
        Ok(())
    } else {
        Err(Failed)
    }
}
