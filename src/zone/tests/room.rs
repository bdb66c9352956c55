//! How many more requests can be held, and why one cannot.
#![forbid(unsafe_code)]

use super::scene::{Scene, ONE, TWO};
use super::*;
use crate::control::status::Status;

const LARGE: Room = Room { connections: 100, streams: 100 };

fn room(scene: &mut Scene, app: &str) -> u32 {
    scene.visit(|zone| Status::of(zone, name(app)).room)
}

/// A request comes to a worker that has these bounds.
fn come(scene: &mut Scene, bounds: Bounds) -> Arrival {
    scene.visit(|zone| zone.arrive(AppId(0), &name(""), ONE, Cookie(1), bounds))
}

#[test]
fn room_is_what_all_workers_have_together() {
    let mut scene = Scene::paused("");
    assert_eq!(room(&mut scene, ""), 0, "no worker has said anything");
    for worker in [ONE, TWO] {
        scene.visit(|zone| zone.set_room(worker, Room { connections: 3, streams: 9 }));
    }
    assert_eq!(room(&mut scene, ""), 6);
    assert_eq!(room(&mut scene, "unknown"), 6, "the same for an unknown app");
    scene.visit(|zone| zone.set_room(TWO, Room { connections: 3, streams: 1 }));
    assert_eq!(room(&mut scene, ""), 4, "of any kind");
    scene.visit(|zone| zone.told_to_leave(TWO));
    assert_eq!(room(&mut scene, ""), 3, "no request comes to a worker that is to leave");
}

#[test]
fn room_is_no_more_than_the_slots_that_are_free() {
    let mut scene = Scene::paused("");
    scene.visit(|zone| zone.set_room(TWO, LARGE));
    let held = [(); 8].map(|()| {
        let left = room(&mut scene, "");
        let one = scene.hold("", ONE);
        assert_eq!(room(&mut scene, ""), left - 1);
        one
    });
    assert_eq!(room(&mut scene, ""), 0);
    scene.depart(held[0], DepartReason::Left);
    assert_eq!(room(&mut scene, ""), 1);
}

#[test]
fn room_is_no_more_than_max_held_allows_the_app() {
    let mut scene = Scene::paused("");
    scene.visit(|zone| zone.set_room(TWO, LARGE));
    assert_eq!(room(&mut scene, ""), 8, "the limit is not known before the first request");
    scene.come_where("", TWO, 3);
    scene.visit(|zone| zone.set_room(TWO, LARGE));
    assert_eq!((room(&mut scene, ""), room(&mut scene, "other")), (2, 7));
    scene.come_where("", ONE, 5);
    assert_eq!(room(&mut scene, ""), 3, "the largest limit counts");
    scene.come_where("", ONE, 1);
    assert_eq!(room(&mut scene, ""), 3);
    scene.resume("");
    scene.pause("");
    assert_eq!(room(&mut scene, ""), 3, "the limit of the earlier pause is kept");
    scene.come_where("", ONE, 2);
    assert_eq!(room(&mut scene, ""), 0, "until a request comes");
}

#[test]
fn a_held_request_updates_the_room_of_its_worker() {
    let mut scene = Scene::paused("");
    let held = come(
        &mut scene,
        Bounds { room: Room { connections: 4, streams: 5 }, ..Bounds::max_held(9) },
    );
    assert!(matches!(held, Arrival::Held { .. }));
    assert_eq!(room(&mut scene, ""), 4);
}

#[test]
fn each_lack_is_answered_and_counted() {
    let mut scene = Scene::paused("");
    for lack in [Lack::Connections, Lack::Streams, Lack::Streams] {
        let came = come(&mut scene, Bounds { lack: Some(lack), ..Bounds::max_held(0) });
        assert!(matches!(came, Arrival::Rejected { lack: told, .. } if told == lack));
    }
    scene.come_where("", ONE, 0);
    scene.come("", WorkerId::NONE);
    for _ in 0..8 {
        scene.hold("", ONE);
    }
    scene.come("", ONE);
    let status = scene.visit(|zone| Status::of(zone, name("")));
    let counts: Vec<u64> = status.rejected.iter().map(|(_, count)| count).collect();
    assert_eq!(counts, [1, 2, 1, 1, 1], "connections, streams, max_held, zone, workers");
    assert_eq!(status.totals.rejected, 6);
}
