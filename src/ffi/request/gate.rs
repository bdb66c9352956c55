//! Where a request meets its app's gate: nginx's phase handlers.

use core::ptr;

use nginx_sys::{
    ngx_conf_t, ngx_http_core_main_conf_t, ngx_http_discard_request_body,
    ngx_http_finalize_request, ngx_http_handler_pt, ngx_http_request_t, ngx_http_send_header,
    ngx_int_t, ngx_uint_t, NGX_AGAIN, NGX_DECLINED, NGX_DONE, NGX_HTTP_GET, NGX_HTTP_HEAD,
    NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_OK,
};

use crate::ffi::conf::{self, Holds, LocConf, MainConf};
use crate::ffi::module::variables;
use crate::ffi::module::Failed;
use crate::ffi::nginx::body;
use crate::ffi::nginx::evaluate;
use crate::ffi::nginx::flags;
use crate::ffi::nginx::kept;
use crate::ffi::nginx::log::{log_of, write, Complaint};
use crate::ffi::nginx::pages;
use crate::ffi::request::given_up;
use crate::ffi::request::in_flight;
use crate::ffi::request::mark::{find, has_connection, put, Mark, Stage};
use crate::ffi::request::park::{park, retry_after, status_of, turn_away};
use crate::ffi::request::room;
use crate::ffi::worker::entry;
use crate::ffi::worker::workers::{self, ThisWorker};
use crate::ffi::worker::zone::now;
use crate::ids::{AppId, NameHash};
use crate::log_lines::requests::RequestEvent;
use crate::log_lines::variables::BadValue;
use crate::log_lines::About;
use crate::request::admit::{self, Admission, Rules, Visit};
use crate::request::agent;
use crate::request::connections::Kind;
use crate::settings::{ErrorStatus, HealthCode, PassOr};
use crate::text::AppName;
use crate::time::MaxTime;
use crate::zone::Arrival;

const GOES_ON: ngx_int_t = NGX_DECLINED as ngx_int_t;

/// Puts the handler into nginx's phase before the content's: there everybody knows who was let in,
/// whatever modules have a say in that and in whatever order they have it. The module stands behind
/// mirror and try_files in nginx's list, and nginx runs a phase's handlers from the end of the list.
pub(crate) fn add_handler(cf: *mut ngx_conf_t) -> Result<(), Failed> {
    let phase = nginx_sys::ngx_http_phases_NGX_HTTP_PRECONTENT_PHASE;
    // SAFETY: in postconfiguration the core's main configuration is there, and the arrays of
    // handlers have been made.
    unsafe {
        let context = (*cf).ctx.cast::<nginx_sys::ngx_http_conf_ctx_t>();
        let index = nginx_sys::ngx_http_core_module.ctx_index;
        let core = (*context).main_conf.add(index).read().cast::<ngx_http_core_main_conf_t>();
        let handlers = (*core).phases.get_mut(phase as usize).ok_or(Failed)?;
        let place = nginx_sys::ngx_array_push(&mut handlers.handlers);
        *place.cast::<ngx_http_handler_pt>().as_mut().ok_or(Failed)? = Some(on_precontent);
        conf::main_conf_of(cf).ok_or(Failed)?.own_handlers = pages::own_handlers(&*cf);
    }
    Ok(())
}

extern "C" fn on_precontent(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a live request.
    let r = unsafe { &mut *r };
    if ptr::eq(r, r.main) {
        return meet(r);
    }
    let r_ptr = ptr::from_mut(r);
    // SAFETY: configurations outlive the requests that run on them.
    if unsafe { conf::loc_conf(&*r_ptr) }.is_some_and(|place| holds(r, place)) {
        given_up::is_part(r);
    }
    GOES_ON
}

/// A request comes to its app's gate: returns what a phase handler returns.
fn meet(r: &mut ngx_http_request_t) -> ngx_int_t {
    let r_ptr = ptr::from_mut(r);
    // SAFETY: configurations outlive the requests that run on them.
    let (main, place) = unsafe { (conf::main_conf(&*r_ptr), conf::loc_conf(&*r_ptr)) };
    let (Some(main), Some(place)) = (main, place) else {
        return GOES_ON;
    };
    if place.control.is_some() {
        return GOES_ON;
    }
    // SAFETY: the mark is not part of the request itself, and lives as long as it.
    if let Some(mark) = find(unsafe { &*r_ptr }) {
        return meet_again(r, main, place, mark);
    }
    if pages::is_nginx_own(r, main) || !holds(r, place) {
        return GOES_ON;
    }
    let Some(worker) = workers::this() else {
        return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
    };
    if place.read_body == Some(true) && body::is_to_come(r) {
        return refuse(r, main, worker).unwrap_or_else(|| body::read(r));
    }
    let Some(mark) = put(r) else {
        return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
    };
    mark.belongs_to(evaluate::variable(r, main.variables.app_name));
    let (name, endings) = (mark.app_name(), worker.zone.signals().endings());
    // SAFETY: the value is not part of the request itself, and lives as long as it.
    let max_time = evaluate::at_hand(unsafe { &mut *r_ptr }, main.variables.max_time);
    let familiar = worker.familiar.knows(place, endings, name, max_time);
    if !familiar {
        worker.zone.signals().hear(NameHash::of(name));
    }
    entry::is_needed(worker);
    in_flight::refresh(worker);
    let verdict = ask(r, main, place, worker, mark);
    if verdict == GOES_ON && mark.stage.get() == Stage::Passed {
        if !familiar {
            if let Some(value) = max_time {
                tell_expiry(worker, place, mark, MaxTime::parse(value).unwrap_or_default());
            }
            worker.familiar.learn(place, endings, name, max_time);
        }
        kept::freshen(worker);
        in_flight::set_out(worker, mark);
    }
    verdict
}

/// The request's app, if it may not be open, and whether a pause of it holds the request.
fn shut_app(
    r: &mut ngx_http_request_t,
    main: &MainConf,
    worker: &ThisWorker,
) -> Option<(AppId, AppName, Admission)> {
    if worker.zone.signals().all_open() {
        return None;
    }
    let name = app_name(r)?;
    let app = worker.zone.signals().find(NameHash::of(name.as_bytes()))?;
    Some((app, name, admission(r, main)))
}

/// Takes the request through its app's gate, or leaves it there.
fn ask(
    r: &mut ngx_http_request_t,
    main: &MainConf,
    place: &LocConf,
    worker: &ThisWorker,
    mark: &Mark,
) -> ngx_int_t {
    let Some((app, name, admission)) = shut_app(r, main, worker) else {
        return GOES_ON;
    };
    if admission == Admission::Usual {
        return arrive(r, main, place, mark, app, &name);
    }
    let Some(seconds) = worker.zone.visit(|zone| zone.bypass(app, &name)) else {
        return GOES_ON;
    };
    mark.stage.set(Stage::Bypassed);
    match place.health_check {
        Some(PassOr::Answer(code)) if admission == Admission::HealthCheck => {
            answer_health_check(r, code, seconds)
        }
        _ => GOES_ON,
    }
}

/// Turns a request away whose body is on its way, if its app is stopped.
fn refuse(r: &mut ngx_http_request_t, main: &MainConf, worker: &ThisWorker) -> Option<ngx_int_t> {
    let usual = |admission: &Admission| *admission == Admission::Usual;
    let (app, name, _) = shut_app(r, main, worker).filter(|(.., admission)| usual(admission))?;
    let seconds = worker.zone.visit(|zone| zone.refuse(app, &name))?;
    let mark = put(r)?;
    mark.belongs_to(evaluate::variable(r, main.variables.app_name));
    mark.stage.set(Stage::Stopped { retry_after: seconds });
    Some(turn_away(r, ErrorStatus::UNAVAILABLE, seconds))
}

/// A request that has met a gate before comes to one once more: it is held there, or was sent to
/// another place.
fn meet_again(
    r: &mut ngx_http_request_t,
    main: &MainConf,
    place: &LocConf,
    mark: &Mark,
) -> ngx_int_t {
    let answer = match mark.stage.get() {
        Stage::Held(_) | Stage::Granted => return NGX_AGAIN as ngx_int_t,
        Stage::Stopped { .. } => Some(ErrorStatus::UNAVAILABLE),
        Stage::Rejected(code) => Some(code),
        Stage::Expired => None,
        _ => return GOES_ON,
    };
    let Some(worker) = workers::this().filter(|_| pages::is_app_made(r, main)) else {
        return GOES_ON;
    };
    if mark.flight.is_linked() || !holds(r, place) {
        return GOES_ON;
    }
    // The page for one that was turned away is to come from an app.
    let name = evaluate::variable(r, main.variables.app_name);
    let is_open = worker.zone.signals().find(NameHash::of(name)).is_none();
    let Some(code) = answer.filter(|_| !is_open) else {
        mark.belongs_to(name);
        in_flight::set_out(worker, mark);
        return GOES_ON;
    };
    flags::request::ERROR_PAGE.set(r);
    match r.err_status as ngx_int_t {
        status @ 400.. => status,
        _ => status_of(code),
    }
}

/// The module answers a health check itself.
fn answer_health_check(r: &mut ngx_http_request_t, code: HealthCode, seconds: u64) -> ngx_int_t {
    let status = match code {
        HealthCode::Bad(code) => {
            if code.is_temporary() {
                retry_after(r, seconds);
            }
            return status_of(code);
        }
        HealthCode::Good(status) => status,
    };
    // SAFETY: a live request whose header has not been sent; it may be gone afterwards.
    unsafe {
        let discarded = ngx_http_discard_request_body(r);
        if discarded != NGX_OK as ngx_int_t {
            return discarded;
        }
        r.headers_out.status = ngx_uint_t::from(status);
        r.headers_out.content_length_n = if status == 204 { -1 } else { 0 };
        flags::request::HEADER_ONLY.set(r);
        let sent = ngx_http_send_header(r);
        ngx_http_finalize_request(r, sent);
    }
    NGX_DONE as ngx_int_t
}

/// Whether this place holds its requests.
fn holds(r: &mut ngx_http_request_t, place: &LocConf) -> bool {
    match place.holds {
        None | Some(Holds::Never) => false,
        Some(Holds::Always) => true,
        Some(Holds::If(complex)) => {
            let value = evaluate::complex(r, complex);
            value.is_some_and(|value| !matches!(value, b"" | b"0" | b"off"))
        }
    }
}

/// The request's app; none where its name is too long, which is logged.
fn app_name(r: &mut ngx_http_request_t) -> Option<AppName> {
    match variables::app_name(r)? {
        Ok(name) => Some(name),
        Err(problem) => {
            complain(r, Complaint::AppName, BadValue::AppName(problem));
            None
        }
    }
}

/// Whether a pause holds this request.
fn admission(r: &mut ngx_http_request_t, main: &MainConf) -> Admission {
    let r_ptr = ptr::from_mut(r);
    // SAFETY: the values live as long as the request, and asking for one does not touch another.
    let (uri, user_agent) = unsafe {
        let header = (*r_ptr).headers_in.user_agent.as_ref();
        ((*r_ptr).uri.as_bytes(), header.map_or(&[][..], |header| header.value.as_bytes()))
    };
    // SAFETY: as above.
    let rules = unsafe {
        Rules {
            health_check_path: evaluate::variable(&mut *r_ptr, main.variables.health_check_path),
            privileged_user_agent: evaluate::variable(
                &mut *r_ptr,
                main.variables.privileged_user_agent,
            ),
        }
    };
    let pattern = rules.privileged_user_agent;
    if let Some(oddity) = agent::oddity(pattern) {
        complain(r, Complaint::OddPattern, BadValue::OddPattern(pattern, oddity));
    }
    let only_reads = matches!(r.method as u32, NGX_HTTP_GET | NGX_HTTP_HEAD);
    let admission = admit::admit(rules, Visit { only_reads, uri, user_agent });
    if admission == Admission::Undecided {
        complain(r, Complaint::CostlyPattern, BadValue::CostlyPattern(pattern));
        return Admission::Usual;
    }
    admission
}

/// Takes a place in line for the request, if its app is still not open.
fn arrive(
    r: &mut ngx_http_request_t,
    main: &MainConf,
    place: &LocConf,
    mark: &Mark,
    app: AppId,
    name: &AppName,
) -> ngx_int_t {
    let Some(worker) = workers::this() else { return NGX_DECLINED as ngx_int_t };
    let max_time = max_time(r, main);
    let kind = if has_connection(r) { Kind::Connection } else { Kind::Stream };
    let bounds = room::bounds(worker, kind, place.max_held.unwrap_or(u32::MAX));
    let arrival =
        worker.zone.visit(|zone| zone.arrive(app, name, worker.id(), mark.cookie(), bounds));
    match arrival {
        Arrival::Passes => NGX_DECLINED as ngx_int_t,
        Arrival::Stopped { retry_after: seconds } => {
            mark.stage.set(Stage::Stopped { retry_after: seconds });
            turn_away(r, ErrorStatus::UNAVAILABLE, seconds)
        }
        Arrival::Rejected { lack, report, retry_after: seconds } => {
            let code = place.overflow.unwrap_or(ErrorStatus::UNAVAILABLE);
            mark.stage.set(Stage::Rejected(code));
            if let Some(count) = report {
                write(log_of(r), &About(name, RequestEvent::Rejected { count, lack }));
            }
            turn_away(r, code, seconds)
        }
        Arrival::Held { slot, ticket, ahead } => {
            mark.begin(slot, ahead);
            tell_expiry(worker, place, mark, max_time);
            write(log_of(r), &About(name, RequestEvent::Held { ticket, ahead }));
            park(r, max_time)
        }
    }
}

/// Operators are told before a pause that requests will go on to the app in the middle of it.
fn tell_expiry(worker: &ThisWorker, place: &LocConf, mark: &Mark, max_time: MaxTime) {
    if let None | Some(PassOr::Pass) = place.expired {
        worker.zone.signals().expires(NameHash::of(mark.app_name()), max_time.msec());
    }
}

/// For how long the request may be held.
fn max_time(r: &mut ngx_http_request_t, main: &MainConf) -> MaxTime {
    let r_ptr = ptr::from_mut(r);
    match evaluate::variable(r, main.variables.max_time) {
        [] => MaxTime::DEFAULT,
        value => MaxTime::parse(value).unwrap_or_else(|problem| {
            // SAFETY: a live request, of which the value is no part.
            let r = unsafe { &*r_ptr };
            complain(r, Complaint::MaxTime, BadValue::MaxTime(value, problem));
            MaxTime::DEFAULT
        }),
    }
}

/// Writes a line about a request, unless this worker has just complained of the same.
fn complain(r: &ngx_http_request_t, what: Complaint, line: BadValue<'_>) {
    if workers::this().is_some_and(|this| this.complaints.due(what, now().monotonic)) {
        write(log_of(r), &line);
    }
}
