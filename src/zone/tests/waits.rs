//! Waiting for quiet, or for the end of a drain: when callers are answered, and what.
#![forbid(unsafe_code)]

use super::scene::{lease, Caller, Scene, FIRST, ONE, PLAIN, TWO};
use super::*;

pub(super) const IN_FLIGHT: Remaining = Remaining::InFlight(1);

/// An open app with one request in flight, which all workers have seen.
pub(super) fn busy() -> Scene {
    let mut scene = Scene::paused("a");
    scene.resume("a");
    scene.passes("a", ONE);
    scene.both_see();
    scene
}

/// A caller whose pause all workers have seen.
pub(super) fn quiets(scene: &mut Scene, request: PauseRequest) -> Caller {
    let caller = scene.quiets("a", request, ONE);
    scene.both_see();
    caller
}

pub(super) fn any_caller_waits(scene: &Scene) -> bool {
    scene.zone.words.signals().any_caller_waits()
}

#[test]
fn a_caller_is_answered_when_all_workers_saw_the_pause_and_nothing_is_in_flight() {
    let mut scene = busy();
    let caller = scene.quiets("a", PLAIN, ONE);
    assert_eq!(scene.effects.wake, Wake::All);
    assert_eq!(scene.poll(caller), WaitResult::Pending);
    scene.count("a", ONE).end();
    assert_eq!(scene.poll(caller), WaitResult::Pending, "both are silent");
    scene.sees(ONE);
    assert_eq!(scene.poll(caller), WaitResult::Pending, "one is silent");
    scene.sees(TWO);
    assert_eq!(scene.poll(caller), WaitResult::Done);
    assert_eq!(scene.state("a"), Some(State::Paused));
}

#[test]
fn a_caller_that_waits_for_a_quiet_app_is_answered_at_its_first_poll() {
    let mut scene = Scene::paused("a");
    scene.both_see();
    for wait_for in [WaitFor::Provisional, WaitFor::Quiet] {
        let (done, caller) = scene.enable_and_wait("a", PLAIN, wait_for, ONE).unwrap();
        assert_eq!(matches!(done, Paused::Changed(_)), wait_for == WaitFor::Quiet);
        assert_eq!(scene.poll(caller), WaitResult::Done);
        assert_eq!(scene.poll(caller), WaitResult::Superseded, "the caller does not wait any more");
    }
}

#[test]
fn a_caller_that_gives_up_learns_what_is_left() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    assert_eq!(scene.give_up(caller), WaitResult::RolledBack(IN_FLIGHT));
    scene.count("a", ONE).end();
    let caller = scene.quiets("a", PLAIN, ONE);
    scene.sees(TWO);
    assert_eq!(scene.give_up(caller), WaitResult::RolledBack(Remaining::Silent(1)));
    let (_, caller) = scene.enable_and_wait("a", PLAIN, WaitFor::Quiet, ONE).unwrap();
    assert_eq!(scene.give_up(caller), WaitResult::TimedOut(Remaining::Silent(2)));
}

#[test]
fn a_caller_whose_time_is_over_just_as_the_app_is_quiet_is_answered_done() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    scene.count("a", ONE).end();
    assert_eq!(scene.give_up(caller), WaitResult::Done);
    assert_eq!(scene.state("a"), Some(State::Paused));
}

#[test]
fn a_request_that_is_about_to_go_on_as_a_pause_begins_is_waited_for() {
    let mut scene = Scene::paused("a");
    scene.hold("a", ONE);
    scene.resume("a");
    let (app, _) = scene.take(ONE).unwrap();
    let caller = quiets(&mut scene, PLAIN);
    assert_eq!(scene.poll(caller), WaitResult::Pending, "one is about to go on");
    scene.count("a", ONE).start();
    scene.give_back(app, ONE);
    assert_eq!(scene.give_up(caller), WaitResult::RolledBack(IN_FLIGHT));
}

#[test]
fn a_tunnel_is_not_waited_for() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    scene.count("a", ONE).upgrade();
    assert_eq!(scene.poll(caller), WaitResult::Done);
    let tunnel = Counts { passed: 1, upgraded: 1, ..Counts::default() };
    assert_eq!(scene.flight("a"), tunnel);
}

#[test]
fn a_request_given_up_is_not_waited_for_and_outlives_its_worker_in_the_counts() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    let count = scene.count("a", ONE);
    count.give_up(Msec(0));
    count.end();
    assert_eq!(scene.poll(caller), WaitResult::Done);
    assert_eq!(scene.flight("a").given_up.total, 1);
    scene.visit(|zone| zone.reap(ONE, process(1)));
    let given_up = scene.flight("a").given_up;
    assert_eq!((given_up.total, given_up.lately(Msec(60_000))), (1, 1));
}

#[test]
fn another_apps_requests_are_not_waited_for() {
    let mut scene = busy();
    scene.pause("other");
    scene.both_see();
    let (_, caller) = scene.enable_and_wait("other", PLAIN, WaitFor::Quiet, ONE).unwrap();
    assert_eq!(scene.poll(caller), WaitResult::Done);
}

#[test]
fn a_dead_worker_is_not_waited_for_and_its_totals_are_kept() {
    let mut scene = busy();
    let caller = scene.quiets("a", PLAIN, TWO);
    scene.sees(TWO);
    assert_eq!(scene.poll(caller), WaitResult::Pending);
    scene.visit(|zone| zone.reap(ONE, process(1)));
    let passed = Counts { passed: 1, ..Counts::default() };
    assert_eq!(scene.flight("a"), passed);
    assert_eq!(scene.poll(caller), WaitResult::Done);
    let newcomer = scene.register(3, FIRST);
    assert_eq!((newcomer, scene.flight("a")), (ONE, passed));
}

#[test]
fn an_old_worker_is_waited_for_until_it_is_gone() {
    let mut scene = busy();
    let second = scene.visit(|zone| zone.next_generation());
    let newcomer = scene.register(3, second);
    scene.visit(|zone| zone.told_to_leave(ONE));
    let caller = scene.quiets("a", PLAIN, newcomer);
    scene.both_see();
    scene.sees(newcomer);
    assert_eq!(scene.poll(caller), WaitResult::Pending);
    scene.visit(|zone| zone.reap(ONE, process(1)));
    assert_eq!(scene.poll(caller), WaitResult::Done);
}

#[test]
fn an_entry_shows_nothing_of_the_app_that_had_it_before() {
    let mut scene = busy();
    for app in ["b", "c", "d", "e"] {
        scene.pause(app);
    }
    assert_eq!(scene.state("a"), None);
    assert_eq!(scene.flight("e"), Counts::default());
    let caller = scene.quiets("e", PLAIN, ONE);
    scene.count("e", ONE).set(Counts::default());
    scene.both_see();
    assert_eq!(scene.poll(caller), WaitResult::Done);
}

#[test]
fn the_signals_say_whether_a_caller_waits() {
    let mut scene = busy();
    assert!(!any_caller_waits(&scene));
    let first = quiets(&mut scene, PLAIN);
    let second = quiets(&mut scene, PLAIN);
    scene.give_up(first);
    assert!(any_caller_waits(&scene));
    scene.give_up(second);
    assert!(!any_caller_waits(&scene));
    let (_, kept) = scene.enable_and_wait("a", PLAIN, WaitFor::Quiet, ONE).unwrap();
    assert!(any_caller_waits(&scene));
    scene.resume("a");
    assert!(!any_caller_waits(&scene));
    assert_eq!(scene.poll(kept), WaitResult::Superseded);
}

#[test]
fn a_caller_that_finds_no_room_to_wait_changes_nothing() {
    let mut scene = busy();
    let callers = [PLAIN; 3].map(|request| quiets(&mut scene, request));
    let picture = |scene: &Scene| {
        let app = &scene.zone.tables.apps[0];
        (scene.zone.tables.header.version, app.state(), app.pause(), app.until())
    };
    let before = picture(&scene);
    for app in ["a", "new"] {
        let refused = scene.enable_and_wait(app, lease(5), WaitFor::Quiet, ONE);
        assert!(matches!(refused, Err(Refusal::TooManyWait)));
    }
    assert!(matches!(scene.disable_and_wait("a", ONE), Err(Refusal::TooManyWait)));
    assert_eq!(before, picture(&scene));
    assert_eq!(scene.state("new"), None);
    scene.give_up(callers[1]);
    assert!(scene.enable_and_wait("new", PLAIN, WaitFor::Quiet, ONE).is_ok());
}

#[test]
fn an_unknown_caller_learns_nothing_of_another_ones_wait() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    for stranger in [Caller { owner: TWO, ..caller }, Caller { cookie: Cookie(999), ..caller }] {
        assert_eq!(scene.give_up(stranger), WaitResult::Superseded);
    }
    assert_eq!(scene.poll(caller), WaitResult::Pending);
}

#[test]
fn a_caller_that_waits_for_a_drain_is_answered_when_the_last_has_gone_on() {
    let mut scene = Scene::paused("a");
    scene.hold("a", TWO);
    let (done, caller) = scene.disable_and_wait("a", ONE).unwrap();
    assert!(matches!(done, Opened::Ended(..)));
    let caller = caller.unwrap();
    assert_eq!(scene.poll(caller), WaitResult::Pending);
    let (app, _) = scene.take(TWO).unwrap();
    assert_eq!(scene.poll(caller), WaitResult::Pending, "the last one is about to go on");
    scene.give_back(app, TWO);
    assert_eq!(scene.poll(caller), WaitResult::Done);
    assert!(!any_caller_waits(&scene));
}

#[test]
fn a_caller_that_waits_for_a_drain_also_waits_for_newcomers() {
    let mut scene = Scene::paused("a");
    scene.hold("a", ONE);
    let caller = scene.disable_and_wait("a", ONE).unwrap().1.unwrap();
    scene.hold("a", TWO);
    scene.turn(ONE);
    assert_eq!(scene.state("a"), Some(State::Open));
    assert_eq!(scene.poll(caller), WaitResult::Pending);
    scene.turn(TWO);
    assert_eq!(scene.poll(caller), WaitResult::Done);
}

#[test]
fn a_caller_that_gives_up_on_a_drain_learns_how_many_are_left() {
    let mut scene = Scene::paused("a");
    for owner in [ONE, ONE, TWO] {
        scene.hold("a", owner);
    }
    let caller = scene.disable_and_wait("a", ONE).unwrap().1.unwrap();
    scene.take(ONE);
    assert_eq!(scene.give_up(caller), WaitResult::TimedOut(Remaining::Held(3)));
    assert!(matches!(scene.state("a"), Some(State::Draining { .. })));
}

#[test]
fn no_caller_waits_for_the_drain_of_an_empty_line() {
    let mut scene = Scene::paused("a");
    let (done, caller) = scene.disable_and_wait("a", ONE).unwrap();
    assert!(matches!(done, Opened::Ended(..)));
    assert!(caller.is_none() && !any_caller_waits(&scene));
    let (done, caller) = scene.disable_and_wait("a", ONE).unwrap();
    assert!(done == Opened::Unchanged && caller.is_none());
    let (done, caller) = scene.disable_and_wait("unknown", ONE).unwrap();
    assert!(done == Opened::Unchanged && caller.is_none());
}

#[test]
fn a_caller_that_waits_for_a_drain_learns_of_a_pause_or_a_stop() {
    type Ends = fn(&mut Scene);
    let ends: [Ends; 3] = [
        |scene| assert_ne!(scene.pause("a"), PauseId(0)),
        |scene| assert_ne!(scene.stop("a", PLAIN), PauseId(0)),
        |scene| assert_ne!(scene.quiets("a", PLAIN, TWO).cookie, Cookie(0)),
    ];
    for end in ends {
        let mut scene = Scene::paused("a");
        scene.hold("a", ONE);
        let caller = scene.disable_and_wait("a", ONE).unwrap().1.unwrap();
        end(&mut scene);
        assert_eq!(scene.effects.wake, Wake::All);
        assert_eq!(scene.poll(caller), WaitResult::Superseded);
    }
}

#[test]
fn a_drain_goes_on_if_the_worker_of_a_waiting_caller_dies_or_nginx_quits() {
    let mut scene = Scene::paused("a");
    scene.hold("a", ONE);
    let caller = scene.disable_and_wait("a", ONE).unwrap().1.unwrap();
    scene.disable_and_wait("a", TWO).unwrap();
    scene.visit(|zone| zone.reap(TWO, process(2)));
    scene.visit(|zone| zone.told_to_leave(ONE));
    assert_eq!(scene.poll(caller), WaitResult::Pending);
    assert_eq!(scene.turn(ONE).len(), 1);
    assert_eq!(scene.poll(caller), WaitResult::Done);
}

#[test]
fn an_app_keeps_its_entry_while_a_caller_waits_for_it() {
    let mut scene = Scene::paused("a");
    scene.hold("a", ONE);
    let caller = scene.disable_and_wait("a", ONE).unwrap().1.unwrap();
    scene.turn(ONE);
    for app in ["b", "c", "d"] {
        scene.pause(app);
    }
    assert_eq!(scene.enable("e", Expected::Any, PLAIN), Err(Refusal::Full));
    assert_eq!(scene.poll(caller), WaitResult::Done);
    scene.pause("e");
}

#[test]
fn an_app_is_not_quiet_while_a_worker_has_no_entry() {
    let mut scene = Scene::new();
    let more = [3, 4, 5].map(|pid| scene.register(pid, FIRST));
    assert_eq!(more[2], WorkerId::NONE, "the table is full");
    assert_eq!(scene.effects.wake, Wake::All);
    let caller = scene.quiets("a", PLAIN, ONE);
    scene.both_see();
    more[..2].iter().for_each(|one| scene.sees(*one));
    assert_eq!(scene.poll(caller), WaitResult::Pending);
    let seen = scene.visit(|zone| zone.lacks_entries()).unwrap();
    scene.wait(1_000_000);
    assert_eq!(scene.poll(caller), WaitResult::Pending, "however long no worker answers");
    assert_eq!(scene.register(6, FIRST), WorkerId::NONE);
    scene.visit(|zone| zone.all_are_listed(seen));
    assert_eq!(scene.poll(caller), WaitResult::Pending, "another worker came meanwhile");
    let seen = scene.visit(|zone| zone.lacks_entries()).unwrap();
    scene.visit(|zone| zone.all_are_listed(seen));
    assert_eq!(scene.poll(caller), WaitResult::Done);
}

#[test]
fn an_app_is_not_quiet_while_a_worker_cannot_use_its_entry() {
    let mut scene = Scene::new();
    let three = scene.register(3, FIRST);
    let caller = scene.quiets("a", PLAIN, ONE);
    scene.both_see();
    scene.visit(|zone| zone.decline(three, process(3)));
    assert_eq!((scene.poll(caller), scene.effects.wake), (WaitResult::Pending, Wake::Nobody));
    assert_eq!(scene.register(3, FIRST), three, "the entry is free");
}
