//! What the client says in a request, and sending an answer.

use nginx_sys::{ngx_buf_t, ngx_chain_t, ngx_int_t, ngx_str_t, ngx_uint_t, NGX_ERROR, NGX_OK};

use super::flags::{buf, request};
use super::plain::zero;
use super::request::Request;
use super::{functions, memory, pointers, Failed};

impl Request {
    /// The host that the client names: the Host header, or the authority of HTTP/3, which has no such
    /// header. Empty if there is neither.
    pub(crate) fn host(&self) -> &[u8] {
        if let Some(host) = pointers::host(&self.headers_in) {
            return host.value.as_bytes();
        }
        let len = (self.host_end as usize).saturating_sub(self.host_start as usize);
        match len {
            0 => &[],
            // SAFETY: nginx's parser has set both: to the begin and the end of the host, in one buffer
            // of the request's. They are not null here, because their difference is not 0.
            _ => unsafe { core::slice::from_raw_parts(self.host_start, len) },
        }
    }

    /// The client's headers, as pairs of name and value.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let headers = self.ngx().headers_in_iterator();
        headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }

    /// Adds a header to the answer.
    pub(crate) fn add_header(self, name: &str, value: &str) -> Result<(), Failed> {
        self.ngx().add_header_out(name, value).ok_or(Failed)
    }

    /// The request as ngx-rust has it. Callers use the reference for one call only.
    fn ngx<'a>(self) -> &'a mut ngx::http::Request {
        // SAFETY: a `Request` is live. Callers have no other reference into it during that one call.
        unsafe { ngx::http::Request::from_ngx_http_request(self.as_ptr()) }
    }

    /// Sends this status and no body. Returns what a phase handler may return.
    pub(crate) fn send_without_body(self, status: u16) -> ngx_int_t {
        self.update(|r| {
            // If-Modified-Since and the like must not make another answer of it.
            request::DISABLE_NOT_MODIFIED.set(r);
            r.headers_out.status = ngx_uint_t::from(status);
        });
        functions::ngx_http_send_header(self)
    }

    /// Sends a whole answer. Returns what a phase handler may return.
    pub(crate) fn send(self, status: u16, media_type: &'static str, body: &[u8]) -> ngx_int_t {
        let data = media_type.as_ptr().cast_mut();
        self.update(|r| {
            r.headers_out.content_type = ngx_str_t { len: media_type.len(), data };
            r.headers_out.content_type_len = media_type.len();
            r.headers_out.content_length_n = body.len() as _;
        });
        let sent = self.send_without_body(status);
        if sent != NGX_OK as ngx_int_t || request::HEADER_ONLY.is_set(&self) {
            return sent;
        }
        match self.buffer(body) {
            Some(buf) => {
                let mut chain = ngx_chain_t { buf, next: core::ptr::null_mut() };
                functions::ngx_http_output_filter(self, &mut chain)
            }
            None => NGX_ERROR as ngx_int_t,
        }
    }

    /// The last buffer of the answer, with a copy of these bytes. None if there is no memory.
    fn buffer(self, bytes: &[u8]) -> Option<*mut ngx_buf_t> {
        let copy = self.copy(bytes)?;
        let mut buffer: ngx_buf_t = zero();
        buffer.pos = copy.data;
        buffer.last = copy.data.wrapping_add(copy.len);
        buf::MEMORY.set(&mut buffer);
        buf::LAST_BUF.put(&mut buffer, ngx_uint_t::from(self.is_main()));
        buf::LAST_IN_CHAIN.set(&mut buffer);
        memory::copy(&self.ngx().pool(), &[buffer])?.first_mut().map(core::ptr::from_mut)
    }
}
