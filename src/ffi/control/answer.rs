//! The control endpoint's answers, as nginx sends them.

use nginx_sys::{
    ngx_buf_t, ngx_chain_t, ngx_http_output_filter, ngx_http_request_t, ngx_http_send_header,
    ngx_int_t, ngx_str_t, ngx_uint_t, NGX_ERROR, NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_POST,
    NGX_OK,
};

use crate::control::answer::{Answer, Content, Reader, Response};
use crate::control::command::{Manner, Method, Place, Verb};
use crate::control::form::Said;
use crate::control::origin::{self, Headers, HostIs};
use crate::control::status::Status;
use crate::ffi::conf::{self, Endpoint};
use crate::ffi::control::payload;
use crate::ffi::module::Failed;
use crate::ffi::nginx::flags::{buf, request};
use crate::ffi::nginx::server_names;
use crate::ffi::worker::zone::{now, SharedZone};
use crate::text::AppName;

/// Why a browser's request is to change nothing, if so.
pub(crate) fn refused_to_browser(
    r: &mut ngx_http_request_t,
    endpoint: &Endpoint,
) -> Option<origin::Refused> {
    let method = method(r);
    let is_own = server_names::is_own(r, &endpoint.names);
    let host_is = if is_own { HostIs::Own } else { HostIs::Other };
    // SAFETY: a live request: HTTP/3 gives the name as its authority, and no header.
    let host = unsafe {
        match r.headers_in.host.as_ref() {
            Some(host) => host.value,
            None if r.host_start.is_null() => ngx_str_t::empty(),
            None => {
                ngx_str_t { len: r.host_end.offset_from_unsigned(r.host_start), data: r.host_start }
            }
        }
    };
    // SAFETY: as above.
    let request = unsafe { ngx::http::Request::from_ngx_http_request(r) };
    let mut headers = Headers { host: host.as_bytes(), ..Headers::default() };
    for (name, value) in request.headers_in_iterator() {
        let place = match name.as_bytes().to_ascii_lowercase().as_slice() {
            b"sec-fetch-site" => &mut headers.sec_fetch_site,
            b"origin" => &mut headers.origin,
            b"referer" => &mut headers.referer,
            b"sec-purpose" => &mut headers.sec_purpose,
            b"purpose" => &mut headers.purpose,
            b"x-purpose" => &mut headers.x_purpose,
            b"x-moz" => &mut headers.x_moz,
            b"user-agent" => &mut headers.user_agent,
            _ => continue,
        };
        *place = value.as_bytes();
    }
    origin::refused(&headers, method, host_is)
}

pub(crate) fn method(r: &ngx_http_request_t) -> Method {
    match r.method as u32 {
        NGX_HTTP_GET => Method::Get,
        NGX_HTTP_HEAD => Method::Head,
        NGX_HTTP_POST => Method::Post,
        _ => Method::Other,
    }
}

/// The verb that is asked for at an endpoint, if there is such a verb.
pub(crate) fn verb(r: &ngx_http_request_t, endpoint: &Endpoint) -> Option<Verb> {
    let place = Place { location: endpoint.location.as_bytes(), exact: endpoint.exact };
    Verb::at(place, r.uri.as_bytes())
}

/// How the answer of this verb is to be written, or an error if there is no verb.
pub(crate) fn manner(r: &mut ngx_http_request_t, verb: Option<Verb>) -> Result<Manner, Failed> {
    let (query, form) = (r.args, payload::form(r)?.unwrap_or_default());
    // SAFETY: a live request.
    let request = unsafe { ngx::http::Request::from_ngx_http_request(r) };
    let accept = request
        .headers_in_iterator()
        .filter(|(name, _)| name.as_bytes().eq_ignore_ascii_case(b"accept"))
        .map(|(_, value)| value.as_bytes());
    let said = Said { query: query.as_bytes(), form: &form };
    Ok(Manner::of(verb, said, accept))
}

/// Sends the answer as it is: not by a status that nginx would look up an error_page for.
pub(crate) fn send(
    r: &mut ngx_http_request_t,
    zone: &SharedZone,
    name: AppName,
    answer: Answer,
) -> ngx_int_t {
    const ERROR: ngx_int_t = NGX_ERROR as ngx_int_t;
    let endpoint = conf::loc_conf(r).and_then(|conf| conf.control.as_ref());
    let verb = endpoint.filter(|_| !answer.is_problem()).and_then(|endpoint| verb(r, endpoint));
    let Ok(manner) = manner(r, verb) else { return ERROR };
    let reader = Reader { method: method(r), manner, uri: r.uri.as_bytes() };
    let look = || zone.visit(|zone| Status::of(zone, name));
    match answer.response(reader, now(), look) {
        Ok(response) => respond(r, &response),
        Err(_) => ERROR,
    }
}

/// Sends a whole response. Without a body nothing is said of one either.
fn respond(r: &mut ngx_http_request_t, response: &Response) -> ngx_int_t {
    // SAFETY: a live request whose header has not been sent; the body is copied into its pool.
    unsafe {
        let request = ngx::http::Request::from_ngx_http_request(r);
        for (name, value) in &response.headers {
            if request.add_header_out(name, value).is_none() {
                return NGX_ERROR as ngx_int_t;
            }
        }
        // Conditions are about things that can be stored.
        request::DISABLE_NOT_MODIFIED.set(r);
        r.headers_out.status = ngx_uint_t::from(response.status);
        let Some(Content { media_type, text }) = &response.content else {
            return ngx_http_send_header(r);
        };
        let data = media_type.as_ptr().cast_mut();
        r.headers_out.content_type = ngx_str_t { len: media_type.len(), data };
        r.headers_out.content_type_len = media_type.len();
        r.headers_out.content_length_n = text.len() as _;
        let sent = ngx_http_send_header(r);
        if sent != NGX_OK as ngx_int_t || request::HEADER_ONLY.is_set(r) {
            return sent;
        }
        let Some(text) = ngx_str_t::from_bytes(r.pool, text.as_bytes()) else {
            return NGX_ERROR as ngx_int_t;
        };
        let mut buffer: ngx_buf_t = core::mem::zeroed();
        buffer.pos = text.data;
        buffer.last = text.data.add(text.len);
        buf::MEMORY.set(&mut buffer);
        buf::LAST_BUF.put(&mut buffer, ngx_uint_t::from(core::ptr::eq(r, r.main)));
        buf::LAST_IN_CHAIN.set(&mut buffer);
        let buffer = conf::allocate(r.pool, buffer);
        let mut chain = ngx_chain_t { buf: buffer, next: core::ptr::null_mut() };
        if buffer.is_null() {
            NGX_ERROR as ngx_int_t
        } else {
            ngx_http_output_filter(r, &mut chain)
        }
    }
}
