//! The zone's rules in the model: an app is a plain list.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::callers::{Earlier, WaitArgs};
use super::deeds::{Deed, Outcome};
use super::events::STRANGER;
use super::model::{Pair, ENTRIES, NAMES, SLOTS};
use super::rounds::{Next, Round};
use super::*;
use crate::shared::app::Drained;
use crate::shared::totals::Totals;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub ticket: Ticket,
    pub owner: WorkerId,
    pub cookie: Cookie,
    pub slot: SlotId,
}

#[derive(Clone, Debug)]
pub(super) struct ModelApp {
    pub name: usize,
    pub state: State,
    pub since: Now,
    pub pause: u64,
    pub reason: Option<bool>,
    pub began: Now,
    pub until: Option<Now>,
    pub pace: Pace,
    /// The last ticket that a pause held.
    pub upto: Ticket,
    pub next_ticket: Ticket,
    pub line: VecDeque<Waiting>,
    /// Released requests that count against the concurrency until they are finished.
    pub unfinished: Vec<Waiting>,
    /// The worker that releases, and the request that it took until that is passed on.
    pub baton: Option<(WorkerId, Option<Waiting>)>,
    pub spacing: Spacing,
    pub round: Round,
    pub totals: Totals,
    /// How many expired requests went on to the app.
    pub to_app: u64,
    pub drain_began: Msec,
    pub drain_held: usize,
    pub released_before: u64,
    pub drain_failed: u64,
    pub last_drain: Option<Drained>,
    /// When it got its entry.
    pub created: Msec,
    /// When its newest pause or stop began.
    pub paused_at: Msec,
    /// The state before the provisional pauses.
    pub earlier: Option<Earlier>,
    pub rolled_back: bool,
    /// Whether its newest pause was ended by a disable that named it.
    pub ended_by_holder: bool,
    /// Its oldest requests in flight, and their workers.
    pub told: Vec<(Msec, WorkerId)>,
    unreported: Option<Drained>,
    last_passed_on: Ticket,
}

impl ModelApp {
    pub(super) fn new(name: usize, created: Now) -> Self {
        Self {
            name,
            state: State::Open,
            since: Now::NEVER,
            pause: 0,
            reason: None,
            began: Now::NEVER,
            until: None,
            pace: Pace::default(),
            upto: Ticket(0),
            next_ticket: Ticket(1),
            line: VecDeque::new(),
            unfinished: Vec::new(),
            baton: None,
            spacing: Spacing::OneByOne,
            round: Round::first(Pace::default(), 0, Msec(0)),
            totals: Totals::default(),
            to_app: 0,
            drain_began: Msec(0),
            drain_held: 0,
            released_before: 0,
            drain_failed: 0,
            last_drain: None,
            created: created.monotonic,
            paused_at: created.monotonic,
            earlier: None,
            rolled_back: false,
            ended_by_holder: false,
            told: Vec::new(),
            unreported: None,
            last_passed_on: Ticket(0),
        }
    }

    pub(super) fn is_paused_or_stopped(&self) -> bool {
        matches!(self.state, State::Paused | State::Stopped)
    }

    pub(super) fn turns_away(&self, quitting: bool) -> bool {
        self.state == State::Stopped || (self.state == State::Paused && quitting)
    }

    /// 1 if a request was taken and not passed on yet, else 0.
    pub(super) fn taken(&self) -> u32 {
        u32::from(self.baton.is_some_and(|(_, one)| one.is_some()))
    }

    /// When the first request in line may go on. None if it may not.
    pub(super) fn next(&self, now: Msec) -> Option<Next> {
        match self.state {
            _ if self.baton.is_some() || self.line.is_empty() => None,
            State::Open => Some(Next::Now),
            State::Draining { .. } => Some(self.round.next(self.unfinished.len(), now)),
            State::Paused | State::Stopped => None,
        }
    }

    /// The app after a restart of nginx.
    pub(super) fn restarted(self, now: Now) -> Self {
        let Self { name, state, pause, reason, began, until, pace, .. } = self;
        Self { state, since: began, pause, reason, began, until, pace, ..Self::new(name, now) }
    }

    pub(super) fn is_idle(&self) -> bool {
        let nobody = self.line.is_empty() && self.unfinished.is_empty() && self.baton.is_none();
        self.state == State::Open && nobody && self.unreported.is_none() && !self.rolled_back
    }

    pub(super) fn retry_after(&self, now: Now) -> u64 {
        match self.until.filter(|_| self.is_paused_or_stopped()) {
            Some(until) => until.monotonic.since(now.monotonic).0.div_ceil(1000).max(1),
            None => 10,
        }
    }
}

impl Pair {
    pub(super) fn expect(&mut self, deed: &Deed, got: &Outcome) -> Outcome {
        let at =
            |name: AppName| NAMES.iter().position(|one| one.as_bytes() == name.as_bytes()).unwrap();
        let now = self.zone.now;
        match *deed {
            Deed::Arrive { id, name, owner, cookie, max_held } => {
                let slot = match got {
                    Outcome::Arrival(Arrival::Held { slot, .. }) => *slot,
                    _ => SlotId::NONE,
                };
                let who = Waiting { ticket: Ticket(0), owner, cookie, slot };
                Outcome::Arrival(self.arrives(id.index(), at(name), who, max_held))
            }
            Deed::Bypass { id, .. } => {
                let app = self.apps.get_mut(id.index()).and_then(Option::as_mut);
                Outcome::Bypassed(app.filter(|app| app.state != State::Open).map(|app| {
                    app.totals.bypassed += 1;
                    app.retry_after(now)
                }))
            }
            Deed::Refuse { id, .. } => {
                let quitting = self.quitting;
                let app = self.apps.get_mut(id.index()).and_then(Option::as_mut);
                Outcome::Refused(app.filter(|app| app.turns_away(quitting)).map(|app| {
                    app.totals.stopped += 1;
                    app.retry_after(now)
                }))
            }
            Deed::Depart { slot, owner, cookie, why } => {
                let same =
                    |one: &Waiting| (one.slot, one.owner, one.cookie) == (slot, owner, cookie);
                Outcome::Departure(self.departs(same, why))
            }
            Deed::Finish { slot, owner, cookie } => {
                let same =
                    |one: &Waiting| (one.slot, one.owner, one.cookie) == (slot, owner, cookie);
                self.apps
                    .iter_mut()
                    .flatten()
                    .for_each(|app| app.unfinished.retain(|one| !same(one)));
                Outcome::Done
            }
            Deed::Fail { name, by } => {
                self.fails(at(name), by);
                Outcome::Failed(None)
            }
            Deed::Enable { name, which, ask } => Outcome::Paused(self.pauses_or_stops(
                at(name),
                which,
                ask,
                State::Paused,
                got.begun(),
            )),
            Deed::Stop { name, which, ask } => Outcome::Paused(self.pauses_or_stops(
                at(name),
                which,
                ask,
                State::Stopped,
                got.begun(),
            )),
            Deed::Disable { name, which, pace } => {
                Outcome::Opened(self.disables(at(name), which, pace))
            }
            Deed::EnableAndWait { name, which, ask, wait_for, caller } => {
                let asks = WaitArgs { name: at(name), which, ask, wait_for, caller };
                Outcome::Waits(self.enables_and_waits(asks, got.begun()))
            }
            Deed::DisableAndWait { name, which, pace, caller } => {
                Outcome::WaitsForDrain(self.disables_and_waits(at(name), which, pace, caller))
            }
            Deed::Poll { wait, caller, deadline } => {
                Outcome::Polled(self.polls(wait, caller, deadline))
            }
            Deed::Know { name } => self.knows(at(name)),
            Deed::AskAll => self.asks_all(),
            Deed::Tell { id, told } => self.tells(id, told),
            Deed::EndLease => Outcome::LeaseEnded(self.ends_lease()),
            Deed::Take { me, last, spare } => {
                let (last, turn, all) = self.takes(me, last, spare);
                Outcome::Turn(last, turn, all)
            }
            Deed::Halt { id, .. } => self.passes_on(id.index()),
            Deed::Hurry { id, .. } => {
                self.apps[id.index()].as_mut().unwrap().spacing = Spacing::None;
                Outcome::Done
            }
            Deed::GiveBack { id, .. } => self.gives_back(id.index()),
            Deed::Reap { process, .. } if process == STRANGER => Outcome::Done,
            Deed::Reap { id, .. } => self.reaps(id),
            Deed::Register { process, .. } => Outcome::Registered(self.registers(process)),
            Deed::Leaving { id } => self.is_told_to_leave(id),
            Deed::NextGeneration => {
                self.generation.0 += 1;
                Outcome::Done
            }
            Deed::Retire => Outcome::Retired(self.retires()),
            Deed::Reinstate => {
                self.retired = false;
                Outcome::Done
            }
            Deed::Visit => Outcome::Done,
        }
    }

    fn arrives(&mut self, entry: usize, name: usize, who: Waiting, max_held: u32) -> Arrival {
        let room = self.waiting().chain(self.unfinished()).count() < SLOTS;
        assert!(self.waiting().chain(self.unfinished()).all(|other| other.slot != who.slot));
        let (now, quitting) = (self.zone.now, self.quitting);
        let app = self.apps.get_mut(entry).and_then(Option::as_mut);
        let Some(app) = app.filter(|app| app.name == name) else {
            return Arrival::Passes;
        };
        if app.state == State::Open {
            self.passes(name);
            return Arrival::Passes;
        }
        let retry_after = app.retry_after(now);
        if app.turns_away(quitting) {
            app.totals.stopped += 1;
            return Arrival::Stopped { retry_after };
        }
        let is_full = app.line.len() >= max_held as usize;
        if is_full || !room {
            let lack = if is_full { Lack::MaxHeld } else { Lack::Zone };
            app.totals.rejected += 1;
            return Arrival::Rejected { lack, report: None, retry_after };
        }
        let (slot, ticket) = (who.slot, app.next_ticket);
        let ahead = app.line.len() as u32;
        app.next_ticket = Ticket(ticket.0 + 1);
        app.line.push_back(Waiting { ticket, ..who });
        app.totals.held += 1;
        Arrival::Held { slot, ticket, ahead }
    }

    fn departs(&mut self, same: impl Fn(&Waiting) -> bool, why: DepartReason) -> Departure {
        let (now, quitting) = (self.zone.now, self.quitting);
        for app in self.apps.iter_mut().flatten() {
            let Some(at) = app.line.iter().position(&same) else {
                continue;
            };
            if why == DepartReason::Passed
                && (!app.is_paused_or_stopped() || app.turns_away(quitting))
            {
                return Departure::Stays;
            }
            app.line.remove(at);
            match why {
                DepartReason::Left => app.totals.left += 1,
                DepartReason::Passed => {
                    (app.totals.expired, app.to_app) = (app.totals.expired + 1, app.to_app + 1)
                }
                DepartReason::Answered => app.totals.expired += 1,
            }
            return Departure::Gone { report: None, retry_after: app.retry_after(now) };
        }
        Departure::Gone { report: None, retry_after: 10 }
    }

    fn takes(&mut self, me: WorkerId, last: AppId, spare: Spare) -> (AppId, Turn, Vec<Given>) {
        let behind = if last.is_some() { last.index() + 1 } else { 0 };
        let (now, quitting) = (self.zone.now, self.quitting);
        let mine = |one: &Waiting| one.owner == me;
        let mut later = None;
        for entry in (behind..ENTRIES).chain(0..behind) {
            let Some(app) = self.apps[entry].as_mut() else { continue };
            let id = AppId::at(entry);
            if app.turns_away(quitting) {
                let away: Vec<Waiting> = app.line.iter().filter(|one| mine(one)).copied().collect();
                app.line.retain(|one| !mine(one));
                app.totals.stopped += away.len() as u64;
                if away.is_empty() {
                    continue;
                }
                let turn = Turn::TurnAway { retry_after: app.retry_after(now) };
                let all = away.iter().map(|one| given(one, None, Release::NONE)).collect();
                return (id, turn, all);
            }
            let Some(head) = app.line.front().copied().filter(mine) else { continue };
            match app.next(now.monotonic) {
                Some(Next::Now) if spare == Spare::One => {}
                Some(Next::At(at)) => {
                    later = Some(later.map_or(at, |other: Msec| other.min(at)));
                    continue;
                }
                _ => continue,
            }
            let drains = matches!(app.state, State::Draining { .. });
            let counts = drains && app.round.pace.concurrency > 0;
            let by = Release { app: id, drain: PauseId(if drains { app.pause } else { 0 }) };
            app.line.pop_front();
            app.round.release_one();
            app.unfinished.extend(Some(head).filter(|_| counts));
            assert!(!counts || app.unfinished.len() <= app.round.max_unfinished());
            app.baton = Some((me, Some(head)));
            return (
                id,
                Turn::Release(id, app.spacing),
                vec![given(&head, counts.then_some(head.slot), by)],
            );
        }
        (last, later.map_or(Turn::Nobody, Turn::Later), Vec::new())
    }

    fn passes_on(&mut self, entry: usize) -> Outcome {
        let app = self.apps[entry].as_mut().unwrap();
        let (_, taken) = app.baton.as_mut().unwrap();
        if let Some(one) = taken.take() {
            assert!(one.ticket > app.last_passed_on, "released out of order");
            app.last_passed_on = one.ticket;
            app.totals.released += 1;
        }
        Outcome::Done
    }

    fn gives_back(&mut self, entry: usize) -> Outcome {
        self.passes_on(entry);
        self.apps[entry].as_mut().unwrap().baton = None;
        Outcome::Done
    }

    fn fails(&mut self, name: usize, by: Release) {
        let app = self.apps.get_mut(by.app.index()).and_then(Option::as_mut);
        let Some(app) = app.filter(|app| app.name == name) else { return };
        app.totals.failed += 1;
        let drains = matches!(app.state, State::Draining { .. });
        if drains && by.drain == PauseId(app.pause) {
            app.drain_failed += 1;
        } else if let Some(last) = app.last_drain.as_mut().filter(|one| one.pause == by.drain) {
            last.failed += 1;
        }
    }

    fn reaps(&mut self, dead: WorkerId) -> Outcome {
        for app in self.apps.iter_mut().flatten() {
            let before = app.line.len();
            app.line.retain(|one| one.owner != dead);
            app.unfinished.retain(|one| one.owner != dead);
            app.told.retain(|(_, owner)| *owner != dead);
            app.totals.lost += (before - app.line.len()) as u64;
            let taken = app.baton.take_if(|(holder, _)| *holder == dead);
            app.totals.lost += u64::from(taken.is_some_and(|(_, one)| one.is_some()));
        }
        self.ends_waits_of(dead);
        self.workers[dead.index()].generation = None;
        Outcome::Done
    }

    /// Drains end, or begin their next round.
    pub(super) fn end_drains(&mut self) {
        let now = self.zone.now;
        for app in self.apps.iter_mut().flatten() {
            let State::Draining { upto } = app.state else {
                continue;
            };
            let waited_for = app.line.front().is_some_and(|head| head.ticket <= upto);
            if app.baton.is_some() || waited_for {
                continue;
            }
            if app.line.is_empty() || app.round.pace == Pace::default() {
                (app.state, app.since) = (State::Open, now);
                let drained = Drained {
                    pause: PauseId(app.pause),
                    failed: app.drain_failed,
                    released: app.totals.released - app.released_before,
                    took: now.monotonic.since(app.drain_began),
                };
                app.unreported = Some(drained).filter(|_| app.drain_held > 0);
                app.last_drain = app.unreported.or(app.last_drain);
            } else {
                app.upto = Ticket(app.next_ticket.0 - 1);
                app.state = State::Draining { upto: app.upto };
                app.round.follows(app.line.len(), now.monotonic);
            }
        }
    }

    /// The report of the first app that has one.
    pub(super) fn reports(&mut self) -> Effects {
        let mut apps = self.apps.iter_mut().flatten();
        let Some(app) = apps.find(|app| app.unreported.is_some() || app.rolled_back) else {
            return Effects::default();
        };
        let name = name(NAMES[app.name]);
        let drained = app.unreported.take().map(|drained| (name, drained));
        let rolled_back = core::mem::take(&mut app.rolled_back);
        let rolled_back = rolled_back.then_some((name, PauseId(app.pause), app.state));
        Effects { drained, rolled_back, ..Effects::default() }
    }
}

fn given(one: &Waiting, counted: Option<SlotId>, by: Release) -> Given {
    Given { cookie: one.cookie, counted, by }
}
