//! The entries of the table of apps, and the pauses that a verb may touch.
#![forbid(unsafe_code)]

use super::scene::{lease, Scene, ONE, PLAIN, TWO};
use super::*;
use crate::saved::Saved;

#[test]
fn a_new_app_gets_the_entry_of_the_longest_idle_one_and_none_if_none_is_idle() {
    let mut scene = Scene::new();
    for app in ["a", "b", "c", "d"] {
        scene.pause(app);
    }
    assert_eq!(scene.enable("e", Expected::Any, PLAIN), Err(Refusal::Full));
    scene.resume("c");
    scene.wait(1);
    scene.resume("a");
    scene.pause("e");
    assert_eq!((scene.state("c"), scene.state("a")), (None, Some(State::Open)));
    assert_eq!(scene.come("c", ONE), Arrival::Passes);
}

#[test]
fn a_verb_for_one_pause_does_not_touch_another() {
    let mut scene = Scene::new();
    let first = scene.pause("");
    scene.resume("");
    let second = scene.pause("");
    assert!(second > first);
    let refused = Err(Refusal::OtherPause);
    let late = Expected::This(first);
    assert_eq!(scene.enable("", late, PLAIN), refused);
    assert_eq!(scene.disable("", late), Err(Refusal::OtherPause));
    assert_eq!(scene.enable("", Expected::This(second), PLAIN), Ok(Paused::Unchanged));
    scene.resume("");
    assert_eq!(scene.enable("", Expected::This(second), PLAIN), refused);
    assert_eq!(scene.enable("x", Expected::This(second), PLAIN), refused);
    assert_eq!(scene.state("x"), None);
}

#[test]
fn a_verb_for_a_pause_that_is_no_stop_leaves_a_stop_alone() {
    let mut scene = Scene::new();
    let pause = scene.pause("");
    let (own, this) = (Expected::Paused(pause), Expected::This(pause));
    assert_eq!(scene.enable("", own, PLAIN), Ok(Paused::Unchanged));
    assert_eq!(scene.stop("", PLAIN), pause);
    assert_eq!(scene.enable("", own, PLAIN), Err(Refusal::Stopped));
    assert_eq!(scene.disable("", own), Err(Refusal::Stopped));
    assert_eq!(scene.state(""), Some(State::Stopped));
    assert_eq!(scene.enable("", this, PLAIN), Ok(Paused::Begun(pause)));
    assert!(matches!(scene.disable("", own), Ok(Opened::Ended(..))));
    assert_eq!(scene.disable("", own), Ok(Opened::Unchanged));
}

#[test]
fn only_the_holder_of_a_pause_may_repeat_its_disable() {
    let mut scene = Scene::new();
    let own = Expected::This(scene.pause(""));
    assert!(matches!(scene.disable("", own), Ok(Opened::Ended(..))));
    assert_eq!(scene.disable("", own), Ok(Opened::Unchanged));
    let next = Expected::This(scene.pause(""));
    scene.resume("");
    assert_eq!(scene.disable("", next), Err(Refusal::Over), "another caller ended it");
    assert_eq!(scene.disable("", own), Err(Refusal::OtherPause));
    scene.enable("", Expected::Any, lease(50)).unwrap();
    let leased = Expected::This(scene.visit(|zone| zone.pause(&AppName::EMPTY)));
    scene.wait(50);
    assert!(scene.visit(|zone| zone.end_lease()).is_some());
    assert_eq!(scene.disable("", leased), Err(Refusal::Over), "its lease ended it");
    assert_eq!(scene.disable("", Expected::Any), Ok(Opened::Unchanged));
}

#[test]
fn a_pause_that_must_be_new_begins_only_if_the_app_is_open() {
    let mut scene = Scene::paused("");
    assert_eq!(scene.enable("", Expected::New, PLAIN), Err(Refusal::NotOpen));
    scene.hold("", ONE);
    scene.resume("");
    assert_eq!(scene.enable("", Expected::New, PLAIN), Err(Refusal::NotOpen));
    scene.turn(ONE);
    assert!(matches!(scene.enable("", Expected::New, PLAIN), Ok(Paused::Begun(_))));
}

#[test]
fn an_app_that_releases_its_last_request_is_not_idle_yet() {
    let mut scene = Scene::paused("a");
    scene.hold("a", ONE);
    scene.resume("a");
    scene.hold("a", TWO);
    scene.turn(ONE);
    let (app, one) = scene.take(TWO).unwrap();
    assert_eq!((scene.state("a"), one), (Some(State::Open), 2));
    for app in ["b", "c", "d"] {
        scene.pause(app);
    }
    assert_eq!(scene.enable("e", Expected::Any, PLAIN), Err(Refusal::Full));
    scene.give_back(app, TWO);
    scene.pause("e");
}

#[test]
fn drains_that_end_at_once_are_all_reported() {
    let mut scene = Scene::new();
    for app in ["a", "b", "c"] {
        scene.pause(app);
        scene.hold(app, ONE);
        scene.resume(app);
    }
    scene.visit(|zone| zone.reap(ONE, process(1)));
    for app in ["a", "b", "c"] {
        let drained = scene.effects.drained.map(|(app, _)| app);
        assert_eq!(drained, Some(name(app)));
        scene.visit(|_| ());
    }
    assert_eq!(scene.effects.drained, None);
}

#[test]
fn an_app_keeps_its_entry_until_its_drain_is_reported() {
    let mut scene = Scene::new();
    for app in ["a", "b"] {
        scene.pause(app);
        scene.hold(app, ONE);
        scene.resume(app);
    }
    scene.hold("a", TWO);
    for app in ["c", "d"] {
        scene.pause(app);
    }
    scene.visit(|zone| zone.reap(ONE, process(1)));
    assert_eq!(scene.enable("e", Expected::Any, PLAIN), Err(Refusal::Full));
    assert_eq!(scene.effects.drained.map(|(app, _)| app), Some(name("b")));
    scene.pause("e");
}

/// nginx starts again, with what was saved.
fn restarted(before: &mut Scene) -> Scene {
    let mut scene = Scene::new();
    scene.zone.now = before.zone.now;
    let pauses = before.visit(|zone| zone.pauses());
    scene.visit(|zone| zone.pauses_seen(pauses));
    let now = scene.zone.now;
    for saved in before.zone.tables.apps.iter().filter_map(|app| Saved::of(app, now)) {
        if let Some(app) = saved.restore(Some(Msec(0)), now) {
            assert!(scene.visit(|zone| zone.restore(app)).is_some());
        }
    }
    scene
}

#[test]
fn after_a_restart_requests_are_held_or_turned_away_as_before() {
    let mut scene = Scene::paused("paused");
    scene.stop("stopped", PLAIN);
    scene.pause("open");
    scene.resume("open");
    scene.hold("paused", ONE);
    let mut scene = restarted(&mut scene);
    assert!(matches!(scene.come("paused", ONE), Arrival::Held { ahead: 0, .. }));
    assert!(matches!(scene.come("stopped", ONE), Arrival::Stopped { .. }));
    assert_eq!((scene.come("open", ONE), scene.state("open")), (Arrival::Passes, None));
    scene.resume("paused");
    assert_eq!(scene.turn(ONE), [1]);
}

#[test]
fn after_a_restart_a_lease_counts_on_and_no_number_is_used_again() {
    let mut scene = Scene::paused_by("", lease(500));
    let over = scene.pause("other");
    scene.resume("other");
    let mut scene = restarted(&mut scene);
    assert!(scene.pause("new") > over);
    scene.wait(500);
    assert_eq!(scene.visit(|zone| zone.end_lease()).map(|(app, ..)| app), Some(name("")));
}

#[test]
fn a_pause_without_an_entry_after_a_restart_is_reported_lost() {
    let scene = Scene::paused("e");
    let app = scene.zone.tables.apps[0];
    let mut scene = Scene::new();
    for app in ["a", "b", "c", "d"] {
        scene.pause(app);
    }
    assert_eq!(scene.visit(|zone| zone.restore(app)), None);
}

#[test]
fn numbers_of_pauses_go_on_from_the_greatest_one_seen() {
    let mut scene = Scene::new();
    scene.visit(|zone| zone.pauses_seen(3));
    scene.visit(|zone| zone.pauses_seen(1));
    assert_eq!(scene.visit(|zone| zone.pauses()), 3);
    assert_eq!(scene.pause(""), PauseId(4));
}

#[test]
fn the_version_changes_with_what_is_saved_and_not_with_traffic() {
    let mut scene = Scene::new();
    let version = |scene: &Scene| scene.zone.tables.header.version;
    let mut seen = vec![version(&scene)];
    scene.pause("");
    seen.push(version(&scene));
    scene.hold("", ONE);
    scene.enable("", Expected::Any, PLAIN).unwrap();
    assert_eq!(version(&scene), seen[1]);
    scene.stop("", PLAIN);
    seen.push(version(&scene));
    scene.turned_away(ONE);
    assert_eq!(version(&scene), seen[2]);
    scene.resume("");
    seen.push(version(&scene));
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
}

#[test]
fn a_retired_zone_begins_no_pause_until_it_is_reinstated() {
    let mut scene = Scene::paused("");
    assert!(!scene.visit(|zone| zone.retire()), "an app is paused");
    scene.hold("", ONE);
    scene.resume("");
    assert!(!scene.visit(|zone| zone.retire()), "a request is held");
    scene.turn(ONE);
    assert!(scene.visit(|zone| zone.retire()));
    assert_eq!(scene.enable("", Expected::Any, PLAIN), Err(Refusal::Retired));
    assert_eq!(scene.enable("new", Expected::New, PLAIN), Err(Refusal::Retired));
    scene.visit(|zone| zone.reinstate());
    scene.pause("");
}

#[test]
fn a_slot_is_used_again_before_one_that_never_was() {
    let mut scene = Scene::with_slots(8);
    scene.pause("");
    let held = [scene.hold("", ONE), scene.hold("", TWO)];
    scene.depart(held[0], DepartReason::Left);
    scene.hold("", ONE);
    assert_eq!(scene.zone.tables.header.touched, 2);
    assert_eq!(scene.visit(|zone| zone.slots_used()), 2);
}
