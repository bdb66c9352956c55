//! What the log and the caller are told of what a command did.
#![forbid(unsafe_code)]

use super::*;
use crate::control::answer::{Reader, Response};
use crate::control::command::{Command, Detail, Format, Manner, Method, Verb};
use crate::control::form::Said;
use crate::ids::{Generation, Process};
use crate::shared::room::Bounds;
use crate::shared::workers::Orders;
use crate::zone::owned::Owned;
use crate::zone::{Arrival, Remaining};

/// A zone with room for two apps, and one worker.
struct Scene {
    zone: Owned,
    worker: WorkerId,
}

/// What came of a call.
struct Came {
    line: Option<String>,
    /// None if the call waits.
    answer: Option<Response>,
    wait: Option<Wait>,
}

impl Came {
    fn status(&self) -> u16 {
        self.answer.as_ref().unwrap().status
    }

    fn text(&self) -> &str {
        let content = self.answer.as_ref().and_then(|answer| answer.content.as_ref());
        content.map_or("", |content| &content.text)
    }

    fn line(&self) -> &str {
        self.line.as_deref().unwrap_or("")
    }
}

impl Scene {
    fn new() -> Self {
        let mut zone = Owned::new(2, 1, 4);
        let process = Process { pid: 1, started: 1 };
        let registered = zone.visit(|zone| zone.register(process, Generation(0), Orders::Stay)).0;
        Self { zone, worker: registered }
    }

    /// Alice's call of a verb with this query.
    fn call(&mut self, verb: Verb, query: &str) -> Came {
        self.call_by("alice", verb, query)
    }

    fn call_by(&mut self, by: &str, verb: Verb, query: &str) -> Came {
        let app = AppName::new(b"shop").unwrap();
        let asked = verb.command(Said::in_query(query.as_bytes()), None).unwrap();
        let Command::Change(change) = asked.command else { panic!("{verb:?} changes nothing") };
        let caller = Caller {
            app: asked.app.unwrap_or(app),
            by: Address::new(by.as_bytes()).unwrap(),
            waiter: Some((self.worker, Cookie(7))).filter(|_| by != "a subrequest"),
            lease: None,
            pace: Pace::default(),
            token: asked.token,
        };
        let (carried, _) = self.zone.visit(|zone| change.carry_out(zone, &caller));
        let wait = carried.wait();
        Came {
            line: carried.event().map(|event| event.to_string()),
            answer: wait.is_none().then(|| self.sent(carried.answer())),
            wait,
        }
    }

    fn sent(&self, answer: Answer) -> Response {
        let manner = Manner { format: Format::Text, detail: Detail::Original };
        let reader = Reader { method: Method::Get, manner, uri: b"" };
        let unknown = Status::unknown(AppName::EMPTY);
        answer.response(reader, self.zone.now, || unknown).unwrap()
    }

    /// A request is held.
    fn hold(&mut self) {
        let (app, worker) = (AppName::new(b"shop").unwrap(), self.worker);
        let (arrival, _) = self.zone.visit(|zone| {
            let id = zone.find(&app).unwrap();
            zone.arrive(id, &app, worker, Cookie(1), Bounds::max_held(9))
        });
        assert!(matches!(arrival, Arrival::Held { .. }));
    }

    fn waited(&mut self, result: WaitResult) -> (Option<String>, Response) {
        let app = AppName::new(b"shop").unwrap();
        let (app, _) = self.zone.visit(|zone| Status::of(zone, app));
        let waited = Waited { result, done: Done::Changed, app };
        (waited.event().map(|event| event.to_string()), self.sent(waited.answer()))
    }
}

#[test]
fn enable_pauses_and_disable_resumes() {
    let mut scene = Scene::new();
    let paused = scene.call(Verb::Enable, "reason=db%20switch");
    assert_eq!(paused.line(), "paused by alice, pause 1, reason \"db switch\"");
    assert_eq!((paused.status(), paused.text()), (200, "Pause enabled.\n"));
    scene.zone.wait(Msec(3_672));
    let resumed = scene.call(Verb::Disable, "");
    assert_eq!(resumed.line(), "resumed by alice, pause 1, after 3.672 s, 0 held");
    assert_eq!((resumed.status(), resumed.text()), (200, "Pause disabled.\n"));
}

#[test]
fn a_repeated_verb_is_answered_304_and_leaves_no_line() {
    let mut scene = Scene::new();
    let open = scene.call(Verb::Disable, "");
    assert_eq!((open.line, open.answer.unwrap().status), (None, 304));
    for verb in [Verb::Enable, Verb::Stop] {
        scene.call(verb, "");
        let again = scene.call(verb, "");
        assert_eq!((again.status(), again.text(), again.line()), (304, "", ""));
    }
}

#[test]
fn a_change_that_changes_nothing_is_answered_200_and_leaves_no_line() {
    let mut scene = Scene::new();
    scene.call(Verb::Enable, "for=60s");
    let shorter = scene.call(Verb::Enable, "for=1s");
    assert_eq!((shorter.status(), shorter.line()), (200, ""));
}

#[test]
fn another_callers_change_says_what_it_was_and_whose_the_pause_is() {
    let mut scene = Scene::new();
    scene.call(Verb::Enable, "reason=old");
    let changed = scene.call_by("bob", Verb::Enable, "reason=new");
    assert_eq!(
        changed.line(),
        "pause changed by bob, pause 1, reason \"new\", old reason \"old\", begun by alice"
    );
    let resumed = scene.call_by("bob", Verb::Disable, "");
    assert!(resumed.line().ends_with("0 held, begun by alice"), "{}", resumed.line());
}

#[test]
fn stop_and_enable_turn_a_pause_into_each_other() {
    let mut scene = Scene::new();
    let stopped = scene.call(Verb::Stop, "");
    assert_eq!(stopped.line(), "stopped by alice, pause 1");
    assert_eq!((stopped.status(), stopped.text()), (200, "Stopped.\n"));
    assert_eq!(scene.call(Verb::Enable, "").line(), "paused by alice, pause 1");
}

#[test]
fn a_drain_gets_another_pace() {
    let mut scene = Scene::new();
    scene.call(Verb::Enable, "");
    scene.hold();
    scene.call(Verb::Disable, "spread=60s");
    let paced = scene.call(Verb::Disable, "concurrency=5");
    assert_eq!(
        paced.line(),
        "pace of the drain changed by alice, spread over 60.000 s, 5 at a time"
    );
    assert_eq!((paced.status(), paced.text()), (200, "Pause disabled.\n"));
    assert_eq!(scene.call(Verb::Disable, "concurrency=5").status(), 304);
}

#[test]
fn a_verb_for_another_pause_is_refused_without_a_line() {
    let mut scene = Scene::new();
    scene.call(Verb::Enable, "");
    let other = scene.call(Verb::Disable, "id=13");
    assert_eq!((other.status(), other.line()), (409, ""));
    assert!(other.text().starts_with("the pause with this \"id\" is not active: pause 1 "));
    assert_eq!(scene.call(Verb::Enable, "new=1").status(), 409);
    scene.call_by("bob", Verb::Disable, "");
    let over = scene.call(Verb::Disable, "id=1");
    assert_eq!((over.status(), over.line()), (410, ""));
    assert!(over.text().starts_with("pause 1 was ended by bob at "));
}

#[test]
fn a_pause_that_finds_no_room_is_answered_503_with_a_line() {
    let mut scene = Scene::new();
    scene.call(Verb::Enable, "app=a");
    scene.call(Verb::Enable, "app=b");
    let full = scene.call(Verb::Enable, "");
    assert_eq!(full.status(), 503);
    assert!(full.text().starts_with("the table of apps is full, "), "{}", full.text());
    assert!(full.line().starts_with("not paused: the table of apps is full, "), "{}", full.line());
}

#[test]
fn a_caller_that_cannot_wait_is_told_so_and_nothing_changes() {
    let mut scene = Scene::new();
    for verb in [Verb::Enable, Verb::Disable] {
        scene.call(Verb::Disable, "");
        let refused = scene.call_by("a subrequest", verb, "wait=1s");
        assert_eq!((refused.status(), refused.line()), (503, ""));
        assert_eq!(scene.call(Verb::Disable, "").status(), 304, "the app is open");
        scene.call(Verb::Enable, "");
        scene.hold();
    }
}

#[test]
fn enable_with_wait_pauses_at_once_and_is_answered_later() {
    let mut scene = Scene::new();
    let waits = scene.call(Verb::Enable, "wait=10s");
    assert_eq!(waits.line(), "paused by alice, pause 1");
    let wait = waits.wait.unwrap();
    assert_eq!((wait.time, wait.done), (Msec(10_000), Done::Changed));
    scene.call(Verb::Enable, "");
    let again = scene.call(Verb::Enable, "wait=10s").wait.unwrap();
    assert_eq!(again.done, Done::NotChanged);
}

#[test]
fn disable_with_wait_is_answered_later_only_if_requests_are_held() {
    let mut scene = Scene::new();
    scene.call(Verb::Enable, "");
    let at_once = scene.call(Verb::Disable, "wait=10s");
    assert_eq!((at_once.status(), at_once.text()), (200, "Pause disabled.\n"));
    scene.call(Verb::Enable, "");
    scene.hold();
    let waits = scene.call(Verb::Disable, "wait=10s");
    assert!(waits.line().ends_with("1 held"), "{}", waits.line());
    assert_eq!(waits.wait.unwrap().done, Done::Changed);
}

#[test]
fn a_wait_ends_with_the_answer_to_what_it_was_for() {
    let mut scene = Scene::new();
    scene.call(Verb::Enable, "");
    let (line, answer) = scene.waited(WaitResult::Done);
    assert_eq!(line.as_deref(), Some("nothing is in flight, pause 1"));
    assert_eq!(answer.status, 200);
    for (result, status) in [
        (WaitResult::TimedOut(Remaining::Held(1)), 504),
        (WaitResult::RolledBack(Remaining::InFlight(1)), 504),
        (WaitResult::Superseded, 409),
    ] {
        let (line, answer) = scene.waited(result);
        assert_eq!((line, answer.status), (None, status));
    }
    scene.call(Verb::Disable, "");
    let (line, answer) = scene.waited(WaitResult::Done);
    assert_eq!((line, answer.status), (None, 200), "a drain has a line of its own");
}
