//! A worker's start and end, and what it does in between when it is rung, told to leave, or a lease ends.

use nginx_sys::{ngx_cycle_t, ngx_int_t, ngx_msec_t, NGX_ERROR, NGX_OK};

use super::zone::say_who_was_turned_away;
use crate::ffi::conf;
use crate::ffi::control::{ask, late, saving, wait};
use crate::ffi::nginx::cycle;
use crate::ffi::nginx::log::write;
use crate::ffi::nginx::posting::Post;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::request::{failed, held, in_flight, release};
use crate::ffi::worker::hooks::{self, Hooks};
use crate::ffi::worker::this::{self, ThisWorker};
use crate::ffi::worker::zone::write_event;
use crate::ffi::worker::{channel, seek};
use crate::ids::WorkerId;
use crate::log_lines::pauses::PauseEvent;
use crate::log_lines::workers::WorkerLine;

/// If `worker_shutdown_timeout` ends it, what waits here is answered a tenth of it before, at most so
/// many ms.
const LONGEST_NOTICE: ngx_msec_t = 1000;

static LEASE: Timer = Timer::new(on_lease);
static CUTTING: Timer = Timer::new(on_cutting);

pub(crate) extern "C" fn init(cycle: &ngx_cycle_t) -> ngx_int_t {
    // The cache manager and the loader are started as workers are, but serve nobody.
    let zone = conf::main_conf_in(cycle).and_then(|conf| conf.zone);
    let Some(zone) = zone.filter(|_| !cycle::process().helps) else { return NGX_OK as ngx_int_t };
    let this = this::begin(zone);
    hooks::give(Hooks {
        my_turn: || release::schedule(Post::NextTurn),
        rang: on_ring,
        leaving: on_leaving,
        told_to_leave: this::check_for_quit,
        takes_row,
        has_nothing_left,
    });
    channel::begin();
    release::begin(this);
    takes_row(this.id());
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
    let Some(this) = this::current() else { return };
    saving::finish();
    failed::tell_rest(this);
    this.entry.end();
    if channel::master_is_gone() {
        // Else the master says it, once.
        say_who_was_turned_away(&this.zone, cycle::log());
    }
}

/// Whether nothing of what is left here needs an entry: at most tunnels.
fn has_nothing_left() -> bool {
    !held::any()
        && release::is_empty()
        && wait::is_empty()
        && ask::is_empty()
        && in_flight::only_tunnels()
}

/// Counts in the row of this entry.
fn takes_row(id: WorkerId) {
    let Some(this) = this::current() else { return };
    in_flight::take_row(this, id);
    if id.is_some() {
        in_flight::refresh(this);
    }
}

/// The doorbell rang: anything may have changed.
fn on_ring() {
    let Some(this) = this::current() else { return };
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

/// This worker is to leave when its requests are done: the master said so, or somebody by hand.
fn on_leaving() {
    let Some(this) = this::current() else { return };
    this.leaves();
    this::check_for_quit();
    // For how long a worker that is to leave goes on, if that has an end.
    let timeout = cycle::running().map_or(0, |cycle| cycle::core_conf(cycle).shutdown_timeout);
    if timeout > 0 {
        // Early enough for the answers, and before nginx's own timer.
        CUTTING.start(timeout - (timeout / 10).clamp(1, LONGEST_NOTICE).min(timeout));
    }
}

/// nginx is about to close all connections: what waits here is answered.
fn on_cutting() {
    let Some(this) = this::current() else { return };
    this.cut_off.set(true);
    release::hurry(this);
    wait::answer_due(this);
    release::schedule(Post::Now);
}

/// The first worker to see a lease end carries that out.
fn on_lease() {
    let Some(this) = this::current() else { return };
    while let Some((name, pause, ended)) = this.zone.visit(|zone| zone.end_lease()) {
        write_event(cycle::log(), &name, PauseEvent::LeaseEnded { pause, ended });
        saving::save(this);
    }
    set_lease_timer(this);
}

fn set_lease_timer(this: &ThisWorker) {
    LEASE.set(this.zone.signals().next_lease());
}
