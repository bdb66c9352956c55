//! A worker's start and end, and what it does when its bell rings, when it is told to leave, and when a
//! lease ends.

use nginx_sys::{ngx_cycle_t, ngx_int_t, ngx_msec_t, NGX_ERROR, NGX_OK};

use super::zone::say_turned_away;
use crate::ffi::conf;
use crate::ffi::control::{ask, late, saving, wait};
use crate::ffi::nginx::cycle;
use crate::ffi::nginx::log::write;
use crate::ffi::nginx::posting::Post;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::request::{failed, held, in_flight, release};
use crate::ffi::worker::hooks::{self, Hooks};
use crate::ffi::worker::this_worker::ThisWorker;
use crate::ffi::worker::zone::write_event;
use crate::ffi::worker::{channel, seek};
use crate::ids::WorkerId;
use crate::log_lines::pauses::PauseEvent;
use crate::log_lines::workers::WorkerLine;

/// Before `worker_shutdown_timeout` ends, what waits here is answered: a tenth of that time before,
/// but at most this many ms.
const LONGEST_NOTICE: ngx_msec_t = 1000;

static LEASE: Timer = Timer::new(on_lease);
static CUTTING: Timer = Timer::new(on_cutting);

pub(crate) extern "C" fn init(cycle: &ngx_cycle_t) -> ngx_int_t {
    // nginx calls this in the cache manager and the cache loader too. They serve no requests.
    let zone = conf::main_conf_in(cycle).and_then(|conf| conf.zone);
    let Some(zone) = zone.filter(|_| !cycle::process().is_helper) else {
        return NGX_OK as ngx_int_t;
    };
    let this = ThisWorker::begin(zone);
    hooks::give(Hooks {
        on_my_turn: || release::schedule(Post::NextTurn),
        on_ring,
        on_leaving,
        on_told_to_leave,
        take_row,
        has_nothing_left,
    });
    channel::begin();
    release::begin(this);
    take_row(this.id());
    if !this.id().is_some() {
        write(cycle.log, &WorkerLine::NoEntry);
    }
    seek::begin(this);
    if this.entry.listen(this.id()).is_err() {
        write(cycle.log, &WorkerLine::NoDoorbell);
        return NGX_ERROR as ngx_int_t;
    }
    set_lease_timer(this);
    NGX_OK as ngx_int_t
}

pub(crate) extern "C" fn exit(_: &ngx_cycle_t) {
    let Some(this) = ThisWorker::current() else { return };
    saving::finish();
    failed::tell_rest(this);
    this.entry.end();
    if channel::master_is_gone() {
        // Else the master logs it, once, when all workers are gone.
        say_turned_away(&this.zone, cycle::log());
    }
}

/// Whether none of the requests that are left here needs an entry. A tunnel needs none.
fn has_nothing_left() -> bool {
    !held::any()
        && release::is_empty()
        && wait::is_empty()
        && ask::is_empty()
        && in_flight::only_tunnels()
}

/// From now on counts this worker's requests in the row of this entry; in none if NONE.
fn take_row(id: WorkerId) {
    let Some(this) = ThisWorker::current() else { return };
    in_flight::take_row(this, id);
    if id.is_some() {
        in_flight::refresh(this);
    }
}

/// A bell that this worker listens to rang: anything may have changed.
fn on_ring() {
    let Some(this) = ThisWorker::current() else { return };
    in_flight::answer_questions(this);
    in_flight::watch(this);
    wait::answer_due(this);
    saving::follow(this);
    late::answer_due(this);
    seek::give_way(this);
    release::schedule(Post::Now);
    release::watch_for_deaths();
    set_lease_timer(this);
}

/// This worker is to leave when its requests are done: the master told it, or a signal did.
fn on_leaving() {
    let Some(this) = ThisWorker::current() else { return };
    this.set_leaving();
    this.check_for_quit();
    // In ms; 0 if the worker may take as long as its requests do.
    let timeout = cycle::running().map_or(0, |cycle| cycle::core_conf(cycle).shutdown_timeout);
    if timeout > 0 {
        // Before nginx's own timer, and early enough to send the answers.
        CUTTING.start(timeout - (timeout / 10).clamp(1, LONGEST_NOTICE).min(timeout));
    }
}

fn on_told_to_leave() {
    if let Some(this) = ThisWorker::current() {
        this.check_for_quit();
    }
}

/// nginx is about to close all connections of this worker: what waits here is answered.
fn on_cutting() {
    let Some(this) = ThisWorker::current() else { return };
    this.cut_off.set(true);
    release::end_halts(this);
    wait::answer_due(this);
    release::schedule(Post::Now);
}

/// A lease may be over. The first worker that sees this ends the pause; the others find nothing to do.
fn on_lease() {
    let Some(this) = ThisWorker::current() else { return };
    while let Some((name, pause, ended)) = this.zone.visit(|zone| zone.end_lease()) {
        write_event(cycle::log(), &name, PauseEvent::LeaseEnded { pause, ended });
        saving::save(this);
    }
    set_lease_timer(this);
}

fn set_lease_timer(this: &ThisWorker) {
    LEASE.set(this.zone.signals().next_lease());
}
