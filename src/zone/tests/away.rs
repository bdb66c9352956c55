//! Requests that the app never saw are held in their place once more.
#![forbid(unsafe_code)]

use super::scene::{HeldRequest, Scene, ONE, TWO};
use super::*;

pub(super) const GATEWAY: u32 = 502;
/// For how long a request is held at most if its app never sees it.
pub(super) const LONGEST: Msec = Msec(u64::MAX / 4);

/// A request that its worker knows as `cookie`, which arrived at `arrived`, comes back.
pub(super) fn back(scene: &mut Scene, owner: WorkerId, cookie: u64, arrived: u64) -> TakenBack {
    let (cookie, arrived) = (Cookie(cookie), Msec(arrived));
    let came = Came::First;
    let unseen = Unseen {
        slot: None,
        ticket: None,
        owner,
        cookie,
        arrived,
        status: GATEWAY,
        longest: LONGEST,
        came,
    };
    scene.visit(|zone| zone.take_back(&name("a"), unseen, Bounds::max_held(9)))
}

/// A released request, which kept its slot, comes back.
pub(super) fn released_back(scene: &mut Scene, one: HeldRequest) -> TakenBack {
    let HeldRequest { slot, owner, cookie } = one;
    let (slot, came) = (Some(slot), Came::First);
    let unseen = Unseen {
        slot,
        ticket: None,
        owner,
        cookie,
        arrived: Msec(0),
        status: GATEWAY,
        longest: LONGEST,
        came,
    };
    scene.visit(|zone| zone.take_back(&name("a"), unseen, Bounds::max_held(9)))
}

pub(super) fn held(scene: &mut Scene, owner: WorkerId) -> HeldRequest {
    let bounds = Bounds { away: Some(LONGEST), ..Bounds::max_held(9) };
    scene.hold_within("a", owner, bounds)
}

pub(super) fn is_away(scene: &mut Scene) -> bool {
    scene.visit(|zone| zone.find(&name("a")).is_some_and(|id| zone.app(id).unwrap().is_away()))
}

pub(super) fn through(scene: &mut Scene) {
    scene.visit(|zone| zone.through(zone.find(&name("a")).unwrap(), &name("a")));
}

pub(super) fn totals(scene: &mut Scene) -> Totals {
    scene.visit(|zone| zone.app(zone.find(&name("a")).unwrap()).unwrap().totals)
}

/// How long a worker must wait for its turn.
pub(super) fn later(scene: &mut Scene, me: WorkerId) -> Option<u64> {
    match scene.ask(me) {
        (Turn::Later(at), _) => Some(at.since(scene.zone.now.monotonic).0),
        (Turn::Nobody, _) => None,
        other => panic!("{other:?}"),
    }
}

/// Two workers' requests have come back to an open app, the second one of the line first.
pub(super) fn away() -> Scene {
    let mut scene = Scene::new();
    assert!(matches!(back(&mut scene, TWO, 102, 20), TakenBack::Held(_)));
    let absence = Some((name("a"), Absence::Begins { status: GATEWAY }));
    assert_eq!(scene.effects.absence, absence);
    assert!(matches!(back(&mut scene, ONE, 101, 10), TakenBack::Held(_)));
    assert_eq!(scene.effects.absence, None, "it is away already");
    scene
}

#[test]
fn an_open_app_whose_request_comes_back_is_away_and_holds_those_that_come() {
    let mut scene = away();
    assert!(is_away(&mut scene));
    held(&mut scene, ONE);
    assert_eq!(totals(&mut scene).away, 2);
}

#[test]
fn a_request_that_does_not_wait_for_an_app_that_is_away_passes() {
    let mut scene = away();
    assert_eq!(scene.come("a", ONE), Arrival::Passes);
    scene.wait(50);
    scene.take(ONE).unwrap();
    through(&mut scene);
    assert_eq!(scene.come("a", ONE), Arrival::Passes, "others still wait only because it was away");
    scene.pause("a");
    assert!(matches!(scene.come("a", ONE), Arrival::Held { .. }));
}

#[test]
fn the_head_is_tried_alone_after_a_growing_time() {
    let mut scene = away();
    held(&mut scene, TWO);
    assert_eq!(later(&mut scene, TWO), None, "its request is not the head");
    let mut times = Vec::new();
    for _ in 0..7 {
        let time = later(&mut scene, ONE).unwrap();
        times.push(time);
        scene.wait(time);
        let (app, one) = scene.take(ONE).unwrap();
        assert_eq!(one, 101, "the one that arrived first");
        scene.give_back(app, ONE);
        assert_eq!((later(&mut scene, ONE), later(&mut scene, TWO)), (None, Some(5000)));
        let slot = scene.slot_of(101);
        let one = HeldRequest { slot, owner: ONE, cookie: Cookie(101) };
        assert_eq!(released_back(&mut scene, one), TakenBack::Held(slot));
    }
    assert_eq!(times, [50, 100, 200, 400, 800, 1000, 1000]);
}

#[test]
fn when_the_head_gets_through_the_others_follow_in_order() {
    let mut scene = away();
    let last = held(&mut scene, ONE);
    scene.wait(1000);
    let (app, one) = scene.take(ONE).unwrap();
    scene.give_back(app, ONE);
    assert_eq!(one, 101);
    scene.wait(500);
    through(&mut scene);
    let after = Msec(1500);
    assert_eq!(scene.effects.absence, Some((name("a"), Absence::Ends { after, held: 2 })));
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(scene.turn(TWO), [102]);
    assert_eq!(scene.turn(ONE), [last.cookie.0]);
    assert_eq!(scene.state("a"), Some(State::Open));
    let Totals { released, held, away, .. } = totals(&mut scene);
    assert_eq!((released, held, away), (1, 1, 2), "those that came back had been passed on");
    assert_eq!(scene.effects.drained, None, "no pause has ended");
}

#[test]
fn a_released_request_that_comes_back_stands_where_it_stood() {
    let mut scene = Scene::paused("a");
    let all = [held(&mut scene, ONE), held(&mut scene, TWO), held(&mut scene, ONE)];
    scene.resume("a");
    let (app, _) = scene.take(ONE).unwrap();
    // It comes back before its worker gives the baton back.
    assert_eq!(released_back(&mut scene, all[0]), TakenBack::Held(all[0].slot));
    scene.give_back(app, ONE);
    assert!(is_away(&mut scene));
    assert!(scene.turn(TWO).is_empty());
    scene.wait(50);
    let (app, one) = scene.take(ONE).unwrap();
    scene.give_back(app, ONE);
    assert_eq!(one, all[0].cookie.0);
    through(&mut scene);
    assert_eq!((scene.turn(TWO), scene.turn(ONE)), (vec![all[1].cookie.0], vec![all[2].cookie.0]));
    let drained = scene.effects.drained.map(|(_, drained)| drained.released);
    assert_eq!(drained, Some(3), "the pause's drain went on");
    assert_eq!(totals(&mut scene).released, 3);
}

#[test]
fn an_app_that_is_outrun_gets_half_as_many_at_a_time() {
    let mut scene = Scene::paused("a");
    let all: Vec<_> = (0..8).map(|_| held(&mut scene, ONE)).collect();
    scene.resume("a");
    for _ in 0..5 {
        let (app, _) = scene.take(ONE).unwrap();
        scene.give_back(app, ONE);
    }
    assert_eq!(released_back(&mut scene, all[4]), TakenBack::Held(all[4].slot));
    assert!(!is_away(&mut scene), "four are unfinished");
    assert_eq!(later(&mut scene, ONE), Some(1000), "two may be, and long ones are not waited for");
    scene.finish(all[0]);
    scene.finish(all[1]);
    assert_eq!(later(&mut scene, ONE), Some(1000), "still two");
    scene.finish(all[2]);
    assert_eq!(scene.turn(ONE), [all[4].cookie.0]);
}

#[test]
fn operators_go_before_an_absence() {
    let mut scene = away();
    assert_eq!(scene.disable("a", Expected::Any), Ok(Opened::Unchanged));
    scene.pause("a");
    assert!(!is_away(&mut scene));
    scene.wait(10_000);
    assert!(scene.turn(ONE).is_empty() && scene.turn(TWO).is_empty());
    scene.resume("a");
    assert_eq!(scene.turn(ONE), [101]);
    scene.stop("a", super::scene::PLAIN);
    assert_eq!(scene.turned_away(TWO).map(|(all, _)| all), Some(vec![102]));
    assert!(matches!(back(&mut scene, ONE, 101, 10), TakenBack::Stopped { .. }));
}

#[test]
fn the_probe_of_a_worker_that_dies_passes_to_the_next() {
    let mut scene = away();
    scene.wait(100);
    let (app, _) = scene.take(ONE).unwrap();
    scene.give_back(app, ONE);
    scene.visit(|zone| zone.reap(ONE, process(1)));
    assert_eq!(scene.turn(TWO), [102]);
}

#[test]
fn a_request_that_comes_back_to_a_stopped_app_is_finished() {
    let mut scene = Scene::paused("a");
    let one = held(&mut scene, ONE);
    scene.resume("a");
    let (app, _) = scene.take(ONE).unwrap();
    scene.give_back(app, ONE);
    scene.stop("a", super::scene::PLAIN);
    assert!(matches!(released_back(&mut scene, one), TakenBack::Stopped { .. }));
    assert_eq!(scene.visit(|zone| zone.app(app).unwrap().unfinished), 0);
}

#[test]
fn an_app_whose_line_is_empty_is_not_away_any_more() {
    let mut scene = Scene::new();
    let TakenBack::Held(slot) = back(&mut scene, ONE, 101, 10) else { panic!() };
    let one = HeldRequest { slot, owner: ONE, cookie: Cookie(101) };
    assert!(matches!(scene.depart(one, DepartReason::Left), Departure::Gone { .. }));
    assert_eq!((scene.state("a"), is_away(&mut scene)), (Some(State::Open), false));
    assert_eq!(scene.come("a", ONE), Arrival::Passes);
}

#[test]
fn nothing_comes_back_when_nginx_quits() {
    let mut scene = Scene::new();
    scene.quit();
    assert_eq!(back(&mut scene, ONE, 101, 10), TakenBack::No);
}

#[test]
fn a_request_is_tried_once_more_when_its_time_is_over_and_is_not_held_again() {
    const SECONDS: Msec = Msec(30_000);
    let mut scene = Scene::new();
    let first = Unseen {
        slot: None,
        ticket: None,
        owner: ONE,
        cookie: Cookie(101),
        arrived: scene.zone.now.monotonic,
        status: GATEWAY,
        longest: SECONDS,
        came: Came::First,
    };
    let take_back = |scene: &mut Scene, unseen| {
        scene.visit(|zone| zone.take_back(&name("a"), unseen, Bounds::max_held(9)))
    };
    assert!(matches!(take_back(&mut scene, first), TakenBack::Held(_)));
    scene.wait(29_990);
    let (app, tried) = scene.take(ONE).unwrap();
    assert_eq!(tried, 101);
    scene.give_back(app, ONE);
    let bounds = Bounds { away: Some(SECONDS), ..Bounds::max_held(9) };
    let late = scene.hold_within("a", TWO, bounds);
    let arrived = scene.zone.now.monotonic;
    let again = Unseen { slot: Some(scene.slot_of(101)), came: Came::Again, ..first };
    assert!(matches!(take_back(&mut scene, again), TakenBack::Held(_)));
    assert_eq!(later(&mut scene, ONE), Some(10), "its time is over before the next try");
    scene.wait(10);
    let (app, tried) = scene.take(ONE).unwrap();
    assert_eq!(tried, 101);
    scene.give_back(app, ONE);
    assert_eq!(take_back(&mut scene, again), TakenBack::No, "nginx answers it");
    scene.finish(HeldRequest { slot: scene.slot_of(101), owner: ONE, cookie: Cookie(101) });
    assert!(later(&mut scene, TWO) < Some(1001), "the next one is tried");
    scene.wait(29_990);
    let (app, tried) = scene.take(TWO).unwrap();
    assert_eq!(tried, late.cookie.0);
    scene.give_back(app, TWO);
    let HeldRequest { slot, owner, cookie } = late;
    let late = Unseen { slot: Some(slot), owner, cookie, arrived, ..first };
    assert_eq!(take_back(&mut scene, late), TakenBack::No);
}
