//! An app that is away, and everything else that may happen meanwhile.
#![forbid(unsafe_code)]

use super::away::*;
use super::scene::{paced, HeldRequest, Scene, ONE, PLAIN, TWO};
use super::*;

/// A worker takes the head of the line, and gives the baton back.
fn tries(scene: &mut Scene, me: WorkerId) -> u64 {
    let (app, one) = scene.take(me).unwrap();
    scene.give_back(app, me);
    one
}

fn known(scene: &Scene, owner: WorkerId, cookie: u64) -> HeldRequest {
    HeldRequest { slot: scene.slot_of(cookie), owner, cookie: Cookie(cookie) }
}

#[test]
fn others_that_come_back_do_not_put_the_next_try_off() {
    let mut scene = away();
    for cookie in 103..109 {
        assert_eq!(later(&mut scene, ONE), Some(50 - 5 * (cookie - 103)));
        scene.wait(5);
        back(&mut scene, TWO, cookie, 30);
    }
    scene.wait(20);
    assert_eq!(tries(&mut scene, ONE), 101);
}

#[test]
fn those_that_come_back_stand_in_the_order_of_their_arrival() {
    let mut scene = Scene::paused("a");
    let first = held(&mut scene, ONE);
    let second = held(&mut scene, TWO);
    scene.resume("a");
    assert_eq!((scene.turn(ONE), scene.turn(TWO)), (vec![1], vec![2]));
    scene.wait(10);
    let arrived = scene.zone.now.monotonic.0;
    back(&mut scene, ONE, 103, arrived);
    released_back(&mut scene, second);
    released_back(&mut scene, first);
    scene.wait(50);
    assert_eq!(tries(&mut scene, ONE), 1, "it was held in the same millisecond as 2");
    through(&mut scene);
    assert_eq!((scene.turn(TWO), scene.turn(ONE)), (vec![2], vec![103]));
}

#[test]
fn a_request_that_queued_behind_a_drain_also_comes_back_to_its_place() {
    let mut scene = Scene::paused("a");
    let first = held(&mut scene, ONE);
    scene.resume("a");
    let second = held(&mut scene, TWO);
    let third = held(&mut scene, TWO);
    assert_eq!(tries(&mut scene, ONE), 1);
    assert_eq!((scene.state("a"), tries(&mut scene, TWO)), (Some(State::Open), 2));
    released_back(&mut scene, second);
    released_back(&mut scene, first);
    scene.wait(50);
    assert_eq!(tries(&mut scene, ONE), 1);
    through(&mut scene);
    assert_eq!(scene.turn(TWO), [2, third.cookie.0]);
}

#[test]
fn one_that_comes_back_does_not_pass_another_of_its_worker_on() {
    let mut scene = Scene::paused("a");
    let first = held(&mut scene, ONE);
    held(&mut scene, ONE);
    scene.resume("a");
    tries(&mut scene, ONE);
    scene.take(ONE).unwrap();
    released_back(&mut scene, first);
    assert_eq!(totals(&mut scene).released, 1);
    scene.visit(|zone| zone.reap(ONE, process(1)));
    assert_eq!(totals(&mut scene).lost, 2, "the second was not passed on");
}

#[test]
fn a_request_that_finds_no_room_takes_no_entry() {
    let mut scene = Scene::with_slots(1);
    scene.pause("b");
    scene.hold("b", ONE);
    assert_eq!(back(&mut scene, ONE, 101, 10), TakenBack::No);
    assert_eq!(scene.state("a"), None);
}

#[test]
fn a_released_request_gives_its_slot_to_one_that_comes_and_keeps_its_place() {
    let mut scene = Scene::with_slots(3);
    scene.pause("a");
    let all = [held(&mut scene, ONE), held(&mut scene, ONE), held(&mut scene, TWO)];
    scene.resume("a");
    assert_eq!(scene.turn(ONE), [1, 2]);
    let last = held(&mut scene, ONE);
    assert_eq!(last.slot, all[0].slot);
    scene.finish(all[0]);
    scene.depart(last, DepartReason::Left);
    assert!(matches!(released_back(&mut scene, all[0]), TakenBack::Held(_)));
    let room = scene.visit(|zone| zone.slots.len() as u32 - zone.slots_used());
    assert_eq!(room, 0, "an app that is outrun spares no slot");
    assert!(matches!(scene.come("a", ONE), Arrival::Rejected { lack: Lack::Zone, .. }));
    scene.finish(all[1]);
    assert_eq!((scene.turn(ONE), scene.turn(TWO)), (vec![1], vec![3]));
}

#[test]
fn a_tried_request_that_finishes_otherwise_lets_the_next_be_tried_at_once() {
    let mut scene = away();
    scene.wait(50);
    tries(&mut scene, ONE);
    let one = known(&scene, ONE, 101);
    assert_eq!(later(&mut scene, TWO), Some(5000));
    scene.finish(one);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(tries(&mut scene, TWO), 102);
    let one = known(&scene, TWO, 102);
    scene.finish(one);
    let unknown = Some((name("a"), Absence::Unknown { after: Msec(50) }));
    assert_eq!(scene.effects.absence, unknown, "none is left to try");
    assert_eq!(scene.state("a"), Some(State::Open));
}

#[test]
fn a_tried_request_that_does_not_need_the_app_does_not_hold_up_the_line() {
    let mut scene = away();
    scene.wait(50);
    tries(&mut scene, ONE);
    assert_eq!(later(&mut scene, TWO), Some(5000));
    scene.wait(5000);
    for again in [100, 200] {
        assert_eq!(tries(&mut scene, TWO), 102);
        let one = known(&scene, TWO, 102);
        released_back(&mut scene, one);
        assert_eq!(later(&mut scene, TWO), Some(again), "the first one is still unfinished");
        scene.wait(again);
    }
}

#[test]
fn an_app_is_away_although_long_requests_of_an_earlier_drain_are_unfinished() {
    let mut scene = Scene::paused("a");
    held(&mut scene, ONE);
    scene.resume("a");
    assert_eq!(scene.turn(ONE), [1]);
    scene.wait(5000);
    back(&mut scene, TWO, 102, 5000);
    assert!(is_away(&mut scene));
    for again in [50, 100] {
        assert_eq!(later(&mut scene, TWO), Some(again));
        scene.wait(again);
        assert_eq!(tries(&mut scene, TWO), 102);
        let one = known(&scene, TWO, 102);
        released_back(&mut scene, one);
    }
}

#[test]
fn one_that_comes_when_only_a_tried_one_is_left_is_tried_too() {
    let mut scene = Scene::new();
    back(&mut scene, ONE, 101, 10);
    scene.wait(50);
    tries(&mut scene, ONE);
    held(&mut scene, TWO);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(later(&mut scene, TWO), Some(5000));
}

#[test]
fn the_next_head_waits_for_its_try_if_the_head_leaves() {
    let mut scene = away();
    let one = known(&scene, ONE, 101);
    scene.wait(10);
    scene.depart(one, DepartReason::Left);
    assert_eq!(scene.effects.wake, Wake::One(TWO));
    assert_eq!(later(&mut scene, TWO), Some(40));
}

#[test]
fn workers_close_the_connections_to_an_app_that_was_away() {
    let mut scene = away();
    let endings = scene.zone.words.signals().endings();
    scene.wait(50);
    tries(&mut scene, ONE);
    through(&mut scene);
    assert_ne!(scene.zone.words.signals().endings(), endings);
}

#[test]
fn when_nginx_quits_all_go_on_at_once() {
    let mut scene = away();
    held(&mut scene, ONE);
    scene.quit();
    assert_eq!((scene.turn(ONE), scene.turn(TWO)), (vec![101], vec![102]));
    assert_eq!(scene.turn(ONE).len(), 1);
}

#[test]
fn a_new_pause_may_begin_while_an_open_app_is_away() {
    let mut scene = away();
    assert!(matches!(scene.enable("a", Expected::New, PLAIN), Ok(Paused::Begun(_))));
    scene.resume("a");
    let (app, one) = scene.take(ONE).unwrap();
    scene.give_back(app, ONE);
    let one = known(&scene, ONE, one);
    released_back(&mut scene, one);
    assert!(is_away(&mut scene));
    assert_eq!(scene.enable("a", Expected::New, PLAIN), Err(Refusal::NotOpen), "it drains");
}

#[test]
fn a_drain_goes_on_at_its_pace_where_it_stood_when_the_app_went_away() {
    let mut scene = Scene::paused_by("a", paced(1000, 0));
    let all: Vec<_> = (0..5).map(|_| held(&mut scene, ONE)).collect();
    scene.resume("a");
    scene.turn(ONE);
    scene.finish(all[0]);
    scene.wait(300);
    tries(&mut scene, ONE);
    released_back(&mut scene, all[1]);
    scene.wait(50);
    assert_eq!(tries(&mut scene, ONE), 2, "a try has no pace");
    released_back(&mut scene, all[1]);
    scene.wait(5000);
    tries(&mut scene, ONE);
    through(&mut scene);
    assert_eq!(later(&mut scene, ONE), Some(100), "the third is due 400 ms after the first");
    scene.wait(100);
    assert_eq!(scene.turn(ONE), [3]);
    assert_eq!(later(&mut scene, ONE), Some(200));
}

#[test]
fn one_at_a_time_is_tried_also_beside_long_ones_of_which_one_finishes() {
    let mut scene = Scene::paused("a");
    let long = [held(&mut scene, ONE), held(&mut scene, ONE)];
    scene.resume("a");
    assert_eq!(scene.turn(ONE), [1, 2]);
    scene.wait(5000);
    back(&mut scene, TWO, 102, 5000);
    held(&mut scene, TWO);
    scene.wait(50);
    assert_eq!(tries(&mut scene, TWO), 102);
    scene.finish(long[0]);
    assert_eq!(later(&mut scene, TWO), Some(5000));
}

#[test]
fn the_report_of_a_drain_is_not_lost_if_the_app_is_away_before_it_is_written() {
    let mut scene = Scene::new();
    for app in ["c", "b", "a"] {
        scene.pause(app);
        scene.hold(app, ONE);
        scene.resume(app);
    }
    scene.visit(|zone| zone.reap(ONE, process(1)));
    let mut reported = vec![scene.effects.drained];
    back(&mut scene, TWO, 102, 20);
    reported.push(scene.effects.drained);
    let one = known(&scene, TWO, 102);
    scene.depart(one, DepartReason::Left);
    reported.push(scene.effects.drained);
    let apps: Vec<_> = reported.iter().map(|one| one.map(|(app, _)| app)).collect();
    assert_eq!(apps, ["c", "b", "a"].map(|app| Some(name(app))));
}

#[test]
fn a_request_is_not_held_longer_because_the_app_comes_and_goes() {
    let mut scene = Scene::new();
    back(&mut scene, ONE, 101, 10);
    let bounds = Bounds { away: Some(Msec(30_000)), ..Bounds::max_held(9) };
    scene.hold_within("a", TWO, bounds);
    let arrived = scene.zone.now.monotonic;
    let is_overdue = |scene: &mut Scene| {
        let overdue = |zone: &mut Zone<'_>| {
            zone.app(zone.find(&name("a"))?)?.is_overdue(arrived, zone.now).into()
        };
        scene.visit(overdue)
    };
    scene.wait(20_000);
    tries(&mut scene, ONE);
    through(&mut scene);
    let one = known(&scene, ONE, 101);
    scene.finish(one);
    back(&mut scene, ONE, 103, 20);
    scene.wait(9_999);
    assert_eq!((is_away(&mut scene), is_overdue(&mut scene)), (true, Some(false)));
    scene.wait(1);
    assert_eq!(is_overdue(&mut scene), Some(true));
}
