//! Where a request comes to its app's gate: it passes, is turned away, or is held.

use nginx_sys::{
    ngx_int_t, ngx_uint_t, NGX_AGAIN, NGX_DECLINED, NGX_DONE, NGX_HTTP_INTERNAL_SERVER_ERROR,
    NGX_OK,
};

use super::complaints::{self, Complaint};
use super::mark::{find, put, Mark, Stage};
use super::park::{park, say_retry_after, status_of, turn_away};
use super::{admission, given_up, held, in_flight, max_time, release, room};
use crate::ffi::conf::{self, Holds, Indexes, LocConf, MainConf};
use crate::ffi::nginx::log::write;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{body, evaluate, flags, functions, pages};
use crate::ffi::worker::seek;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::ids::{AppId, NameHash};
use crate::log_lines::requests::RequestEvent;
use crate::log_lines::variables::BadValue;
use crate::log_lines::About;
use crate::request::admit::Admission;
use crate::settings::{ErrorStatus, HealthCode, PassOr};
use crate::shared::room::Bounds;
use crate::text::AppName;
use crate::time::MaxTime;
use crate::zone::Arrival;

const GOES_ON: ngx_int_t = NGX_DECLINED as ngx_int_t;

/// The handler in nginx's precontent phase.
pub(crate) extern "C" fn on_precontent(r: Request) -> ngx_int_t {
    match passes_like_the_last(r) {
        Some(()) => GOES_ON,
        None => look_closely(r),
    }
}

/// Any other request. Returns what a phase handler returns.
#[inline(never)]
fn look_closely(r: Request) -> ngx_int_t {
    if r.is_main() {
        return pass_or_hold(r);
    }
    if conf::loc_conf(&r).is_some_and(|conf| holds(r, conf)) {
        given_up::add_part(r);
    }
    GOES_ON
}

/// A request passes that comes to its first gate and is like the last one there. None if there is more to
/// find out; then nothing has happened.
#[inline]
fn passes_like_the_last(r: Request) -> Option<()> {
    let conf = conf::loc_conf(&r).filter(|conf| conf.holds_at_once())?;
    let this = ThisWorker::current()?;
    let known = conf.familiar.know(r, this.zone.signals().changes())?;
    if !r.is_main() || functions::was_turned_away(&r) != 0 || find(r).is_some() {
        return None;
    }
    in_flight::pass(this, put(r).ok()?, known);
    Some(())
}

/// A request comes to its app's gate. Returns what a phase handler returns.
fn pass_or_hold(r: Request) -> ngx_int_t {
    let (Some(main), Some(conf)) = (conf::main_conf(&r), conf::loc_conf(&r)) else {
        return GOES_ON;
    };
    if conf.control.is_some() {
        return GOES_ON;
    }
    if let Some(mark) = find(r) {
        return meet_again(r, main, conf, mark);
    }
    let may_hold = matches!(conf.holds, Some(Holds::Always | Holds::If(_)));
    if !may_hold || pages::is_nginx_own(&r, &main.own_handlers) || !holds(r, conf) {
        return GOES_ON;
    }
    let Some(this) = ThisWorker::current() else {
        return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
    };
    if conf.read_body == Some(true) && body::is_to_come(&r) {
        return refuse(r, main, this).unwrap_or_else(|| body::read(r));
    }
    let Ok(mark) = put(r) else {
        return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
    };
    mark.set_app_name(evaluate::lasting(r, main.variables.app_name));
    let signals = this.zone.signals();
    let changes = signals.changes();
    if let Some(known) = conf.familiar.know(r, changes) {
        in_flight::pass(this, mark, known);
        return GOES_ON;
    }
    signals.hear(NameHash::of(mark.app_name()));
    seek::ensure_entry(this);
    in_flight::refresh(this);
    let not_open = app_not_open(r, main, this);
    let is_open = not_open.is_none();
    let verdict = not_open.map_or(GOES_ON, |app| decide(r, main, conf, this, mark, app));
    if verdict == GOES_ON && mark.stage.get() == Stage::Passed {
        let Indexes { app_name, max_time, .. } = main.variables;
        if let Some(value) = evaluate::at_hand(&r, max_time) {
            tell_expiry(this, conf, mark, MaxTime::parse(value).unwrap_or_default());
        }
        release::freshen_connections(this);
        in_flight::start(this, mark);
        if is_open && this.id().is_some() {
            let app = in_flight::entry_of(mark.app_name());
            conf.familiar.learn(r, [app_name, max_time], changes, app);
        }
    }
    verdict
}

/// The request's app, and whether a pause of it holds the request. None if the app is open. Read without
/// the lock: when the app is returned, it may be open by now.
fn app_not_open(
    r: Request,
    main: &MainConf,
    this: &ThisWorker,
) -> Option<(AppId, AppName, Admission)> {
    if this.zone.signals().all_open() {
        return None;
    }
    let name = app_name(r, main)?;
    let app = this.zone.signals().find(NameHash::of(name.as_bytes()))?;
    Some((app, name, admission::of(r, main)))
}

/// Decides by the state of an app that is not open. Returns what a phase handler returns.
fn decide(
    r: Request,
    main: &MainConf,
    conf: &LocConf,
    this: &ThisWorker,
    mark: &Mark,
    (app, name, admission): (AppId, AppName, Admission),
) -> ngx_int_t {
    if admission == Admission::Usual {
        return arrive(r, main, conf, this, mark, (app, &name));
    }
    let Some(seconds) = this.zone.visit(|zone| zone.bypass(app, &name)) else {
        return GOES_ON;
    };
    mark.stage.set(Stage::Bypassed);
    match conf.health_check {
        Some(PassOr::Answer(code)) if admission == Admission::HealthCheck => {
            answer_health_check(r, code, seconds)
        }
        _ => GOES_ON,
    }
}

/// Turns a request away before its body is read, if its app is stopped. Returns None if it is to go on.
fn refuse(r: Request, main: &MainConf, this: &ThisWorker) -> Option<ngx_int_t> {
    let (app, name, admission) = app_not_open(r, main, this)?;
    if admission != Admission::Usual {
        return None;
    }
    let seconds = this.zone.visit(|zone| zone.refuse(app, &name))?;
    let mark = put(r).ok()?;
    mark.set_app_name(evaluate::lasting(r, main.variables.app_name));
    mark.stage.set(Stage::Stopped { retry_after: seconds });
    Some(turn_away(r, ErrorStatus::UNAVAILABLE, seconds))
}

/// A request that has come to a gate before comes to one again: it is held there, or nginx has sent it
/// to another location. Returns what a phase handler returns.
fn meet_again(r: Request, main: &MainConf, conf: &LocConf, mark: &'static Mark) -> ngx_int_t {
    let answer = match mark.stage.get() {
        Stage::Held(_) | Stage::Granted => return NGX_AGAIN as ngx_int_t,
        Stage::Stopped { .. } => Some(ErrorStatus::UNAVAILABLE),
        Stage::Rejected(code) => Some(code),
        Stage::Expired => None,
        Stage::Passed | Stage::Bypassed | Stage::Released | Stage::Left => return GOES_ON,
    };
    let app_made = pages::is_app_made(&r, &main.own_handlers);
    let Some(this) = ThisWorker::current().filter(|_| app_made) else {
        return GOES_ON;
    };
    if mark.in_flight.is_linked() || !holds(r, conf) {
        return GOES_ON;
    }
    // An app makes the page for its refusal: that is a request to this app.
    let name = evaluate::lasting(r, main.variables.app_name);
    let is_open = this.zone.signals().find(NameHash::of(name)).is_none();
    let Some(code) = answer.filter(|_| !is_open) else {
        mark.set_app_name(name);
        release::freshen_connections(this);
        in_flight::start(this, mark);
        return GOES_ON;
    };
    r.update(|r| flags::request::ERROR_PAGE.set(r));
    match r.err_status as ngx_int_t {
        status @ 400.. => status,
        _ => status_of(code),
    }
}

/// The module answers a health check itself. Returns what a phase handler returns.
fn answer_health_check(r: Request, code: HealthCode, seconds: u64) -> ngx_int_t {
    let status = match code {
        HealthCode::Bad(code) => {
            if code.is_temporary() {
                say_retry_after(r, seconds);
            }
            return status_of(code);
        }
        HealthCode::Good(status) => status,
    };
    let discarded = functions::ngx_http_discard_request_body(r);
    if discarded != NGX_OK as ngx_int_t {
        return discarded;
    }
    r.update(|r| {
        r.headers_out.status = ngx_uint_t::from(status);
        r.headers_out.content_length_n = if status == 204 { -1 } else { 0 };
        flags::request::HEADER_ONLY.set(r);
    });
    let sent = functions::ngx_http_send_header(r);
    functions::ngx_http_finalize_request(r, sent);
    NGX_DONE as ngx_int_t
}

/// Whether this location holds its requests.
#[inline]
fn holds(r: Request, conf: &LocConf) -> bool {
    match conf.holds {
        None | Some(Holds::Never) => false,
        Some(Holds::Always) => true,
        Some(Holds::If(complex)) => {
            let value = evaluate::complex(&r, complex);
            value.is_some_and(|value| !matches!(value, b"" | b"0" | b"off"))
        }
    }
}

/// The request's app. None if its name is too long, which is logged.
fn app_name(r: Request, main: &MainConf) -> Option<AppName> {
    let name = AppName::new(evaluate::variable(&r, main.variables.app_name));
    name.map_err(|problem| {
        complaints::write(r, Complaint::AppName, BadValue::AppName(problem));
    })
    .ok()
}

/// Asks the zone for a place in line: by now the app may be open. Returns what a phase handler returns.
fn arrive(
    r: Request,
    main: &MainConf,
    conf: &LocConf,
    this: &ThisWorker,
    mark: &Mark,
    (app, name): (AppId, &AppName),
) -> ngx_int_t {
    let Ok(hold) = mark.may_be_held() else {
        return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
    };
    let max_time = max_time::of(r, main);
    let bounds = room::bounds(held::kind(r), conf.max_held.unwrap_or(u32::MAX));
    let bounds = Bounds { away: conf.away.flatten(), ..bounds };
    let arrival = this.zone.visit(|zone| zone.arrive(app, name, this.id(), mark.cookie(), bounds));
    match arrival {
        Arrival::Passes => GOES_ON,
        Arrival::Stopped { retry_after } => {
            mark.stage.set(Stage::Stopped { retry_after });
            turn_away(r, ErrorStatus::UNAVAILABLE, retry_after)
        }
        Arrival::Rejected { lack, report, retry_after } => {
            let code = conf.overflow.unwrap_or(ErrorStatus::UNAVAILABLE);
            mark.stage.set(Stage::Rejected(code));
            if let Some(count) = report {
                write(r.log(), &About(name, RequestEvent::Rejected { count, lack }));
            }
            turn_away(r, code, retry_after)
        }
        Arrival::Held { slot, ticket, ahead } => {
            mark.begin_hold(hold, slot, ahead);
            tell_expiry(this, conf, mark, max_time);
            write(r.log(), &About(name, RequestEvent::Held { ticket, ahead }));
            park(this, mark, slot, max_time)
        }
    }
}

/// Notes how long the app's requests may be held, if they go on to the app after that: before a pause an
/// operator is told when the first of them would.
fn tell_expiry(this: &ThisWorker, conf: &LocConf, mark: &Mark, max_time: MaxTime) {
    if let None | Some(PassOr::Pass) = conf.expired {
        this.zone.signals().expires(NameHash::of(mark.app_name()), max_time.msec());
    }
}
