//! This worker process: its place in the zone, and its eye on those who died.

use core::cell::{Cell, UnsafeCell};

use nginx_sys::{
    ngx_add_timer, ngx_cycle_t, ngx_event_t, ngx_http_conf_ctx_t, ngx_int_t, ngx_msec_t,
    ngx_queue_t, NGX_OK,
};
use once_cell::sync::OnceCell;

use super::conf::MainConf;
use super::log::{write, Complaints, Level};
use super::zone::SharedZone;
use super::{doorbell, module, release};
use crate::ids::{AppId, Process, WorkerId};
use crate::zone::Zone;

/// While a line moves, those who wait in it look this often whether somebody died, in ms.
const WATCH_INTERVAL: ngx_msec_t = 200;

/// What this process knows of itself. Events and the queue are linked into nginx's own lists.
pub(super) struct ThisWorker {
    pub zone: SharedZone,
    pub id: WorkerId,
    process: Process,
    /// How many requests this process holds.
    pub held: Cell<u32>,
    /// The app that was served last.
    pub last: Cell<AppId>,
    /// How many of the run under way left before their turn.
    pub left: Cell<u32>,
    pub complaints: Complaints,
    pub run: UnsafeCell<ngx_queue_t>,
    pub turn: UnsafeCell<ngx_event_t>,
    watch: UnsafeCell<ngx_event_t>,
}

// SAFETY: nginx runs all of a worker's callbacks on one thread.
unsafe impl Sync for ThisWorker {}
// SAFETY: as above.
unsafe impl Send for ThisWorker {}

static THIS: OnceCell<ThisWorker> = OnceCell::new();

/// This worker; none in the master, and none where the configuration has no http block.
pub(super) fn this() -> Option<&'static ThisWorker> {
    THIS.get()
}

/// Whether this is that worker.
pub(super) fn is_this(worker: WorkerId) -> bool {
    this().is_some_and(|this| this.id == worker && worker.is_some())
}

pub(super) extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes the live cycle.
    let (log, conf) = unsafe { ((*cycle).log, main_conf(&*cycle)) };
    let Some(zone) = conf.and_then(|conf| conf.zone) else {
        return NGX_OK as ngx_int_t;
    };
    let process = this_process();
    bury_the_dead(&zone);
    let id = zone.visit(|zone| zone.register(process));
    // SAFETY: plain C data, for which all zero is a value.
    let (run, mut turn, mut watch): (ngx_queue_t, ngx_event_t, ngx_event_t) =
        unsafe { core::mem::zeroed() };
    turn.handler = Some(release::on_turn);
    turn.log = log;
    watch.handler = Some(on_watch);
    watch.log = log;
    watch.set_cancelable(1);
    let this = THIS.get_or_init(|| ThisWorker {
        zone,
        id,
        process,
        held: Cell::new(0),
        last: Cell::new(AppId::NONE),
        left: Cell::new(0),
        complaints: Complaints::default(),
        run: UnsafeCell::new(run),
        turn: UnsafeCell::new(turn),
        watch: UnsafeCell::new(watch),
    });
    // SAFETY: the queue is at its final place.
    unsafe { nginx_sys::ngx_queue_init(this.run.get()) };
    if !id.is_some() {
        let full = format_args!(
            "intermission: the table of workers is full: this worker holds nobody, and turns \
             away whom it should hold; make \"intermission_zone\" larger"
        );
        write(Level::Error, log, full);
    } else if doorbell::listen(&zone, id).is_err() {
        let deaf = format_args!("intermission: no connection for the doorbell");
        write(Level::Emerg, log, deaf);
        return nginx_sys::NGX_ERROR as ngx_int_t;
    }
    NGX_OK as ngx_int_t
}

pub(super) extern "C" fn exit_process(_: *mut ngx_cycle_t) {
    if let Some(this) = this() {
        this.zone.visit(|zone| zone.bury(this.id, this.process));
    }
}

fn main_conf(cycle: &ngx_cycle_t) -> Option<&MainConf> {
    // SAFETY: a cycle's table has a place for every module; the http core's is null without an
    // http block, else its context, whose main configurations include ours.
    unsafe {
        let context = cycle.conf_ctx.add(nginx_sys::ngx_http_module.index).read();
        let context = context.cast::<ngx_http_conf_ctx_t>().as_ref()?;
        context
            .main_conf
            .add(module::context_index())
            .read()
            .cast::<MainConf>()
            .as_ref()
    }
}

/// Looks again soon whether somebody died, if a request held here may wait for him.
pub(super) fn watch() {
    let Some(this) = this() else { return };
    // SAFETY: our own event, on nginx's one thread.
    let watch = unsafe { &mut *this.watch.get() };
    if this.held.get() > 0 && this.zone.gates().any_moving() && watch.timer_set() == 0 {
        // SAFETY: as above.
        unsafe { ngx_add_timer(watch, WATCH_INTERVAL) };
    }
}

extern "C" fn on_watch(_: *mut ngx_event_t) {
    let Some(this) = this() else { return };
    bury_the_dead(&this.zone);
    release::schedule();
    watch();
}

/// Takes the requests of workers that are gone out of every line.
pub(super) fn bury_the_dead(zone: &SharedZone) {
    let mut dead = Vec::new();
    let known = zone.visit(|zone| zone.workers.len());
    dead.reserve_exact(known);
    zone.visit(|zone| dead.extend(processes(zone)));
    dead.retain(|(_, process)| is_gone(*process));
    for (id, process) in dead {
        zone.visit(|zone| zone.bury(id, process));
    }
}

fn processes<'a>(zone: &'a Zone<'_>) -> impl Iterator<Item = (WorkerId, Process)> + 'a {
    let workers = zone.workers.iter().enumerate();
    workers.filter_map(|(index, worker)| Some((WorkerId::at(index), worker.process()?)))
}

fn this_process() -> Process {
    // SAFETY: no preconditions.
    let pid = unsafe { libc::getpid() };
    Process {
        pid,
        started: started(pid).unwrap_or(0),
    }
}

/// Whether a process has ended; another one may have its number by now.
fn is_gone(process: Process) -> bool {
    // SAFETY: signal 0 is sent to nobody.
    let none = unsafe { libc::kill(process.pid, 0) } != 0
        && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
    none || started(process.pid).is_some_and(|started| started != process.started)
}

/// When a process started, from proc(5); 0 for one that has ended and only waits to be reaped.
fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field, a name in parentheses, may hold anything.
    let rest = stat.rsplitn(2, |byte| *byte == b')').next()?;
    let mut fields = core::str::from_utf8(rest).ok()?.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => Some(0),
        _ => fields.nth(18)?.parse().ok(),
    }
}
