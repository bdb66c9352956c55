//! The further lines of an answer.
#![forbid(unsafe_code)]

use super::*;
use crate::control::status::samples::{address, ended, open, paused, THEN};
use crate::control::status::{DrainPace, Time};
use crate::ids::PauseId;
use crate::shared::app::Ender;
use crate::text::{AppName, Reason};

fn more(before: Option<&Status>, app: &Status, done: Done) -> String {
    More { before, app, done: Some(done) }.to_string()
}

#[test]
fn an_answer_says_which_app_and_pause_it_is_about() {
    let until = Status { until: Some(Time(Msec(0))), ..paused() };
    assert_eq!(
        more(Some(&open()), &until, Done::Changed),
        format!(
            "app \"shop\": pause 13 is active, by alice, since {THEN}, until {THEN}, \
             reason \"db switch\"\n"
        )
    );
    let nameless = Status { app: AppName::EMPTY, ..open() };
    assert_eq!(more(None, &nameless, Done::Changed), "the default app: it was never paused\n");
}

#[test]
fn an_answer_says_what_was_changed_and_what_was_not() {
    let now = Status { until: Some(Time(Msec(0))), reason: Reason::new(b"mine").ok(), ..paused() };
    let earlier = Status { until: Some(Time(Msec(1))), ..paused() };
    let text = more(Some(&earlier), &now, Done::Changed);
    assert!(text.contains("the reason was changed; the old reason was \"db switch\"\n"), "{text}");
    assert!(
        text.contains("the end was changed; the old end was 1970-01-01T00:00:00.001Z\n"),
        "{text}"
    );
    let text = more(Some(&now), &now, Done::NotChanged);
    assert!(
        text.ends_with(&format!("nothing was changed: the pause still ends at {THEN}\n")),
        "{text}"
    );
    let text = more(Some(&paused()), &paused(), Done::NotChanged);
    assert!(text.ends_with("nothing was changed: the pause still has no end\n"), "{text}");
}

#[test]
fn an_answer_says_how_held_requests_are_released() {
    let spread =
        DrainPace { spread: Seconds(Msec(60_000)), concurrency: 5, ends: Some(Time(Msec(0))) };
    let draining = Status {
        state: Word::Draining,
        held: 3,
        pace: Some(spread),
        ..ended(Ender::Holder(address("bob")))
    };
    let text = more(Some(&paused()), &draining, Done::Changed);
    assert_eq!(
        text,
        format!(
            "app \"shop\": pause 13 was ended by bob at {THEN}\n\
             3 held requests are released over 60 s, until {THEN}, at most 5 at a time\n"
        )
    );
    let text = more(None, &Status { pace: None, ..draining }, Done::Changed);
    assert!(text.ends_with("3 held requests are released at once\n"), "{text}");
}

#[test]
fn an_app_without_any_request_is_doubted() {
    let text = more(None, &Status { heard_of: false, ..paused() }, Done::Changed);
    assert!(text.contains("no request of this app was ever seen"), "{text}");
}

#[test]
fn a_lease_longer_than_requests_are_held_is_doubted() {
    let leased = |seconds: u64, after: Option<u64>| Status {
        until: Some(Time(Msec(seconds * 1000))),
        expire_after: after.map(|seconds| Msec(seconds * 1000)),
        ..paused()
    };
    let doubted = |status: &Status| {
        more(None, status, Done::Changed).contains(
            "a request that is held for 300 s will be passed on to the app, although it is paused: \
             the lease ends later\n",
        )
    };
    assert!(doubted(&leased(301, Some(300))));
    assert!(!doubted(&leased(300, Some(300))));
    assert!(!doubted(&leased(301, None)));
    assert!(!doubted(&Status { until: None, ..leased(301, Some(300)) }));
    assert!(!doubted(&Status { state: Word::Stopped, ..leased(301, Some(300)) }));
}

#[test]
fn an_answer_counts_the_failed_requests_of_the_newest_drain() {
    let drain = |pause, failed| LastDrain {
        pause: PauseId(pause),
        released: 9,
        failed,
        seconds: Seconds(Msec(0)),
        ended: Time(Msec(0)),
    };
    let open = |drain| Status { last_drain: Some(drain), ..ended(Ender::Lease) };
    let line = "nginx answered 2 of 9 released requests with 502, 503 or 504\n";
    assert!(more(None, &open(drain(13, 2)), Done::Changed).ends_with(line));
    for other in [open(drain(13, 0)), open(drain(12, 2))] {
        assert!(!more(None, &other, Done::Changed).contains("nginx answered"));
    }
    let paused = Status { last_drain: Some(drain(13, 2)), ..paused() };
    assert!(!more(None, &paused, Done::Changed).contains("nginx answered"));
}
