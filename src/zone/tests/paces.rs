//! Drains at a pace: spread over a time, or so many requests at a time.
#![forbid(unsafe_code)]

use super::scene::{paced, HeldRequest, Scene, ONE, TWO};
use super::*;

const NONE: [u64; 0] = [];

/// A drain at a pace, of requests that these workers hold.
fn drain(request: PauseRequest, owners: &[WorkerId]) -> (Scene, Vec<HeldRequest>) {
    let mut scene = Scene::paused_by("", request);
    let held = owners.iter().map(|owner| scene.hold("", *owner)).collect();
    scene.resume("");
    (scene, held)
}

/// How long a worker must wait for its turn.
fn later(scene: &mut Scene, me: WorkerId) -> Option<u64> {
    match scene.ask(me) {
        (Turn::Later(at), _) => Some(at.since(scene.zone.now.monotonic).0),
        (Turn::Nobody, _) => None,
        other => panic!("{other:?}"),
    }
}

fn change_pace(scene: &mut Scene, spread: u64, concurrency: u32) -> Result<Opened, Refusal> {
    let pace = Pace { spread: Msec(spread), concurrency };
    scene.visit(|zone| zone.disable(&name(""), Expected::Any, &Address::EMPTY, |_| pace))
}

#[test]
fn a_spread_releases_the_first_at_once_and_the_others_evenly() {
    let (mut scene, _) = drain(paced(400, 0), &[ONE, TWO, TWO, ONE]);
    assert_eq!(scene.turn(ONE), [1]);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(later(&mut scene, TWO), Some(100));
    scene.wait(99);
    assert_eq!(scene.turn(TWO), NONE);
    scene.wait(1);
    assert_eq!(scene.turn(TWO), [2]);
    assert_eq!(later(&mut scene, TWO), Some(100));
    assert_eq!(later(&mut scene, ONE), None, "it is not its turn");
    scene.wait(100);
    assert_eq!((scene.turn(TWO), later(&mut scene, ONE)), (vec![3], Some(100)));
}

#[test]
fn a_worker_that_is_late_makes_up_for_it() {
    let (mut scene, _) = drain(paced(400, 0), &[ONE, ONE, ONE, ONE]);
    scene.wait(250);
    assert_eq!(scene.turn(ONE), [1, 2, 3]);
    assert_eq!(later(&mut scene, ONE), Some(50));
}

#[test]
fn a_client_that_leaves_a_spread_drain_delays_no_other() {
    let (mut scene, held) = drain(paced(400, 0), &[ONE, ONE, TWO, ONE]);
    assert_eq!((scene.turn(ONE), later(&mut scene, ONE)), (vec![1], Some(100)));
    scene.depart(held[1], DepartReason::Left);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(later(&mut scene, TWO), Some(100));
}

#[test]
fn the_concurrency_bounds_the_unfinished_and_each_that_finishes_wakes_the_next() {
    let (mut scene, held) = drain(paced(0, 2), &[ONE, ONE, ONE, TWO]);
    assert_eq!(scene.turn(ONE), [1, 2]);
    assert_eq!((scene.ask(ONE).0, scene.turn(TWO)), (Turn::Nobody, vec![]));
    scene.finish(held[1]);
    assert_eq!(scene.effects.wake, Wake::One(ONE));
    assert_eq!(scene.turn(ONE), [3]);
    scene.finish(held[0]);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(scene.turn(TWO), [4]);
    assert_eq!(scene.state(""), Some(State::Open));
}

#[test]
fn a_worker_without_a_spare_connection_releases_none() {
    let (mut scene, _) = drain(paced(0, 0), &[ONE]);
    assert_eq!(scene.ask_with(ONE, Spare::None), (Turn::Nobody, vec![]));
    assert_eq!(scene.turn(ONE), [1]);
}

#[test]
fn a_spread_and_a_concurrency_both_hold() {
    let (mut scene, held) = drain(paced(400, 2), &[ONE; 4]);
    scene.wait(400);
    assert_eq!(scene.turn(ONE), [1, 2]);
    assert_eq!(later(&mut scene, ONE), None, "the next is due, and there is no room");
    scene.finish(held[0]);
    assert_eq!(scene.turn(ONE), [3]);
    let (mut scene, _) = drain(paced(400, 2), &[ONE; 4]);
    assert_eq!((scene.turn(ONE), later(&mut scene, ONE)), (vec![1], Some(100)));
}

#[test]
fn a_request_that_is_finished_twice_or_by_another_worker_makes_no_room() {
    let (mut scene, held) = drain(paced(0, 2), &[ONE; 5]);
    assert_eq!(scene.turn(ONE), [1, 2]);
    let other = HeldRequest { owner: TWO, ..held[1] };
    let stale = HeldRequest { cookie: held[0].cookie, ..held[1] };
    for one in [held[0], held[0], other, stale, held[3]] {
        scene.finish(one);
    }
    assert_eq!((scene.turn(ONE), scene.turn(ONE)), (vec![3], vec![]));
}

#[test]
fn a_request_that_finishes_before_the_baton_is_back_makes_room() {
    let (mut scene, held) = drain(paced(0, 1), &[ONE, TWO]);
    let (app, _) = scene.take(ONE).unwrap();
    scene.finish(held[0]);
    assert_eq!(scene.turn(TWO), NONE, "the baton is not back");
    scene.give_back(app, ONE);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(scene.turn(TWO), [2]);
}

#[test]
fn a_released_request_cannot_depart() {
    let (mut scene, held) = drain(paced(0, 1), &[ONE, ONE]);
    assert_eq!(scene.turn(ONE), [1]);
    scene.depart(held[0], DepartReason::Left);
    assert_eq!(scene.zone.tables.apps[0].totals.left, 0);
    assert_eq!(scene.turn(ONE), NONE);
}

#[test]
fn the_unfinished_requests_of_a_dead_worker_make_room_for_others() {
    let (mut scene, _) = drain(paced(0, 1), &[ONE, TWO]);
    assert_eq!(scene.turn(ONE), [1]);
    assert_eq!(scene.turn(TWO), NONE);
    scene.visit(|zone| zone.reap(ONE, process(1)));
    assert_eq!(scene.effects.wake, Wake::All);
    assert_eq!(scene.turn(TWO), [2]);
    assert_eq!(scene.zone.tables.apps[0].totals.lost, 0, "it was passed on");
}

#[test]
fn newcomers_are_released_behind_the_drain_and_twice_as_fast_each_round() {
    let (mut scene, _) = drain(paced(400, 0), &[ONE, ONE]);
    assert_eq!(scene.turn(ONE), [1]);
    scene.hold("", TWO);
    scene.hold("", TWO);
    scene.wait(200);
    assert_eq!(scene.turn(ONE), [2]);
    assert_eq!(scene.turn(TWO), [3], "a round begins with one");
    assert_eq!(later(&mut scene, TWO), Some(100));
    scene.hold("", ONE);
    scene.wait(100);
    assert_eq!((scene.turn(TWO), scene.turn(ONE)), (vec![4], vec![5]));
    assert_eq!(scene.state(""), Some(State::Open));
    let drained = scene.effects.drained;
    assert_eq!(drained, None, "it was reported by the visit that ended it");
    assert_eq!(scene.come("", ONE), Arrival::Passes);
}

#[test]
fn each_round_doubles_the_concurrency() {
    let (mut scene, first) = drain(paced(0, 1), &[ONE]);
    let others: Vec<_> = (0..5).map(|_| scene.hold("", TWO)).collect();
    assert_eq!(scene.turn(ONE), [1]);
    assert_eq!(scene.turn(TWO), [2], "two at a time, one of them is the first");
    scene.finish(first[0]);
    assert_eq!((scene.turn(TWO), scene.turn(TWO)), (vec![3], vec![]));
    assert_eq!(scene.effects.wake, Wake::Nobody);
    scene.finish(others[0]);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
}

/// Two requests are held when the pause ends, and others keep coming.
#[test]
fn a_spread_drain_ends_in_twice_its_time_however_many_come_meanwhile() {
    let mut scene = Scene::with_slots(200);
    scene.enable("", Expected::Any, paced(60_000, 0)).unwrap();
    scene.hold("", ONE);
    scene.hold("", ONE);
    scene.resume("");
    for halves in 0..240 {
        while !scene.turn(ONE).is_empty() {}
        if scene.state("") == Some(State::Open) {
            assert!(halves > 60, "they were not spread");
            return;
        }
        scene.hold("", ONE);
        scene.wait(500);
    }
    panic!("{} are held", scene.zone.tables.apps[0].line.len);
}

#[test]
fn requests_unfinished_when_a_drain_ends_count_in_the_next() {
    let (mut scene, held) = drain(paced(0, 2), &[ONE, ONE]);
    assert_eq!(scene.turn(ONE), [1, 2]);
    assert_eq!((scene.state(""), scene.come("", TWO)), (Some(State::Open), Arrival::Passes));
    scene.enable("", Expected::Any, paced(0, 2)).unwrap();
    scene.hold("", TWO);
    scene.resume("");
    assert_eq!(scene.turn(TWO), NONE);
    scene.finish(held[0]);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(scene.turn(TWO), [4]);
}

#[test]
fn a_request_that_finishes_in_a_new_pause_releases_none() {
    let (mut scene, held) = drain(paced(0, 1), &[ONE, TWO]);
    assert_eq!(scene.turn(ONE), [1]);
    scene.pause("");
    scene.finish(held[0]);
    assert_eq!((scene.effects.wake, scene.turn(TWO)), (Wake::Nobody, vec![]));
    scene.resume("");
    assert_eq!(scene.turn(TWO), [2]);
}

#[test]
fn an_unfinished_request_keeps_its_slot_until_it_is_finished() {
    let (mut scene, held) = drain(paced(0, 8), &[ONE; 8]);
    assert_eq!(scene.turn(ONE).len(), 8);
    scene.pause("");
    assert_eq!(scene.visit(|zone| zone.slots_used()), 8);
    assert!(matches!(scene.come("", TWO), Arrival::Rejected { .. }));
    scene.finish(held[7]);
    assert!(matches!(scene.come("", TWO), Arrival::Held { ahead: 0, .. }));
}

#[test]
fn an_app_with_unfinished_requests_is_not_idle() {
    let (mut scene, held) = drain(paced(0, 1), &[ONE]);
    assert_eq!(scene.turn(ONE), [1]);
    for app in ["b", "c", "d"] {
        scene.pause(app);
    }
    assert_eq!(scene.enable("e", Expected::Any, paced(0, 0)), Err(Refusal::Full));
    scene.finish(held[0]);
    scene.pause("e");
}

#[test]
fn another_pace_takes_effect_at_once_and_the_same_changes_nothing() {
    let (mut scene, _) = drain(paced(400, 0), &[ONE; 5]);
    assert_eq!(scene.turn(ONE), [1]);
    assert_eq!(change_pace(&mut scene, 400, 0), Ok(Opened::Unchanged));
    assert_eq!(scene.effects.wake, Wake::Nobody);
    assert_eq!(
        change_pace(&mut scene, 40, 0),
        Ok(Opened::Paced(Pace { spread: Msec(40), concurrency: 0 }))
    );
    assert_eq!(scene.effects.wake, Wake::All);
    assert_eq!((scene.turn(ONE), later(&mut scene, ONE)), (vec![2], Some(10)));
    assert_eq!(change_pace(&mut scene, 0, 0), Ok(Opened::Paced(Pace::default())));
    assert_eq!(scene.turn(ONE), [3, 4, 5]);
}

#[test]
fn a_concurrency_can_be_lifted_or_set_during_a_drain() {
    let (mut scene, _) = drain(paced(0, 1), &[ONE; 3]);
    assert_eq!((scene.turn(ONE), scene.turn(ONE)), (vec![1], vec![]));
    change_pace(&mut scene, 0, 0).unwrap();
    assert_eq!(scene.turn(ONE), [2, 3]);
    let (mut scene, _) = drain(paced(400, 0), &[ONE; 4]);
    assert_eq!(scene.turn(ONE), [1]);
    change_pace(&mut scene, 0, 2).unwrap();
    assert_eq!((scene.turn(ONE), scene.turn(ONE)), (vec![2, 3], vec![]));
}

#[test]
fn an_app_that_drains_at_a_pace_holds_up_no_other() {
    let (mut scene, _) = drain(paced(400, 0), &[ONE; 3]);
    assert_eq!(scene.turn(ONE), [1]);
    scene.pause("other");
    scene.hold("other", ONE);
    scene.resume("other");
    assert_eq!(scene.turn(ONE), [4]);
}

#[test]
fn a_worker_that_waits_for_two_drains_wakes_for_the_earlier() {
    let (mut scene, _) = drain(paced(300, 0), &[ONE; 3]);
    scene.enable("soon", Expected::Any, paced(80, 0)).unwrap();
    scene.hold("soon", ONE);
    scene.hold("soon", ONE);
    scene.resume("soon");
    assert_eq!(scene.turn(ONE), [1, 4]);
    assert_eq!(later(&mut scene, ONE), Some(40));
}

#[test]
fn a_pause_during_a_paced_drain_keeps_the_places_and_its_own_pace() {
    let (mut scene, _) = drain(paced(400, 0), &[ONE, TWO, ONE]);
    assert_eq!(scene.turn(ONE), [1]);
    scene.enable("", Expected::Any, paced(0, 1)).unwrap();
    scene.hold("", TWO);
    scene.wait(1000);
    assert_eq!((later(&mut scene, ONE), later(&mut scene, TWO)), (None, None));
    scene.resume("");
    assert_eq!((scene.turn(TWO), scene.turn(ONE)), (vec![2], vec![]), "one at a time now");
}
