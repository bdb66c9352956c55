//! What a control request says: its verb, its parameters, and who sent it.

use nginx_sys::{ngx_int_t, NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_POST, NGX_OK};

use crate::control::command::{Manner, Method, Place, Verb};
use crate::control::form::{BadBody, Said};
use crate::control::origin::{self, Headers, HostIs};
use crate::ffi::conf::Endpoint;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{body, functions, pointers, server_names, Failed};
use crate::text::Address;

/// The request's method.
pub(crate) fn method(r: Request) -> Method {
    match r.method as u32 {
        NGX_HTTP_GET => Method::Get,
        NGX_HTTP_HEAD => Method::Head,
        NGX_HTTP_POST => Method::Post,
        _ => Method::Other,
    }
}

/// The verb that the request names. Returns None if the endpoint has no such verb.
pub(crate) fn verb(r: Request, endpoint: &Endpoint) -> Option<Verb> {
    let place = Place { location: endpoint.location.as_bytes(), exact: endpoint.exact };
    Verb::at(place, r.uri.as_bytes())
}

/// The body, if it is a form; empty if there is none. A subrequest has no body of its own. Fails if
/// nginx cannot read the file that it has put the body into.
pub(crate) fn form(r: Request) -> Result<Result<Vec<u8>, BadBody>, Failed> {
    if !r.is_main() {
        return Ok(Ok(Vec::new()));
    }
    let content_type = pointers::content_type(&r.headers_in).map(|line| line.value.as_bytes());
    match BadBody::find(body::length(&r), content_type) {
        Some(bad) => Ok(Err(bad)),
        None => body::bytes(&r).map(Ok),
    }
}

/// How the answer is written. `verb` is None if the request names no verb, or is not carried out.
/// Fails as [`form`] does.
pub(crate) fn manner(r: Request, verb: Option<Verb>) -> Result<Manner, Failed> {
    let form = form(r)?.unwrap_or_default();
    let headers = r.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"accept"));
    let said = Said { query: r.args.as_bytes(), form: &form };
    Ok(Manner::of(verb, said, headers.map(|(_, value)| value)))
}

/// Why a browser may not change anything by this request. Returns None if it may, or is no browser.
pub(crate) fn refused_to_browser(
    r: Request,
    endpoint: &Endpoint,
) -> Option<origin::BrowserRefused> {
    let is_own = server_names::is_own(r, &endpoint.names);
    let host_is = if is_own { HostIs::Own } else { HostIs::Other };
    let mut headers = Headers { host: r.host(), ..Headers::default() };
    for (name, value) in r.headers() {
        let header = match name.to_ascii_lowercase().as_slice() {
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
        *header = value;
    }
    origin::refused(&headers, method(r), host_is)
}

/// The caller: `by`, else `$remote_user`, else the client's address.
pub(crate) fn caller(r: Request, by: Option<Address>) -> Address {
    let address = || Address::new(r.address()).unwrap_or(Address::EMPTY);
    by.or_else(|| remote_user(r)).unwrap_or_else(address)
}

/// `$remote_user`, cut off where there is no more room. Returns None if it is empty.
fn remote_user(r: Request) -> Option<Address> {
    if functions::ngx_http_auth_basic_user(r) != NGX_OK as ngx_int_t {
        return None;
    }
    Some(Address::front_of(r.headers_in.user.as_bytes())).filter(|user| !user.is_empty())
}
