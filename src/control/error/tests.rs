//! The status and the text of each error.
#![forbid(unsafe_code)]

use super::*;
use crate::control::command::Verb;
use crate::control::form::Said;
use crate::control::status::samples::{address, ended, open, paused, THEN};
use crate::control::status::{Oldest, OneInFlight, Seconds};
use crate::shared::app::Ender;
use crate::shared::oldest::WaitsFor;
use crate::shared::word::Word;
use crate::text::{AppName, Text};
use crate::time::Msec;

fn said(error: Error<'_>) -> (u16, String) {
    (error.status(), error.to_string())
}

#[test]
fn a_call_that_makes_no_sense_is_told_what_is_wrong() {
    let Err(long) = AppName::new(&[b'x'; 129]) else { panic!("it has room for 128") };
    let Err(bad) = Verb::Enable.command(Said::in_query(b"wiat=3"), None) else {
        panic!("there is no such parameter")
    };
    for (error, status, text) in [
        (Error::NoEndpoint, 404, "this place is no control endpoint"),
        (Error::NoVerb, 404, "no such verb: use status, enable, disable, stop, apps or metrics"),
        (
            Error::NoApp,
            404,
            "this endpoint does not control that app: add it to \"apps=\" of \
             \"intermission_control\"",
        ),
        (Error::Parameter(bad), 400, "parameter \"wiat\" is unknown"),
        (Error::AppName(long), 400, "\"$app_name\" is longer than 128 bytes"),
        (Error::Subrequest, 403, "a subrequest changes nothing: send the request directly"),
        (
            Error::CannotWait,
            503,
            "this request cannot wait, because the worker table is full: repeat it without \
             \"wait=\", or increase \"intermission_zone\"",
        ),
    ] {
        assert_eq!(said(error), (status, text.to_string()));
        assert_eq!(error.allow(), None);
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let post = Error::Method("POST");
    assert_eq!(said(post), (405, "the method must be POST".into()));
    assert_eq!(post.allow(), Some("POST"));
    let get = Error::Method("GET, HEAD");
    assert_eq!(said(get), (405, "the method must be one of GET, HEAD".into()));
    assert_eq!(get.allow(), Some("GET, HEAD"));
}

#[test]
fn a_refused_caller_learns_who_holds_the_pause_or_has_ended_it() {
    let refused = |why, app: &Status| said(Error::Refused(why, app));
    let holds =
        format!("pause 13 is active, by alice, since {THEN}, without end, reason \"db switch\"");
    assert_eq!(
        refused(Refusal::OtherPause, &paused()),
        (409, format!("the pause with this \"id\" is not active: {holds}"))
    );
    assert_eq!(
        refused(Refusal::NotOpen, &paused()),
        (409, format!("the app is not open: {holds}"))
    );
    let draining = Status { state: Word::Draining, ..ended(Ender::Caller(address("bob"))) };
    assert_eq!(
        refused(Refusal::NotOpen, &draining),
        (409, format!("the app still drains: pause 13 was ended by bob at {THEN}"))
    );
    for (by, words) in [
        (Ender::Caller(address("bob")), "ended by bob"),
        (Ender::Lease, "ended by its lease"),
        (Ender::Rollback, "rolled back"),
    ] {
        let text = format!("pause 13 was {words} at {THEN}; nothing was changed");
        assert_eq!(refused(Refusal::Over, &ended(by)), (410, text));
    }
    assert!(refused(Refusal::OtherPause, &open()).1.ends_with(": it was never paused"));
}

#[test]
fn a_caller_without_room_is_told_what_is_full() {
    for (why, text) in [
        (
            Refusal::Full,
            "the table of apps is full, and all its apps are in use: increase \
             \"intermission_zone\"",
        ),
        (
            Refusal::TooManyWait,
            "too many callers wait already: repeat the request later, or without \
             \"wait=\"",
        ),
        (Refusal::Retired, "nginx is being reloaded: repeat the request"),
    ] {
        assert_eq!(said(Error::Refused(why, &open())), (503, text.to_string()));
    }
}

#[test]
fn a_wait_in_vain_is_told_what_is_left_and_what_became_of_the_pause() {
    let import = OneInFlight {
        method: Text::new(b"POST").unwrap(),
        uri: Text::new(b"/import").unwrap(),
        client: address("192.0.2.7"),
        seconds: Seconds(Msec(12_031)),
        waits_for: WaitsFor::App,
    };
    let busy = Status { oldest_in_flight: Oldest::one(import), abandoned: 2, ..paused() };
    let lines = "POST /import from 192.0.2.7, for 12.031 s, waits for the app\n\
                 nginx gave up 2 requests within the last minute: the app may still work on them";
    assert_eq!(
        said(Error::TimedOut(Remaining::InFlight(1), &busy)),
        (504, format!("1 request is still in flight\n{lines}"))
    );
    let open = Status { state: Word::Open, ..busy };
    assert_eq!(
        said(Error::RolledBack(Remaining::InFlight(5), &open)),
        (
            504,
            format!(
                "5 requests are still in flight: this call was rolled back, the app is not paused \
                 any more\n{lines}"
            )
        )
    );
    let left = |remaining| said(Error::TimedOut(remaining, &busy)).1;
    assert_eq!(left(Remaining::Silent(1)), "1 worker has not reported its requests in flight yet");
    assert_eq!(
        left(Remaining::Silent(2)),
        "2 workers have not reported their requests in flight yet"
    );
    assert_eq!(left(Remaining::Held(1)), "1 request is still held");
    assert_eq!(left(Remaining::Held(7)), "7 requests are still held");
    assert_eq!(
        left(Remaining::Held(0)),
        "no request is held any more, but the last one is delayed on its way to the app"
    );
}

#[test]
fn a_wait_that_another_caller_or_the_lease_ended_is_told_so() {
    let text = format!(
        "another call, or the lease, changed or ended the pause or drain while this call waited: \
         pause 13 was ended by its lease at {THEN}"
    );
    assert_eq!(said(Error::Superseded(&ended(Ender::Lease))), (409, text));
}
