//! A worker is killed while a caller waits, or begins to: its pause is complete, or there is none.
#![forbid(unsafe_code)]

use super::deeds::{Ask, Deed};
use super::repair::killed;
use super::scene::{lease, Scene, ONE, TWO};
use super::waits::{busy, quiets};
use super::*;
use crate::control::command::PaceChange;

const APP: AppId = AppId(0);

/// The zone after its worker was killed at each crash point of a deed, and after the repair.
fn cut_short(zone: &Owned, deed: &Deed) -> Vec<Owned> {
    let cut = |steps| {
        let mut zone = zone.clone();
        killed(&mut zone, steps, deed).then(|| {
            let (_, effects) = zone.visit(|_| ());
            assert!(effects.repaired);
            check(&zone);
            zone
        })
    };
    (0..).map_while(cut).collect()
}

fn app(zone: &Owned) -> &App {
    &zone.tables.apps[APP.index()]
}

fn any_caller_waits(zone: &Owned) -> bool {
    zone.words.signals().any_caller_waits()
}

fn name_and_ask() -> (AppName, Expected, Ask) {
    (name("a"), Expected::Any, Ask::default())
}

#[test]
fn a_provisional_pause_without_its_waiter_did_not_begin() {
    let (name, which, ask) = name_and_ask();
    let wait_for = WaitFor::Provisional;
    let deed = Deed::EnableAndWait { name, which, ask, wait_for, caller: (ONE, Cookie(1)) };
    let scene = busy();
    let before = app(&scene.zone).pause();
    for mut zone in cut_short(&scene.zone, &deed) {
        let expected = if any_caller_waits(&zone) { State::Paused } else { State::Open };
        assert_eq!(app(&zone).state(), expected);
        assert!(
            expected == State::Open || app(&zone).pause() > before,
            "it has a number of its own"
        );
        zone.visit(|zone| zone.reap(ONE, process(1)));
        assert_eq!(app(&zone).state(), State::Open);
    }
}

#[test]
fn a_stop_or_drain_that_is_cut_short_ends_the_waits_or_does_not_begin() {
    let (name, which, ask) = name_and_ask();
    let stops = Deed::Stop { name, which, ask };
    let ends = Deed::Disable { name, which, pace: PaceChange::default() };
    let mut scene = busy();
    quiets(&mut scene, lease(5000));
    let until = app(&scene.zone).until();
    for (deed, after) in [(stops, State::Stopped), (ends, State::Open)] {
        for zone in cut_short(&scene.zone, &deed) {
            let expected = if any_caller_waits(&zone) { State::Paused } else { after };
            assert_eq!(app(&zone).state(), expected);
            assert!(expected != State::Paused || app(&zone).until() == until);
        }
    }
}

#[test]
fn a_stop_that_is_cut_short_leaves_the_end_of_the_pause() {
    let (name, which, ask) = name_and_ask();
    let mut scene = Scene::paused_by("a", lease(5000));
    let until = app(&scene.zone).until();
    scene.wait(10);
    for zone in cut_short(&scene.zone, &Deed::Stop { name, which, ask }) {
        let app = app(&zone);
        let whole = [(State::Paused, until), (State::Stopped, None)];
        assert!(whole.contains(&(app.state(), app.until())), "{:?} {:?}", app.state(), app.until());
    }
}

#[test]
fn a_pause_that_is_cut_short_ends_the_waits_for_the_drain_or_does_not_begin() {
    let (name, which, ask) = name_and_ask();
    let mut scene = busy();
    scene.pause("a");
    scene.hold("a", TWO);
    scene.disable_and_wait("a", TWO).unwrap();
    for zone in cut_short(&scene.zone, &Deed::Enable { name, which, ask }) {
        assert_eq!(any_caller_waits(&zone), app(&zone).state() != State::Paused);
    }
}
