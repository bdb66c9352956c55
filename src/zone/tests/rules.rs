//! The zone's rules in the model: requests arrive, leave, are released and finish.
#![forbid(unsafe_code)]

use super::absences::Passed;
use super::callers::WaitArgs;
use super::deeds::{Deed, Outcome};
use super::events::STRANGER;
use super::model::{Pair, ENTRIES, NAMES};
use super::model_app::ModelRequest;
use super::rounds::Next;
use super::*;
use crate::shared::app::Drained;

impl Pair {
    pub(super) fn expect(&mut self, deed: &Deed, got: &Outcome) -> Outcome {
        let at =
            |name: AppName| NAMES.iter().position(|one| one.as_bytes() == name.as_bytes()).unwrap();
        let now = self.zone.now;
        match *deed {
            Deed::Arrive { id, name, owner, cookie, bounds } => {
                let slot = match got {
                    Outcome::Arrival(Arrival::Held { slot, .. }) => *slot,
                    _ => SlotId::NONE,
                };
                let who = ModelRequest { slot, ..unheld(owner, cookie, now.monotonic) };
                let arrival = self.arrives(id.index(), at(name), who, bounds);
                if arrival == Arrival::Passes {
                    let arrived = now.monotonic;
                    self.passed.push(Passed {
                        app: at(name),
                        ticket: Ticket(0),
                        owner,
                        cookie,
                        arrived,
                    });
                }
                Outcome::Arrival(arrival)
            }
            Deed::TakeBack { name, unseen, max_held } => {
                let Unseen { ticket, owner, cookie, arrived, came, .. } = unseen;
                let slot = match got {
                    Outcome::TakenBack(TakenBack::Held(slot)) => *slot,
                    _ => unseen.slot.unwrap_or(SlotId::NONE),
                };
                let ticket = ticket.unwrap_or_default();
                let one = ModelRequest { slot, ticket, ..unheld(owner, cookie, arrived) };
                Outcome::TakenBack(self.comes_back(at(name), one, came, max_held))
            }
            Deed::Through { id, .. } => self.gets_through(id.index()),
            Deed::Bypass { id, .. } => {
                let app = self.apps.get_mut(id.index()).and_then(Option::as_mut);
                Outcome::Bypassed(app.filter(|app| app.state != State::Open).map(|app| {
                    app.totals.bypassed += 1;
                    app.retry_after(now)
                }))
            }
            Deed::Refuse { id, .. } => {
                let nginx = self.nginx;
                let app = self.apps.get_mut(id.index()).and_then(Option::as_mut);
                Outcome::Refused(app.filter(|app| app.turns_away(nginx)).map(|app| {
                    app.totals.stopped += 1;
                    app.retry_after(now)
                }))
            }
            Deed::Depart { slot, owner, cookie, why } => {
                let same =
                    |one: &ModelRequest| (one.slot, one.owner, one.cookie) == (slot, owner, cookie);
                Outcome::Departure(self.departs(same, why))
            }
            Deed::Finish { slot, owner, cookie } => {
                let same =
                    |one: &ModelRequest| (one.slot, one.owner, one.cookie) == (slot, owner, cookie);
                self.finishes(same)
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
            Deed::AddApp { name } => self.adds_app(at(name)),
            Deed::Fence { name, token } => Outcome::Fenced(self.fences(at(name), token)),
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

    fn arrives(&mut self, entry: usize, name: usize, who: ModelRequest, bounds: Bounds) -> Arrival {
        let (now, nginx) = (self.zone.now, self.nginx);
        let app = self.apps.get_mut(entry).and_then(Option::as_mut);
        let Some(app) = app.filter(|app| app.name == name) else {
            return Arrival::Passes;
        };
        let drains = matches!(app.state, State::Draining { .. });
        let behind_an_absence = drains && !app.ends_pause && bounds.away.is_none();
        if behind_an_absence {
            return Arrival::Passes;
        }
        if app.state == State::Open {
            self.passes(name);
            return Arrival::Passes;
        }
        let retry_after = app.retry_after(now);
        if app.turns_away(nginx) {
            app.totals.stopped += 1;
            return Arrival::Stopped { retry_after };
        }
        let is_full = app.line.len() >= bounds.max_held as usize;
        let room = !is_full && self.finds_slot(who.slot);
        assert!(self.waiting().chain(self.unfinished()).all(|other| other.slot != who.slot));
        let app = self.apps[entry].as_mut().unwrap();
        if !room {
            let lack = if is_full { Lack::MaxHeld } else { Lack::Zone };
            app.totals.rejected += 1;
            return Arrival::Rejected { lack, report: None, retry_after };
        }
        let (slot, ticket) = (who.slot, app.ticket());
        let ahead = app.line.len() as u32;
        app.line.push_back(ModelRequest { ticket, ..who });
        app.takes_back |= bounds.away.is_some();
        app.totals.held += 1;
        Arrival::Held { slot, ticket, ahead }
    }

    fn departs(&mut self, same: impl Fn(&ModelRequest) -> bool, why: DepartReason) -> Departure {
        let (now, nginx) = (self.zone.now, self.nginx);
        for app in self.apps.iter_mut().flatten() {
            let Some(at) = app.line.iter().position(&same) else {
                continue;
            };
            let stays = match why {
                DepartReason::Passed => !app.is_paused_or_stopped() || app.turns_away(nginx),
                DepartReason::Answered => app.away.is_some() && !app.is_paused_or_stopped(),
                DepartReason::Left => false,
            };
            if stays {
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
        let (now, nginx) = (self.zone.now, self.nginx);
        let mine = |one: &ModelRequest| one.owner == me;
        let mut later = None;
        for entry in (behind..ENTRIES).chain(0..behind) {
            let Some(app) = self.apps[entry].as_mut() else { continue };
            let id = AppId::at(entry);
            if app.turns_away(nginx) {
                let away: Vec<ModelRequest> =
                    app.line.iter().filter(|one| mine(one)).copied().collect();
                app.line.retain(|one| !mine(one));
                app.totals.stopped += away.len() as u64;
                if away.is_empty() {
                    continue;
                }
                let turn = Turn::TurnAway { retry_after: app.retry_after(now) };
                let all = away.iter().map(|one| given(one, None, Release::NONE, None)).collect();
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
            let counts = (drains && app.round.pace.concurrency > 0) || app.takes_back;
            let drain = if drains && app.ends_pause { app.pause } else { 0 };
            let by = Release { app: id, drain: PauseId(drain) };
            let (spacing, tries) = (app.spacing, app.away.map(|_| id));
            self.goes_on(entry, &head);
            let app = self.apps[entry].as_mut().unwrap();
            app.line.pop_front();
            app.round.release_one();
            app.one_more(&head, now.monotonic);
            app.unfinished.extend(Some(head).filter(|_| counts));
            let paced = drains && counts && app.away.is_none();
            assert!(!paced || app.unfinished.len() <= app.round.max_unfinished());
            app.baton = Some((me, Some(head)));
            return (
                id,
                Turn::Release(id, spacing),
                vec![given(&head, counts.then_some(head.slot), by, tries)],
            );
        }
        (last, later.map_or(Turn::Nobody, Turn::Later), Vec::new())
    }

    pub(super) fn passes_on(&mut self, entry: usize) -> Outcome {
        let app = self.apps[entry].as_mut().unwrap();
        let (_, taken) = app.baton.as_mut().unwrap();
        if let Some(one) = taken.take().filter(|one| !one.back) {
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
        let drains = matches!(app.state, State::Draining { .. }) && app.ends_pause;
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
        self.passed.retain(|one| one.owner != dead);
        self.end_drains();
        self.all_may_leave();
        Outcome::Done
    }

    /// Drains end, or begin their next round.
    pub(super) fn end_drains(&mut self) {
        let now = self.zone.now;
        for app in self.apps.iter_mut().flatten() {
            let State::Draining { upto } = app.state else {
                continue;
            };
            let waited_for = app.line.front().is_some_and(|head| head.back || head.ticket <= upto);
            let line_or_try = !app.line.is_empty() || !app.unfinished.is_empty();
            if app.baton.is_some() || waited_for || (app.away.is_some() && line_or_try) {
                continue;
            }
            let at_once = app.round.pace == Pace::default() && app.outrun.is_none();
            if app.line.is_empty() || at_once {
                if let Some(away) = app.away {
                    let after = now.monotonic.since(away.since.monotonic);
                    self.absence = Some((name(NAMES[app.name]), Absence::Unknown { after }));
                }
                app.forgets();
                (app.state, app.since) = (State::Open, now);
                let drained = Drained {
                    pause: PauseId(app.pause),
                    failed: app.drain_failed,
                    released: app.totals.released - app.released_before,
                    took: now.monotonic.since(app.drain_began),
                };
                if app.drain_held > 0 {
                    (app.unreported, app.last_drain) = (Some(drained), Some(drained));
                }
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
            return Effects { absence: self.absence.take(), ..Effects::default() };
        };
        let name = name(NAMES[app.name]);
        let drained = app.unreported.take().map(|drained| (name, drained));
        let rolled_back = core::mem::take(&mut app.rolled_back);
        let rolled_back = rolled_back.then_some((name, PauseId(app.pause), app.state));
        Effects { drained, rolled_back, absence: self.absence.take(), ..Effects::default() }
    }
}

fn unheld(owner: WorkerId, cookie: Cookie, arrived: Msec) -> ModelRequest {
    let (ticket, slot) = (Ticket(0), SlotId::NONE);
    ModelRequest { ticket, owner, cookie, slot, arrived, back: false }
}

fn given(one: &ModelRequest, counted: Option<SlotId>, by: Release, tries: Option<AppId>) -> Given {
    let ticket = if one.back { one.ticket.back(one.arrived) } else { one.ticket };
    Given { cookie: one.cookie, ticket, counted, by, tries }
}
