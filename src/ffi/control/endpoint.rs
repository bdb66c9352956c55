//! The control endpoint: reads a request, asks the core, answers.

use nginx_sys::{
    ngx_http_auth_basic_user, ngx_http_finalize_request, ngx_http_read_client_request_body,
    ngx_http_request_t, ngx_int_t, NGX_DONE, NGX_ERROR, NGX_HTTP_SPECIAL_RESPONSE, NGX_OK,
};

use crate::control::answer::{Done, Refused};
use crate::control::command::{Command, Format, PaceChange, Patience, PauseArgs, Verb};
use crate::control::dashboard;
use crate::control::form::Said;
use crate::control::reply::{Slots, Status};
use crate::ffi::conf::{self, Endpoint, LocConf};
use crate::ffi::control::answer;
use crate::ffi::control::answer::{send, Answer};
use crate::ffi::control::ask;
use crate::ffi::control::payload;
use crate::ffi::control::saving;
use crate::ffi::control::wait::{self, Waiting};
use crate::ffi::module::variables;
use crate::ffi::module::Failed;
use crate::ffi::nginx::log::{log_of, write};
use crate::ffi::worker::reap;
use crate::ffi::worker::workers;
use crate::ffi::worker::zone::{write_event, SharedZone};
use crate::ids::{AppId, PauseId};
use crate::log_lines::pauses::{PauseEvent, Terms};
use crate::log_lines::variables::BadValue;
use crate::log_lines::About;
use crate::settings::Apps;
use crate::shared::terms::PauseRequest;
use crate::shared::waiters::WaitFor;
use crate::text::{Address, AppName};
use crate::time::Msec;
use crate::zone::{self, Expected, Opened, Refusal, Zone};

/// What becomes of a control request.
enum Outcome {
    Answered(Answer),
    /// It is carried out again when all workers have said what they have in flight.
    Asks,
    /// It is answered when what it asked for has come.
    Waits(Waiting),
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Answered(answer)
    }
}

/// The control location's content handler. The body is read in any case: the client of a request
/// that waits is then watched for going away.
pub(crate) extern "C" fn handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a live request.
    let read = unsafe { ngx_http_read_client_request_body(r, Some(on_body)) };
    if read >= NGX_HTTP_SPECIAL_RESPONSE as ngx_int_t {
        read
    } else {
        NGX_DONE as ngx_int_t
    }
}

/// The whole request is there.
extern "C" fn on_body(r: *mut ngx_http_request_t) {
    // SAFETY: nginx passes a live request; one that waits is finalized when it is answered.
    unsafe {
        if let Some(answered) = answer(&mut *r) {
            ngx_http_finalize_request(r, answered);
        }
    }
}

/// Returns with what to finalize the request; none where it waits.
pub(crate) fn answer(r: &mut ngx_http_request_t) -> Option<ngx_int_t> {
    const ERROR: Option<ngx_int_t> = Some(NGX_ERROR as ngx_int_t);
    let r_ptr = core::ptr::from_mut(r);
    // SAFETY: configurations outlive the requests that run on them.
    let (main, place) = unsafe { (conf::main_conf(&*r_ptr), conf::loc_conf(&*r_ptr)) };
    let (Some(main), Some(place)) = (main, place) else { return ERROR };
    let Some(zone) = main.zone else { return ERROR };
    reap::reap_dead_workers(&zone);
    let Some(name) = variables::app_name(r) else { return ERROR };
    let own = match name {
        Ok(name) => name,
        Err(problem) => {
            let message = format!("\"$app_name\" {problem}");
            write(log_of(r), &BadValue::EndpointsAppName(problem));
            return Some(send(r, &zone, AppName::EMPTY, Answer::problem(400, message)));
        }
    };
    let Ok(body) = payload::form(r) else { return ERROR };
    let form = match body {
        Ok(form) => form,
        Err(bad) => {
            return Some(send(r, &zone, own, Answer::problem(bad.status(), bad.to_string())));
        }
    };
    let args = r.args;
    let said = Said { query: args.as_bytes(), form: &form };
    let before = zone.visit(|zone| zone.version());
    let mut name = own;
    let outcome = decide(r, &zone, place, said, &mut name);
    let changed = zone.visit(|zone| zone.version()) != before;
    // What an answer says of a pause is on the disk, whoever changed that.
    let says =
        changed || matches!(&outcome, Outcome::Answered(answer) if answer.is_about_a_pause());
    if let Some(worker) = workers::this().filter(|_| says) {
        saving::save(worker);
    }
    match outcome {
        Outcome::Answered(answer) if says => saving::answer(r, name, answer),
        Outcome::Answered(answer) => Some(send(r, &zone, name, answer)),
        Outcome::Asks => None,
        Outcome::Waits(waiting) => {
            wait::begin(r, waiting).err().map(|Failed| NGX_ERROR as ngx_int_t)
        }
    }
}

/// `name` is the place's own app, and becomes the one that was asked for.
fn decide(
    r: &mut ngx_http_request_t,
    zone: &SharedZone,
    conf: &LocConf,
    said: Said<'_>,
    name: &mut AppName,
) -> Outcome {
    let own = *name;
    let Some(endpoint) = &conf.control else {
        return Answer::problem(404, "no endpoint".into()).into();
    };
    let Some(verb) = answer::verb(r, endpoint) else {
        return Answer::problem(404, "no such verb".into()).into();
    };
    if !verb.allows(answer::method(r), endpoint.changes) {
        let methods = verb.methods(endpoint.changes);
        return Answer::not_allowed(methods).into();
    }
    if verb.changes() {
        if !core::ptr::eq(r, r.main) {
            let text = "a subrequest changes nothing: only a client's own request does";
            return Answer::problem(403, text.into()).into();
        }
        if let Some(refused) = answer::refused_to_browser(r, endpoint) {
            return Answer::problem(403, refused.to_string()).into();
        }
    }
    let asked = match verb.command(said, conf.lease.flatten()) {
        Ok(asked) => asked,
        Err(problem) => return Answer::problem(400, problem.to_string()).into(),
    };
    if let Some(app) = asked.app {
        if app != *name && !endpoint.apps().contain(&app) {
            return Answer::problem(404, "no such app here".into()).into();
        }
        *name = app;
    }
    count_from_now_on(zone, endpoint, &own);
    if says_what_is_in_flight(asked.command, r) && ask::waits(r) {
        return Outcome::Asks;
    }
    let by = who(r, asked.command.by());
    match asked.command {
        Command::Status => Answer::state().into(),
        Command::Enable(asked, None) => {
            let cause = cause(by, conf, &asked, asked.lease.or(conf.lease.flatten()));
            let (which, intent) = (asked.which, asked.intent());
            let (before, done, left) =
                visit(zone, name, |zone| zone.enable(name, which, cause, intent));
            paused(r, name, PauseEvent::Paused, done, &cause, (&before, &left))
                .with(before, left)
                .into()
        }
        Command::Enable(asked, Some(patience)) => {
            let cause = cause(by, conf, &asked, asked.lease.or(conf.lease.flatten()));
            enable_and_wait(r, zone, name, &asked, cause, patience)
        }
        Command::Stop(asked) => {
            let cause = cause(by, conf, &asked, asked.lease);
            let (which, intent) = (asked.which, asked.intent());
            let (before, done, left) =
                visit(zone, name, |zone| zone.stop(name, which, cause, intent));
            paused(r, name, PauseEvent::Stopped, done, &cause, (&before, &left))
                .with(before, left)
                .into()
        }
        Command::Disable { which, pace, wait: None, .. } => {
            let (before, done, left) =
                visit(zone, name, |zone| zone.disable(name, which, &by, |old| pace.apply(old)));
            opened(r, name, done, &by, (&before, &left)).with(before, left).into()
        }
        Command::Disable { which, pace, wait: Some(time), .. } => {
            disable_and_wait(r, zone, name, (which, pace, by), time)
        }
        Command::Script => Answer::file(dashboard::SCRIPT).into(),
        Command::Style => Answer::file(dashboard::STYLE).into(),
        Command::Apps | Command::Metrics | Command::Dashboard => {
            let (apps, slots) = seen_from(zone, endpoint, name);
            Answer::page(asked.command, apps, slots).into()
        }
    }
}

/// Pauses, and waits until nothing is in flight.
fn enable_and_wait(
    r: &ngx_http_request_t,
    zone: &SharedZone,
    name: &AppName,
    asked: &PauseArgs,
    cause: PauseRequest,
    patience: Patience,
) -> Outcome {
    let Some(me) = wait::me(r) else { return cannot_wait() };
    let wait_for = if patience.keep { WaitFor::Quiet } else { WaitFor::Provisional };
    let (before, done, left) = visit(zone, name, |zone| {
        let done = zone.enable_and_wait(name, asked.which, cause, wait_for, me);
        if let Ok((_, place)) = done {
            zone.set_deadline(place, zone.now.after(patience.wait));
        }
        done
    });
    let (done, place) = match done {
        Ok((done, place)) => (done, place),
        Err(refusal) => return refused(r, name, refusal, &left).with(before, left).into(),
    };
    paused(r, name, PauseEvent::Paused, Ok(done), &cause, (&before, &left));
    let done = if done == zone::Paused::Unchanged { Done::NotChanged } else { Done::Changed };
    Outcome::Waits(Waiting::new(*name, place, patience.wait, done))
}

/// Ends a pause, and waits until nobody is held.
fn disable_and_wait(
    r: &ngx_http_request_t,
    zone: &SharedZone,
    name: &AppName,
    (which, pace, by): (Expected, PaceChange, Address),
    time: Msec,
) -> Outcome {
    let Some(me) = wait::me(r) else { return cannot_wait() };
    let (before, done, left) = visit(zone, name, |zone| {
        zone.disable_and_wait(name, which, &by, |old| pace.apply(old), me)
    });
    let (done, place) = match done {
        Ok((done, place)) => (Ok(done), place),
        Err(refusal) => (Err(refusal), None),
    };
    let changed = if done == Ok(Opened::Unchanged) { Done::NotChanged } else { Done::Changed };
    let answer = opened(r, name, done, &by, (&before, &left)).with(before, left);
    match place {
        Some(place) => Outcome::Waits(Waiting::new(*name, place, time, changed)),
        None => answer.into(),
    }
}

/// Carries a verb out, between two looks at the app.
fn visit<R>(
    zone: &SharedZone,
    name: &AppName,
    f: impl FnOnce(&mut Zone<'_>) -> R,
) -> (Status, R, Status) {
    zone.visit(|zone| {
        let before = Status::of(zone, *name);
        let done = f(zone);
        (before, done, Status::of(zone, *name))
    })
}

/// The place's own app and those that it names are known from its first request on; an app that
/// only a request names is not.
fn count_from_now_on(zone: &SharedZone, endpoint: &Endpoint, own: &AppName) {
    zone.visit(|zone| {
        zone.know(own);
        let named = endpoint.apps().names().filter_map(|name| AppName::new(name).ok());
        named.for_each(|name| zone.know(&name));
    });
}

fn says_what_is_in_flight(command: Command, r: &mut ngx_http_request_t) -> bool {
    match command {
        Command::Apps | Command::Metrics => true,
        Command::Status => is_json(r, Verb::Status),
        Command::Dashboard => is_json(r, Verb::Dashboard),
        _ => false,
    }
}

fn is_json(r: &mut ngx_http_request_t, verb: Verb) -> bool {
    answer::manner(r, Some(verb)).is_ok_and(|manner| manner.format == Format::Json)
}

fn cannot_wait() -> Outcome {
    Answer::problem(503, "this request cannot wait: ask again without".into()).into()
}

/// The place's own app, and those that it may touch.
fn seen_from(zone: &SharedZone, endpoint: &Endpoint, own: &AppName) -> (Vec<Status>, Slots) {
    let apps = endpoint.apps();
    let limit = 1 + apps.names().count() + if apps == Apps::Any { zone.max_apps() } else { 0 };
    let mut seen = Vec::with_capacity(limit);
    let slots = zone.visit(|zone| {
        seen.push(Status::of(zone, *own));
        let named = apps.names().filter_map(|name| AppName::new(name).ok());
        seen.extend(named.map(|name| Status::of(zone, name)));
        if apps == Apps::Any {
            let all = (0..zone.apps.len()).map(AppId::at);
            seen.extend(all.filter_map(|id| Status::at(zone, id)));
        }
        Slots::of(zone)
    });
    seen.sort_by(|a, b| a.app.as_bytes().cmp(b.app.as_bytes()));
    seen.dedup_by_key(|status| status.app);
    (seen, slots)
}

fn cause(by: Address, conf: &LocConf, asked: &PauseArgs, lease: Option<Msec>) -> PauseRequest {
    PauseRequest {
        number: PauseId(0),
        by,
        reason: asked.reason,
        lease,
        pace: conf.release.unwrap_or_default(),
    }
}

fn paused<'a>(
    r: &ngx_http_request_t,
    name: &AppName,
    what: fn(Terms<'a>) -> PauseEvent<'a>,
    done: Result<zone::Paused, Refusal>,
    cause: &'a PauseRequest,
    (before, left): (&Status, &Status),
) -> Answer {
    let changed = matches!(done, Ok(zone::Paused::Changed(_)));
    let pause = match done {
        Ok(zone::Paused::Begun(pause) | zone::Paused::Changed(pause)) => pause,
        Ok(zone::Paused::Unchanged) => return Answer::done(Done::AsItWas),
        Err(refusal) => return refused(r, name, refusal, left),
    };
    if changed && !before.differs(left) {
        return Answer::done(Done::NotChanged);
    }
    let terms = Terms {
        pause,
        by: &cause.by,
        until: left.until.map(|until| until.0),
        reason: cause.reason.filter(|reason| !reason.is_empty()),
        was: before.reason.filter(|_| changed && before.reason != left.reason),
        begun_by: begun_by_another(before, &cause.by),
    };
    let event = if changed { PauseEvent::Changed(terms) } else { what(terms) };
    write(log_of(r), &About(name, event));
    Answer::done(Done::Changed)
}

/// Whose the pause is that was under way, if it is somebody else's.
fn begun_by_another(before: &Status, by: &Address) -> Option<Address> {
    before.by.filter(|owner| owner != by && before.is_paused_or_stopped())
}

fn opened(
    r: &ngx_http_request_t,
    name: &AppName,
    done: Result<Opened, Refusal>,
    by: &Address,
    (before, left): (&Status, &Status),
) -> Answer {
    match done {
        Ok(Opened::Ended(pause, ended)) => {
            let begun_by = begun_by_another(before, by);
            let event = PauseEvent::Resumed { pause, by, begun_by, ended };
            write_event(log_of(r), name, event);
            Answer::done(Done::Changed)
        }
        Ok(Opened::Paced(pace)) => {
            write(log_of(r), &About(name, PauseEvent::Paced { by, pace }));
            Answer::done(Done::Changed)
        }
        Ok(Opened::Unchanged) => Answer::done(Done::AsItWas),
        Err(refusal) => refused(r, name, refusal, left),
    }
}

fn refused(r: &ngx_http_request_t, name: &AppName, refusal: Refusal, left: &Status) -> Answer {
    if refusal == Refusal::Full {
        write(log_of(r), &About(name, PauseEvent::NotPaused));
    }
    let refused = Refused { why: refusal, app: left };
    Answer::problem(refused.status(), refused.to_string())
}

/// Who calls: in their own words, else by what they authenticate as, else from where.
fn who(r: &mut ngx_http_request_t, by: Option<Address>) -> Address {
    by.or_else(|| remote_user(r)).unwrap_or_else(|| address(r))
}

/// What `$remote_user` says, as much of it as there is room for.
fn remote_user(r: &mut ngx_http_request_t) -> Option<Address> {
    // SAFETY: a live request.
    if unsafe { ngx_http_auth_basic_user(r) } != NGX_OK as ngx_int_t {
        return None;
    }
    let mut user = Address::EMPTY;
    r.headers_in.user.as_bytes().iter().map_while(|byte| user.push(*byte).ok()).count();
    Some(user).filter(|user| !user.is_empty())
}

/// From where.
fn address(r: &ngx_http_request_t) -> Address {
    // SAFETY: a live request has a connection.
    let text = unsafe { &(*r.connection).addr_text };
    Address::new(text.as_bytes()).unwrap_or(Address::EMPTY)
}
