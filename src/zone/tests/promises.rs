//! The zone's first promises: order, no request is lost, none blocks another.
#![forbid(unsafe_code)]

use super::scene::{lease, HeldRequest, Scene, ONE, TWO};
use super::*;
use crate::shared::app::Drained;

#[test]
fn no_request_is_held_before_the_first_pause() {
    let mut scene = Scene::new();
    assert!(scene.zone.words.signals().all_open());
    assert_eq!(scene.come("", ONE), Arrival::Passes);
}

#[test]
fn held_requests_are_released_in_the_order_of_arrival_over_all_workers() {
    let mut scene = Scene::paused("");
    for owner in [ONE, TWO, TWO, ONE] {
        scene.hold("", owner);
    }
    scene.resume("");
    assert_eq!(scene.effects.wake, Wake::All);
    assert_eq!(scene.turn(TWO), [] as [u64; 0]);
    assert_eq!(scene.turn(ONE), [1]);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(scene.turn(TWO), [2, 3]);
    assert_eq!(scene.effects.wake, Wake::One(ONE));
    assert_eq!(scene.turn(ONE), [4]);
    assert_eq!(scene.state(""), Some(State::Open));
}

#[test]
fn no_worker_takes_a_request_while_another_releases_one() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.hold("", TWO);
    scene.resume("");
    let (app, _) = scene.take(ONE).unwrap();
    assert_eq!(scene.turn(TWO), [] as [u64; 0]);
    scene.give_back(app, ONE);
    assert_eq!(scene.turn(TWO), [2]);
}

#[test]
fn a_worker_takes_one_at_a_time_and_is_woken_for_its_next() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.hold("", ONE);
    scene.resume("");
    let (app, one) = scene.take(ONE).unwrap();
    assert_eq!((one, scene.take(ONE)), (1, None));
    scene.give_back(app, ONE);
    assert_eq!(scene.effects.wake, Wake::One(ONE));
    assert_eq!(scene.turn(ONE), [2]);
}

#[test]
fn a_request_during_a_drain_is_held_behind_those_that_the_pause_held() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.resume("");
    let (app, one) = scene.take(ONE).unwrap();
    assert_eq!(one, 1);
    assert!(matches!(scene.come("", TWO), Arrival::Held { ahead: 0, .. }));
    scene.give_back(app, ONE);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(scene.turn(TWO), [2]);
}

#[test]
fn a_drain_ends_with_the_last_request_that_the_pause_held_not_with_newcomers() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.resume("");
    scene.hold("", TWO);
    scene.wait(30);
    assert_eq!(scene.turn(ONE), [1]);
    let drained = Drained { pause: PauseId(1), released: 1, failed: 0, took: Msec(30) };
    assert_eq!(scene.effects.drained, Some((name(""), drained)));
    assert_eq!(scene.come("", ONE), Arrival::Passes);
    assert_eq!(scene.turn(TWO), [2]);
}

#[test]
fn a_pause_during_a_drain_keeps_the_places_of_held_requests() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.hold("", TWO);
    scene.resume("");
    assert_eq!(scene.turn(ONE), [1]);
    scene.pause("");
    assert_eq!(scene.turn(TWO), [] as [u64; 0]);
    scene.hold("", ONE);
    scene.resume("");
    assert_eq!(scene.turn(ONE), [] as [u64; 0]);
    assert_eq!((scene.turn(TWO), scene.turn(ONE)), (vec![2], vec![3]));
}

#[test]
fn a_pause_after_a_drain_keeps_the_places_of_requests_that_queued_behind_it() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.resume("");
    scene.hold("", TWO);
    assert_eq!(scene.turn(ONE), [1]);
    scene.pause("");
    scene.hold("", ONE);
    assert_eq!(scene.turn(TWO), [] as [u64; 0]);
    scene.resume("");
    assert_eq!((scene.turn(TWO), scene.turn(ONE)), (vec![2], vec![3]));
}

#[test]
fn a_pause_that_comes_and_goes_during_a_release_lets_no_newcomer_overtake() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.resume("");
    let (app, _) = scene.take(ONE).unwrap();
    scene.pause("");
    scene.resume("");
    assert!(matches!(scene.come("", TWO), Arrival::Held { .. }));
    scene.give_back(app, ONE);
    assert_eq!(scene.turn(TWO), [2]);
}

#[test]
fn a_client_that_leaves_does_not_delay_the_next() {
    let mut scene = Scene::paused("");
    let first = scene.hold("", ONE);
    scene.hold("", TWO);
    scene.resume("");
    assert_eq!(
        scene.depart(first, DepartReason::Left),
        Departure::Gone { report: None, retry_after: 10 }
    );
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(scene.turn(TWO), [2]);
}

#[test]
fn the_last_client_that_leaves_ends_the_drain() {
    let mut scene = Scene::paused("");
    let only = scene.hold("", ONE);
    scene.resume("");
    scene.depart(only, DepartReason::Left);
    assert_eq!(scene.state(""), Some(State::Open));
}

#[test]
fn a_pause_that_held_no_request_is_over_at_once() {
    let mut scene = Scene::paused("");
    scene.resume("");
    assert_eq!(scene.come("", ONE), Arrival::Passes);
}

#[test]
fn pausing_and_resuming_an_app_does_not_touch_another() {
    let mut scene = Scene::paused("a");
    scene.hold("a", ONE);
    scene.pause("b");
    scene.hold("b", ONE);
    scene.resume("a");
    assert_eq!(scene.turn(ONE), [1]);
    assert_eq!(scene.turn(ONE), [] as [u64; 0]);
    assert_eq!(scene.state("b"), Some(State::Paused));
    assert_eq!(scene.come("a", ONE), Arrival::Passes);
}

#[test]
fn apps_that_drain_at_once_take_turns() {
    let mut scene = Scene::paused("a");
    scene.pause("b");
    for app in ["a", "a", "b", "b"] {
        scene.hold(app, ONE);
    }
    scene.resume("a");
    scene.resume("b");
    let (mut last, mut order) = (AppId::NONE, Vec::new());
    for _ in 0..4 {
        let each = |given: Given| order.push(given.cookie.0);
        let (app, turn) = scene.visit(|zone| zone.take_turn(ONE, last, Spare::One, each));
        assert_eq!(turn, Turn::Release(app, Spacing::OneByOne));
        scene.give_back(app, ONE);
        last = app;
    }
    assert_eq!(order, [1, 3, 2, 4]);
}

#[test]
fn an_expired_request_is_passed_on_in_a_pause_and_keeps_its_place_in_a_drain() {
    let mut scene = Scene::paused("");
    let (early, late) = (scene.hold("", ONE), scene.hold("", ONE));
    let gone = scene.depart(early, DepartReason::Passed);
    assert_eq!(gone, Departure::Gone { report: Some(1), retry_after: 10 });
    scene.resume("");
    assert_eq!(scene.depart(late, DepartReason::Passed), Departure::Stays);
    assert_eq!(scene.turn(ONE), [2]);
}

#[test]
fn an_expired_request_that_is_answered_does_not_wait_for_its_turn() {
    let mut scene = Scene::paused("");
    let one = scene.hold("", ONE);
    scene.resume("");
    let gone = scene.depart(one, DepartReason::Answered);
    assert_eq!(gone, Departure::Gone { report: Some(1), retry_after: 10 });
    assert_eq!(scene.state(""), Some(State::Open));
}

#[test]
fn a_stale_departure_does_not_touch_the_slots_next_request() {
    let mut scene = Scene::paused("");
    let first = scene.hold("", ONE);
    scene.depart(first, DepartReason::Left);
    let second = scene.hold("", ONE);
    let stale = HeldRequest { slot: second.slot, ..first };
    scene.depart(stale, DepartReason::Left);
    scene.resume("");
    assert_eq!(scene.turn(ONE), [2]);
}

#[test]
fn a_request_without_room_is_rejected_and_room_comes_back() {
    let mut scene = Scene::paused("");
    let held = [(); 8].map(|()| scene.hold("", ONE));
    let rejected = Arrival::Rejected { lack: Lack::Zone, report: Some(1), retry_after: 10 };
    assert_eq!(scene.come("", TWO), rejected);
    assert_eq!(scene.visit(|zone| zone.slots_used()), 8);
    scene.depart(held[3], DepartReason::Left);
    assert!(matches!(scene.come("", TWO), Arrival::Held { ahead: 7, .. }));
}

#[test]
fn no_more_than_max_held_are_held_of_an_app_over_all_workers() {
    let mut scene = Scene::paused("");
    scene.pause("other");
    let first = scene.hold("", ONE);
    scene.hold("", TWO);
    let rejected = Arrival::Rejected { lack: Lack::MaxHeld, report: Some(1), retry_after: 10 };
    assert_eq!(scene.come_where("", ONE, 2), rejected);
    assert!(matches!(scene.come_where("other", ONE, 2), Arrival::Held { .. }));
    assert!(matches!(scene.come_where("", ONE, 3), Arrival::Held { ahead: 2, .. }));
    scene.depart(first, DepartReason::Left);
    assert!(matches!(scene.come_where("", TWO, 3), Arrival::Held { ahead: 2, .. }));
}

#[test]
fn a_rejected_request_learns_when_the_lease_ends() {
    let mut scene = Scene::paused_by("", lease(3001));
    let rejected = Arrival::Rejected { lack: Lack::MaxHeld, report: Some(1), retry_after: 4 };
    assert_eq!(scene.come_where("", ONE, 0), rejected);
    let one = scene.hold("", ONE);
    scene.wait(3000);
    let gone = Departure::Gone { report: Some(1), retry_after: 1 };
    assert_eq!(scene.depart(one, DepartReason::Answered), gone);
}

#[test]
fn only_the_owner_can_move_a_held_request() {
    let mut scene = Scene::paused("");
    let one = scene.hold("", ONE);
    scene.depart(HeldRequest { owner: TWO, ..one }, DepartReason::Left);
    scene.depart(HeldRequest { cookie: Cookie(99), ..one }, DepartReason::Left);
    scene.finish(one);
    scene.resume("");
    assert_eq!(scene.turn(ONE), [1]);
}

#[test]
fn a_worker_without_an_entry_holds_no_request() {
    let mut scene = Scene::paused("");
    for stranger in [WorkerId::NONE, WorkerId(3)] {
        let came = scene.come("", stranger);
        assert!(matches!(came, Arrival::Rejected { lack: Lack::Workers, .. }));
    }
}

#[test]
fn a_request_passes_if_its_gate_became_another_apps_before_the_visit() {
    let mut scene = Scene::paused("a");
    let (a, b) = (AppId(0), name("b"));
    let came = scene.visit(|zone| zone.arrive(a, &b, ONE, Cookie(1), Bounds::max_held(u32::MAX)));
    assert_eq!(came, Arrival::Passes);
    assert_eq!(scene.visit(|zone| zone.bypass(a, &b)), None);
    assert_eq!(scene.visit(|zone| zone.bypass(a, &name("a"))), Some(10));
}

#[test]
fn the_held_requests_of_a_dead_worker_do_not_block_the_line() {
    let mut scene = Scene::paused("");
    for owner in [ONE, TWO, ONE] {
        scene.hold("", owner);
    }
    scene.resume("");
    scene.visit(|zone| zone.reap(ONE, process(1)));
    assert_eq!(scene.effects.wake, Wake::All);
    assert_eq!(scene.turn(TWO), [2]);
    assert_eq!(scene.state(""), Some(State::Open));
    assert_eq!(scene.zone.tables.apps[0].totals.lost, 2);
}

#[test]
fn a_worker_that_dies_with_the_baton_does_not_keep_it() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.hold("", TWO);
    scene.resume("");
    let (app, _) = scene.take(ONE).unwrap();
    scene.visit(|zone| zone.reap(ONE, process(1)));
    assert_eq!(scene.turn(TWO), [2]);
    assert_eq!(scene.zone.tables.apps[0].totals.lost, 1);
    scene.give_back(app, ONE);
    assert_eq!(scene.zone.tables.apps[0].totals.released, 1);
}

#[test]
fn a_process_with_the_pid_of_a_dead_one_is_not_reaped() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    let namesake = Process { started: 8, ..process(1) };
    scene.visit(|zone| zone.reap(ONE, namesake));
    scene.resume("");
    assert_eq!(scene.turn(ONE), [1]);
}

#[test]
fn a_delayed_request_halts_its_own_line_and_no_other_app() {
    let mut scene = Scene::new();
    scene.pause("a");
    scene.pause("b");
    let held = [("a", ONE), ("a", TWO), ("b", ONE)];
    for (app, owner) in held {
        scene.hold(app, owner);
    }
    ["a", "b"].into_iter().for_each(|app| scene.resume(app));
    let (app, one) = scene.take(ONE).unwrap();
    assert_eq!(one, 1);
    scene.visit(|zone| zone.halt(app, ONE));
    assert_eq!((scene.turn(TWO), scene.turn(ONE)), (vec![], vec![3]));
    scene.give_back(app, ONE);
    assert_eq!(scene.turn(TWO), [2]);
    assert_eq!(scene.zone.tables.apps[app.index()].totals.released, 2);
}

#[test]
fn a_line_that_has_waited_long_enough_hurries_until_the_next_pause_ends() {
    let mut scene = Scene::new();
    for expected in [Spacing::OneByOne, Spacing::None, Spacing::OneByOne] {
        if expected == Spacing::OneByOne {
            scene.pause("");
            scene.hold("", ONE);
            scene.hold("", ONE);
            scene.resume("");
        }
        let (turn, _) = scene.ask(ONE);
        let Turn::Release(app, spacing) = turn else { panic!("{turn:?}") };
        assert_eq!(spacing, expected);
        scene.visit(|zone| zone.hurry(app, ONE));
        scene.give_back(app, ONE);
    }
}

#[test]
fn one_that_gives_the_baton_back_and_gets_it_again_is_not_woken_for_that() {
    let mut scene = Scene::paused("a");
    for worker in [ONE, ONE, TWO] {
        scene.hold("a", worker);
    }
    scene.resume("a");
    let (app, _) = scene.take(ONE).unwrap();
    let (_, turn) = scene.visit(|zone| {
        zone.give_back(app, ONE);
        zone.take_turn(ONE, app, Spare::One, |_| ())
    });
    assert!(matches!(turn, Turn::Release(..)));
    assert_eq!(scene.effects.wake, Wake::Nobody);
    scene.give_back(app, ONE);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
}
