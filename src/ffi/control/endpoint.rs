//! The control endpoint: reads a request, asks the core, answers.

use nginx_sys::{ngx_int_t, NGX_DONE, NGX_ERROR, NGX_HTTP_SPECIAL_RESPONSE, NGX_OK};

use super::answer::{self, send};
use super::{ask, payload, saving, wait};
use crate::control::answer::Answer;
use crate::control::carry_out::{Caller, Wait};
use crate::control::command::{Change, Command, Format, Verb};
use crate::control::dashboard;
use crate::control::form::Said;
use crate::control::problem::Problem;
use crate::control::scope::{in_order, Scope};
use crate::control::status::{Slots, Status};
use crate::ffi::conf::{self, LocConf};
use crate::ffi::nginx::log::write;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{evaluate, functions};
use crate::ffi::worker::reap;
use crate::ffi::worker::this;
use crate::ffi::worker::zone::{write_event, SharedZone};
use crate::log_lines::variables::BadValue;
use crate::text::{Address, AppName};

/// What becomes of a control request.
enum Outcome {
    Answered(Answer),
    /// It is carried out again when all workers have said what they have in flight.
    Asks,
    /// It is answered when what it asked for has come.
    Waits(Wait),
}

/// The control location's content handler. The body is read in any case: the client of a request
/// that waits is then watched for going away.
pub(crate) extern "C" fn handler(r: Request) -> ngx_int_t {
    let read = functions::ngx_http_read_client_request_body(r, on_body);
    if read >= NGX_HTTP_SPECIAL_RESPONSE as ngx_int_t {
        read
    } else {
        NGX_DONE as ngx_int_t
    }
}

/// The whole request is there.
extern "C" fn on_body(r: Request) {
    if let Some(answered) = answer(r) {
        functions::ngx_http_finalize_request(r, answered);
    }
}

/// The workers have said what they have in flight.
fn again(r: Request) {
    if let Some(answered) = answer(r) {
        r.finalize(answered);
    }
}

/// Returns with what to finalize the request; None if it waits.
fn answer(r: Request) -> Option<ngx_int_t> {
    const ERROR: Option<ngx_int_t> = Some(NGX_ERROR as ngx_int_t);
    let (Some(main), Some(conf)) = (conf::main_conf(&r), conf::loc_conf(&r)) else { return ERROR };
    let Some(zone) = main.zone else { return ERROR };
    reap::reap_dead_workers(&zone);
    let own = match AppName::new(evaluate::variable(&r, main.variables.app_name)) {
        Ok(name) => name,
        Err(problem) => {
            write(r.log(), &BadValue::EndpointsAppName(problem));
            let answer = Answer::problem(&Problem::AppName(problem));
            return Some(send(r, &zone, AppName::EMPTY, answer));
        }
    };
    let Ok(body) = payload::form(r) else { return ERROR };
    let form = match body {
        Ok(form) => form,
        Err(bad) => {
            return Some(send(r, &zone, own, Answer::problem(&Problem::Body(bad))));
        }
    };
    let said = Said { query: r.args.as_bytes(), form: &form };
    let before = zone.visit(|zone| zone.version());
    let mut name = own;
    let outcome = decide(r, &zone, conf, said, &mut name)
        .unwrap_or_else(|problem| Outcome::Answered(Answer::problem(&problem)));
    let changed = zone.visit(|zone| zone.version()) != before;
    // What an answer says of a pause is on the disk, whoever changed that.
    let says =
        changed || matches!(&outcome, Outcome::Answered(answer) if answer.is_about_a_pause());
    if let Some(worker) = this::current().filter(|_| says) {
        saving::save(worker);
    }
    match outcome {
        Outcome::Answered(answer) if says => saving::answer(r, name, answer),
        Outcome::Answered(answer) => Some(send(r, &zone, name, answer)),
        Outcome::Asks => None,
        Outcome::Waits(wait) => wait::begin(r, wait).err().map(|_| NGX_ERROR as ngx_int_t),
    }
}

/// `name` is the endpoint's own app, and becomes the one that the request names.
fn decide<'s>(
    r: Request,
    zone: &SharedZone,
    conf: &LocConf,
    said: Said<'s>,
    name: &mut AppName,
) -> Result<Outcome, Problem<'s>> {
    let endpoint = conf.control.as_ref().ok_or(Problem::NoEndpoint)?;
    let verb = answer::verb(r, endpoint).ok_or(Problem::NoVerb)?;
    if !verb.allows(answer::method(r), endpoint.changes) {
        return Err(Problem::Method(verb.methods(endpoint.changes)));
    }
    if verb.changes() {
        if !r.is_main() {
            return Err(Problem::Subrequest);
        }
        if let Some(refused) = answer::refused_to_browser(r, endpoint) {
            return Err(Problem::Browser(refused));
        }
    }
    let asked = verb.command(said, conf.lease.flatten()).map_err(Problem::Parameter)?;
    let scope = Scope { own: *name, apps: endpoint.apps() };
    if let Some(app) = asked.app {
        if !scope.contains(&app) {
            return Err(Problem::NoApp);
        }
        *name = app;
    }
    zone.visit(|zone| scope.make_known(zone));
    if says_what_is_in_flight(asked.command, r) && ask::waits(r, again) {
        return Ok(Outcome::Asks);
    }
    Ok(Outcome::Answered(match asked.command {
        Command::Change(change) => return Ok(carry_out(r, zone, conf, *name, change)),
        Command::Status => Answer::state(),
        Command::Apps => Answer::apps(look(zone, scope).0),
        Command::Dashboard => Answer::dashboard(look(zone, scope).0),
        Command::Metrics => {
            let (apps, slots) = look(zone, scope);
            Answer::metrics(apps, slots)
        }
        Command::Script => Answer::file(dashboard::SCRIPT),
        Command::Style => Answer::file(dashboard::STYLE),
    }))
}

fn carry_out(
    r: Request,
    zone: &SharedZone,
    conf: &LocConf,
    app: AppName,
    change: Change,
) -> Outcome {
    let caller = Caller {
        app,
        by: who(r, change.by()),
        waiter: change.wait().and_then(|_| wait::waiter(r)),
        lease: conf.lease.flatten(),
        pace: conf.release.unwrap_or_default(),
    };
    let carried = zone.visit(|zone| change.carry_out(zone, &caller));
    if let Some(event) = carried.event() {
        write_event(r.log(), &app, event);
    }
    match carried.wait() {
        Some(wait) => Outcome::Waits(wait),
        None => Outcome::Answered(carried.answer()),
    }
}

/// The apps that this endpoint may see, and how full the zone is.
fn look(zone: &SharedZone, scope: Scope<'_>) -> (Vec<Status>, Slots) {
    // Nothing is allocated under the lock.
    let mut seen = Vec::with_capacity(scope.most(zone.max_apps()));
    let slots = zone.visit(|zone| scope.look(zone, &mut seen));
    (in_order(seen), slots)
}

fn says_what_is_in_flight(command: Command, r: Request) -> bool {
    match command {
        Command::Apps | Command::Metrics => true,
        Command::Status => is_json(r, Verb::Status),
        Command::Dashboard => is_json(r, Verb::Dashboard),
        _ => false,
    }
}

fn is_json(r: Request, verb: Verb) -> bool {
    answer::manner(r, Some(verb)).is_ok_and(|manner| manner.format == Format::Json)
}

/// Who calls: in their own words, else by what they authenticate as, else from where.
fn who(r: Request, by: Option<Address>) -> Address {
    by.or_else(|| remote_user(r)).unwrap_or_else(|| address(r))
}

/// What `$remote_user` says, as much of it as there is room for.
fn remote_user(r: Request) -> Option<Address> {
    if functions::ngx_http_auth_basic_user(r) != NGX_OK as ngx_int_t {
        return None;
    }
    let mut user = Address::EMPTY;
    r.headers_in.user.as_bytes().iter().map_while(|byte| user.push(*byte).ok()).count();
    Some(user).filter(|user| !user.is_empty())
}

/// From where.
fn address(r: Request) -> Address {
    Address::new(r.address()).unwrap_or(Address::EMPTY)
}
