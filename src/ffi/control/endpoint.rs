//! The control endpoint: reads a request, asks the core, answers.

use nginx_sys::{ngx_int_t, NGX_DONE, NGX_ERROR, NGX_HTTP_SPECIAL_RESPONSE};

use super::sending::send;
use super::{ask, late, reading, saving, wait};
use crate::control::answer::Answer;
use crate::control::carry_out::{Caller, Wait};
use crate::control::command::{Change, Command, Format, Verb};
use crate::control::dashboard;
use crate::control::error::Error;
use crate::control::form::Said;
use crate::control::scope::{in_order, Scope};
use crate::control::settings::Settings;
use crate::control::status::{Slots, Status};
use crate::control::versions::Versions;
use crate::ffi::conf::{self, LocConf};
use crate::ffi::nginx::log::{self, write};
use crate::ffi::nginx::posting::Post;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::nginx::{evaluate, functions, upstreams};
use crate::ffi::worker::reap;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::ffi::worker::zone::{write_event, SharedZone};
use crate::ids::Token;
use crate::log_lines::variables::BadValue;
use crate::text::AppName;

const ERROR: ngx_int_t = NGX_ERROR as ngx_int_t;

/// Gives back what dead workers had, once the answer is sent.
static REAP: Timer = Timer::new(on_reap);

/// What becomes of a control request.
enum Outcome {
    Answered(Answer),
    /// It is carried out when all workers have reported what they have in flight.
    Asks,
    /// It is answered when its wait is over.
    Waits(Wait),
}

/// The control location's content handler. It reads the body in any case: nginx then notices when
/// the client of a request that waits goes away.
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
    if let Some(code) = answer(r) {
        functions::ngx_http_finalize_request(r, code);
    }
}

fn on_reap() {
    if let Some(this) = ThisWorker::current() {
        reap::reap_dead_workers(&this.zone);
    }
}

/// The workers have reported what they have in flight.
fn on_reports(r: Request) {
    if let Some(code) = answer(r) {
        r.finalize(code);
    }
}

/// Returns the code with which the request is finalized; None if it waits.
fn answer(r: Request) -> Option<ngx_int_t> {
    let (Some(main), Some(conf)) = (conf::main_conf(&r), conf::loc_conf(&r)) else {
        return Some(ERROR);
    };
    let Some(zone) = main.zone else { return Some(ERROR) };
    let own = match AppName::new(evaluate::variable(&r, main.variables.app_name)) {
        Ok(name) => name,
        Err(too_long) => {
            write(r.log(), &BadValue::EndpointsAppName(too_long));
            let answer = Answer::error(&Error::AppName(too_long));
            return Some(send(r, &zone, AppName::EMPTY, answer));
        }
    };
    let form = match reading::form(r) {
        Ok(Ok(form)) => form,
        Ok(Err(bad)) => {
            return Some(send(r, &zone, own, Answer::error(&Error::Body(bad))));
        }
        Err(_) => return Some(ERROR),
    };
    let said = Said { query: r.args.as_bytes(), form: &form };
    let before = zone.visit(|zone| zone.version());
    let mut name = own;
    let outcome = decide(r, &zone, conf, said, &mut name)
        .unwrap_or_else(|error| Outcome::Answered(Answer::error(&error)));
    let changed = zone.visit(|zone| zone.version()) != before;
    // An answer about a pause is sent when that is on the disk, whoever changed it.
    let is_saved =
        changed || matches!(&outcome, Outcome::Answered(answer) if answer.is_about_a_pause());
    if let Some(this) = ThisWorker::current().filter(|_| is_saved) {
        saving::save(this);
    }
    match outcome {
        Outcome::Answered(answer) if is_saved => late::answer(r, name, answer),
        Outcome::Answered(answer) => Some(send(r, &zone, name, answer)),
        Outcome::Asks => None,
        Outcome::Waits(wait) => wait::begin(r, wait).err().map(|_| ERROR),
    }
}

/// `name` is the endpoint's own app, and becomes the one that the request names.
fn decide<'s>(
    r: Request,
    zone: &SharedZone,
    conf: &LocConf,
    said: Said<'s>,
    name: &mut AppName,
) -> Result<Outcome, Error<'s>> {
    let endpoint = conf.control.as_ref().ok_or(Error::NoEndpoint)?;
    let verb = reading::verb(r, endpoint).ok_or(Error::NoVerb)?;
    if !verb.allows(reading::method(r), endpoint.changes) {
        return Err(Error::Method(verb.methods(endpoint.changes)));
    }
    if verb.changes() {
        // With hundreds of workers this takes longer than the change.
        REAP.post(Post::Now);
        if !r.is_main() {
            return Err(Error::Subrequest);
        }
        if let Some(refused) = reading::refused_to_browser(r, endpoint) {
            return Err(Error::Browser(refused));
        }
    } else {
        reap::reap_dead_workers(zone);
    }
    let asked = verb.command(said, conf.lease.flatten()).map_err(Error::Parameter)?;
    let scope = Scope { own: *name, apps: endpoint.apps() };
    if let Some(app) = asked.app {
        if !scope.contains(&app) {
            return Err(Error::NoApp);
        }
        *name = app;
    }
    zone.visit_and_wake_soon(|zone| scope.make_known(zone));
    if tells_what_is_in_flight(asked.command, r) && ask::waits(r, on_reports) {
        return Ok(Outcome::Asks);
    }
    Ok(Outcome::Answered(match asked.command {
        Command::Change(change) => {
            return Ok(carry_out(r, zone, conf, *name, (change, asked.token)));
        }
        Command::Status => Answer::state(settings(r, conf), versions()),
        Command::Apps => Answer::apps(seen(zone, scope).0, versions()),
        Command::Dashboard => Answer::dashboard(seen(zone, scope).0, versions()),
        Command::Metrics => {
            let (apps, slots) = seen(zone, scope);
            Answer::metrics(apps, slots, versions())
        }
        Command::Script => Answer::file(dashboard::SCRIPT),
        Command::Style => Answer::file(dashboard::STYLE),
    }))
}

fn versions() -> Versions {
    Versions::new(functions::product().as_bytes())
}

fn settings(r: Request, conf: &LocConf) -> Settings {
    let names = upstreams::that_avoid_servers(&r);
    let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
    Settings::new(conf.lease.flatten(), log::level(r.log()), names.collect())
}

fn carry_out(
    r: Request,
    zone: &SharedZone,
    conf: &LocConf,
    app: AppName,
    (change, token): (Change, Option<Token>),
) -> Outcome {
    let caller = Caller {
        app,
        by: reading::caller(r, change.by()),
        waiter: change.wait().and_then(|_| wait::waiter(r)),
        lease: conf.lease.flatten(),
        pace: conf.release.unwrap_or_default(),
        token,
    };
    let carried = zone.visit_and_wake_soon(|zone| change.carry_out(zone, &caller));
    if let Some(event) = carried.event() {
        write_event(r.log(), &app, event);
    }
    match carried.wait() {
        Some(wait) => Outcome::Waits(wait),
        None => Outcome::Answered(carried.answer()),
    }
}

/// The apps that this endpoint may see, and how full the zone is.
fn seen(zone: &SharedZone, scope: Scope<'_>) -> (Vec<Status>, Slots) {
    // Nothing is allocated under the lock.
    let mut apps = Vec::with_capacity(scope.most(zone.max_apps()));
    let slots = zone.visit(|zone| scope.collect(zone, &mut apps));
    (in_order(apps), slots)
}

/// Whether the command's answer tells how many requests are in flight.
fn tells_what_is_in_flight(command: Command, r: Request) -> bool {
    let is_json =
        |verb| reading::manner(r, Some(verb)).is_ok_and(|manner| manner.format == Format::Json);
    match command {
        Command::Apps | Command::Metrics => true,
        Command::Status => is_json(Verb::Status),
        Command::Dashboard => is_json(Verb::Dashboard),
        _ => false,
    }
}
