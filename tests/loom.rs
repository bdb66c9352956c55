//! What is read without the lock, in every order in which it can be read: a request asks its gate
//! and then waits in line, while the operator pauses and resumes.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --test loom`.
//!
//! In each test the threads that change the gates are older than the one that asks them: loom runs
//! the oldest first, and looks from a read back to the writes before it, but not always from a
//! write back to reads (a read by the writer itself in between hides them).
#![cfg(loom)]
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use intermission::app::Now;
use intermission::gates::NameHash;
use intermission::ids::{AppId, Cookie, Process, WorkerId};
use intermission::text::{Address, AppName};
use intermission::zone::owned::{Tables, Words};
use intermission::zone::{Arrival, Wake, Which, Zone};
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

const ONE: WorkerId = WorkerId(0);
const TWO: WorkerId = WorkerId(1);

/// The zone, its lock, the doorbells, and who went on, in that order.
struct Shared {
    words: Words,
    tables: Mutex<Tables>,
    bells: [AtomicBool; 2],
    gone_on: Mutex<Vec<Cookie>>,
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
        let (result, effects) = tables.visit(&self.words, Now::default(), f);
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
        let mut zone = tables.lend(&self.words, Now::default());
        zone.enter();
        f(&mut zone);
    }

    fn enable(&self, app: &AppName) {
        let enabled = self.visit(|zone| zone.enable(app, Which::Any, Address::EMPTY, None));
        assert!(enabled.is_ok());
    }

    fn disable(&self, app: &AppName) {
        assert!(self.visit(|zone| zone.disable(app, Which::Any)).is_ok());
    }

    /// A request comes to a worker; returns whether it is held.
    fn comes(&self, app: &AppName, owner: WorkerId, cookie: Cookie) -> bool {
        let gates = self.words.gates();
        let gate = if gates.all_open() {
            None
        } else {
            gates.find(NameHash::of(app.as_bytes()))
        };
        let arrival = gate.map(|id| self.visit(|zone| zone.arrive(id, app, owner, cookie)));
        match arrival {
            None | Some(Arrival::Passes) => {
                self.gone_on.lock().unwrap().push(cookie);
                false
            }
            Some(Arrival::Held { .. }) => true,
            Some(Arrival::Rejected { .. }) => panic!("there is room"),
        }
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
        let mut run = Vec::new();
        while let Some(app) =
            self.visit(|zone| zone.take_run(me, AppId::NONE, 2, |cookie| run.push(cookie)))
        {
            let passed_on = run.len() as u32;
            self.gone_on.lock().unwrap().append(&mut run);
            self.visit(|zone| zone.give_back(app, me, passed_on, 0));
        }
    }

    /// All that is left to do is what the bells that rang say.
    fn settle(&self) -> Vec<Cookie> {
        while let Some(worker) = [ONE, TWO].into_iter().find(|worker| self.hears(*worker)) {
            self.turns(worker);
        }
        assert!(!self.visit(|zone| zone.busy()), "somebody was forgotten");
        assert!(self.words.gates().all_open() && !self.words.gates().any_moving());
        self.gone_on.lock().unwrap().clone()
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
        assert_eq!(shared.settle(), [Cookie(1)]);
    });
}

#[test]
fn who_comes_during_a_drain_goes_behind_and_is_woken() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        assert!(shared.comes(&name(""), TWO, Cookie(1)));
        shared.disable(&name(""));
        assert!(shared.hears(ONE) && shared.hears(TWO));
        let newcomer = spawn(&shared, |shared| shared.comes(&name(""), ONE, Cookie(2)));
        shared.turns(TWO);
        newcomer.join().unwrap();
        assert_eq!(shared.settle(), [Cookie(1), Cookie(2)]);
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
        assert!(shared.comes(&name(""), TWO, Cookie(1)));
        let other = spawn(&shared, |shared| may_turn(shared, TWO));
        let newcomer = spawn(&shared, |shared| {
            shared.comes(&name(""), ONE, Cookie(2));
            may_turn(shared, ONE);
        });
        shared.disable(&name(""));
        other.join().unwrap();
        newcomer.join().unwrap();
        assert_eq!(shared.settle(), [Cookie(1), Cookie(2)]);
    });
}

#[test]
fn two_workers_that_release_at_once_keep_the_order() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        for (owner, cookie) in [(ONE, 1), (TWO, 2), (ONE, 3)] {
            assert!(shared.comes(&name(""), owner, Cookie(cookie)));
        }
        shared.disable(&name(""));
        let other = spawn(&shared, |shared| may_turn(shared, TWO));
        may_turn(&shared, ONE);
        other.join().unwrap();
        assert_eq!(shared.settle(), [Cookie(1), Cookie(2), Cookie(3)]);
    });
}

#[test]
fn who_comes_once_a_pause_was_answered_is_held_whatever_befalls_other_apps() {
    loom::model(|| {
        let shared = Shared::new(2);
        shared.enable(&name("other"));
        shared.enable(&name("app"));
        let request = spawn(&shared, |shared| shared.comes(&name("app"), ONE, Cookie(1)));
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
            assert!(zone.disable(&name("other"), Which::Any).is_ok());
        });
        let request = spawn(&shared, |shared| shared.comes(&name("app"), ONE, Cookie(1)));
        shared.visit(|_| ());
        assert!(request.join().unwrap());
    });
}
