//! The control endpoint: reads a request, asks the core, answers.

use core::fmt::Write;

use nginx_sys::{
    ngx_buf_t, ngx_chain_t, ngx_http_discard_request_body, ngx_http_output_filter,
    ngx_http_request_t, ngx_http_send_header, ngx_int_t, ngx_str_t, ngx_uint_t, NGX_ERROR,
    NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_POST, NGX_OK,
};

use super::conf::{self, Endpoint};
use super::log::{write, Level};
use super::zone::{Named, SharedZone};
use super::{variables, workers};
use crate::app::Ended;
use crate::control::{self, Command, Format, Method, Place, Verb};
use crate::ids::PauseId;
use crate::reply::{self, Status};
use crate::text::{header_value, Address, AppName, Reason};
use crate::zone::{Enabled, Refusal};

/// What goes back to the caller.
struct Answer {
    status: u16,
    /// Beside the ones that every answer has.
    allow: Option<&'static str>,
    body: Body,
}

enum Body {
    /// The app's state, or nothing at all where nothing changed.
    State,
    Problem(String),
}

impl Answer {
    fn state(status: u16) -> Self {
        Self {
            status,
            allow: None,
            body: Body::State,
        }
    }

    fn problem(status: u16, text: String) -> Self {
        Self {
            status,
            allow: None,
            body: Body::Problem(text),
        }
    }
}

/// The control location's content handler.
pub(super) extern "C" fn handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a live request.
    let r = unsafe { &mut *r };
    // SAFETY: as above.
    let discarded = unsafe { ngx_http_discard_request_body(r) };
    if discarded != NGX_OK as ngx_int_t {
        return discarded;
    }
    let r_ptr = core::ptr::from_mut(r);
    // SAFETY: configurations outlive the requests that run on them.
    let (main, place) = unsafe { (conf::main_conf(&*r_ptr), conf::loc_conf(&*r_ptr)) };
    let endpoint = place.and_then(|place| place.control.as_ref());
    let (Some(main), Some(endpoint)) = (main, endpoint) else {
        return NGX_ERROR as ngx_int_t;
    };
    let Some(zone) = main.zone else {
        return NGX_ERROR as ngx_int_t;
    };
    workers::bury_the_dead(&zone);
    let name = AppName::new(variables::value(r, main.variables.app_name));
    let answer = match &name {
        Ok(name) => decide(r, &zone, endpoint, name),
        Err(problem) => {
            let message = format!("\"$app_name\" {problem}");
            write(
                Level::Error,
                log_of(r),
                format_args!("intermission: {message}"),
            );
            Answer::problem(400, message)
        }
    };
    send(r, &zone, name.unwrap_or(AppName::EMPTY), &answer)
}

fn decide(
    r: &ngx_http_request_t,
    zone: &SharedZone,
    endpoint: &Endpoint,
    name: &AppName,
) -> Answer {
    let place = Place {
        location: endpoint.location.as_bytes(),
        exact: endpoint.exact,
    };
    let Some(verb) = Verb::at(place, r.uri.as_bytes()) else {
        return Answer::problem(404, "no such verb".into());
    };
    if !verb.allows(method(r)) {
        let text = format!("the method must be one of {}", verb.methods());
        return Answer {
            allow: Some(verb.methods()),
            ..Answer::problem(405, text)
        };
    }
    match verb.command(r.args.as_bytes()) {
        Ok(Command::Status) => Answer::state(200),
        Ok(Command::Enable { which, reason }) => {
            let by = address(r);
            let done = zone.visit(|zone| zone.enable(name, which, by, reason));
            enabled(r, name, done, by, reason)
        }
        Ok(Command::Disable { which }) => {
            let done = zone.visit(|zone| Ok((zone.disable(name, which)?, zone.pause(name))));
            disabled(r, name, done)
        }
        Err(problem) => Answer::problem(400, problem.to_string()),
    }
}

fn enabled(
    r: &ngx_http_request_t,
    name: &AppName,
    done: Result<Enabled, Refusal>,
    by: Address,
    reason: Option<Reason>,
) -> Answer {
    let name = Named(name);
    let why = reason.filter(|reason| !reason.is_empty());
    let why = why.map_or_else(String::new, |reason| format!(", reason \"{reason}\""));
    match done {
        Ok(Enabled::Begun(PauseId(number))) => {
            let line = format_args!("intermission: {name}: paused by {by}, pause {number}{why}");
            write(Level::Notice, log_of(r), line);
            Answer::state(200)
        }
        Ok(Enabled::Changed) => {
            let line = format_args!("intermission: {name}: pause changed by {by}{why}");
            write(Level::Notice, log_of(r), line);
            Answer::state(200)
        }
        Ok(Enabled::Unchanged) => Answer::state(304),
        Err(refusal) => refused(r, &name, refusal),
    }
}

fn disabled(
    r: &ngx_http_request_t,
    name: &AppName,
    done: Result<(Option<Ended>, PauseId), Refusal>,
) -> Answer {
    let name = Named(name);
    match done {
        Ok((Some(ended), PauseId(number))) => {
            let (held, lasted, by) = (ended.held, ended.lasted.seconds(), address(r));
            let line = format_args!(
                "intermission: {name}: resumed by {by}, pause {number} lasted {lasted} s, \
                 {held} held"
            );
            write(Level::Notice, log_of(r), line);
            for (count, what) in [(ended.rejected, "rejected"), (ended.expired, "expired")] {
                if count > 0 {
                    let line = format_args!("intermission: {name}: {count} more {what}");
                    write(Level::Warn, log_of(r), line);
                }
            }
            Answer::state(200)
        }
        Ok((None, _)) => Answer::state(304),
        Err(refusal) => refused(r, &name, refusal),
    }
}

fn refused(r: &ngx_http_request_t, name: &Named<'_>, refusal: Refusal) -> Answer {
    match refusal {
        Refusal::OtherPause | Refusal::NotOpen => Answer::problem(409, refusal.to_string()),
        Refusal::Full => {
            let line = format_args!("intermission: {name}: {refusal}: not paused");
            write(Level::Error, log_of(r), line);
            Answer::problem(503, refusal.to_string())
        }
    }
}

fn method(r: &ngx_http_request_t) -> Method {
    match r.method as u32 {
        NGX_HTTP_GET => Method::Get,
        NGX_HTTP_HEAD => Method::Head,
        NGX_HTTP_POST => Method::Post,
        _ => Method::Other,
    }
}

/// Who calls.
fn address(r: &ngx_http_request_t) -> Address {
    // SAFETY: a live request has a connection.
    let text = unsafe { &(*r.connection).addr_text };
    Address::new(text.as_bytes()).unwrap_or(Address::EMPTY)
}

fn log_of(r: &ngx_http_request_t) -> *mut nginx_sys::ngx_log_t {
    // SAFETY: a live request has a connection.
    unsafe { (*r.connection).log }
}

fn format_of(r: &mut ngx_http_request_t) -> Format {
    let query = r.args;
    // SAFETY: a live request.
    let request = unsafe { ngx::http::Request::from_ngx_http_request(r) };
    let accept = request
        .headers_in_iterator()
        .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(b"accept"))
        .map_or(&[][..], |(_, value)| value.as_bytes());
    control::format(query.as_bytes(), accept)
}

/// Sends the answer as it is: not by a status that nginx would look up an error_page for.
fn send(
    r: &mut ngx_http_request_t,
    zone: &SharedZone,
    name: AppName,
    answer: &Answer,
) -> ngx_int_t {
    let status = zone.visit(|zone| Status::of(zone, name));
    let format = format_of(r);
    let body = match (format, &answer.body) {
        (Format::Text, Body::State) => Ok(status.text().into()),
        (Format::Text, Body::Problem(text)) => Ok(format!("{text}\n")),
        (Format::Json, Body::State) => json(&status),
        (Format::Json, Body::Problem(text)) => json(&reply::Error { error: text }),
    };
    let Ok(body) = body else {
        return NGX_ERROR as ngx_int_t;
    };
    let mut pause = crate::text::Text::<20>::EMPTY;
    let _ = write!(pause, "{}", status.pause.0 .0);
    let app = header_value(name.as_bytes()).to_string();
    let mut headers = vec![
        ("Cache-Control", "no-store"),
        ("Intermission-App", app.as_str()),
        (
            "Intermission-Pause",
            core::str::from_utf8(pause.as_bytes()).unwrap_or("0"),
        ),
    ];
    headers.extend(answer.allow.map(|methods| ("Allow", methods)));
    let content_type = match format {
        Format::Text => ngx::ngx_string!("text/plain"),
        Format::Json => ngx::ngx_string!("application/json"),
    };
    let body = (answer.status != 304).then_some(body.as_str());
    respond(r, answer.status, &headers, content_type, body)
}

fn json(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(value).map(|text| text + "\n")
}

/// Sends a whole response. Without a body nothing is said of one either.
fn respond(
    r: &mut ngx_http_request_t,
    status: u16,
    headers: &[(&str, &str)],
    content_type: ngx_str_t,
    body: Option<&str>,
) -> ngx_int_t {
    // SAFETY: a live request whose header has not been sent; the body is copied into its pool.
    unsafe {
        let request = ngx::http::Request::from_ngx_http_request(r);
        for (name, value) in headers {
            if request.add_header_out(name, value).is_none() {
                return NGX_ERROR as ngx_int_t;
            }
        }
        r.headers_out.status = ngx_uint_t::from(status);
        let Some(body) = body else {
            return ngx_http_send_header(r);
        };
        r.headers_out.content_type = content_type;
        r.headers_out.content_type_len = content_type.len;
        r.headers_out.content_length_n = body.len() as _;
        let sent = ngx_http_send_header(r);
        if sent != NGX_OK as ngx_int_t || r.header_only() != 0 {
            return sent;
        }
        let Some(text) = ngx_str_t::from_bytes(r.pool, body.as_bytes()) else {
            return NGX_ERROR as ngx_int_t;
        };
        let mut buffer: ngx_buf_t = core::mem::zeroed();
        buffer.pos = text.data;
        buffer.last = text.data.add(text.len);
        buffer.set_memory(1);
        buffer.set_last_buf(1);
        buffer.set_last_in_chain(1);
        let buffer = conf::allocate(r.pool, buffer);
        let mut chain = ngx_chain_t {
            buf: buffer,
            next: core::ptr::null_mut(),
        };
        if buffer.is_null() {
            NGX_ERROR as ngx_int_t
        } else {
            ngx_http_output_filter(r, &mut chain)
        }
    }
}
