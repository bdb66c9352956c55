//! Released requests that nginx itself answers with 502, 503 or 504: how they are counted.
#![forbid(unsafe_code)]

use super::scene::*;
use super::*;

/// Holds and releases a request. Returns what released it.
fn released(scene: &mut Scene) -> Release {
    scene.hold("a", ONE);
    scene.resume("a");
    let (turn, given) = scene.ask(ONE);
    let Turn::Release(app, _) = turn else { panic!("{turn:?}") };
    scene.give_back(app, ONE);
    given[0].by
}

fn fails(scene: &mut Scene, by: Release) -> Option<u32> {
    scene.visit(|zone| zone.failed(&name("a"), by))
}

/// The counts of failures: in all, and in the last drain.
fn counted(scene: &mut Scene) -> (u64, Option<u64>) {
    scene.visit(|zone| {
        let app = zone.app(AppId(0)).unwrap();
        (app.totals.failed, app.last_drain().map(|(drained, _)| drained.failed))
    })
}

#[test]
fn a_failure_before_the_end_of_the_drain_is_in_its_log_line() {
    let mut scene = Scene::paused("a");
    scene.hold("a", ONE);
    scene.hold("a", TWO);
    scene.resume("a");
    let (turn, given) = scene.ask(ONE);
    assert_eq!(fails(&mut scene, given[0].by), Some(1));
    let Turn::Release(app, _) = turn else { panic!("{turn:?}") };
    scene.give_back(app, ONE);
    assert_eq!(scene.turn(TWO), [2]);
    let (_, drained) = scene.effects.drained.unwrap();
    assert_eq!((drained.released, drained.failed), (2, 1));
}

#[test]
fn a_late_failure_is_counted_for_the_drain_that_released_the_request() {
    let mut scene = Scene::paused("a");
    let first = released(&mut scene);
    assert_eq!(counted(&mut scene), (0, Some(0)));
    fails(&mut scene, first);
    assert_eq!(counted(&mut scene), (1, Some(1)));
    scene.pause("a");
    fails(&mut scene, first);
    assert_eq!(counted(&mut scene), (2, Some(2)));
    let second = released(&mut scene);
    fails(&mut scene, first);
    assert_eq!(counted(&mut scene), (3, Some(0)));
    fails(&mut scene, second);
    assert_eq!(counted(&mut scene), (4, Some(1)));
}

#[test]
fn a_request_that_only_queued_behind_a_drain_is_not_counted_for_it() {
    let mut scene = Scene::paused("a");
    scene.hold("a", ONE);
    scene.resume("a");
    scene.hold("a", TWO);
    assert_eq!(scene.turn(ONE), [1]);
    let (_, given) = scene.ask(TWO);
    assert_eq!(given[0].by.drain, PauseId(0));
    fails(&mut scene, given[0].by);
    assert_eq!(counted(&mut scene), (1, Some(0)));
}

#[test]
fn a_failure_is_not_counted_for_another_app_that_has_the_entry_now() {
    let mut scene = Scene::paused("a");
    let by = released(&mut scene);
    assert_eq!(scene.visit(|zone| zone.failed(&name("b"), by)), None);
    assert_eq!(counted(&mut scene), (0, Some(0)));
}

#[test]
fn failed_released_requests_are_reported_once_a_second_and_none_is_lost() {
    let mut scene = Scene::paused("a");
    let by = released(&mut scene);
    let late = |scene: &mut Scene| scene.visit(|zone| zone.failures_due());
    assert_eq!((fails(&mut scene, by), fails(&mut scene, by)), (Some(1), None));
    assert_eq!(late(&mut scene), None);
    assert!(scene.visit(|zone| zone.any_unreported_failures()));
    scene.wait(1_000);
    assert_eq!(late(&mut scene), Some((name("a"), 1)));
    assert!(!scene.visit(|zone| zone.any_unreported_failures()));
    fails(&mut scene, by);
    let rest = |scene: &mut Scene| scene.visit(|zone| zone.take_unreported_failures());
    assert_eq!((rest(&mut scene), rest(&mut scene)), (Some((name("a"), 1)), None));
}
