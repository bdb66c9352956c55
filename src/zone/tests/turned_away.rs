//! Requests that are turned away, by a stop or because nginx quits.
#![forbid(unsafe_code)]

use super::scene::{lease, paced, Scene, FIRST, ONE, PLAIN, TWO};
use super::*;
use crate::shared::app::Unreported;

const THREE: WorkerId = WorkerId(2);

/// The answer without a lease.
const STOPPED: Arrival = Arrival::Stopped { retry_after: 10 };

fn held(arrival: Arrival) -> bool {
    matches!(arrival, Arrival::Held { .. })
}

#[test]
fn a_stop_turns_away_all_held_requests_and_all_that_come() {
    let mut scene = Scene::paused("");
    for owner in [ONE, TWO, ONE] {
        scene.hold("", owner);
    }
    scene.stop("", PLAIN);
    assert_eq!(scene.effects.wake, Wake::All);
    assert_eq!(scene.come("", TWO), STOPPED);
    assert_eq!(scene.turned_away(ONE), Some((vec![1, 3], 10)));
    assert_eq!(scene.turned_away(TWO), Some((vec![2], 10)));
    assert_eq!((scene.turned_away(ONE), scene.turned_away(TWO)), (None, None));
    assert_eq!(scene.visit(|zone| zone.slots_used()), 0);
    assert_eq!(scene.zone.tables.apps[0].totals.stopped, 4);
}

#[test]
fn no_body_is_read_for_a_stopped_app_or_when_nginx_quits() {
    let mut scene = Scene::paused("");
    let refused = |scene: &mut Scene| scene.visit(|zone| zone.refuse(AppId(0), &name("")));
    assert_eq!(refused(&mut scene), None);
    scene.stop("", lease(5_000));
    assert_eq!(refused(&mut scene), Some(5));
    assert_eq!(scene.visit(|zone| zone.refuse(AppId(0), &name("other"))), None);
    assert_eq!(scene.zone.tables.apps[0].totals.stopped, 1);
    scene.resume("");
    assert_eq!(refused(&mut scene), None);
    let mut scene = Scene::paused("");
    scene.quit();
    assert_eq!(refused(&mut scene), Some(10));
}

#[test]
fn requests_turned_away_by_a_quit_are_reported_once_and_without_those_of_a_stop() {
    let mut scene = Scene::paused("a");
    scene.stop("stopped", PLAIN);
    scene.come("stopped", ONE);
    scene.hold("a", ONE);
    scene.hold("a", TWO);
    scene.quit();
    scene.turned_away(ONE);
    scene.turned_away(TWO);
    scene.come("a", TWO);
    scene.come("stopped", TWO);
    assert_eq!(scene.visit(|zone| zone.turned_away_by_quit()), Some((name("a"), 3)));
    assert_eq!(scene.visit(|zone| zone.turned_away_by_quit()), None);
}

#[test]
fn failed_bypassed_requests_are_reported_once_a_second_and_at_the_end() {
    let mut scene = Scene::paused("a");
    let fails = |scene: &mut Scene| scene.visit(|zone| zone.bypass_failed(AppId(0), &name("a")));
    assert_eq!((fails(&mut scene), fails(&mut scene), fails(&mut scene)), (Some(1), None, None));
    scene.wait(1_000);
    assert_eq!((fails(&mut scene), fails(&mut scene)), (Some(3), None));
    assert_eq!(scene.visit(|zone| zone.bypass_failed(AppId(0), &name("b"))), None);
    scene.resume("a");
    let unreported = Unreported { rejected: 0, expired: 0, failed: 1 };
    assert_eq!(scene.effects.unreported, Some((name("a"), unreported)));
}

#[test]
fn an_app_is_stopped_from_any_state() {
    let mut scene = Scene::new();
    scene.stop("open", PLAIN);
    assert_eq!(scene.come("open", ONE), STOPPED);
    scene.pause("draining");
    scene.hold("draining", ONE);
    scene.resume("draining");
    scene.hold("draining", TWO);
    scene.stop("draining", PLAIN);
    assert_eq!(scene.turned_away(TWO), Some((vec![3], 10)));
    assert_eq!(scene.turned_away(ONE), Some((vec![2], 10)));
}

#[test]
fn a_stop_does_not_wait_for_the_baton_and_does_not_recall_a_released_request() {
    let mut scene = Scene::paused("");
    for owner in [ONE, ONE, TWO] {
        scene.hold("", owner);
    }
    scene.resume("");
    let (app, one) = scene.take(ONE).unwrap();
    assert_eq!(one, 1);
    scene.stop("", PLAIN);
    assert_eq!(scene.turned_away(TWO), Some((vec![3], 10)));
    assert_eq!(scene.turned_away(ONE), Some((vec![2], 10)));
    scene.give_back(app, ONE);
    let totals = scene.zone.tables.apps[0].totals;
    assert_eq!((totals.released, totals.stopped), (1, 2));
    assert_eq!(scene.state(""), Some(State::Stopped));
}

#[test]
fn a_stop_that_ends_during_a_release_lets_no_newcomer_overtake() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.resume("");
    let (app, _) = scene.take(ONE).unwrap();
    scene.stop("", PLAIN);
    scene.resume("");
    assert!(held(scene.come("", TWO)));
    assert_eq!(scene.turn(TWO), [] as [u64; 0]);
    scene.give_back(app, ONE);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(scene.turn(TWO), [2]);
}

#[test]
fn a_stop_that_becomes_a_pause_keeps_requests_that_it_had_not_turned_away() {
    let mut scene = Scene::paused("");
    let pause = scene.zone.tables.apps[0].pause();
    for owner in [ONE, TWO, TWO] {
        scene.hold("", owner);
    }
    assert_eq!(scene.stop("", PLAIN), pause);
    assert_eq!(scene.turned_away(ONE), Some((vec![1], 10)));
    assert_eq!(scene.enable("", Expected::This(pause), PLAIN), Ok(Paused::Begun(pause)));
    assert_eq!(scene.turned_away(TWO), None);
    scene.hold("", ONE);
    scene.resume("");
    assert_eq!((scene.turn(TWO), scene.turn(ONE)), (vec![2, 3], vec![4]));
}

#[test]
fn a_request_that_a_stop_has_not_turned_away_when_it_ends_is_released() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.stop("", PLAIN);
    scene.resume("");
    assert_eq!(scene.turn(ONE), [1]);
    assert_eq!(scene.come("", ONE), Arrival::Passes);
}

#[test]
fn an_expired_request_of_a_stopped_app_is_not_passed_on() {
    let mut scene = Scene::paused("");
    let (early, late) = (scene.hold("", ONE), scene.hold("", ONE));
    scene.stop("", PLAIN);
    assert_eq!(scene.depart(early, DepartReason::Passed), Departure::Stays);
    let gone = Departure::Gone { report: Some(1), retry_after: 10 };
    assert_eq!(scene.depart(late, DepartReason::Answered), gone);
    assert_eq!(scene.turned_away(ONE), Some((vec![1], 10)));
}

#[test]
fn a_long_line_is_turned_away_in_parts() {
    let mut scene = Scene::with_slots(300);
    scene.pause("");
    for _ in 0..300 {
        scene.hold("", ONE);
    }
    scene.stop("", PLAIN);
    assert_eq!(scene.turned_away(ONE).map(|(given, _)| given.len()), Some(256));
    assert_eq!(scene.effects.wake, Wake::One(ONE));
    assert_eq!(scene.turned_away(ONE).map(|(given, _)| given.len()), Some(44));
    assert_eq!(scene.effects.wake, Wake::Nobody);
}

#[test]
fn a_stop_of_one_app_does_not_touch_another() {
    let mut scene = Scene::paused("a");
    scene.hold("a", ONE);
    scene.pause("b");
    scene.hold("b", ONE);
    scene.stop("a", PLAIN);
    assert_eq!(scene.turned_away(ONE), Some((vec![1], 10)));
    assert_eq!(scene.turned_away(ONE), None);
    assert!(held(scene.come("b", TWO)));
}

#[test]
fn a_request_turned_away_learns_when_the_lease_ends() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.enable("", Expected::Any, PLAIN).unwrap();
    scene.resume("");
    scene.stop("", lease(4200));
    assert_eq!(scene.come("", ONE), Arrival::Stopped { retry_after: 5 });
    scene.wait(4000);
    assert_eq!(scene.turned_away(ONE), Some((vec![1], 1)));
}

#[test]
fn a_stop_has_an_end_of_its_own() {
    let mut scene = Scene::paused_by("", lease(500));
    scene.stop("", PLAIN);
    assert_eq!(scene.zone.words.signals().next_lease(), None);
    let mut scene = Scene::paused("");
    scene.stop("", lease(500));
    scene.wait(500);
    assert!(scene.visit(|zone| zone.end_lease()).is_some());
}

#[test]
fn a_bypassing_request_learns_when_the_lease_ends() {
    let mut scene = Scene::new();
    scene.stop("", lease(4200));
    let came = scene.visit(|zone| zone.bypass(AppId(0), &name("")));
    assert_eq!((came, scene.zone.tables.apps[0].totals.bypassed), (Some(5), 1));
}

#[test]
fn a_stop_of_another_pause_or_of_one_that_is_over_stops_nothing() {
    let mut scene = Scene::paused("");
    let other = Expected::This(PauseId(99));
    let this = Expected::This(scene.zone.tables.apps[0].pause());
    let stop = |zone: &mut Zone<'_>, which| zone.stop(&name(""), which, PLAIN, Intent::State);
    assert_eq!(scene.visit(|zone| stop(zone, other)), Err(Refusal::OtherPause));
    scene.resume("");
    assert_eq!(scene.visit(|zone| stop(zone, this)), Err(Refusal::OtherPause));
    assert_eq!(scene.state(""), Some(State::Open));
}

#[test]
fn a_quit_turns_away_requests_that_a_pause_holds() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.hold("", TWO);
    scene.visit(|zone| zone.told_to_leave(TWO));
    assert_eq!(scene.turned_away(TWO), None);
    assert!(held(scene.come("", ONE)));
    scene.visit(|zone| zone.told_to_leave(ONE));
    assert_eq!(scene.effects.wake, Wake::All);
    assert_eq!(scene.come("", ONE), STOPPED);
    assert_eq!(scene.turned_away(TWO), Some((vec![2], 10)));
    assert_eq!(scene.turned_away(ONE), Some((vec![1, 3], 10)));
    assert_eq!(scene.state(""), Some(State::Paused));
}

#[test]
fn a_drain_goes_on_though_nginx_quits() {
    let mut scene = Scene::paused_by("", paced(0, 1));
    let first = scene.hold("", ONE);
    scene.hold("", TWO);
    scene.resume("");
    scene.quit();
    assert_eq!(scene.turn(ONE), [1]);
    assert!(held(scene.come("", ONE)));
    scene.finish(first);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(scene.turn(TWO), [2]);
}

#[test]
fn an_expired_request_is_not_passed_on_when_nginx_quits() {
    let mut scene = Scene::paused("");
    let one = scene.hold("", ONE);
    scene.quit();
    assert_eq!(scene.depart(one, DepartReason::Passed), Departure::Stays);
}

#[test]
fn a_pause_that_begins_while_nginx_quits_holds_no_request() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.hold("", TWO);
    scene.resume("");
    scene.quit();
    assert_eq!(scene.turn(ONE), [1]);
    scene.pause("");
    assert_eq!(scene.come("", ONE), STOPPED);
    assert_eq!(scene.turned_away(TWO), Some((vec![2], 10)));
}

#[test]
fn a_reload_is_no_quit() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    let second = scene.visit(|zone| zone.next_generation());
    for worker in [ONE, TWO] {
        scene.visit(|zone| zone.told_to_leave(worker));
        assert_eq!(scene.effects.wake, Wake::Nobody);
    }
    assert_eq!(scene.register(3, second), THREE);
    assert_eq!(scene.turned_away(ONE), None);
    assert!(held(scene.come("", THREE)));
    scene.visit(|zone| zone.told_to_leave(THREE));
    assert_eq!(scene.turned_away(ONE), Some((vec![1], 10)), "old workers see the quit");
}

#[test]
fn a_new_worker_ends_a_quit() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.quit();
    scene.register(3, FIRST);
    assert_eq!(scene.turned_away(ONE), None);
    assert!(held(scene.come("", THREE)));
    scene.resume("");
    assert_eq!((scene.turn(ONE), scene.turn(THREE)), (vec![1], vec![2]));
}

#[test]
fn an_old_worker_that_registers_late_is_still_an_old_one() {
    let mut scene = Scene::paused("");
    for pid in [3, 4] {
        scene.register(pid, FIRST);
    }
    scene.hold("", TWO);
    assert_eq!(scene.register(5, FIRST), WorkerId::NONE);
    scene.visit(|zone| zone.next_generation());
    scene.visit(|zone| zone.reap(ONE, process(1)));
    let late = scene.register(5, FIRST);
    scene.visit(|zone| zone.told_to_leave(late));
    assert_eq!(scene.turned_away(TWO), None, "it is a reload");
}

#[test]
fn a_worker_that_registers_again_ends_no_quit() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.quit();
    for pid in [3, 4] {
        scene.visit(|zone| zone.register(process(pid), FIRST, Orders::Leave));
    }
    assert_eq!(scene.come("", TWO), STOPPED, "they are told to leave");
    assert_eq!(scene.register(5, FIRST), WorkerId::NONE);
    assert_eq!(scene.come("", TWO), STOPPED, "the table is full");
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    let second = scene.visit(|zone| zone.next_generation());
    assert_eq!(scene.register(3, second), THREE);
    scene.visit(|zone| zone.told_to_leave(THREE));
    scene.register(4, FIRST);
    assert_eq!(scene.come("", TWO), STOPPED, "it is an old one");
    assert_eq!(scene.turned_away(ONE), Some((vec![1], 10)));
}

#[test]
fn a_quit_is_seen_even_if_the_last_worker_to_be_told_had_no_entry() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    let second = scene.visit(|zone| zone.next_generation());
    scene.visit(|zone| zone.register(process(3), second, Orders::Leave));
    assert_eq!(scene.turned_away(ONE), Some((vec![1], 10)));
}

#[test]
fn a_worker_that_is_cut_off_turns_away_its_own_requests_only() {
    let mut scene = Scene::paused("");
    scene.hold("", ONE);
    scene.hold("", TWO);
    let mut given = Vec::new();
    let turn = scene.visit(|zone| zone.cut_off(ONE, |one| given.push(one.cookie)));
    assert_eq!((turn, given), (Turn::TurnAway { retry_after: 10 }, vec![Cookie(1)]));
    assert_eq!(scene.visit(|zone| zone.cut_off(ONE, |_| ())), Turn::Nobody);
    assert_eq!(scene.visit(|zone| zone.turned_away_by_quit()), None);
    scene.resume("");
    assert_eq!(scene.turn(TWO), [2]);
}
