//! The control endpoint: reads a request, asks the core, answers.

use core::fmt::Write;

use nginx_sys::{
    ngx_buf_t, ngx_chain_t, ngx_http_discard_request_body, ngx_http_output_filter,
    ngx_http_request_t, ngx_http_send_header, ngx_int_t, ngx_str_t, ngx_uint_t, NGX_ERROR,
    NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_POST, NGX_OK,
};

use super::conf::{self, LocConf};
use super::log::{self, log_of, write, Level};
use super::zone::{Named, SharedZone};
use super::{processes, variables};
use crate::app::Cause;
use crate::control::{self, Command, Format, Method, Place, Shut, Verb};
use crate::ids::PauseId;
use crate::reply::{self, Status};
use crate::text::{header_value, Address, AppName};
use crate::time::Msec;
use crate::zone::{self, Opened, Refusal};

/// What goes back to the caller.
struct Answer {
    status: u16,
    /// Beside the ones that every answer has.
    allow: Option<&'static str>,
    body: Body,
    /// The app as the verb left it: by the time of the answer somebody else may have changed it.
    left: Option<Box<Status>>,
}

enum Body {
    /// The app's state, or nothing at all where nothing changed.
    State,
    Problem(String),
}

impl Answer {
    fn state(status: u16) -> Self {
        Self { status, allow: None, body: Body::State, left: None }
    }

    fn problem(status: u16, text: String) -> Self {
        Self { status, allow: None, body: Body::Problem(text), left: None }
    }

    fn with(self, left: Status) -> Self {
        Self { left: Some(Box::new(left)), ..self }
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
    let (Some(main), Some(place)) = (main, place) else { return NGX_ERROR as ngx_int_t };
    let Some(zone) = main.zone else { return NGX_ERROR as ngx_int_t };
    processes::bury_the_dead(&zone);
    let Some(name) = variables::app_name(r) else { return NGX_ERROR as ngx_int_t };
    let answer = match &name {
        Ok(name) => {
            let before = zone.visit(|zone| zone.version());
            let answer = decide(r, &zone, place, name);
            // On the disk before it is answered.
            if let Some(state) = &main.state {
                if zone.visit(|zone| zone.version()) != before {
                    state.save(&zone);
                }
            }
            answer
        }
        Err(problem) => {
            let message = format!("\"$app_name\" {problem}");
            write(Level::Error, log_of(r), format_args!("intermission: {message}"));
            Answer::problem(400, message)
        }
    };
    send(r, &zone, name.unwrap_or(AppName::EMPTY), answer)
}

fn decide(r: &ngx_http_request_t, zone: &SharedZone, conf: &LocConf, name: &AppName) -> Answer {
    let Some(endpoint) = &conf.control else { return Answer::problem(404, "no endpoint".into()) };
    let place = Place { location: endpoint.location.as_bytes(), exact: endpoint.exact };
    let Some(verb) = Verb::at(place, r.uri.as_bytes()) else {
        return Answer::problem(404, "no such verb".into());
    };
    if !verb.allows(method(r)) {
        let text = format!("the method must be one of {}", verb.methods());
        return Answer { allow: Some(verb.methods()), ..Answer::problem(405, text) };
    }
    let command = match verb.command(r.args.as_bytes()) {
        Ok(command) => command,
        Err(problem) => return Answer::problem(400, problem.to_string()),
    };
    let name = &Named(name);
    match command {
        Command::Status => Answer::state(200),
        Command::Enable(asked) => {
            let lease = asked.lease.or(conf.lease.flatten());
            let cause = cause(r, conf, &asked, lease);
            let (which, changes) = (asked.which, asked.asks_for_change());
            let (done, left) = zone.visit(|zone| {
                (zone.enable(name.0, which, cause, changes), Status::of(zone, *name.0))
            });
            shut(r, name, "paused", done, &cause, left)
        }
        Command::Stop(asked) => {
            let cause = cause(r, conf, &asked, asked.lease);
            let (which, changes) = (asked.which, asked.asks_for_change());
            let (done, left) = zone.visit(|zone| {
                (zone.stop(name.0, which, cause, changes), Status::of(zone, *name.0))
            });
            shut(r, name, "stopped", done, &cause, left)
        }
        Command::Disable { which, pace } => {
            let (done, left) = zone.visit(|zone| {
                let done = zone.disable(name.0, which, |old| pace.apply(old));
                (done, Status::of(zone, *name.0))
            });
            opened(r, name, done).with(left)
        }
    }
}

fn cause(r: &ngx_http_request_t, conf: &LocConf, asked: &Shut, lease: Option<Msec>) -> Cause {
    Cause {
        fresh: PauseId(0),
        by: address(r),
        reason: asked.reason,
        lease,
        pace: conf.release.unwrap_or_default(),
    }
}

fn shut(
    r: &ngx_http_request_t,
    name: &Named<'_>,
    what: &str,
    done: Result<zone::Shut, Refusal>,
    cause: &Cause,
    left: Status,
) -> Answer {
    let reason = cause.reason.filter(|reason| !reason.is_empty());
    let why = reason.map_or_else(String::new, |reason| format!(", reason \"{reason}\""));
    let until = left.until.map_or_else(String::new, |time| format!(", until {time}"));
    let by = cause.by;
    let (what, pause) = match done {
        Ok(zone::Shut::Begun(pause)) => (what, pause),
        Ok(zone::Shut::Changed(pause)) => ("pause changed", pause),
        Ok(zone::Shut::Unchanged) => return Answer::state(304).with(left),
        Err(refusal) => return refused(r, name, refusal).with(left),
    };
    let line = format_args!("intermission: {name}: {what} by {by}, pause {}{until}{why}", pause.0);
    write(Level::Notice, log_of(r), line);
    Answer::state(200).with(left)
}

fn opened(r: &ngx_http_request_t, name: &Named<'_>, done: Result<Opened, Refusal>) -> Answer {
    let by = address(r);
    match done {
        Ok(Opened::Ended(pause, ended)) => {
            let what = format_args!("resumed by {by}, pause {}", pause.0);
            log::write_ended(log_of(r), name, what, &ended);
            Answer::state(200)
        }
        Ok(Opened::Paced) => {
            let line = format_args!("intermission: {name}: pace of the drain changed by {by}");
            write(Level::Notice, log_of(r), line);
            Answer::state(200)
        }
        Ok(Opened::Unchanged) => Answer::state(304),
        Err(refusal) => refused(r, name, refusal),
    }
}

fn refused(r: &ngx_http_request_t, name: &Named<'_>, refusal: Refusal) -> Answer {
    match refusal {
        Refusal::OtherPause | Refusal::NotOpen => Answer::problem(409, refusal.to_string()),
        Refusal::Retired => Answer::problem(503, refusal.to_string()),
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
fn send(r: &mut ngx_http_request_t, zone: &SharedZone, name: AppName, answer: Answer) -> ngx_int_t {
    let now = || Box::new(zone.visit(|zone| Status::of(zone, name)));
    let status = answer.left.unwrap_or_else(now);
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
        ("Intermission-Pause", core::str::from_utf8(pause.as_bytes()).unwrap_or("0")),
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
        let mut chain = ngx_chain_t { buf: buffer, next: core::ptr::null_mut() };
        if buffer.is_null() {
            NGX_ERROR as ngx_int_t
        } else {
            ngx_http_output_filter(r, &mut chain)
        }
    }
}
