//! Sends the control endpoint's answers.

use nginx_sys::{ngx_int_t, NGX_ERROR};

use super::reading::{manner, method, verb};
use crate::control::answer::{Answer, Content, Reader, Response};
use crate::control::status::Status;
use crate::ffi::conf;
use crate::ffi::nginx::cycle::now;
use crate::ffi::nginx::request::Request;
use crate::ffi::worker::zone::SharedZone;
use crate::text::AppName;

/// Sends an answer about the app `name`. Returns the code with which the request is finalized.
/// nginx sees no error status in that, and looks for no error_page.
pub(crate) fn send(r: Request, zone: &SharedZone, name: AppName, answer: Answer) -> ngx_int_t {
    const ERROR: ngx_int_t = NGX_ERROR as ngx_int_t;
    let endpoint = conf::loc_conf(&r).and_then(|conf| conf.control.as_ref());
    let verb = endpoint.filter(|_| !answer.is_error()).and_then(|endpoint| verb(r, endpoint));
    let Ok(manner) = manner(r, verb) else { return ERROR };
    let reader = Reader { method: method(r), manner, uri: r.uri.as_bytes() };
    let look = || zone.visit(|zone| Status::of(zone, name));
    match answer.response(reader, now(), look) {
        Ok(response) => respond(r, &response),
        Err(_) => ERROR,
    }
}

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
