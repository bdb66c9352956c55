//! The control endpoint's answers, as nginx sends them.

use nginx_sys::{ngx_int_t, NGX_ERROR, NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_POST};

use super::payload;
use crate::control::answer::{Answer, Content, Reader, Response};
use crate::control::command::{Manner, Method, Place, Verb};
use crate::control::form::Said;
use crate::control::origin::{self, Headers, HostIs};
use crate::control::status::Status;
use crate::ffi::conf::{self, Endpoint};
use crate::ffi::nginx::cycle::now;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{server_names, Failed};
use crate::ffi::worker::zone::SharedZone;
use crate::text::AppName;

/// Why a browser's request is to change nothing, if so.
pub(crate) fn refused_to_browser(r: Request, endpoint: &Endpoint) -> Option<origin::Refused> {
    let is_own = server_names::is_own(r, &endpoint.names);
    let host_is = if is_own { HostIs::Own } else { HostIs::Other };
    let mut headers = Headers { host: r.host(), ..Headers::default() };
    for (name, value) in r.headers() {
        let place = match name.to_ascii_lowercase().as_slice() {
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
        *place = value;
    }
    origin::refused(&headers, method(r), host_is)
}

pub(crate) fn method(r: Request) -> Method {
    match r.method as u32 {
        NGX_HTTP_GET => Method::Get,
        NGX_HTTP_HEAD => Method::Head,
        NGX_HTTP_POST => Method::Post,
        _ => Method::Other,
    }
}

/// The verb that is asked for at an endpoint, if there is such a verb.
pub(crate) fn verb(r: Request, endpoint: &Endpoint) -> Option<Verb> {
    let place = Place { location: endpoint.location.as_bytes(), exact: endpoint.exact };
    Verb::at(place, r.uri.as_bytes())
}

/// How the answer of this verb is to be written, or an error if there is no verb.
pub(crate) fn manner(r: Request, verb: Option<Verb>) -> Result<Manner, Failed> {
    let form = payload::form(r)?.unwrap_or_default();
    let headers = r.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"accept"));
    let said = Said { query: r.args.as_bytes(), form: &form };
    Ok(Manner::of(verb, said, headers.map(|(_, value)| value)))
}

/// Sends the answer as it is: not by a status that nginx would look up an error_page for.
pub(crate) fn send(r: Request, zone: &SharedZone, name: AppName, answer: Answer) -> ngx_int_t {
    const ERROR: ngx_int_t = NGX_ERROR as ngx_int_t;
    let endpoint = conf::loc_conf(&r).and_then(|conf| conf.control.as_ref());
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
fn respond(r: Request, response: &Response) -> ngx_int_t {
    for (name, value) in &response.headers {
        if r.add_header(name, value).is_err() {
            return NGX_ERROR as ngx_int_t;
        }
    }
    match &response.content {
        Some(Content { media_type, text }) => r.send(response.status, media_type, text.as_bytes()),
        None => r.send_without_body(response.status),
    }
}
