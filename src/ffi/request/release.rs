//! This worker's turn: it takes an app's baton, lets its own requests go on in the order of the line,
//! and gives the baton back.

use core::cell::Cell;

use nginx_sys::{ngx_int_t, ngx_msec_t, NGX_HTTP_INTERNAL_SERVER_ERROR};

use super::halt::{self, Halts};
use super::mark::{self, Mark, Stage};
use super::{held, in_flight, lookout, room};
use crate::ffi::nginx::cycle::now;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::posting::Post;
use crate::ffi::nginx::queue::Queue;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::nginx::{kept, take_back};
use crate::ffi::worker::reap;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::ids::{AppId, Cookie};
use crate::shared::app::Spacing;
use crate::time::Msec;
use crate::zone::{Given, Spare, Turn};

/// A released request that takes longer than this counts as finished.
const LONG: Msec = Msec(10_000);

/// How often the released requests are looked at, in ms.
const RELEASED_INTERVAL: ngx_msec_t = 500;

/// While a line moves, a caller waits or nginx may be quitting, workers that hold requests look this
/// often whether another worker died, in ms.
const WATCH_INTERVAL: ngx_msec_t = 200;

/// The requests that were taken out of the line just now.
static GRANTED: Queue<Mark> = Queue::new(Mark::turn);

/// The requests that were released and are not finished, and how many they are.
static RELEASED: Queue<Mark> = Queue::new(Mark::turn);
static UNFINISHED: PerWorker<Cell<usize>> = PerWorker::new(Cell::new(0));

static HALTS: Halts = Halts::new(on_delayed);

/// The request that [`resume`] lets go on at this moment. None as soon as it is gone: it may end within
/// the call.
static RESUMING: PerWorker<Cell<Option<Cookie>>> = PerWorker::new(Cell::new(None));

/// The app that had this worker's last turn. The next turn is another app's, if that has one.
static LAST: PerWorker<Cell<AppId>> = PerWorker::new(Cell::new(AppId::NONE));

/// How many pauses had ended when this worker last closed its idle connections to upstreams.
static ENDINGS: PerWorker<Cell<u64>> = PerWorker::new(Cell::new(0));

/// Whether a request that is finished may give the room that the next one in line lacks here.
static LACKS_ROOM: PerWorker<Cell<bool>> = PerWorker::new(Cell::new(false));

static TURN: Timer = Timer::new(on_turn);
static RELEASED_TIMER: Timer = Timer::new(on_released_timer);
static DEATH_WATCH: Timer = Timer::new(on_watch);

/// The worker begins: it has no connections to upstreams from before the last pause.
pub(crate) fn begin(this: &ThisWorker) {
    ENDINGS.set(this.zone.signals().endings());
    lookout::begin(on_turn, schedule);
}

/// Whether no request of this worker is between its turn and its end.
pub(crate) fn is_empty() -> bool {
    GRANTED.is_empty() && RELEASED.is_empty() && HALTS.is_empty()
}

/// Posts an event that looks whether it is this worker's turn, if it can be.
pub(crate) fn schedule(when: Post) {
    let Some(this) = ThisWorker::current() else { return };
    if held::any() && (this.cut_off.get() || this.zone.signals().any_moving()) {
        TURN.post(when);
    }
}

/// If a request held here may wait for another worker, starts the timer that looks whether one died.
pub(crate) fn watch_for_deaths() {
    let Some(this) = ThisWorker::current() else { return };
    if this.cut_off.get() {
        schedule(Post::Now);
    }
    let signals = this.zone.signals();
    let may_end = signals.any_moving() || signals.any_caller_waits();
    if held::any() && (this.is_leaving() || may_end) {
        DEATH_WATCH.start(WATCH_INTERVAL);
    }
}

fn on_watch() {
    let Some(this) = ThisWorker::current() else { return };
    this.check_for_quit();
    reap::reap_dead_workers(&this.zone);
    schedule(Post::Now);
    watch_for_deaths();
}

/// If a pause has ended since the last time, closes the idle connections to upstreams: the app may
/// have gone away without closing them. nginx would find that out with the first request that it sends
/// on one, and would answer 502 if it may not send that one again.
pub(crate) fn freshen_connections(this: &ThisWorker) {
    let endings = this.zone.signals().endings();
    if ENDINGS.replace(endings) != endings {
        kept::close_all();
    }
}

/// It may be this worker's turn: posted, or the next request of a paced drain is due.
fn on_turn() {
    let Some(this) = ThisWorker::current() else { return };
    lookout::hear(this);
    let starting = || RELEASED.iter().filter(|mark| mark.is_starting()).count();
    let all = room::for_release(UNFINISHED.get(), starting);
    LACKS_ROOM.set(all == 0);
    let mut passed_on = None;
    // The last turn, without room, gives back the baton of the one before.
    for room in (0..=all).rev() {
        let spare = if room > 0 { Spare::One } else { Spare::None };
        let turn = take_turn(this, passed_on.take(), spare);
        if room == 0 && all > 0 {
            schedule(Post::NextTurn);
        }
        match turn {
            Turn::Nobody if room < all => return lookout::turn_is_over(),
            Turn::Nobody => return,
            Turn::Later(at) => return TURN.set(Some(at)),
            Turn::TurnAway { retry_after } => {
                while let Some(mark) = GRANTED.pop() {
                    mark.end_hold(Stage::Stopped { retry_after });
                    mark.r().wake();
                }
                return schedule(Post::NextTurn);
            }
            Turn::Release(app, spacing) => {
                freshen_connections(this);
                passed_on = let_go(this, app, spacing);
            }
        }
    }
}

/// Gives back the baton of the app of which a request was passed on, and takes the next turn. Requests
/// are taken one at a time: those behind a delayed one stay in line, where a stop still finds them.
fn take_turn(this: &ThisWorker, passed_on: Option<AppId>, spare: Spare) -> Turn {
    let (last, turn) = this.zone.visit(|zone| {
        if let Some(app) = passed_on {
            zone.give_back(app, this.id());
        }
        if this.cut_off.get() {
            (LAST.get(), zone.cut_off(this.id(), grant))
        } else {
            zone.take_turn(this.id(), LAST.get(), spare, grant)
        }
    });
    LAST.set(last);
    turn
}

/// A request of this worker is taken out of the line. Called under the zone's lock.
fn grant(given: Given) {
    // SAFETY: the zone gives this worker its own cookies only: addresses of its marks. A mark that goes
    // takes its slot out of the line, so the mark is there.
    let mark: &'static Mark = unsafe { &*(given.cookie.0 as usize as *const Mark) };
    mark.grant(&given);
    GRANTED.push(mark);
}

/// Lets the granted request go on. Returns its app, whose baton is then given back; None if the
/// request is delayed, and this worker keeps the baton.
fn let_go(this: &ThisWorker, app: AppId, spacing: Spacing) -> Option<AppId> {
    let mut delayed = None;
    while let Some(mark) = GRANTED.pop() {
        let there = resume(this, mark.r());
        let released = there.filter(|mark| mark.stage.get() == Stage::Released);
        delayed = released.filter(|mark| spacing == Spacing::OneByOne && halt::is_delayed(mark));
    }
    let Some(delayed) = delayed else { return Some(app) };
    this.zone.visit(|zone| zone.halt(app, this.id()));
    HALTS.begin(app, delayed, now().monotonic);
    None
}

/// The hold of a request ends by its turn: it goes on within this call, which may end it and other
/// requests. Returns its mark if it is still there.
fn resume(this: &ThisWorker, r: Request) -> Option<&'static Mark> {
    let mark = mark::find(r)?;
    mark.end_hold(Stage::Released);
    start(mark);
    in_flight::start(this, mark);
    RESUMING.set(Some(mark.cookie()));
    r.wake_to(go_on);
    if RESUMING.get().is_some() {
        r.read_if_posted();
    }
    RESUMING.take().and_then(|_| mark::find(r))
}

/// nginx runs the phases from the gate's on: the gate lets it pass. One that has come back goes to its
/// upstream at once.
pub(crate) extern "C" fn go_on(r: Request) {
    let came_back = mark::find(r).is_some_and(Mark::has_come_back);
    match r.rearm_read() {
        Ok(()) if came_back => take_back::try_again(r),
        Ok(()) => r.run_phases(),
        Err(_) => r.finalize(NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t),
    }
}

/// A request is gone: no pointer to it is kept here.
pub(crate) fn forget(mark: &Mark) {
    if RESUMING.get() == Some(mark.cookie()) {
        RESUMING.set(None);
    }
    HALTS.forget(mark);
}

/// Gives back the batons of the lines whose delayed request goes to the app, is gone, or took too long.
fn on_delayed() {
    let Some(this) = ThisWorker::current() else { return };
    let now = now().monotonic;
    while let Some(halt) = HALTS.take_ended(now) {
        this.zone.visit(|zone| {
            if halt.is_late(now) {
                zone.hurry(halt.app, this.id());
            }
            zone.give_back(halt.app, this.id());
        });
    }
    HALTS.look_again(now);
    schedule(Post::Now);
}

/// nginx is about to close all connections: no line waits for a delayed request of this worker any more.
pub(crate) fn end_halts(this: &ThisWorker) {
    while let Some(halt) = HALTS.take_any() {
        this.zone.visit(|zone| zone.give_back(halt.app, this.id()));
    }
}

/// A request is released: it counts as unfinished from now on.
fn start(mark: &'static Mark) {
    RELEASED.push(mark);
    UNFINISHED.set(UNFINISHED.get() + 1);
    RELEASED_TIMER.start(RELEASED_INTERVAL);
}

/// A request that was passed on is held again, or turned away. A slot that it had kept holds it, or is free.
pub(crate) fn comes_back(mark: &Mark) {
    if mark.turn().is_linked() {
        mark.turn().leave();
        UNFINISHED.set(UNFINISHED.get().saturating_sub(1));
    }
    if let Some(hold) = mark.hold() {
        hold.kept_slot.set(None);
    }
}

/// A released request is finished, or counts as finished: another one may have its room.
pub(crate) fn finish(this: &ThisWorker, mark: &Mark) {
    mark.turn().leave();
    UNFINISHED.set(UNFINISHED.get().saturating_sub(1));
    free_slot(this, mark);
    // Until then the zone hears of the room with each request that comes.
    if !held::any() && UNFINISHED.get() == 0 {
        this.zone.visit(|zone| zone.set_room(this.id(), room::of(this)));
    }
    if LACKS_ROOM.get() {
        schedule(Post::NextTurn);
    }
}

/// If a granted or released request keeps a slot, frees it.
pub(crate) fn free_slot(this: &ThisWorker, mark: &Mark) {
    if let Some(slot) = mark.hold().and_then(|hold| hold.kept_slot.take()) {
        this.zone.visit(|zone| zone.finish(slot, this.id(), mark.cookie()));
    }
}

/// Finishes the released requests that take long, whose answer is complete, or that became tunnels.
fn on_released_timer() {
    let Some(this) = ThisWorker::current() else { return };
    let now = now().monotonic;
    for mark in RELEASED.iter() {
        let long = now.since(mark.released_at()) >= LONG;
        if long || mark.is_upgraded() || mark.is_answered() {
            finish(this, mark);
        }
    }
    if !RELEASED.is_empty() {
        RELEASED_TIMER.start(RELEASED_INTERVAL);
    }
}
