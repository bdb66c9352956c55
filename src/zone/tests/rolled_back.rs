//! Rollbacks: the state after a caller of a provisional pause gives up, also when others act.
#![forbid(unsafe_code)]

use super::scene::{lease, paced, Scene, ONE, PLAIN, TWO};
use super::waits::{any_caller_waits, busy, quiets, IN_FLIGHT};
use super::*;
use crate::saved::Saved;
use crate::shared::app::Unreported;

fn because(reason: &str, request: PauseRequest) -> PauseRequest {
    PauseRequest { reason: Reason::new(reason.as_bytes()).ok(), ..request }
}

/// The state, the time left, and the reason.
fn pause_of(scene: &Scene, app: &str) -> (State, Option<u64>, String) {
    let entry = scene.zone.tables.apps.iter().find(|one| one.name() == Some(&name(app))).unwrap();
    let until = entry.until().map(|until| until.monotonic.since(scene.zone.now.monotonic).0);
    let reason = String::from_utf8(entry.reason_and_by().0.as_bytes().to_vec()).unwrap();
    (entry.state(), until, reason)
}

fn paused(until: Option<u64>, reason: &str) -> (State, Option<u64>, String) {
    (State::Paused, until, reason.into())
}

fn saved(scene: &Scene) -> Vec<Saved> {
    scene.zone.tables.apps.iter().filter_map(|app| Saved::of(app, Now::NEVER)).collect()
}

// What a rollback leaves.

#[test]
fn a_rolled_back_pause_releases_its_held_requests_in_order() {
    let mut scene = busy();
    let before = scene.visit(|zone| zone.pauses());
    let caller = quiets(&mut scene, PLAIN);
    scene.hold("a", TWO);
    scene.hold("a", TWO);
    let held = scene.come("a", ONE);
    assert!(matches!(held, Arrival::Held { ahead: 2, .. }));
    scene.give_up(caller);
    assert_eq!(scene.effects.wake, Wake::All);
    let pause = PauseId(before + 1);
    let told = scene.effects.rolled_back.unwrap();
    assert_eq!((told.0, told.1), (name("a"), pause));
    assert!(matches!(told.2, State::Draining { .. }));
    assert!(matches!(scene.state("a"), Some(State::Draining { .. })));
    assert_eq!(scene.effects.rolled_back, None, "it is reported once");
    assert_eq!((scene.turn(TWO).len(), scene.turn(ONE).len()), (2, 1));
    assert_eq!(scene.state("a"), Some(State::Open));
    assert!(scene.pause("a") > pause, "its number is used up");
}

#[test]
fn a_rolled_back_pause_opens_an_app_with_an_empty_line() {
    let mut scene = busy();
    let caller = quiets(&mut scene, lease(5000));
    assert!(scene.zone.words.signals().next_lease().is_some());
    scene.give_up(caller);
    assert_eq!(scene.state("a"), Some(State::Open));
    assert_eq!(scene.zone.words.signals().next_lease(), None);
    assert_eq!(scene.come("a", ONE), Arrival::Passes);
}

#[test]
fn a_rollback_to_a_drain_goes_on_at_its_pace() {
    let mut scene = Scene::paused_by("a", paced(0, 1));
    for _ in 0..3 {
        scene.hold("a", ONE);
    }
    scene.resume("a");
    let caller = scene.quiets("a", PLAIN, ONE);
    assert_eq!(scene.state("a"), Some(State::Paused));
    scene.give_up(caller);
    assert!(matches!(scene.state("a"), Some(State::Draining { .. })));
    assert_eq!(scene.turn(ONE).len(), 1);
    assert_eq!(scene.turn(ONE).len(), 0, "one at a time");
}

#[test]
fn a_rollback_restores_the_end_and_the_reason_of_the_earlier_pause() {
    let mut scene = busy();
    scene.enable("a", Expected::Any, because("early", lease(8000))).unwrap();
    let number = scene.zone.tables.apps[0].pause();
    scene.both_see();
    let (done, caller) = scene
        .enable_and_wait("a", because("late", lease(9000)), WaitFor::Provisional, ONE)
        .unwrap();
    assert_eq!(done, Paused::Changed(number));
    assert_eq!(pause_of(&scene, "a"), paused(Some(9000), "late"));
    assert_eq!(scene.give_up(caller), WaitResult::RolledBack(IN_FLIGHT));
    assert_eq!(scene.effects.rolled_back, Some((name("a"), number, State::Paused)));
    assert_eq!(pause_of(&scene, "a"), paused(Some(7999), "early"));
    let end = scene.zone.words.signals().next_lease().unwrap();
    assert_eq!(end.since(scene.zone.now.monotonic), Msec(7999));
}

#[test]
fn a_rollback_to_a_pause_whose_lease_is_over_ends_it_at_once() {
    let mut scene = busy();
    scene.enable("a", Expected::Any, lease(50)).unwrap();
    let caller = quiets(&mut scene, lease(9000));
    scene.wait(100);
    assert_eq!(scene.visit(|zone| zone.end_lease()), None);
    scene.give_up(caller);
    assert!(scene.visit(|zone| zone.end_lease()).is_some());
    assert_eq!(scene.state("a"), Some(State::Open));
}

#[test]
fn an_app_that_was_stopped_is_stopped_again() {
    let mut scene = busy();
    let number = scene.stop("a", because("broken", lease(700)));
    let caller = quiets(&mut scene, because("better", PLAIN));
    assert_eq!(pause_of(&scene, "a"), paused(None, "better"));
    scene.hold("a", ONE);
    scene.give_up(caller);
    assert_eq!(pause_of(&scene, "a"), (State::Stopped, Some(699), "broken".into()));
    assert_eq!(scene.zone.tables.apps[0].pause(), number);
    assert!(scene.turned_away(ONE).is_some());
}

#[test]
fn a_pause_with_keep_stays_when_its_caller_gives_up() {
    let mut scene = busy();
    let (_, caller) = scene.enable_and_wait("a", lease(500), WaitFor::Quiet, ONE).unwrap();
    scene.both_see();
    assert_eq!(scene.give_up(caller), WaitResult::TimedOut(IN_FLIGHT));
    assert_eq!(pause_of(&scene, "a"), paused(Some(500), ""));
    assert_eq!(scene.effects.rolled_back, None);
}

#[test]
fn a_rollback_that_changes_nothing_is_not_reported() {
    let mut scene = busy();
    scene.pause("a");
    let (done, caller) =
        scene.enable_and_wait("a", lease(5000), WaitFor::Provisional, ONE).unwrap();
    assert_eq!(done, Paused::Unchanged);
    scene.give_up(caller);
    assert_eq!(pause_of(&scene, "a"), paused(None, ""));
    assert_eq!(scene.effects.rolled_back, None);
}

#[test]
fn rejected_requests_are_reported_when_a_rollback_opens_the_app() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    for _ in 0..3 {
        scene.come_where("a", ONE, 0);
    }
    assert_eq!(scene.effects.unreported, None);
    scene.give_up(caller);
    let unreported = Unreported { rejected: 2, expired: 0, failed: 0 };
    assert_eq!(scene.effects.unreported, Some((name("a"), unreported)));
    scene.visit(|_| ());
    assert_eq!(scene.effects.unreported, None, "once");
}

#[test]
fn the_pause_of_a_caller_that_goes_away_is_rolled_back_even_if_it_was_quiet() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    scene.count("a", ONE).end();
    let (wait, owner, cookie) = (caller.wait, caller.owner, caller.cookie);
    scene.visit(|zone| zone.cancel_wait(wait, TWO, cookie));
    assert_eq!(scene.state("a"), Some(State::Paused), "the wait of another caller");
    scene.visit(|zone| zone.cancel_wait(wait, owner, cookie));
    let app = scene.effects.rolled_back.map(|(app, ..)| app);
    assert_eq!(app, Some(name("a")));
    assert_eq!(scene.state("a"), Some(State::Open));
}

#[test]
fn an_answered_caller_may_go() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    scene.count("a", ONE).end();
    assert_eq!(scene.poll(caller), WaitResult::Done);
    scene.visit(|zone| zone.cancel_wait(caller.wait, caller.owner, caller.cookie));
    assert_eq!(scene.state("a"), Some(State::Paused));
}

// Others act meanwhile.

#[test]
fn a_rollback_leaves_the_pause_that_another_call_was_answered() {
    let mut scene = busy();
    let caller = quiets(&mut scene, because("mine", lease(9000)));
    scene.enable("a", Expected::Any, because("theirs", lease(5000))).unwrap();
    assert_eq!(pause_of(&scene, "a"), paused(Some(8999), "theirs"));
    assert!(matches!(scene.give_up(caller), WaitResult::RolledBack(_)));
    assert_eq!(pause_of(&scene, "a"), paused(Some(5000), "theirs"));
}

#[test]
fn an_answered_enable_keeps_the_pause_even_if_it_changed_nothing() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    let answered = scene.enable("a", Expected::Any, lease(5000));
    assert_eq!(answered, Ok(Paused::Unchanged));
    scene.give_up(caller);
    assert_eq!(pause_of(&scene, "a"), paused(Some(5000), ""));
}

#[test]
fn a_rollback_leaves_a_pause_that_another_call_keeps() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    let (_, kept) = scene.enable_and_wait("a", lease(5000), WaitFor::Quiet, TWO).unwrap();
    scene.give_up(caller);
    assert_eq!(pause_of(&scene, "a"), paused(Some(5000), ""));
    assert_eq!(scene.poll(kept), WaitResult::Pending);
    scene.give_up(kept);
    assert_eq!(scene.state("a"), Some(State::Paused));
}

#[test]
fn the_pause_of_the_second_caller_stays_if_the_first_gives_up() {
    let mut scene = busy();
    let first = quiets(&mut scene, because("first", PLAIN));
    let second = quiets(&mut scene, because("second", lease(5000)));
    scene.give_up(first);
    assert_eq!(scene.effects.rolled_back.map(|(app, ..)| app), Some(name("a")));
    assert_eq!(pause_of(&scene, "a"), paused(Some(5000), "second"));
    scene.hold("a", ONE);
    scene.give_up(second);
    assert!(matches!(scene.state("a"), Some(State::Draining { .. })));
}

#[test]
fn the_pause_of_the_first_caller_stays_if_the_second_gives_up() {
    let mut scene = busy();
    let first = quiets(&mut scene, because("first", lease(5000)));
    let second = quiets(&mut scene, because("second", PLAIN));
    scene.give_up(second);
    assert_eq!(pause_of(&scene, "a"), paused(Some(4999), "first"));
    scene.give_up(first);
    assert_eq!(scene.state("a"), Some(State::Open));
}

#[test]
fn an_answered_caller_keeps_its_pause_if_another_one_gives_up() {
    let mut scene = busy();
    let first = quiets(&mut scene, because("first", lease(5000)));
    let second = quiets(&mut scene, because("second", PLAIN));
    scene.count("a", ONE).end();
    assert_eq!(scene.poll(first), WaitResult::Done);
    assert_eq!(scene.effects.rolled_back, None);
    scene.count("a", ONE).start();
    assert_eq!(pause_of(&scene, "a"), paused(None, "second"));
    assert!(matches!(scene.give_up(second), WaitResult::RolledBack(_)));
    assert_eq!(pause_of(&scene, "a"), paused(Some(4999), "first"));
}

#[test]
fn a_reason_that_was_answered_replaces_those_of_earlier_waiting_callers() {
    let mut scene = busy();
    let first = quiets(&mut scene, because("first", PLAIN));
    let second = quiets(&mut scene, because("second", PLAIN));
    scene.enable("a", Expected::Any, because("third", PLAIN)).unwrap();
    scene.give_up(second);
    assert_eq!(pause_of(&scene, "a"), paused(None, "third"));
    scene.count("a", ONE).end();
    assert_eq!(scene.poll(first), WaitResult::Done);
    assert_eq!(pause_of(&scene, "a"), paused(None, "third"));
}

#[test]
fn the_latest_caller_decides_whatever_entry_it_waits_in() {
    let mut scene = busy();
    let elsewhere = scene.quiets("b", PLAIN, ONE);
    quiets(&mut scene, because("early", paced(0, 1)));
    scene.give_up(elsewhere);
    quiets(&mut scene, because("late", paced(0, 2)));
    let third = quiets(&mut scene, PLAIN);
    scene.give_up(third);
    assert_eq!(pause_of(&scene, "a"), paused(None, "late"));
    assert_eq!(scene.zone.tables.apps[0].pace().concurrency, 1, "this call began the pause");
}

#[test]
fn a_caller_learns_that_its_pause_was_ended_or_stopped_or_its_lease_ended() {
    type Ends = fn(&mut Scene);
    let ends: [Ends; 3] = [
        |scene| scene.resume("a"),
        |scene| assert_ne!(scene.stop("a", PLAIN), PauseId(0)),
        |scene| {
            scene.wait(500);
            assert!(scene.visit(|zone| zone.end_lease()).is_some());
        },
    ];
    for end in ends {
        for wait_for in [WaitFor::Provisional, WaitFor::Quiet] {
            let mut scene = busy();
            let (_, caller) = scene.enable_and_wait("a", lease(500), wait_for, ONE).unwrap();
            end(&mut scene);
            assert_eq!(scene.effects.wake, Wake::All);
            let state = scene.state("a");
            assert_eq!(scene.give_up(caller), WaitResult::Superseded);
            assert_eq!((scene.state("a"), scene.effects.rolled_back), (state, None));
        }
    }
}

#[test]
fn a_caller_does_not_wait_for_a_later_pause() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    scene.resume("a");
    scene.pause("a");
    assert_eq!(scene.give_up(caller), WaitResult::Superseded);
    assert_eq!(scene.state("a"), Some(State::Paused));
}

// A worker dies, or nginx ends.

#[test]
fn the_pause_of_a_caller_whose_worker_dies_is_rolled_back() {
    let mut scene = busy();
    scene.quiets("a", PLAIN, TWO);
    scene.hold("a", ONE);
    scene.visit(|zone| zone.reap(TWO, process(2)));
    assert_eq!(scene.effects.rolled_back.map(|(app, ..)| app), Some(name("a")));
    assert!(!any_caller_waits(&scene));
    assert_eq!(scene.turn(ONE).len(), 1);
    assert_eq!(scene.state("a"), Some(State::Open));
}

#[test]
fn a_provisional_pause_is_rolled_back_when_nginx_quits() {
    let mut scene = busy();
    let caller = quiets(&mut scene, PLAIN);
    scene.quit();
    assert_eq!(scene.poll(caller), WaitResult::RolledBack(IN_FLIGHT));
    assert_eq!(scene.state("a"), Some(State::Open));
}

#[test]
fn a_restart_brings_back_the_state_before_an_unanswered_pause() {
    let mut scene = busy();
    scene.quiets("a", PLAIN, ONE);
    assert_eq!(saved(&scene), []);
    scene.enable("b", Expected::Any, because("b", lease(5000))).unwrap();
    let before = saved(&scene);
    scene.enable_and_wait("b", because("c", PLAIN), WaitFor::Provisional, ONE).unwrap();
    assert_eq!(saved(&scene), before);
}

#[test]
fn a_restart_brings_back_a_pause_that_was_answered() {
    let mut scene = busy();
    let caller = quiets(&mut scene, because("mine", lease(9000)));
    scene.enable("a", Expected::Any, because("theirs", lease(5000))).unwrap();
    let theirs = saved(&scene);
    let version = scene.zone.tables.header.version;
    scene.count("a", ONE).end();
    assert_eq!(scene.poll(caller), WaitResult::Done);
    assert_ne!(saved(&scene), theirs, "the second lease is longer");
    assert_ne!(scene.zone.tables.header.version, version);
    scene.resume("a");
    assert_eq!(saved(&scene), []);
}
