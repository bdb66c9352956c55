//! What is read without the lock, in every order of reads and writes: requests look at their gates and
//! wait in line, while the operator pauses, stops and resumes, leases end, released requests finish,
//! and nginx quits.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --test loom`.
//!
//! In each test the threads that write the gates are older than the one that reads them. loom runs the
//! oldest thread first; then it tries each read with earlier writes. It does not always try a write
//! with earlier reads: a read by the writer itself hides them.
#![cfg(loom)]
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

#[path = "loom/shared.rs"]
mod shared;

use intermission::ids::{Cookie, Process};
use intermission::shared::holder::{Holder, Name};
use intermission::shared::pace::Pace;
use intermission::shared::terms::PauseRequest;
use intermission::text::Address;
use intermission::time::Msec;
use intermission::zone::Expected;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::sync::Arc;
use loom::thread::JoinHandle;
use shared::{may_turn, name, spawn, Came, InFlight, Shared, NOW, ONE, PLAIN, TWO};

#[test]
fn a_request_held_as_the_pause_ends_is_woken() {
    loom::model(|| {
        let shared = Shared::new(1);
        let worker = spawn(&shared, |shared| {
            // Its bell may ring before the request comes.
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
fn a_request_during_a_drain_is_held_behind_it_and_woken() {
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
fn a_request_that_comes_as_the_pause_ends_does_not_overtake() {
    // All orders of three threads would take minutes. A fault shows after few preemptions.
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
fn a_worker_whose_turn_comes_as_it_falls_asleep_is_called_or_woken() {
    loom::model(|| {
        let (shared, app) = (Shared::new(1), name("a"));
        shared.enable(&app);
        assert!(shared.is_held(&app, ONE, Cookie(1)) && shared.is_held(&app, TWO, Cookie(2)));
        shared.disable(&app);
        assert!(shared.hears(ONE) && shared.hears(TWO));
        let one = spawn(&shared, |shared| shared.turns(ONE));
        shared.looks_and_falls_asleep(TWO);
        one.join().unwrap();
        shared.answer_bells();
        assert_eq!(shared.settle_open(), [Cookie(1), Cookie(2)]);
    });
}

#[test]
fn a_request_after_an_answered_pause_is_held_whatever_other_apps_do() {
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
fn a_request_after_an_answered_pause_is_held_during_a_repair() {
    loom::model(|| {
        let shared = Shared::new(2);
        shared.enable(&name("other"));
        shared.enable(&name("app"));
        shared.visit_and_die(|zone| {
            assert!(zone
                .disable(&name("other"), Expected::Any, &Address::EMPTY, |pace| pace)
                .is_ok());
        });
        let request = spawn(&shared, |shared| shared.is_held(&name("app"), ONE, Cookie(1)));
        shared.visit(|_| ());
        assert!(request.join().unwrap());
    });
}

#[test]
fn a_request_held_as_the_app_is_stopped_is_turned_away() {
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
fn a_stop_during_a_release_loses_none_and_recalls_none() {
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
fn a_request_that_finishes_as_the_next_looks_for_room_wakes_it() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable_for(
            &name(""),
            PauseRequest { pace: Pace { concurrency: 1, ..PLAIN.pace }, ..PLAIN },
        );
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
fn a_request_held_as_the_lease_ends_is_woken_and_the_end_is_told_once() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable_for(&name(""), PauseRequest { lease: Some(Msec(0)), ..PLAIN });
        assert_eq!(shared.words.signals().next_lease(), Some(NOW.monotonic));
        let worker = spawn(&shared, |shared| {
            shared.comes(&name(""), ONE, Cookie(1));
            shared.visit(|zone| zone.end_lease()).is_some()
        });
        let ended = shared.visit(|zone| zone.end_lease()).is_some();
        assert_ne!(worker.join().unwrap(), ended, "it is reported once");
        assert_eq!(shared.words.signals().next_lease(), None);
        assert_eq!(shared.settle_open(), [Cookie(1)]);
    });
}

#[test]
fn a_request_that_comes_as_nginx_quits_is_turned_away() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        shared.visit(|zone| zone.told_to_leave(TWO));
        let worker = spawn(&shared, |shared| {
            let came = shared.comes(&name(""), TWO, Cookie(1));
            may_turn(shared, TWO);
            came
        });
        shared.visit(|zone| zone.told_to_leave(ONE));
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
            shared.visit(|zone| zone.told_to_leave(me));
            may_turn(shared, me);
        };
        let other = spawn(&shared, move |shared| told(shared, TWO));
        told(&shared, ONE);
        other.join().unwrap();
        assert_eq!(shared.settle(), []);
        assert_eq!(shared.turned_away.lock().unwrap().len(), 2);
    });
}

#[test]
fn a_request_that_comes_after_another_came_back_is_held_behind_it() {
    loom::model(|| {
        let shared = Shared::new(1);
        let is_back = Arc::new(AtomicBool::new(false));
        let looks = Arc::clone(&is_back);
        let newcomer = spawn(&shared, move |shared| {
            // Pairs with the store below.
            let after = looks.load(Ordering::Acquire);
            let came = shared.comes_to_wait(&name(""), TWO, Cookie(2));
            assert!(!after || came == Came::Held);
            may_turn(shared, TWO);
            came
        });
        shared.comes_back(&name(""), ONE, Cookie(1), 1);
        is_back.store(true, Ordering::Release);
        let expected = match newcomer.join().unwrap() {
            Came::Held => [Cookie(1), Cookie(2)],
            _ => [Cookie(2), Cookie(1)],
        };
        assert_eq!(shared.settle_open(), expected);
    });
}

#[test]
fn a_request_that_comes_back_as_the_drain_ends_is_not_forgotten() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        assert!(shared.is_held(&name(""), TWO, Cookie(1)));
        shared.disable(&name(""));
        let other = spawn(&shared, |shared| may_turn(shared, TWO));
        let newcomer = spawn(&shared, |shared| shared.comes(&name(""), TWO, Cookie(3)));
        shared.comes_back(&name(""), ONE, Cookie(2), 0);
        other.join().unwrap();
        newcomer.join().unwrap();
        let mut all = shared.settle_open();
        all.sort_by_key(|cookie| cookie.0);
        assert_eq!(all, [Cookie(1), Cookie(2), Cookie(3)]);
    });
}

#[test]
fn requests_that_come_back_at_once_go_on_in_the_order_of_their_arrival() {
    loom::model(|| {
        let shared = Shared::new(1);
        let other = spawn(&shared, |shared| {
            shared.comes_back(&name(""), TWO, Cookie(1), 0);
            may_turn(shared, TWO);
        });
        shared.comes_back(&name(""), ONE, Cookie(2), 1);
        may_turn(&shared, ONE);
        other.join().unwrap();
        assert_eq!(shared.settle_open(), [Cookie(1), Cookie(2)]);
    });
}

#[test]
fn a_request_held_as_another_gets_through_is_woken() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.comes_back(&name(""), ONE, Cookie(1), 0);
        shared.try_again();
        let newcomer = spawn(&shared, |shared| {
            shared.comes(&name(""), TWO, Cookie(2));
            may_turn(shared, TWO);
        });
        shared.gets_through(&name(""));
        newcomer.join().unwrap();
        assert_eq!(shared.settle_open(), [Cookie(1), Cookie(2)]);
    });
}

#[test]
fn a_pause_goes_before_an_absence() {
    loom::model(|| {
        let shared = Shared::new(1);
        let worker = spawn(&shared, |shared| shared.comes_back(&name(""), TWO, Cookie(1), 0));
        shared.enable(&name(""));
        worker.join().unwrap();
        shared.try_again();
        assert!(shared.is_held(&name(""), ONE, Cookie(2)));
        shared.disable(&name(""));
        assert_eq!(shared.settle_open(), [Cookie(1), Cookie(2)]);
    });
}

// In these the waiting caller is the youngest thread: it reads what the worker writes.

#[test]
fn a_caller_that_waits_for_quiet_waits_for_requests_of_a_new_app() {
    loom::model(|| {
        let shared = Shared::new(1);
        let worker = spawn(&shared, |shared| {
            let mut mine = InFlight::new(ONE);
            let passed = mine.passes(shared, &name(""));
            mine.refresh(shared);
            passed
        });
        let quiet = waits(&shared);
        let passed = worker.join().unwrap();
        assert!(!(quiet.join().unwrap() && passed));
    });
}

#[test]
fn a_caller_that_waits_for_quiet_waits_for_requests_that_passed() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        shared.disable(&name(""));
        let worker = spawn(&shared, |shared| {
            let mut mine = InFlight::new(ONE);
            mine.refresh(shared);
            let passed = mine.passes(shared, &name(""));
            mine.refresh(shared);
            passed
        });
        let quiet = waits(&shared);
        let passed = worker.join().unwrap();
        assert!(!(quiet.join().unwrap() && passed));
    });
}

#[test]
fn a_caller_that_waits_for_quiet_also_waits_for_released_requests() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        assert!(shared.is_held(&name(""), ONE, Cookie(1)));
        assert!(shared.is_held(&name(""), ONE, Cookie(2)));
        shared.disable(&name(""));
        let worker = spawn(&shared, |shared| {
            let mut mine = InFlight::new(ONE);
            let released = mine.turns(shared, &name(""));
            mine.refresh(shared);
            released
        });
        let quiet = waits(&shared);
        let released = worker.join().unwrap();
        assert!(!(quiet.join().unwrap() && released));
    });
}

/// Pauses. Another worker, which has nothing in flight, polls for the caller.
fn waits(shared: &Arc<Shared>) -> JoinHandle<bool> {
    let wait = shared.enable_and_wait(&name(""), TWO);
    spawn(shared, move |shared| {
        InFlight::new(TWO).refresh(shared);
        shared.is_quiet(wait, TWO)
    })
}

#[test]
fn a_request_that_passes_after_a_pause_sees_that_it_has_ended() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.enable(&name(""));
        let endings = shared.words.signals().endings();
        let worker = spawn(&shared, move |shared| {
            assert!(!shared.passes_unaware(&name(""), ONE, endings));
        });
        shared.disable(&name(""));
        worker.join().unwrap();
    });
}

#[test]
fn what_was_found_out_about_an_open_app_does_not_outlive_its_pause() {
    found_open_only_before(|shared| shared.enable(&name("")));
}

#[test]
fn what_was_found_out_about_an_open_app_does_not_outlive_its_presence() {
    found_open_only_before(|shared| shared.comes_back(&name(""), TWO, Cookie(2), 1));
}

/// A worker has found the app open. When `closes` has returned, it must see that this may not hold.
fn found_open_only_before(closes: fn(&Shared)) {
    loom::model(move || {
        let shared = Shared::new(1);
        // An app that has its entry, so that closing its gate begins no epoch for that.
        shared.enable(&name(""));
        shared.disable(&name(""));
        let closed = Arc::new(AtomicBool::new(false));
        let worker = spawn(&shared, {
            let closed = Arc::clone(&closed);
            move |shared| {
                let changes = shared.words.signals().changes();
                let is_open = shared.is_open(&name(""));
                if closed.load(Ordering::Acquire) {
                    assert!(!is_open || shared.words.signals().changes() != changes);
                }
            }
        });
        closes(&shared);
        closed.store(true, Ordering::Release);
        worker.join().unwrap();
    });
}

/// nginx's lock, which contains only the pid of its holder, and what is known about processes.
#[derive(Default)]
struct Lock {
    word: AtomicU64,
    holder: Holder,
    /// When the process with this pid started.
    started: AtomicU64,
}

impl Lock {
    const PID: u64 = 10;

    /// A process with this pid makes a visit.
    fn visit(&self, started: u64) {
        let change = |from, to| {
            // Pairs with the load in `is_a_dead_ones`, and with the other process's own.
            self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).unwrap();
        };
        // Pairs with the read of `started` below.
        self.started.store(started, Ordering::Release);
        change(0, Self::PID);
        self.holder.begins(Name::of(Process { pid: Self::PID as i32, started }));
        self.holder.ends();
        change(Self::PID, 0);
    }

    /// Whether the lock is held by a dead process.
    fn is_a_dead_ones(&self) -> bool {
        // Pairs with `change`: a process that sees the pid sees that earlier holders erased their names.
        let holds = self.word.load(Ordering::Acquire) == Self::PID;
        let process = self.holder.process(Self::PID as i32);
        // The kernel always answers with the newest value.
        let started = || self.started.fetch_add(0, Ordering::AcqRel);
        let is_gone = || process.started != 0 && process.started != started();
        holds && is_gone() && self.holder.process(Self::PID as i32) == process
    }
}

#[test]
fn the_lock_is_not_taken_from_a_living_process_whose_pid_was_used_before() {
    loom::model(|| {
        let lock = Arc::new(Lock::default());
        let processes = Arc::clone(&lock);
        let processes = loom::thread::spawn(move || (1..=2).for_each(|one| processes.visit(one)));
        assert!(!lock.is_a_dead_ones());
        processes.join().unwrap();
    });
}
