//! The list of headers that a request is to be answered with.

use core::ptr;

use nginx_sys::{ngx_http_request_t, ngx_list_part_t};

use crate::ffi::nginx::request::Request;

/// How many there are.
#[derive(Clone, Copy)]
pub(super) struct Length {
    /// nginx's list has parts; this is the last one.
    last: *mut ngx_list_part_t,
    in_last: usize,
}

/// How many headers there are now.
pub(super) fn length(r: &ngx_http_request_t) -> Length {
    let last = r.headers_out.headers.last;
    // SAFETY: null, or a part of the list, which lives as long as the request.
    Length { last, in_last: unsafe { last.as_ref() }.map_or(0, |part| part.nelts) }
}

/// Takes away all headers that came after there were so many.
pub(super) fn cut(r: Request, to: Length) {
    r.update(|r| {
        let list = &mut r.headers_out.headers;
        if ptr::eq(to.last, &list.part) {
            list.part.nelts = to.in_last;
            list.part.next = ptr::null_mut();
        // SAFETY: null, or a part of the same list, which lives as long as the request.
        } else if let Some(part) = unsafe { to.last.as_mut() } {
            part.nelts = to.in_last;
            part.next = ptr::null_mut();
        }
        list.last = to.last;
    });
}
