//! A request's body.

use nginx_sys::{
    ngx_buf_t, ngx_http_core_run_phases, ngx_http_request_t, ngx_int_t, ngx_read_file, NGX_DONE,
    NGX_HTTP_SPECIAL_RESPONSE,
};

use super::flags::{buf, headers_in, request};
use super::request::Request;
use super::{functions, pointers, Failed};

/// Whether the request has a body that nginx has not begun to read or to throw away.
pub(crate) fn is_to_come(r: &ngx_http_request_t) -> bool {
    let headers = &r.headers_in;
    (headers.content_length_n > 0 || headers_in::CHUNKED.is_set(headers))
        && r.request_body.is_null()
        && !request::DISCARD_BODY.is_set(r)
}

/// Whether nginx reads the body, and some of it has not come yet.
pub(crate) fn is_on_its_way(r: &ngx_http_request_t) -> bool {
    pointers::request_body(r).is_some_and(|body| body.rest > 0)
}

/// Reads the body, as nginx's mirror module does. Returns what a phase handler returns.
///
/// When all of the body is there, the phases go on with the handler that called this: within this call
/// if nothing is missing. nginx itself answers if the body is too large, or the client stalls or leaves.
pub(crate) fn read(r: Request) -> ngx_int_t {
    let read = functions::ngx_http_read_client_request_body(r, on_body);
    if read >= NGX_HTTP_SPECIAL_RESPONSE as ngx_int_t {
        return read;
    }
    // Reading has counted one reference to the request more. This takes it back.
    functions::ngx_http_finalize_request(r, NGX_DONE as ngx_int_t);
    NGX_DONE as ngx_int_t
}

/// All of the body is there.
extern "C" fn on_body(r: Request) {
    r.update(|r| r.write_event_handler = Some(ngx_http_core_run_phases));
    functions::ngx_http_core_run_phases(r);
}

/// How many bytes of the body nginx has read.
pub(crate) fn length(r: &ngx_http_request_t) -> u64 {
    buffers(r).map(length_of).sum()
}

/// The bytes of the body that nginx has read. Fails if nginx has put some into a file that cannot be
/// read.
pub(crate) fn bytes(r: &ngx_http_request_t) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    for buffer in buffers(r) {
        append(&mut body, buffer)?;
    }
    Ok(body)
}

/// The buffers that the body was read into.
fn buffers(r: &ngx_http_request_t) -> impl Iterator<Item = &ngx_buf_t> {
    let first = pointers::request_body(r).and_then(pointers::body_chain);
    let links = core::iter::successors(first, |link| pointers::next_link(link));
    links.filter_map(pointers::buffer)
}

fn in_memory(buffer: &ngx_buf_t) -> bool {
    buf::TEMPORARY.is_set(buffer) || buf::MEMORY.is_set(buffer) || buf::MMAP.is_set(buffer)
}

fn length_of(buffer: &ngx_buf_t) -> u64 {
    let length = if in_memory(buffer) {
        (buffer.last as usize).saturating_sub(buffer.pos as usize) as i64
    } else {
        buffer.file_last.saturating_sub(buffer.file_pos)
    };
    u64::try_from(length).unwrap_or(0)
}

fn append(body: &mut Vec<u8>, buffer: &ngx_buf_t) -> Result<(), Failed> {
    let length = length_of(buffer) as usize;
    let old = body.len();
    body.resize(old + length, 0);
    let place = body.get_mut(old..).unwrap_or_default();
    // SAFETY: the place has this many bytes. A buffer in memory has as many from `pos` on, which nginx has
    // filled; any other one is a part of an open file.
    let read = unsafe {
        match length {
            0 => 0,
            _ if in_memory(buffer) => {
                place.as_mut_ptr().copy_from_nonoverlapping(buffer.pos, length);
                length as isize
            }
            _ => ngx_read_file(buffer.file, place.as_mut_ptr(), length, buffer.file_pos),
        }
    };
    if usize::try_from(read) == Ok(length) {
        Ok(())
    } else {
        Err(Failed)
    }
}
