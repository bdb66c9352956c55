//! What is read without the lock, in every order in which it can be read: a request asks its gate
//! and then waits in line, while the operator pauses, stops and resumes, leases end, released
//! requests finish, and nginx quits.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --test loom`.
//!
//! In each test the threads that change the gates are older than the one that asks them: loom runs
//! the oldest first, and looks from a read back to the writes before it, but not always from a
//! write back to reads (a read by the writer itself in between hides them).
#![cfg(loom)]
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use intermission::app::{Cause, Now};
use intermission::gates::NameHash;
use intermission::ids::{AppId, Cookie, PauseId, Process, SlotId, WorkerId};
use intermission::pace::Pace;
use intermission::text::{Address, AppName};
use intermission::time::Msec;
use intermission::zone::owned::{Tables, Words};
use intermission::zone::{Arrival, Given, Turn, Wake, Which, Zone};
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

const ONE: WorkerId = WorkerId(0);
const TWO: WorkerId = WorkerId(1);

/// Time stands still.
const NOW: Now = Now { monotonic: Msec(1), wall: Msec(1) };

const CAUSE: Cause = Cause {
    fresh: PauseId(0),
    by: Address::EMPTY,
    reason: None,
    lease: None,
    pace: Pace { spread: Msec(0), concurrency: 0 },
};

/// What became of a request that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Passed,
    Held,
    TurnedAway,
}

/// The zone, its lock, the doorbells, and who went on, in that order.
struct Shared {
    words: Words,
    tables: Mutex<Tables>,
    bells: [AtomicBool; 2],
    gone_on: Mutex<Vec<Cookie>>,
    turned_away: Mutex<Vec<Cookie>>,
    /// Those who went on and count until they are finished.
    going: [Mutex<Vec<(SlotId, Cookie)>>; 2],
}

impl Shared {
    fn new(apps: usize) -> Arc<Self> {
        let words = Words::new(apps);
        let tables = Tables::new(&words, 2, 3);
        let shared = Self {
            words,
            tables: Mutex::new(tables),
            bells: [AtomicBool::new(false), AtomicBool::new(false)],
            gone_on: Mutex::new(Vec::new()),
            turned_away: Mutex::new(Vec::new()),
            going: [Mutex::new(Vec::new()), Mutex::new(Vec::new())],
        };
        for (worker, pid) in [(ONE, 1), (TWO, 2)] {
            let process = Process { started: 0, pid };
            assert_eq!(shared.visit(|zone| zone.register(process)), worker);
        }
        Arc::new(shared)
    }

    /// As a worker does: the bells ring once the lock is released.
    fn visit<R>(&self, f: impl FnOnce(&mut Zone<'_>) -> R) -> R {
        let mut tables = self.tables.lock().unwrap();
        let (result, effects) = tables.visit(&self.words, NOW, f);
        drop(tables);
        // A store instead may be lost to a swap that came before it: loom knows less than C11.
        let ring = |worker: WorkerId| {
            self.bells[worker.index()].swap(true, Ordering::AcqRel);
        };
        match effects.wake {
            Wake::Nobody => {}
            Wake::One(worker) => ring(worker),
            Wake::All => [ONE, TWO].into_iter().for_each(ring),
        }
        result
    }

    /// A worker is killed in its visit, when it has done `f`.
    fn visit_and_die(&self, f: impl FnOnce(&mut Zone<'_>)) {
        let mut tables = self.tables.lock().unwrap();
        let mut zone = tables.lend(&self.words, NOW);
        zone.enter();
        f(&mut zone);
    }

    fn enable(&self, app: &AppName) {
        self.enable_for(app, CAUSE);
    }

    fn enable_for(&self, app: &AppName, cause: Cause) {
        let enabled = self.visit(|zone| zone.enable(app, Which::Any, cause, false));
        assert!(enabled.is_ok());
    }

    fn stop(&self, app: &AppName) {
        assert!(self.visit(|zone| zone.stop(app, Which::Any, CAUSE, false)).is_ok());
    }

    fn disable(&self, app: &AppName) {
        assert!(self.visit(|zone| zone.disable(app, Which::Any, |pace| pace)).is_ok());
    }

    /// A request comes to a worker.
    fn comes(&self, app: &AppName, owner: WorkerId, cookie: Cookie) -> Came {
        let gates = self.words.gates();
        let gate = if gates.all_open() { None } else { gates.find(NameHash::of(app.as_bytes())) };
        let most = u32::MAX;
        let arrival = gate.map(|id| self.visit(|zone| zone.arrive(id, app, owner, cookie, most)));
        match arrival {
            None | Some(Arrival::Passes) => {
                self.gone_on.lock().unwrap().push(cookie);
                Came::Passed
            }
            Some(Arrival::Held { .. }) => Came::Held,
            Some(Arrival::Stopped { .. }) => Came::TurnedAway,
            Some(Arrival::Rejected { .. }) => panic!("there is room"),
        }
    }

    fn is_held(&self, app: &AppName, owner: WorkerId, cookie: Cookie) -> bool {
        self.comes(app, owner, cookie) == Came::Held
    }

    /// Whether a worker's bell rang; what is heard is heard once.
    fn hears(&self, worker: WorkerId) -> bool {
        self.bells[worker.index()].swap(false, Ordering::AcqRel)
    }

    /// A worker that heard its bell takes turns until there is none for it.
    fn turns(&self, me: WorkerId) {
        if !self.words.gates().any_moving() {
            return;
        }
        loop {
            let mut run: Vec<Given> = Vec::new();
            let last = AppId::NONE;
            let (_, turn) = self.visit(|zone| zone.take_turn(me, last, 2, |given| run.push(given)));
            let cookies = run.iter().map(|given| given.cookie);
            match turn {
                Turn::Release(app) => {
                    self.gone_on.lock().unwrap().extend(cookies);
                    let counted = run.iter().filter_map(|one| Some((one.counted?, one.cookie)));
                    self.going[me.index()].lock().unwrap().extend(counted);
                    self.visit(|zone| zone.give_back(app, me, run.len() as u32, 0));
                }
                Turn::TurnAway { .. } => self.turned_away.lock().unwrap().extend(cookies),
                Turn::Nobody => return,
                Turn::Later(_) => panic!("nothing is spread"),
            }
        }
    }

    /// One of those whom a worker let go on is finished; returns whether there was one.
    fn finishes(&self, me: WorkerId) -> bool {
        let one = self.going[me.index()].lock().unwrap().pop();
        one.map(|(slot, cookie)| self.visit(|zone| zone.finish(slot, me, cookie))).is_some()
    }

    /// All that is left to do is what the bells that rang say, and that those who went on finish.
    fn settle(&self) -> Vec<Cookie> {
        loop {
            if let Some(worker) = [ONE, TWO].into_iter().find(|worker| self.hears(*worker)) {
                self.turns(worker);
            } else if !self.finishes(ONE) && !self.finishes(TWO) {
                break;
            }
        }
        assert_eq!(self.visit(|zone| zone.slots_used()), 0, "somebody was forgotten");
        assert!(!self.words.gates().any_moving());
        self.gone_on.lock().unwrap().clone()
    }

    /// As [`Self::settle`], where no pause is left.
    fn settle_open(&self) -> Vec<Cookie> {
        let gone_on = self.settle();
        assert!(self.words.gates().all_open());
        gone_on
    }
}

/// Another worker, or another request's.
fn spawn<R: 'static>(
    shared: &Arc<Shared>,
    f: impl FnOnce(&Shared) -> R + 'static,
) -> thread::JoinHandle<R> {
    let shared = Arc::clone(shared);
    thread::spawn(move || f(&shared))
}

/// A worker that was or was not woken yet.
fn may_turn(shared: &Shared, me: WorkerId) {
    if shared.hears(me) {
        shared.turns(me);
    }
}

fn name(text: &str) -> AppName {
    AppName::new(text.as_bytes()).unwrap()
}

#[test]
fn who_is_held_as_the_pause_ends_is_woken() {
    loom::model(|| {
        let shared = Shared::new(1);
        let worker = spawn(&shared, |shared| {
            // It may hear its bell before the request comes.
            may_turn(shared, ONE);
            shared.comes(&name(""), ONE, Cookie(1));
        });
        shared.enable(&name(""));
        shared.disable(&name(""));
        worker.join().unwrap();
        assert_eq!(shared.settle_open(), [Cookie(1)]);
    });
}

#[test]
fn who_comes_during_a_drain_goes_behind_and_is_woken() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        assert!(shared.is_held(&name(""), TWO, Cookie(1)));
        shared.disable(&name(""));
        assert!(shared.hears(ONE) && shared.hears(TWO));
        let newcomer = spawn(&shared, |shared| shared.comes(&name(""), ONE, Cookie(2)));
        shared.turns(TWO);
        newcomer.join().unwrap();
        assert_eq!(shared.settle_open(), [Cookie(1), Cookie(2)]);
    });
}

#[test]
fn who_comes_as_the_pause_ends_does_not_overtake() {
    // With three threads all orders take minutes; what is wrong shows after few preemptions.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        assert!(shared.is_held(&name(""), TWO, Cookie(1)));
        let other = spawn(&shared, |shared| may_turn(shared, TWO));
        let newcomer = spawn(&shared, |shared| {
            shared.comes(&name(""), ONE, Cookie(2));
            may_turn(shared, ONE);
        });
        shared.disable(&name(""));
        other.join().unwrap();
        newcomer.join().unwrap();
        assert_eq!(shared.settle_open(), [Cookie(1), Cookie(2)]);
    });
}

#[test]
fn two_workers_that_release_at_once_keep_the_order() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        for (owner, cookie) in [(ONE, 1), (TWO, 2), (ONE, 3)] {
            assert!(shared.is_held(&name(""), owner, Cookie(cookie)));
        }
        shared.disable(&name(""));
        let other = spawn(&shared, |shared| may_turn(shared, TWO));
        may_turn(&shared, ONE);
        other.join().unwrap();
        assert_eq!(shared.settle_open(), [Cookie(1), Cookie(2), Cookie(3)]);
    });
}

#[test]
fn who_comes_once_a_pause_was_answered_is_held_whatever_befalls_other_apps() {
    loom::model(|| {
        let shared = Shared::new(2);
        shared.enable(&name("other"));
        shared.enable(&name("app"));
        let request = spawn(&shared, |shared| shared.is_held(&name("app"), ONE, Cookie(1)));
        shared.disable(&name("other"));
        shared.enable(&name("other"));
        assert!(request.join().unwrap());
    });
}

#[test]
fn who_comes_once_a_pause_was_answered_is_held_though_the_zone_is_being_repaired() {
    loom::model(|| {
        let shared = Shared::new(2);
        shared.enable(&name("other"));
        shared.enable(&name("app"));
        shared.visit_and_die(|zone| {
            assert!(zone.disable(&name("other"), Which::Any, |pace| pace).is_ok());
        });
        let request = spawn(&shared, |shared| shared.is_held(&name("app"), ONE, Cookie(1)));
        shared.visit(|_| ());
        assert!(request.join().unwrap());
    });
}

#[test]
fn who_is_held_as_the_app_is_stopped_is_turned_away() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        let worker = spawn(&shared, |shared| {
            let came = shared.comes(&name(""), ONE, Cookie(1));
            may_turn(shared, ONE);
            came
        });
        shared.stop(&name(""));
        let came = worker.join().unwrap();
        assert_eq!(shared.settle(), []);
        let turned_away = shared.turned_away.lock().unwrap().len();
        assert_eq!(turned_away, usize::from(came == Came::Held), "{came:?}");
    });
}

#[test]
fn a_stop_during_a_run_forgets_nobody_and_turns_nobody_away_who_went_on() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        assert!(shared.is_held(&name(""), ONE, Cookie(1)));
        assert!(shared.is_held(&name(""), TWO, Cookie(2)));
        shared.disable(&name(""));
        let worker = spawn(&shared, |shared| may_turn(shared, ONE));
        shared.stop(&name(""));
        worker.join().unwrap();
        let mut all = shared.settle();
        assert!(all.is_empty() || all[0] == Cookie(1));
        all.extend(shared.turned_away.lock().unwrap().iter());
        all.sort_by_key(|cookie| cookie.0);
        assert_eq!(all, [Cookie(1), Cookie(2)]);
    });
}

#[test]
fn who_finishes_as_the_next_one_looks_for_room_wakes_it() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared
            .enable_for(&name(""), Cause { pace: Pace { concurrency: 1, ..CAUSE.pace }, ..CAUSE });
        assert!(shared.is_held(&name(""), ONE, Cookie(1)));
        assert!(shared.is_held(&name(""), TWO, Cookie(2)));
        shared.disable(&name(""));
        let worker = spawn(&shared, |shared| may_turn(shared, TWO));
        may_turn(&shared, ONE);
        assert!(shared.finishes(ONE));
        worker.join().unwrap();
        assert_eq!(shared.settle_open(), [Cookie(1), Cookie(2)]);
    });
}

#[test]
fn who_is_held_as_the_lease_ends_is_woken_though_all_workers_see_it_end() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable_for(&name(""), Cause { lease: Some(Msec(0)), ..CAUSE });
        assert_eq!(shared.words.gates().next_lease(), Some(NOW.monotonic));
        let worker = spawn(&shared, |shared| {
            shared.comes(&name(""), ONE, Cookie(1));
            shared.visit(|zone| zone.end_lease()).is_some()
        });
        let ended = shared.visit(|zone| zone.end_lease()).is_some();
        assert_ne!(worker.join().unwrap(), ended, "it is told once");
        assert_eq!(shared.words.gates().next_lease(), None);
        assert_eq!(shared.settle_open(), [Cookie(1)]);
    });
}

#[test]
fn who_comes_as_nginx_quits_is_turned_away() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        shared.visit(|zone| zone.leaving(TWO));
        let worker = spawn(&shared, |shared| {
            let came = shared.comes(&name(""), TWO, Cookie(1));
            may_turn(shared, TWO);
            came
        });
        shared.visit(|zone| zone.leaving(ONE));
        let came = worker.join().unwrap();
        assert_ne!(came, Came::Passed);
        assert_eq!(shared.settle(), []);
        assert_eq!(shared.turned_away.lock().unwrap().len(), usize::from(came == Came::Held));
    });
}

#[test]
fn two_workers_that_are_told_to_leave_at_once_both_turn_away() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        assert!(shared.is_held(&name(""), ONE, Cookie(1)));
        assert!(shared.is_held(&name(""), TWO, Cookie(2)));
        let told = |shared: &Shared, me| {
            shared.visit(|zone| zone.leaving(me));
            may_turn(shared, me);
        };
        let other = spawn(&shared, move |shared| told(shared, TWO));
        told(&shared, ONE);
        other.join().unwrap();
        assert_eq!(shared.settle(), []);
        assert_eq!(shared.turned_away.lock().unwrap().len(), 2);
    });
}
