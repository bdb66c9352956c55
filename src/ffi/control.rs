//! The control endpoint: reads a request, asks the core, answers.

use nginx_sys::{
    ngx_http_finalize_request, ngx_http_read_client_request_body, ngx_http_request_t, ngx_int_t,
    NGX_DONE, NGX_ERROR, NGX_HTTP_SPECIAL_RESPONSE,
};

use super::conf::{self, Endpoint, LocConf};
use super::log::{self, log_of, write, Level};
use super::module::Failed;
use super::payload;
use super::respond::{send, Answer};
use super::wait::{self, Waiting};
use super::zone::{Named, SharedZone};
use super::{ask, processes, respond, saving, variables, workers};
use crate::answer::Done;
use crate::control::{Command, Format, PaceChange, Patience, Shut, Verb};
use crate::dashboard;
use crate::form::Said;
use crate::ids::{AppId, PauseId};
use crate::reply::{Slots, Status};
use crate::settings::Apps;
use crate::terms::Cause;
use crate::text::{Address, AppName};
use crate::time::Msec;
use crate::wait::Wish;
use crate::zone::{self, Opened, Refusal, Which};

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
pub(super) extern "C" fn handler(r: *mut ngx_http_request_t) -> ngx_int_t {
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
pub(super) fn answer(r: &mut ngx_http_request_t) -> Option<ngx_int_t> {
    const ERROR: Option<ngx_int_t> = Some(NGX_ERROR as ngx_int_t);
    let r_ptr = core::ptr::from_mut(r);
    // SAFETY: configurations outlive the requests that run on them.
    let (main, place) = unsafe { (conf::main_conf(&*r_ptr), conf::loc_conf(&*r_ptr)) };
    let (Some(main), Some(place)) = (main, place) else { return ERROR };
    let Some(zone) = main.zone else { return ERROR };
    processes::bury_the_dead(&zone);
    let Some(name) = variables::app_name(r) else { return ERROR };
    let own = match name {
        Ok(name) => name,
        Err(problem) => {
            let message = format!("\"$app_name\" {problem}");
            write(Level::Error, log_of(r), format_args!("intermission: {message}"));
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
    let Some(verb) = respond::verb(r, endpoint) else {
        return Answer::problem(404, "no such verb".into()).into();
    };
    if !verb.allows(respond::method(r), endpoint.post) {
        let methods = verb.methods(endpoint.post);
        return Answer::not_allowed(methods).into();
    }
    if verb.changes() {
        if !core::ptr::eq(r, r.main) {
            let text = "a subrequest changes nothing: only a client's own request does";
            return Answer::problem(403, text.into()).into();
        }
        if let Some(refused) = respond::refused_to_browser(r, endpoint) {
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
    let named = &Named(name);
    let by = address(r);
    match asked.command {
        Command::Status => Answer::state().into(),
        Command::Enable(asked, None) => {
            let cause = cause(r, conf, &asked, asked.lease.or(conf.lease.flatten()));
            let (which, changes) = (asked.which, asked.asks_for_change());
            let (done, left) = zone.visit(|zone| {
                (zone.enable(named.0, which, cause, changes), Status::of(zone, *named.0))
            });
            shut(r, named, "paused", done, &cause, left).into()
        }
        Command::Enable(asked, Some(patience)) => {
            let cause = cause(r, conf, &asked, asked.lease.or(conf.lease.flatten()));
            enable_and_wait(r, zone, named, &asked, cause, patience)
        }
        Command::Stop(asked) => {
            let cause = cause(r, conf, &asked, asked.lease);
            let (which, changes) = (asked.which, asked.asks_for_change());
            let (done, left) = zone.visit(|zone| {
                (zone.stop(named.0, which, cause, changes), Status::of(zone, *named.0))
            });
            shut(r, named, "stopped", done, &cause, left).into()
        }
        Command::Disable { which, pace, wait: None, .. } => {
            let (done, left) = zone.visit(|zone| {
                let done = zone.disable(named.0, which, &by, |old| pace.apply(old));
                (done, Status::of(zone, *named.0))
            });
            opened(r, named, done).with(left).into()
        }
        Command::Disable { which, pace, wait: Some(time), .. } => {
            disable_and_wait(r, zone, named, (which, pace), time)
        }
        Command::Script => Answer::file(dashboard::SCRIPT).into(),
        Command::Style => Answer::file(dashboard::STYLE).into(),
        Command::Apps | Command::Metrics | Command::Dashboard => {
            let (apps, slots) = seen_from(zone, endpoint, named.0);
            Answer::page(asked.command, apps, slots).into()
        }
    }
}

/// Pauses, and waits until nothing is in flight.
fn enable_and_wait(
    r: &ngx_http_request_t,
    zone: &SharedZone,
    name: &Named<'_>,
    asked: &Shut,
    cause: Cause,
    patience: Patience,
) -> Outcome {
    let Some(me) = wait::me(r) else { return cannot_wait() };
    let wish = if patience.keep { Wish::Quiet } else { Wish::Provisional };
    let (done, left) = zone.visit(|zone| {
        let done = zone.enable_and_wait(name.0, asked.which, cause, wish, me);
        if let Ok((_, place)) = done {
            zone.waits_until(place, zone.now.after(patience.wait));
        }
        (done, Status::of(zone, *name.0))
    });
    let (done, place) = match done {
        Ok((done, place)) => (Ok(done), place),
        Err(refusal) => return refused(r, name, refusal).with(left).into(),
    };
    shut(r, name, "paused", done, &cause, left);
    Outcome::Waits(Waiting::new(*name.0, place, patience.wait))
}

/// Ends a pause, and waits until nobody is held.
fn disable_and_wait(
    r: &ngx_http_request_t,
    zone: &SharedZone,
    name: &Named<'_>,
    (which, pace): (Which, PaceChange),
    time: Msec,
) -> Outcome {
    let Some(me) = wait::me(r) else { return cannot_wait() };
    let by = address(r);
    let (done, left) = zone.visit(|zone| {
        let done = zone.disable_and_wait(name.0, which, &by, |old| pace.apply(old), me);
        (done, Status::of(zone, *name.0))
    });
    let (done, place) = match done {
        Ok((done, place)) => (Ok(done), place),
        Err(refusal) => (Err(refusal), None),
    };
    let answer = opened(r, name, done).with(left);
    match place {
        Some(place) => Outcome::Waits(Waiting::new(*name.0, place, time)),
        None => answer.into(),
    }
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
        Command::Status => respond::format_of(r, Some(Verb::Status)) == Ok(Format::Json),
        Command::Dashboard => respond::format_of(r, Some(Verb::Dashboard)) == Ok(Format::Json),
        _ => false,
    }
}

fn cannot_wait() -> Outcome {
    Answer::problem(503, "this request cannot wait: ask again without".into()).into()
}

/// The place's own app, and those that it may touch.
fn seen_from(zone: &SharedZone, endpoint: &Endpoint, own: &AppName) -> (Vec<Status>, Slots) {
    let apps = endpoint.apps();
    let most = 1 + apps.names().count() + if apps == Apps::Any { zone.most_apps() } else { 0 };
    let mut seen = Vec::with_capacity(most);
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
        Ok(zone::Shut::Unchanged) => return Answer::done(Done::AsItWas).with(left),
        Err(refusal) => return refused(r, name, refusal).with(left),
    };
    let line = format_args!("intermission: {name}: {what} by {by}, pause {}{until}{why}", pause.0);
    write(Level::Notice, log_of(r), line);
    Answer::done(Done::Changed).with(left)
}

fn opened(r: &ngx_http_request_t, name: &Named<'_>, done: Result<Opened, Refusal>) -> Answer {
    let by = address(r);
    match done {
        Ok(Opened::Ended(pause, ended)) => {
            let what = format_args!("resumed by {by}, pause {}", pause.0);
            log::write_ended(log_of(r), name, what, &ended);
            Answer::done(Done::Changed)
        }
        Ok(Opened::Paced(pace)) => {
            let at_once = if pace.is_unlimited() { ", all at once" } else { "" };
            let line = format_args!(
                "intermission: {name}: pace of the drain changed by {by}{pace}{at_once}"
            );
            write(Level::Notice, log_of(r), line);
            Answer::done(Done::Changed)
        }
        Ok(Opened::Unchanged) => Answer::done(Done::AsItWas),
        Err(refusal) => refused(r, name, refusal),
    }
}

fn refused(r: &ngx_http_request_t, name: &Named<'_>, refusal: Refusal) -> Answer {
    match refusal {
        Refusal::OtherPause | Refusal::NotOpen => Answer::problem(409, refusal.to_string()),
        Refusal::Retired | Refusal::TooManyWait => Answer::problem(503, refusal.to_string()),
        Refusal::Full => {
            let line = format_args!("intermission: {name}: {refusal}: not paused");
            write(Level::Error, log_of(r), line);
            Answer::problem(503, refusal.to_string())
        }
    }
}

/// Who calls.
fn address(r: &ngx_http_request_t) -> Address {
    // SAFETY: a live request has a connection.
    let text = unsafe { &(*r.connection).addr_text };
    Address::new(text.as_bytes()).unwrap_or(Address::EMPTY)
}
