//! The control endpoint's answers, as nginx sends them.

use core::fmt::Write;

use nginx_sys::{
    ngx_buf_t, ngx_chain_t, ngx_http_output_filter, ngx_http_request_t, ngx_http_send_header,
    ngx_int_t, ngx_str_t, ngx_uint_t, NGX_ERROR, NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_POST,
    NGX_OK,
};

use crate::control::answer::{Done, More};
use crate::control::command::{self, Command, Format, Method, Place, Verb};
use crate::control::dashboard::{self, File};
use crate::control::form::Said;
use crate::control::metrics;
use crate::control::origin::{self, Headers, HostIs};
use crate::control::reply::{Apps, Changed, Error, Slots, Status};
use crate::ffi::conf::{self, Endpoint};
use crate::ffi::control::payload;
use crate::ffi::module::Failed;
use crate::ffi::nginx::flags::{buf, request};
use crate::ffi::nginx::server_names;
use crate::ffi::worker::zone::{now, SharedZone};
use crate::shared::given_up::Abandoned;
use crate::text::{header_value, AppName, Text};
use crate::zone::Remaining;

/// What goes back to the caller.
pub(crate) struct Answer {
    status: u16,
    /// What a verb did that may change something.
    done: Option<Done>,
    /// Beside the ones that every answer has.
    allow: Option<&'static str>,
    body: Body,
    /// The app before the verb, where that may have changed it.
    before: Option<Box<Status>>,
    /// The app as the verb left it: by the time of the answer somebody else may have changed it.
    left: Option<Box<Status>>,
}

enum Body {
    /// The app's state.
    State,
    Problem(String),
    Apps(Vec<Status>),
    Metrics(Vec<Status>, Slots),
    Dashboard(Vec<Status>),
    File(File),
}

impl Answer {
    /// Of the verb that only says it.
    pub(crate) fn state() -> Self {
        Self { status: 200, done: None, allow: None, body: Body::State, before: None, left: None }
    }

    /// Of one that may have changed something.
    pub(crate) fn done(done: Done) -> Self {
        Self { done: Some(done), ..Self::state() }
    }

    pub(crate) fn problem(status: u16, text: String) -> Self {
        Self { status, body: Body::Problem(text), ..Self::state() }
    }

    /// The caller waited in vain. Those that are left in flight are named, the oldest, each in a line
    /// of its own.
    pub(crate) fn in_vain(left: Remaining, text: String, status: &Status) -> Self {
        let mut lines = vec![text];
        if matches!(left, Remaining::InFlight(_)) {
            lines.extend(status.oldest_in_flight.iter().map(ToString::to_string));
            lines.extend(Abandoned::new(status.abandoned).iter().map(ToString::to_string));
        }
        Self::problem(504, lines.join("\n"))
    }

    /// Only these methods are.
    pub(crate) fn not_allowed(methods: &'static str) -> Self {
        let any = if methods.contains(',') { "one of " } else { "" };
        let text = format!("the method must be {any}{methods}");
        Self { allow: Some(methods), ..Self::problem(405, text) }
    }

    /// Of the verbs that are about all apps which the place may see.
    pub(crate) fn page(command: Command, apps: Vec<Status>, slots: Slots) -> Self {
        let body = match command {
            Command::Metrics => Body::Metrics(apps, slots),
            Command::Dashboard => Body::Dashboard(apps),
            _ => Body::Apps(apps),
        };
        Self { body, ..Self::state() }
    }

    /// A part of the dashboard.
    pub(crate) fn file(file: File) -> Self {
        Self { body: Body::File(file), ..Self::state() }
    }

    /// Whether it says how a verb left a pause.
    pub(crate) fn is_about_a_pause(&self) -> bool {
        self.left.is_some()
    }

    pub(crate) fn with(self, before: Status, left: Status) -> Self {
        Self { before: Some(Box::new(before)), ..self.left(left) }
    }

    /// The app as it is now.
    pub(crate) fn left(self, left: Status) -> Self {
        Self { left: Some(Box::new(left)), ..self }
    }
}

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

/// How an answer is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub format: Format,
    /// Whether it says more than the original's words.
    more: bool,
}

/// How the answer of this verb is to be written, or an error where there is none.
pub(crate) fn manner(r: &mut ngx_http_request_t, verb: Option<Verb>) -> Result<Manner, Failed> {
    let (query, form) = (r.args, payload::form(r)?.unwrap_or_default());
    // SAFETY: a live request.
    let request = unsafe { ngx::http::Request::from_ngx_http_request(r) };
    let accept = request
        .headers_in_iterator()
        .filter(|(name, _)| name.as_bytes().eq_ignore_ascii_case(b"accept"))
        .map(|(_, value)| value.as_bytes());
    let said = Said { query: query.as_bytes(), form: &form };
    Ok(Manner { format: command::format(verb, said, accept), more: command::says_more(said) })
}

/// Sends the answer as it is: not by a status that nginx would look up an error_page for.
pub(crate) fn send(
    r: &mut ngx_http_request_t,
    zone: &SharedZone,
    name: AppName,
    answer: Answer,
) -> ngx_int_t {
    const PLAIN: &str = "text/plain";
    const JSON: &str = "application/json";
    const NOT_SNIFFED: (&str, &str) = ("X-Content-Type-Options", "nosniff");
    let status = answer.left.unwrap_or_else(|| Box::new(zone.visit(|zone| Status::of(zone, name))));
    let endpoint = conf::loc_conf(r).and_then(|conf| conf.control.as_ref());
    let verb = match answer.body {
        Body::Problem(_) => None,
        _ => endpoint.and_then(|endpoint| verb(r, endpoint)),
    };
    let Ok(Manner { format, more: says_more }) = manner(r, verb) else {
        return NGX_ERROR as ngx_int_t;
    };
    let code = answer.done.map_or(answer.status, |done| done.status(method(r), format));
    let changed = answer.done.map(Done::changed);
    let mut more = Vec::new();
    let list = |apps| json(&Apps::new(apps, now()));
    let (content_type, body) = match (format, answer.body) {
        (Format::Text, Body::State) if says_more => {
            let more = More { before: answer.before.as_deref(), app: &status, done: answer.done };
            (PLAIN, Ok(format!("{}{more}", status.text())))
        }
        (Format::Text, Body::State) => (PLAIN, Ok(status.text().into())),
        (Format::Text, Body::Problem(text)) => (PLAIN, Ok(format!("{text}\n"))),
        (Format::Json, Body::State) => (JSON, json(&Changed { status: &status, changed })),
        (Format::Json, Body::Problem(text)) => (JSON, json(&Error { error: &text })),
        (Format::Text, Body::Metrics(apps, slots)) => {
            (metrics::MEDIA_TYPE, Ok(metrics::render(&apps, slots)))
        }
        (Format::Text, Body::Dashboard(_)) => {
            more.push(("Content-Security-Policy", dashboard::POLICY));
            more.push(NOT_SNIFFED);
            ("text/html; charset=utf-8", Ok(dashboard::page(r.uri.as_bytes())))
        }
        (_, Body::File(file)) => {
            more.push(NOT_SNIFFED);
            (file.media_type, Ok(file.text.into()))
        }
        (_, Body::Apps(apps) | Body::Metrics(apps, _) | Body::Dashboard(apps)) => {
            (JSON, list(apps))
        }
    };
    let Ok(body) = body else {
        return NGX_ERROR as ngx_int_t;
    };
    let mut pause = Text::<20>::EMPTY;
    let _ = write!(pause, "{}", status.pause.0 .0);
    let app = header_value(name.as_bytes()).to_string();
    more.extend([
        ("Cache-Control", "no-store"),
        ("Intermission-App", app.as_str()),
        ("Intermission-Pause", core::str::from_utf8(pause.as_bytes()).unwrap_or("0")),
    ]);
    more.extend(answer.allow.map(|methods| ("Allow", methods)));
    let seconds = status.retry_after(now()).to_string();
    if matches!(code, 503 | 504) {
        more.push(("Retry-After", &seconds));
    }
    let body = (code != 304).then_some(body.as_str());
    respond(r, code, &more, content_type, body)
}

fn json(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(value).map(|text| text + "\n")
}

/// Sends a whole response. Without a body nothing is said of one either.
fn respond(
    r: &mut ngx_http_request_t,
    status: u16,
    headers: &[(&str, &str)],
    content_type: &'static str,
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
        // Conditions are about things that can be stored.
        request::DISABLE_NOT_MODIFIED.set(r);
        r.headers_out.status = ngx_uint_t::from(status);
        let Some(body) = body else {
            return ngx_http_send_header(r);
        };
        let data = content_type.as_ptr().cast_mut();
        r.headers_out.content_type = ngx_str_t { len: content_type.len(), data };
        r.headers_out.content_type_len = content_type.len();
        r.headers_out.content_length_n = body.len() as _;
        let sent = ngx_http_send_header(r);
        if sent != NGX_OK as ngx_int_t || request::HEADER_ONLY.is_set(r) {
            return sent;
        }
        let Some(text) = ngx_str_t::from_bytes(r.pool, body.as_bytes()) else {
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
