//! A release that is faster than the app goes on at the pace that the app takes.
#![forbid(unsafe_code)]

use super::away::*;
use super::scene::{HeldRequest, Scene, ONE};
use super::*;

/// So many are released and unfinished, more are held, and nobody has come back.
fn released(unfinished: usize, more: usize) -> (Scene, Vec<HeldRequest>) {
    let mut scene = Scene::with_slots(unfinished + more + 3);
    scene.pause("a");
    let hold = |scene: &mut Scene| {
        let bounds = Bounds { away: Some(LONGEST), ..Bounds::max_held(99) };
        scene.hold_within("a", ONE, bounds)
    };
    let all: Vec<_> = (0..unfinished + more).map(|_| hold(&mut scene)).collect();
    scene.resume("a");
    (0..unfinished).for_each(|_| goes_on(&mut scene));
    (scene, all)
}

fn goes_on(scene: &mut Scene) {
    let (app, _) = scene.take(ONE).unwrap();
    scene.give_back(app, ONE);
}

/// How many go on at once.
fn go_on(scene: &mut Scene) -> usize {
    scene.turn(ONE).len()
}

#[test]
fn those_that_were_too_many_at_once_halve_the_limit_once() {
    let (mut scene, all) = released(20, 20);
    for one in &all[10..20] {
        released_back(&mut scene, *one);
    }
    // The first of them left 19: the limit is 9, and 10 are unfinished.
    scene.finish(all[0]);
    assert_eq!(go_on(&mut scene), 0);
    scene.finish(all[1]);
    assert_eq!(go_on(&mut scene), 1);
}

#[test]
fn the_limit_grows_when_as_many_have_finished() {
    let (mut scene, all) = released(5, 20);
    released_back(&mut scene, all[4]);
    scene.finish(all[0]);
    scene.finish(all[1]);
    scene.finish(all[2]);
    assert_eq!(go_on(&mut scene), 1, "two at a time");
    scene.finish(all[3]);
    assert_eq!(go_on(&mut scene), 2, "three at a time");
}

#[test]
fn long_ones_do_not_hold_up_those_behind_them() {
    let (mut scene, all) = released(5, 20);
    released_back(&mut scene, all[4]);
    assert_eq!(go_on(&mut scene), 0, "four are unfinished, and stay so");
    scene.wait(1000);
    assert_eq!(go_on(&mut scene), 1);
    for one in &all[4..8] {
        scene.finish(*one);
        assert_eq!(go_on(&mut scene), 1, "one beside the four");
    }
    scene.finish(all[8]);
    assert_eq!(go_on(&mut scene), 2, "five have finished");
}

#[test]
fn one_more_than_the_app_takes_halves_nothing() {
    let (mut scene, all) = released(5, 20);
    released_back(&mut scene, all[4]);
    scene.wait(1000);
    assert_eq!(go_on(&mut scene), 1);
    released_back(&mut scene, all[4]);
    assert_eq!(go_on(&mut scene), 0);
    scene.finish(all[0]);
    assert_eq!(go_on(&mut scene), 1, "four at a time");
}

#[test]
fn those_that_come_while_an_app_is_outrun_are_held_behind() {
    let (mut scene, all) = released(3, 0);
    released_back(&mut scene, all[2]);
    for _ in 0..3 {
        held(&mut scene, ONE);
    }
    scene.finish(all[0]);
    scene.finish(all[1]);
    assert_eq!(go_on(&mut scene), 2, "one at a time was enough, so two may be");
    assert!(matches!(scene.state("a"), Some(State::Draining { .. })));
    scene.finish(all[2]);
    assert_eq!(go_on(&mut scene), 1);
}

#[test]
fn the_limit_of_a_drain_is_not_that_of_the_next_one() {
    let (mut scene, all) = released(5, 0);
    released_back(&mut scene, all[4]);
    scene.wait(1000);
    assert_eq!((go_on(&mut scene), scene.state("a")), (1, Some(State::Open)));
    back(&mut scene, ONE, 101, 10);
    scene.finish(all[0]);
    scene.finish(all[1]);
    assert_eq!(go_on(&mut scene), 0, "two at a time");
    scene.finish(all[2]);
    scene.finish(all[3]);
    assert_eq!(go_on(&mut scene), 1);
}

#[test]
fn an_app_of_which_none_is_left_is_away_and_its_limit_is_forgotten() {
    let (mut scene, all) = released(8, 1);
    for one in &all[..8] {
        released_back(&mut scene, *one);
    }
    assert!(is_away(&mut scene));
    scene.wait(1000);
    goes_on(&mut scene);
    through(&mut scene);
    assert_eq!(go_on(&mut scene), 8);
}
