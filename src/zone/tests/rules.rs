//! The zone's rules, naively: an app is a plain list.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::deeds::{Deed, Outcome};
use super::events::STRANGER;
use super::model::{Pair, ENTRIES, NAMES, SLOTS};
use super::*;
use crate::app::{Drained, Ended, Totals};
use crate::time::Msec;

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
    pub since: Msec,
    pub pause: u64,
    pub reason: Option<bool>,
    /// The last whom a pause held.
    pub upto: Ticket,
    pub next_ticket: Ticket,
    pub line: VecDeque<Waiting>,
    /// Who releases, and those it took along.
    pub baton: Option<(WorkerId, Vec<Waiting>)>,
    pub totals: Totals,
    drain_began: Msec,
    released_before: u64,
    unreported: Option<Drained>,
    last_passed_on: Ticket,
}

impl ModelApp {
    fn new(name: usize) -> Self {
        Self {
            name,
            state: State::Open,
            since: Msec(0),
            pause: 0,
            reason: None,
            upto: Ticket(0),
            next_ticket: Ticket(1),
            line: VecDeque::new(),
            baton: None,
            totals: Totals::default(),
            drain_began: Msec(0),
            released_before: 0,
            unreported: None,
            last_passed_on: Ticket(0),
        }
    }

    pub(super) fn may_release(&self) -> bool {
        self.state != State::Paused && self.baton.is_none()
    }

    fn is_idle(&self) -> bool {
        let nobody = self.line.is_empty() && self.baton.is_none();
        self.state == State::Open && nobody && self.unreported.is_none()
    }
}

impl Pair {
    pub(super) fn expect(&mut self, deed: &Deed, got: &Outcome) -> Outcome {
        let at = |name: AppName| {
            NAMES
                .iter()
                .position(|one| one.as_bytes() == name.as_bytes())
        };
        match *deed {
            Deed::Arrive {
                id,
                name,
                owner,
                cookie,
            } => {
                let slot = match got {
                    Outcome::Arrival(Arrival::Held { slot, .. }) => *slot,
                    _ => SlotId::NONE,
                };
                let who = Waiting {
                    ticket: Ticket(0),
                    owner,
                    cookie,
                    slot,
                };
                Outcome::Arrival(self.arrives(id.index(), at(name).unwrap(), who))
            }
            Deed::Bypass { id, .. } => {
                let app = self.apps.get_mut(id.index()).and_then(Option::as_mut);
                let app = app.filter(|app| app.state != State::Open);
                Outcome::Bypassed(app.map(|app| app.totals.bypassed += 1).is_some())
            }
            Deed::Depart { cookie, why, .. } => Outcome::Departure(self.departs(cookie, why)),
            Deed::Enable {
                name,
                which,
                reason,
            } => Outcome::Enabled(self.enables(at(name).unwrap(), which, reason)),
            Deed::Disable { name, which } => {
                Outcome::Disabled(self.disables(at(name).unwrap(), which))
            }
            Deed::Take { me, last, most } => {
                let (id, run) = self.takes(me, last, most as usize);
                Outcome::Taken(id, run)
            }
            Deed::GiveBack {
                id,
                passed_on,
                left,
                ..
            } => self.gives_back(id.index(), passed_on as usize, left),
            Deed::Bury { process, .. } if process == STRANGER => Outcome::Done,
            Deed::Bury { id, .. } => self.buries(id),
            Deed::Register { process } => {
                let worker = self.pids.iter().position(|pid| *pid == process.pid);
                Outcome::Registered(WorkerId::at(worker.unwrap()))
            }
            Deed::Look => Outcome::Done,
        }
    }

    fn arrives(&mut self, entry: usize, name: usize, who: Waiting) -> Arrival {
        let room = self.waiting().count() < SLOTS;
        assert!(self.waiting().all(|other| other.slot != who.slot));
        let app = self.apps.get_mut(entry).and_then(Option::as_mut);
        let Some(app) = app.filter(|app| app.name == name) else {
            return Arrival::Passes;
        };
        if app.state == State::Open {
            self.passes(name);
            return Arrival::Passes;
        }
        if !room {
            app.totals.rejected += 1;
            return Arrival::Rejected { report: None };
        }
        let (slot, ticket) = (who.slot, app.next_ticket);
        let ahead = app.line.len() as u32;
        app.next_ticket = Ticket(ticket.0 + 1);
        app.line.push_back(Waiting { ticket, ..who });
        app.totals.held += 1;
        Arrival::Held {
            slot,
            ticket,
            ahead,
        }
    }

    fn departs(&mut self, cookie: Cookie, why: Leaving) -> Departure {
        for app in self.apps.iter_mut().flatten() {
            let Some(place) = app.line.iter().position(|one| one.cookie == cookie) else {
                continue;
            };
            if why == Leaving::Passed && app.state != State::Paused {
                return Departure::Stays;
            }
            app.line.remove(place);
            match why {
                Leaving::Left => app.totals.left += 1,
                Leaving::Passed | Leaving::Answered => app.totals.expired += 1,
            }
        }
        Departure::Gone { report: None }
    }

    fn enables(
        &mut self,
        name: usize,
        which: Which,
        reason: Option<bool>,
    ) -> Result<Enabled, Refusal> {
        let found = self.find(name);
        let known = found.map(|entry| self.app(entry));
        let (state, pause) = known.map_or((State::Open, 0), |app| (app.state, app.pause));
        match which {
            Which::New if state != State::Open => return Err(Refusal::NotOpen),
            Which::This(id) if id.0 != pause || state != State::Paused => {
                return Err(Refusal::OtherPause)
            }
            _ => {}
        }
        let entry = found.or_else(|| self.makes_room(name));
        let entry = entry.ok_or(Refusal::Full)?;
        let now = self.zone.now.monotonic;
        let app = self.apps[entry].as_mut().unwrap();
        if state == State::Paused {
            let changes = reason.is_some() && app.reason != reason;
            app.reason = reason.or(app.reason);
            return Ok(if changes {
                Enabled::Changed
            } else {
                Enabled::Unchanged
            });
        }
        self.pauses += 1;
        app.pause = self.pauses;
        (app.state, app.since, app.reason) = (State::Paused, now, reason);
        Ok(Enabled::Begun(PauseId(self.pauses)))
    }

    fn makes_room(&mut self, name: usize) -> Option<usize> {
        let unused = self.apps.iter().position(Option::is_none);
        let apps = self.apps.iter().enumerate();
        let idle = apps.filter_map(|(entry, app)| Some((entry, app.as_ref()?)));
        let idle = idle.filter(|(_, app)| app.is_idle());
        let oldest = idle
            .min_by_key(|(_, app)| app.since)
            .map(|(entry, _)| entry);
        let entry = unused.or(oldest)?;
        self.apps[entry] = Some(ModelApp::new(name));
        Some(entry)
    }

    fn disables(&mut self, name: usize, which: Which) -> Result<Option<Ended>, Refusal> {
        let found = self.find(name);
        let pause = found.map_or(0, |entry| self.app(entry).pause);
        if matches!(which, Which::This(id) if id.0 != pause) {
            return Err(Refusal::OtherPause);
        }
        let now = self.zone.now.monotonic;
        let app = found.and_then(|entry| self.apps[entry].as_mut());
        let Some(app) = app.filter(|app| app.state == State::Paused) else {
            return Ok(None);
        };
        let ended = Ended {
            held: app.line.len() as u32,
            lasted: now.since(app.since),
            rejected: 0,
            expired: 0,
        };
        app.upto = Ticket(app.next_ticket.0 - 1);
        app.state = State::Draining { upto: app.upto };
        (app.since, app.drain_began) = (now, now);
        app.released_before = app.totals.released;
        Ok(Some(ended))
    }

    fn takes(&mut self, me: WorkerId, last: AppId, most: usize) -> (Option<AppId>, Vec<Cookie>) {
        let behind = if last.is_some() { last.index() + 1 } else { 0 };
        let order = (behind..ENTRIES).chain(0..behind);
        let mine = |app: &ModelApp| app.line.front().is_some_and(|head| head.owner == me);
        for entry in order {
            let app = self.apps[entry].as_mut();
            let Some(app) = app.filter(|app| app.may_release() && mine(app)) else {
                continue;
            };
            let mut run = Vec::new();
            while run.len() < most && mine(app) {
                run.extend(app.line.pop_front());
            }
            let cookies = run.iter().map(|one| one.cookie).collect();
            app.baton = Some((me, run));
            self.last[me.index()] = AppId::at(entry);
            return (Some(AppId::at(entry)), cookies);
        }
        (None, Vec::new())
    }

    fn gives_back(&mut self, entry: usize, passed_on: usize, left: u32) -> Outcome {
        let app = self.apps[entry].as_mut().unwrap();
        let (_, run) = app.baton.take().unwrap();
        for one in &run[..passed_on] {
            assert!(one.ticket > app.last_passed_on, "released out of order");
            app.last_passed_on = one.ticket;
        }
        app.totals.released += passed_on as u64;
        app.totals.left += u64::from(left);
        Outcome::Done
    }

    fn buries(&mut self, dead: WorkerId) -> Outcome {
        for app in self.apps.iter_mut().flatten() {
            let before = app.line.len();
            app.line.retain(|one| one.owner != dead);
            app.totals.lost += (before - app.line.len()) as u64;
            let taken = app.baton.take_if(|(holder, _)| *holder == dead);
            app.totals.lost += taken.map_or(0, |(_, run)| run.len() as u64);
        }
        Outcome::Done
    }

    /// Drains end; returns the one that is reported.
    pub(super) fn end_drains(&mut self) -> Option<(AppName, Drained)> {
        let now = self.zone.now.monotonic;
        for app in self.apps.iter_mut().flatten() {
            let State::Draining { upto } = app.state else {
                continue;
            };
            let waited_for = app.line.front().is_some_and(|head| head.ticket <= upto);
            if app.baton.is_none() && !waited_for {
                (app.state, app.since) = (State::Open, now);
                app.unreported = Some(Drained {
                    released: app.totals.released - app.released_before,
                    took: now.since(app.drain_began),
                });
            }
        }
        let ended = self.apps.iter_mut().flatten();
        ended
            .filter_map(|app| Some((name(NAMES[app.name]), app.unreported.take()?)))
            .next()
    }
}
