//! This worker process: its place in the zone, and what it looks after by the clock.

use core::cell::{Cell, UnsafeCell};

use nginx_sys::{
    ngx_add_timer, ngx_connection_t, ngx_cycle_t, ngx_del_timer, ngx_event_t, ngx_int_t,
    ngx_msec_t, ngx_uint_t, NGX_OK, NGX_PROCESS_HELPER,
};
use once_cell::sync::OnceCell;

use crate::ffi::conf;
use crate::ffi::control::ask;
use crate::ffi::control::ask::Asking;
use crate::ffi::control::saving::{self, Saving};
use crate::ffi::control::wait;
use crate::ffi::control::wait::Waiting;
use crate::ffi::nginx::evaluate::Kept;
use crate::ffi::nginx::flags;
use crate::ffi::nginx::log;
use crate::ffi::nginx::log::{write, Complaints};
use crate::ffi::nginx::queue::Queue;
use crate::ffi::request::failed;
use crate::ffi::request::familiar::Familiar;
use crate::ffi::request::halt::Halts;
use crate::ffi::request::in_flight;
use crate::ffi::request::in_flight::InFlight;
use crate::ffi::request::mark::Mark;
use crate::ffi::request::release;
use crate::ffi::worker::channel::{self, Channel};
use crate::ffi::worker::entry;
use crate::ffi::worker::entry::Entry;
use crate::ffi::worker::reap;
use crate::ffi::worker::zone::{now, say_who_was_turned_away, write_event, SharedZone};
use crate::ids::{AppId, WorkerId};
use crate::log_lines::pauses::PauseEvent;
use crate::log_lines::workers::WorkerLine;
use crate::shared::workers::Orders;
use crate::time::Msec;

/// While a line moves, a caller waits or nginx may be quitting, those who hold requests look this
/// often whether somebody died, in ms.
const WATCH_INTERVAL: ngx_msec_t = 200;

/// Where `worker_shutdown_timeout` ends it, those who are held are answered a tenth of it before,
/// at most so many ms.
const LONGEST_NOTICE: ngx_msec_t = 1000;

/// nginx waits for its next timer by an `int` of ms: whoever waits longer looks once a day.
pub(crate) const LONGEST_TIMER: ngx_msec_t = 24 * 60 * 60 * 1000;

/// What this process knows of itself. Its events and queues are linked into nginx's own.
pub(crate) struct ThisWorker {
    pub zone: SharedZone,
    pub entry: Entry,
    /// How many requests this process holds.
    pub held: Cell<u32>,
    /// How many of them have a connection of their own: streams of HTTP/2 have none.
    pub held_connections: Cell<usize>,
    /// How many of them are streams of HTTP/2, which share a connection.
    pub held_streams: Cell<usize>,
    /// Whether it is to leave, and whether that was said to the zone as the master's word.
    leaving: Cell<bool>,
    told: Cell<bool>,
    pub channel: Channel,
    /// Whether nginx is about to cut off whatever is left here.
    pub cut_off: Cell<bool>,
    cutting: Timer,
    /// The app that was served last.
    pub last: Cell<AppId>,
    pub complaints: Complaints,
    pub familiar: Familiar,
    /// What of a request's state is put back after a value has been read for it.
    pub kept: Cell<Kept>,
    /// The one that goes on at this moment; null as soon as it is gone.
    pub going_on: Cell<*const Mark>,
    /// Those whose turn it is.
    pub run: Queue<Mark>,
    pub halts: Halts,
    /// Those who were released, and are not finished.
    pub under_way: Queue<Mark>,
    pub under_way_count: Cell<usize>,
    pub in_flight: InFlight,
    /// How many pauses had ended when this worker's connections to the apps were last made anew.
    pub endings: Cell<u64>,
    /// The control requests that wait for an answer.
    pub waiting: Queue<Waiting>,
    pub turn: Timer,
    pub finishing: Timer,
    pub landing: Timer,
    pub looking: Timer,
    /// What no line in the log has told yet of released requests that failed.
    pub telling: Timer,
    /// The control requests that wait for what other workers have in flight.
    pub asking: Queue<Asking>,
    pub listening: Timer,
    pub saving: Saving,
    watch: Timer,
    lease: Timer,
}

impl ThisWorker {
    /// Its entry in the zone; none where there is none for it.
    pub(crate) fn id(&self) -> WorkerId {
        self.entry.id()
    }

    /// Whether it is to leave when its requests are done.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// What the master said, as far as the zone knows.
    pub(crate) fn orders(&self) -> Orders {
        if self.told.get() {
            Orders::Leave
        } else {
            Orders::Stay
        }
    }

    /// Whether nothing of what is left here needs an entry: at most tunnels.
    pub(crate) fn has_nothing_left(&self) -> bool {
        self.held.get() == 0
            && self.run.is_empty()
            && self.halts.is_empty()
            && self.under_way.is_empty()
            && self.waiting.is_empty()
            && self.asking.is_empty()
            && self.in_flight.iter().all(Mark::is_upgraded)
    }
}

// SAFETY: nginx runs all of a worker's callbacks on one thread.
unsafe impl Sync for ThisWorker {}
// SAFETY: as above.
unsafe impl Send for ThisWorker {}

static THIS: OnceCell<ThisWorker> = OnceCell::new();

/// This worker; none in the master, and none where the configuration has no http block.
pub(crate) fn this() -> Option<&'static ThisWorker> {
    THIS.get()
}

/// Whether this is that worker.
pub(crate) fn is_this(worker: WorkerId) -> bool {
    this().is_some_and(|this| this.id() == worker && worker.is_some())
}

/// What our own events have for a connection: at debug level nginx logs the descriptor of each.
struct NoConnection(UnsafeCell<ngx_connection_t>);

// SAFETY: nobody writes to it.
unsafe impl Sync for NoConnection {}

static NO_CONNECTION: NoConnection = {
    // SAFETY: plain C data, for which all zero is a value.
    let zero: ngx_connection_t = unsafe { core::mem::zeroed() };
    NoConnection(UnsafeCell::new(ngx_connection_t { fd: -1, ..zero }))
};

/// An event of our own, that only a timer or a post makes happen. It keeps no worker from leaving.
pub(crate) struct Timer(UnsafeCell<ngx_event_t>);

impl Timer {
    pub(crate) fn new(
        handler: unsafe extern "C" fn(*mut ngx_event_t),
        log: *mut nginx_sys::ngx_log_t,
    ) -> Self {
        // SAFETY: plain C data, for which all zero is a value.
        let mut event: ngx_event_t = unsafe { core::mem::zeroed() };
        event.handler = Some(handler);
        event.log = log;
        event.data = NO_CONNECTION.0.get().cast();
        flags::event::CANCELABLE.set(&mut event);
        Self(UnsafeCell::new(event))
    }

    pub(crate) fn event(&self) -> *mut ngx_event_t {
        self.0.get()
    }

    /// After so many ms, unless it is to happen already.
    pub(crate) fn start(&self, after: ngx_msec_t) {
        // SAFETY: our own event at its final place, on nginx's one thread.
        unsafe {
            if !flags::event::TIMER_SET.is_set(&*self.event()) {
                ngx_add_timer(self.event(), after);
            }
        }
    }

    /// After so many ms, or sooner if it is to happen then already.
    pub(crate) fn start_within(&self, after: ngx_msec_t) {
        // SAFETY: as above; a timer's key is when it is to happen.
        let later = unsafe {
            let event = &*self.event();
            flags::event::TIMER_SET.is_set(event)
                && event.timer.key > nginx_sys::ngx_current_msec + after
        };
        if later {
            self.set(None);
        }
        self.start(after);
    }

    /// At this time on the monotonic clock, whatever was set before; never where none.
    pub(crate) fn set(&self, at: Option<Msec>) {
        // SAFETY: as above.
        unsafe {
            if flags::event::TIMER_SET.is_set(&*self.event()) {
                ngx_del_timer(self.event());
            }
        }
        if let Some(at) = at {
            self.start((at.since(now().monotonic).0 as ngx_msec_t).min(LONGEST_TIMER));
        }
    }
}

pub(crate) extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx sets it before this is called, and never again. The cache manager and the
    // loader are started as workers are, but serve nobody.
    if unsafe { nginx_sys::ngx_process } == NGX_PROCESS_HELPER as ngx_uint_t {
        return NGX_OK as ngx_int_t;
    }
    // SAFETY: nginx passes the live cycle.
    let (log, conf) = unsafe { ((*cycle).log, conf::main_conf_in(&*cycle)) };
    let Some(zone) = conf.and_then(|conf| conf.zone) else { return NGX_OK as ngx_int_t };
    // First of all: as long as it is not there, a worker that leaves may seem to be the last.
    let entry = Entry::new(zone, log);
    let id = entry.id();
    reap::reap_dead_workers(&zone);
    let this = THIS.get_or_init(|| ThisWorker {
        zone,
        entry,
        held: Cell::new(0),
        held_connections: Cell::new(0),
        held_streams: Cell::new(0),
        leaving: Cell::new(false),
        told: Cell::new(false),
        channel: Channel::new(log),
        cut_off: Cell::new(false),
        cutting: Timer::new(on_cutting, log),
        last: Cell::new(AppId::NONE),
        complaints: Complaints::default(),
        familiar: Familiar::new(),
        kept: Cell::default(),
        going_on: Cell::new(core::ptr::null()),
        run: Queue::new(),
        halts: Halts::new(release::on_delayed, log),
        under_way: Queue::new(),
        under_way_count: Cell::new(0),
        in_flight: InFlight::new(zone.counts().row(id)),
        endings: Cell::new(zone.signals().endings()),
        waiting: Queue::new(),
        turn: Timer::new(release::on_turn, log),
        finishing: Timer::new(release::on_finishing, log),
        landing: Timer::new(in_flight::on_landing, log),
        looking: Timer::new(wait::on_looking, log),
        telling: Timer::new(failed::on_telling, log),
        asking: Queue::new(),
        listening: Timer::new(ask::on_listening, log),
        saving: Saving::new(log),
        watch: Timer::new(on_watch, log),
        lease: Timer::new(on_lease, log),
    });
    // At their final place.
    this.run.init();
    this.under_way.init();
    this.in_flight.init();
    this.waiting.init();
    this.asking.init();
    this.saving.init();
    this.channel.init();
    in_flight::refresh(this);
    if !id.is_some() {
        write(log, &WorkerLine::NoEntry);
    }
    if this.entry.init().is_err() {
        write(log, &WorkerLine::NoDoorbell);
        return nginx_sys::NGX_ERROR as ngx_int_t;
    }
    set_lease_timer();
    NGX_OK as ngx_int_t
}

pub(crate) extern "C" fn exit_process(_: *mut ngx_cycle_t) {
    if let Some(this) = this() {
        this.saving.finish();
        failed::tell_rest(this);
        this.entry.end();
        if channel::master_is_gone() {
            // Else the master says it, once.
            say_who_was_turned_away(&this.zone, log::cycle_log());
        }
    }
}

/// The doorbell rang: anything may have changed.
pub(crate) fn on_ring() {
    if let Some(this) = this() {
        in_flight::answer_questions(this);
        in_flight::watch(this);
        wait::look(this);
        saving::look(this);
        entry::give_way(this);
    }
    release::schedule();
    watch();
    set_lease_timer();
}

/// This worker is to leave when its requests are done: the master said so, or somebody by hand.
pub(crate) fn on_leaving() {
    if let Some(this) = this() {
        this.leaving.set(true);
        check_for_quit();
        if let Some(time) = shutdown_timeout() {
            // Early enough for the answers, and before nginx's own timer.
            this.cutting.start(time - (time / 10).clamp(1, LONGEST_NOTICE).min(time));
        }
    }
}

/// For how long a worker that is to leave goes on, if that has an end.
fn shutdown_timeout() -> Option<ngx_msec_t> {
    // SAFETY: the running cycle has the core's configuration.
    let time = unsafe { conf::core_of(nginx_sys::ngx_cycle).shutdown_timeout };
    Some(time).filter(|time| *time > 0)
}

/// nginx is about to close all connections: whoever waits here is answered.
extern "C" fn on_cutting(_: *mut ngx_event_t) {
    let Some(this) = this() else { return };
    this.cut_off.set(true);
    release::hurry(this);
    wait::look(this);
    release::schedule();
}

/// A worker that is told by hand says nothing of the others: the master runs on, and those held stay.
pub(crate) fn check_for_quit() {
    let Some(this) = this().filter(|this| this.leaving.get()) else { return };
    if !this.told.get() && this.channel.told_to_leave() {
        this.told.set(true);
        reap::reap_dead_workers(&this.zone);
        this.zone.visit(|zone| zone.told_to_leave(this.id()));
    }
}

/// Looks again soon whether somebody died, if a request held here may wait for him.
pub(crate) fn watch() {
    let Some(this) = this() else { return };
    if this.cut_off.get() {
        release::schedule();
    }
    let signals = this.zone.signals();
    let may_end = signals.any_moving() || signals.any_caller_waits();
    if this.held.get() > 0 && (this.leaving.get() || may_end) {
        this.watch.start(WATCH_INTERVAL);
    }
}

extern "C" fn on_watch(_: *mut ngx_event_t) {
    let Some(this) = this() else { return };
    check_for_quit();
    reap::reap_dead_workers(&this.zone);
    release::schedule();
    watch();
}

/// The first worker to see a lease end carries that out.
extern "C" fn on_lease(_: *mut ngx_event_t) {
    let Some(this) = this() else { return };
    while let Some((name, pause, ended)) = this.zone.visit(|zone| zone.end_lease()) {
        write_event(log::cycle_log(), &name, PauseEvent::LeaseEnded { pause, ended });
        saving::save(this);
    }
    set_lease_timer();
}

fn set_lease_timer() {
    let Some(this) = this() else { return };
    this.lease.set(this.zone.signals().next_lease());
}
