//! An app without a zone.
#![forbid(unsafe_code)]

use super::*;
use crate::shared::terms::PauseRequest;
use crate::time::Msec;

fn at(msec: u64) -> Now {
    Now { monotonic: Msec(msec), wall: Msec(1_000_000 + msec) }
}

fn request(lease: Option<u64>) -> PauseRequest {
    PauseRequest { number: PauseId(7), lease: lease.map(Msec), ..PauseRequest::NONE }
}

fn paused(lease: Option<u64>) -> App {
    let mut app = App::UNUSED;
    app.create(AppName::EMPTY, Epoch(1));
    app.enable(&request(lease), at(0), Epoch(2));
    app
}

#[test]
fn a_drain_ends_with_the_last_request_that_the_pause_held() {
    let mut app = paused(None);
    let last = app.ticket();
    app.line.len = 1;
    app.end(Ender::Lease, Pace::default(), at(100));
    app.ticket();
    app.open_if_drained(Some(last), at(110));
    assert_eq!(app.state(), State::Draining { upto: last });
    app.open_if_drained(Some(last.next()), at(120));
    assert_eq!(app.state(), State::Open);
    let drained = Drained { pause: PauseId(7), released: 0, failed: 0, took: Msec(20) };
    assert_eq!(app.take_drained(), Some(drained));
    assert_eq!(app.take_drained(), None);
}

#[test]
fn a_pause_that_held_no_request_does_not_change_the_last_drain() {
    let mut app = paused(None);
    app.ticket();
    app.line.len = 1;
    app.end(Ender::Lease, Pace::default(), at(100));
    app.line.len = 0;
    app.open_if_drained(None, at(120));
    let last = (Drained { pause: PauseId(7), released: 0, failed: 0, took: Msec(20) }, at(120));
    assert_eq!(app.last_drain(), Some(last));
    app.enable(&request(None), at(130), Epoch(3));
    app.end(Ender::Lease, Pace::default(), at(140));
    app.open_if_drained(None, at(150));
    assert_eq!(app.last_drain(), Some(last));
}

#[test]
fn a_paced_drain_also_releases_requests_that_came_meanwhile() {
    let mut app = paused(None);
    let first = app.ticket();
    app.end(Ender::Lease, Pace { spread: Msec(0), concurrency: 2 }, at(100));
    let second = app.ticket();
    app.open_if_drained(Some(second), at(110));
    assert_eq!(app.state(), State::Draining { upto: second });
    assert!(first < second);
    app.open_if_drained(None, at(120));
    assert_eq!(app.state(), State::Open);
}

#[test]
fn no_enable_shortens_a_pause() {
    let until = |app: &App| app.until().map(|until| until.monotonic.0);
    let mut app = paused(Some(5000));
    assert!(!app.change(&request(Some(1000)), at(100)));
    assert_eq!(until(&app), Some(5000));
    assert!(app.change(&request(Some(5000)), at(100)));
    assert_eq!(until(&app), Some(5100));
    assert!(app.change(&request(None), at(200)));
    assert!(!app.change(&request(Some(99_000)), at(300)));
    assert_eq!(until(&app), None);
}

#[test]
fn retry_after_is_the_end_of_the_lease() {
    assert_eq!(paused(None).retry_after(at(0)), 10);
    let app = paused(Some(4200));
    assert_eq!((app.retry_after(at(0)), app.retry_after(at(4100))), (5, 1));
    assert_eq!(app.retry_after(at(9000)), 1);
}

#[test]
fn a_stop_in_a_pause_has_the_number_of_the_pause() {
    let mut app = paused(Some(5000));
    app.stop(&PauseRequest { number: PauseId(8), ..request(None) }, at(10), Epoch(3));
    assert_eq!((app.state(), app.pause()), (State::Stopped, PauseId(7)));
    app.enable(&PauseRequest { number: PauseId(9), ..request(None) }, at(20), Epoch(4));
    assert_eq!((app.state(), app.pause(), app.until()), (State::Paused, PauseId(7), None));
}
