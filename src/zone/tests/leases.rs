//! Leases: pauses that end by themselves.
#![forbid(unsafe_code)]

use super::scene::{lease, paced, Scene, ONE, PLAIN, TWO};
use super::*;

/// The app whose lease ended.
fn end_lease(scene: &mut Scene) -> Option<String> {
    scene.visit(|zone| zone.end_lease()).map(|(app, ..)| app.to_string())
}

fn first_end(scene: &Scene) -> Option<u64> {
    let end = scene.zone.words.signals().next_lease();
    end.map(|end| end.since(scene.zone.now.monotonic).0)
}

#[test]
fn a_forgotten_pause_ends_with_its_lease_which_is_reported_once() {
    let mut scene = Scene::paused_by("a", lease(500));
    scene.hold("a", ONE);
    scene.wait(499);
    assert_eq!(end_lease(&mut scene), None);
    assert_eq!(scene.effects.wake, Wake::Nobody);
    scene.wait(1);
    let (app, pause, ended) = scene.visit(|zone| zone.end_lease()).unwrap();
    assert_eq!((app, pause), (name("a"), scene.zone.tables.apps[0].pause()));
    assert_eq!((ended.held, ended.lasted), (1, Msec(500)));
    assert_eq!(scene.effects.wake, Wake::All);
    assert_eq!(scene.turn(ONE), [1]);
    assert_eq!(end_lease(&mut scene), None);
    assert_eq!(scene.disable("a", Expected::Any), Ok(Opened::Unchanged));
}

#[test]
fn a_pause_without_a_lease_does_not_end_by_itself() {
    let mut scene = Scene::paused("a");
    scene.wait(u64::from(u32::MAX));
    assert_eq!(end_lease(&mut scene), None);
    assert_eq!(first_end(&scene), None);
}

#[test]
fn the_signals_say_when_the_first_lease_ends() {
    let mut scene = Scene::paused_by("late", lease(900));
    assert_eq!(first_end(&scene), Some(900));
    scene
        .visit(|zone| zone.enable(&name("soon"), Expected::Any, lease(300), Intent::State))
        .unwrap();
    assert_eq!(first_end(&scene), Some(300));
    scene.resume("soon");
    assert_eq!((first_end(&scene), scene.effects.wake), (Some(900), Wake::All));
    scene.wait(900);
    assert_eq!(end_lease(&mut scene), Some("late".into()));
    assert_eq!(first_end(&scene), None);
}

#[test]
fn a_heartbeat_keeps_a_pause_alive() {
    let mut scene = Scene::paused_by("", lease(500));
    let pause = scene.zone.tables.apps[0].pause();
    scene.wait(400);
    let renewed = scene
        .visit(|zone| zone.enable(&name(""), Expected::This(pause), lease(500), Intent::Change));
    assert_eq!((renewed, scene.effects.wake), (Ok(Paused::Changed(pause)), Wake::All));
    scene.wait(499);
    assert_eq!(end_lease(&mut scene), None);
    scene.wait(1);
    assert_eq!(end_lease(&mut scene), Some(String::new()));
    let late = scene.enable("", Expected::This(pause), lease(500));
    assert_eq!(late, Err(Refusal::OtherPause));
}

#[test]
fn no_enable_ends_a_pause_sooner() {
    let mut scene = Scene::paused_by("", lease(500));
    assert_eq!(scene.enable("", Expected::Any, lease(100)), Ok(Paused::Unchanged));
    assert_eq!(first_end(&scene), Some(499));
    assert!(matches!(scene.enable("", Expected::Any, PLAIN), Ok(Paused::Changed(_))));
    assert_eq!(first_end(&scene), None);
    assert_eq!(scene.enable("", Expected::Any, lease(100)), Ok(Paused::Unchanged));
    scene.wait(1000);
    assert_eq!(end_lease(&mut scene), None);
}

#[test]
fn a_stop_ends_with_its_lease_too() {
    let mut scene = Scene::new();
    scene.stop("", lease(500));
    scene.wait(500);
    assert_eq!(end_lease(&mut scene), Some(String::new()));
    assert_eq!(scene.come("", ONE), Arrival::Passes);
}

#[test]
fn leases_that_end_at_once_are_reported_one_per_visit() {
    let mut scene = Scene::new();
    for app in ["a", "b", "c"] {
        scene
            .visit(|zone| zone.enable(&name(app), Expected::Any, lease(500), Intent::State))
            .unwrap();
    }
    scene.wait(600);
    let ended: Vec<_> = core::iter::from_fn(|| end_lease(&mut scene)).collect();
    assert_eq!(ended, ["a", "b", "c"]);
    assert!(scene.zone.words.signals().all_open());
}

#[test]
fn the_end_of_a_lease_uses_the_pace_that_was_kept_with_the_pause() {
    let mut scene = Scene::paused_by("", PauseRequest { lease: Some(Msec(500)), ..paced(0, 1) });
    let first = scene.hold("", ONE);
    scene.hold("", ONE);
    scene.wait(500);
    end_lease(&mut scene);
    assert_eq!((scene.turn(ONE), scene.turn(ONE)), (vec![1], vec![]));
    scene.finish(first);
    assert_eq!(scene.turn(ONE), [2]);
}

#[test]
fn the_lease_of_a_pause_that_is_over_ends_no_other() {
    let mut scene = Scene::paused_by("", lease(500));
    scene.hold("", ONE);
    scene.resume("");
    assert_eq!(first_end(&scene), None);
    scene.pause("");
    scene.wait(500);
    assert_eq!(end_lease(&mut scene), None);
    assert_eq!(scene.state(""), Some(State::Paused));
}

#[test]
fn a_request_that_comes_before_the_end_of_a_lease_is_seen_is_held_in_turn() {
    let mut scene = Scene::paused_by("", lease(500));
    scene.hold("", ONE);
    scene.wait(700);
    scene.hold("", TWO);
    end_lease(&mut scene);
    assert_eq!((scene.turn(ONE), scene.turn(TWO)), (vec![1], vec![2]));
}

#[test]
fn a_lease_renewed_before_its_end_is_seen_leaves_no_gap() {
    let mut scene = Scene::paused_by("", lease(500));
    scene.wait(700);
    assert!(matches!(scene.enable("", Expected::Any, lease(500)), Ok(Paused::Changed(_))));
    assert_eq!(end_lease(&mut scene), None);
    assert_eq!(first_end(&scene), Some(500));
}

#[test]
fn a_lease_that_a_dying_worker_wrote_still_ends() {
    let mut scene = Scene::new();
    let words = &scene.zone.words;
    let mut zone = scene.zone.tables.lend(words, scene.zone.now);
    zone.enter();
    zone.enable(&name(""), Expected::Any, lease(500), Intent::State).unwrap();
    zone.signals.set_lease(None);
    scene.visit(|_| ());
    assert_eq!((scene.effects.repaired, first_end(&scene)), (true, Some(500)));
}
