//! An agent that was not there, or did not hear, asks etcd anew: it learns what began and what ended.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::call::{Call, Said, State, Status, What};
use crate::agent::start::{Stands, Start, Starts};
use crate::agent::{Action, Agent, Ask, Change, Event, Reply, Terms};
use crate::keys::{App, Fleet, LeaseId, Revision, Token};
use crate::snapshot::PauseEntry;
use crate::values::{AckState, Host, Millis, Pause, Stage};

const HOLD: u64 = 20_000;

/// An agent with what it does, one event after the other.
struct One {
    agent: Agent,
    now: Duration,
    actions: Vec<Action>,
}

impl One {
    fn new() -> Self {
        let terms = Terms {
            fleet: Fleet::parse("web").unwrap(),
            host: Host::default(),
            poll: Duration::from_secs(2),
            look: Duration::from_secs(1),
            slack: Duration::from_secs(1),
        };
        let now = Duration::from_secs(100);
        let mut one = Self { agent: Agent::new(now, terms), now, actions: Vec::new() };
        one.hears(Event::Apps(vec![app()]));
        one
    }

    /// Something happens, 1 ms after what was before.
    fn hears(&mut self, event: Event) {
        self.now += Duration::from_millis(1);
        self.agent.handle(self.now, event, &mut self.actions);
    }

    fn told(&mut self, reply: Reply) {
        self.hears(Event::Told(reply));
    }

    /// What it has asked since this was called last.
    fn asks(&mut self) -> Vec<Ask> {
        let asked = self.actions.iter().filter_map(|one| match one {
            Action::Ask(ask) => Some(ask.clone()),
            _ => None,
        });
        let asked = asked.collect();
        self.actions.retain(|one| !matches!(one, Action::Ask(_)));
        asked
    }

    /// What it has called since this was called last.
    fn calls(&mut self) -> Vec<Call> {
        let called = self.actions.iter().filter_map(|one| match one {
            Action::Call(_, call) => Some(call.clone()),
            _ => None,
        });
        let called = called.collect();
        self.actions.retain(|one| !matches!(one, Action::Call(..)));
        called
    }

    /// It has registered, at revision 9, and asks for the pauses.
    fn registers(&mut self) {
        assert_eq!(self.asks(), [Ask::Grant]);
        self.told(Reply::Granted(LeaseId(1)));
        assert_eq!(self.asks(), [Ask::Register { lease: LeaseId(1), host: Host::default() }]);
        self.told(Reply::Registered(Revision(9)));
        assert_eq!(self.asks(), [Ask::Read], "at once, and nothing else");
    }

    /// etcd tells all pauses, at this revision.
    fn reads(&mut self, revision: u64, pause: Option<PauseEntry>) {
        let (revision, registered) = (Revision(revision), Some((Revision(9), Host::default())));
        let pauses: BTreeMap<App, PauseEntry> =
            pause.into_iter().map(|entry| (app(), entry)).collect();
        self.told(Reply::Pauses { revision, pauses, registered });
    }

    fn says(&mut self, said: Said) {
        self.hears(Event::Answered(app(), said));
    }

    /// Whatever it calls: nothing listens there.
    fn is_down(&mut self) {
        while !self.calls().is_empty() {
            self.says(Said::Down("refused".to_owned()));
        }
    }

    /// What it asks when its lease is kept.
    fn asks_next(&mut self) -> Option<Ask> {
        let mut asks = self.asks();
        while let [Ask::KeepAlive(_)] = &asks[..] {
            self.told(Reply::KeptAlive);
            asks = self.asks();
        }
        asks.pop()
    }
}

fn app() -> App {
    App("a".to_owned())
}

/// Alice's pause, whose token is 5.
fn pause(modified: u64, beat: u64) -> PauseEntry {
    let pause = Pause {
        v: 1,
        by: "alice".to_owned(),
        reason: None,
        beat,
        hold: Millis(HOLD),
        wait: Millis(1000),
        stage: Stage::Hold,
        spread: None,
        concurrency: None,
    };
    let (token, lease) = (Token(5), LeaseId(7));
    PauseEntry { token, modified: Revision(modified), lease, pause: Some(pause) }
}

fn changed(entry: PauseEntry) -> Event {
    let (revision, pause) = (entry.modified, Some(entry));
    Event::Changed(Change { revision, app: app(), pause })
}

fn status(state: State, by: Option<&str>) -> Said {
    let by = by.map(str::to_owned);
    Said::Is(Status { state, pause: 7, by, drained_by: None, held: 0, in_flight: 0 })
}

#[test]
fn an_agent_that_was_down_learns_that_a_pause_has_begun() {
    let mut one = One::new();
    one.registers();
    let began = one.now;
    assert_eq!(one.calls(), [], "nothing is known yet");
    one.reads(9, Some(pause(8, 1)));
    assert_eq!(one.calls(), [Call::Look]);
    one.says(status(State::Open, None));
    assert!(!one.agent.is_ready(began), "the pause is not held yet");
    one.hears(changed(pause(11, 2)));
    let calls = one.calls();
    assert!(matches!(calls.last(), Some(Call::Enable { token: Token(5), .. })), "{calls:?}");
}

/// Its host holds for it still, by the agent that lived before.
#[test]
fn an_agent_that_was_down_learns_that_a_pause_has_ended() {
    let mut one = One::new();
    one.registers();
    assert_eq!(one.calls(), [], "nothing is known yet: it may be a pause that goes on");
    one.reads(9, None);
    assert_eq!(one.calls(), [Call::Look]);
    one.says(status(State::Paused, Some("fleet web 5 alice")));
    let calls = one.calls();
    assert!(matches!(&calls[..], [Call::Disable { pause: 7, what: What::Pause, .. }]), "{calls:?}");
}

/// An operator forgets it just then: it is not one of the fleet before it has registered again.
#[test]
fn a_host_that_is_forgotten_as_it_starts_registers_again_before_it_does_anything() {
    let mut one = One::new();
    one.registers();
    let began = one.now;
    one.told(Reply::Pauses { revision: Revision(10), pauses: BTreeMap::new(), registered: None });
    assert!(matches!(&one.asks()[..], [Ask::Register { .. }]));
    assert_eq!(one.calls(), []);
    assert!(!one.agent.is_clear() && !one.agent.is_ready(began));
}

/// The lease was over: others may have begun, or ended, a pause without this host.
#[test]
fn an_agent_that_has_lost_its_lease_asks_anew() {
    let mut one = One::new();
    one.registers();
    one.reads(9, None);
    one.now += Duration::from_secs(2);
    one.hears(Event::Tick);
    assert_eq!(one.asks(), [Ask::Read]);
    one.reads(9, None);
    assert_eq!(one.asks(), [Ask::KeepAlive(LeaseId(1))]);
    one.told(Reply::NoLease);
    one.registers();
}

/// An agent that lives, of a host whose nginx is down, and that has heard of this pause.
fn synced(entry: Option<PauseEntry>) -> One {
    let mut one = One::new();
    one.registers();
    one.reads(10, entry);
    one.is_down();
    assert_eq!(one.asks(), []);
    one
}

/// nginx is about to start, with a pause in its file. The question that must be answered before that.
fn starts(one: &mut One) -> Duration {
    let file = vec![Stands { app: "a".to_owned(), pause: 3, by: "fleet web 5 alice".to_owned() }];
    one.hears(Event::Starts(Starts { file, number: 30 }));
    let since = one.now;
    assert_eq!(one.asks(), [Ask::Read], "at once, not only after the poll");
    one.is_down();
    since
}

fn start(one: &mut One, since: Duration) -> Option<Start> {
    one.agent.start(one.now, since)
}

/// The watch may lag, or have told nothing for other reasons.
#[test]
fn nginx_does_not_start_open_if_a_pause_has_begun_that_the_agent_was_not_told_of() {
    let mut one = synced(None);
    let since = starts(&mut one);
    assert_eq!(start(&mut one, since), None, "etcd has not answered since");
    one.reads(12, Some(pause(12, 1)));
    assert_eq!(start(&mut one, since), None, "etcd does not know yet that it is held");
    let ask = one.asks_next();
    let Some(Ask::Ack { token, ack, .. }) = &ask else { panic!("{ask:?}") };
    assert_eq!((*token, ack.state, ack.beat), (Token(5), AckState::Holding, 1));
    one.told(Reply::Acked);
    let found = start(&mut one, since).unwrap();
    assert_eq!(
        found.pauses.iter().map(|one| (one.token, one.pause)).collect::<Vec<_>>(),
        [(Token(5), 3)]
    );
}

#[test]
fn nginx_does_not_start_paused_if_the_pause_has_ended_that_the_agent_knows() {
    let mut one = synced(Some(pause(8, 1)));
    one.hears(changed(pause(11, 2)));
    let since = starts(&mut one);
    assert_eq!(start(&mut one, since), None, "etcd has not answered since");
    one.reads(12, None);
    let found = start(&mut one, since).unwrap();
    let none = Start { is_running: false, pauses: vec![], over: vec!["a".to_owned()] };
    assert_eq!(found, none);
}

/// A question that was on its way when nginx was to start says nothing of later.
#[test]
fn an_answer_to_an_older_question_is_not_enough() {
    let mut one = synced(None);
    one.now += Duration::from_secs(2);
    one.hears(Event::Tick);
    assert_eq!(one.asks(), [Ask::Read]);
    one.hears(Event::Starts(Starts { file: vec![], number: 30 }));
    let since = one.now;
    one.is_down();
    one.reads(10, None);
    assert_eq!(start(&mut one, since), None);
    assert_eq!(one.asks(), [Ask::Read], "it is asked again at once, not only after the poll");
    one.reads(10, None);
    assert!(start(&mut one, since).is_some());
}

/// What is acked first is what the caller counts on for this host.
#[test]
fn a_promise_for_a_start_is_at_least_half_of_the_hold() {
    for (age, is_promised) in [(HOLD / 2 - 2000, true), (HOLD / 2, false)] {
        let mut one = synced(None);
        one.hears(changed(pause(11, 1)));
        one.now += Duration::from_millis(age);
        let since = starts(&mut one);
        one.reads(11, Some(pause(11, 1)));
        let ask = one.asks_next();
        let is_acked = matches!(&ask, Some(Ask::Ack { ack, .. }) if ack.state == AckState::Holding);
        assert_eq!(is_acked, is_promised, "{age}: {ask:?}");
        assert_eq!(!one.agent.holds().is_empty(), is_promised, "{age}");
        assert_eq!(start(&mut one, since), None);
    }
}
