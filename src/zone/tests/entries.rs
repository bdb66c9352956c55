//! Which entry of the table of apps is whose, and which pause a verb is about.
#![forbid(unsafe_code)]

use super::scene::{Scene, ONE, TWO};
use super::*;
use crate::time::Msec;

#[test]
fn the_table_of_apps_full_of_pauses_takes_no_more_and_the_longest_idle_makes_room() {
    let mut scene = Scene::new();
    for app in ["a", "b", "c", "d"] {
        scene.pause(app);
    }
    assert_eq!(scene.enable("e", Which::Any), Err(Refusal::Full));
    scene.resume("c");
    scene.zone.wait(Msec(1));
    scene.resume("a");
    scene.pause("e");
    assert_eq!(
        (scene.state("c"), scene.state("a")),
        (None, Some(State::Open))
    );
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
    let late = Which::This(first);
    assert_eq!(scene.enable("", late), refused);
    assert_eq!(
        scene.visit(|zone| zone.disable(&name(""), late)),
        Err(Refusal::OtherPause)
    );
    assert_eq!(
        scene.enable("", Which::This(second)),
        Ok(Enabled::Unchanged)
    );
    scene.resume("");
    assert_eq!(scene.enable("", Which::This(second)), refused);
    assert_eq!(scene.enable("x", Which::This(second)), refused);
    assert_eq!(scene.state("x"), None);
}

#[test]
fn a_pause_that_must_be_new_begins_only_where_the_app_is_open() {
    let mut scene = Scene::paused("");
    assert_eq!(scene.enable("", Which::New), Err(Refusal::NotOpen));
    scene.hold("", ONE);
    scene.resume("");
    assert_eq!(scene.enable("", Which::New), Err(Refusal::NotOpen));
    scene.turn(ONE);
    assert!(matches!(
        scene.enable("", Which::New),
        Ok(Enabled::Begun(_))
    ));
}

#[test]
fn an_app_that_lets_go_the_last_of_its_line_is_not_yet_idle() {
    let mut scene = Scene::paused("a");
    scene.hold("a", ONE);
    scene.resume("a");
    scene.hold("a", TWO);
    scene.turn(ONE);
    let (app, run) = scene.take(TWO, 256);
    assert_eq!((scene.state("a"), run), (Some(State::Open), vec![2]));
    for app in ["b", "c", "d"] {
        scene.pause(app);
    }
    assert_eq!(scene.enable("e", Which::Any), Err(Refusal::Full));
    scene.give_back(app.unwrap(), TWO, 1);
    scene.pause("e");
}

#[test]
fn drains_that_end_at_the_same_moment_are_all_told() {
    let mut scene = Scene::new();
    for app in ["a", "b", "c"] {
        scene.pause(app);
        scene.hold(app, ONE);
        scene.resume(app);
    }
    scene.visit(|zone| zone.bury(ONE, process(1)));
    for app in ["a", "b", "c"] {
        let drained = scene.effects.drained.map(|(app, _)| app);
        assert_eq!(drained, Some(name(app)));
        scene.visit(|_| ());
    }
    assert_eq!(scene.effects.drained, None);
}

#[test]
fn an_app_whose_drain_is_not_told_yet_is_not_forgotten() {
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
    scene.visit(|zone| zone.bury(ONE, process(1)));
    assert_eq!(scene.enable("e", Which::Any), Err(Refusal::Full));
    assert_eq!(scene.effects.drained.map(|(app, _)| app), Some(name("b")));
    scene.pause("e");
}
