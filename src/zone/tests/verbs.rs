//! The model's verbs and leases, and nginx that reloads, quits and retires zones.
#![forbid(unsafe_code)]

use super::deeds::{Ask, Outcome};
use super::model::{ModelWorker, Pair, NAMES};
use super::model_app::{ModelApp, Nginx};
use super::rounds::Round;
use super::*;
use crate::control::command::PaceChange;

impl Pair {
    pub(super) fn pauses_or_stops(
        &mut self,
        name: usize,
        which: Expected,
        ask: Ask,
        to: State,
        begun: Option<PauseId>,
    ) -> Result<Paused, Refusal> {
        let entry = self.entry_to_pause(name, which)?;
        let done = match self.apps[entry].as_ref().unwrap() {
            app if app.earlier.is_some() && to == State::Paused => {
                let pause = PauseId(app.pause);
                match self.answered(entry, ask, self.zone.now) || ask.intent == Intent::Change {
                    true => Paused::Changed(pause),
                    false => Paused::Unchanged,
                }
            }
            _ => self.pauses_entry(entry, ask, to, begun),
        };
        self.ends_waits(entry);
        Ok(done)
    }

    pub(super) fn entry_to_pause(
        &mut self,
        name: usize,
        which: Expected,
    ) -> Result<usize, Refusal> {
        if self.retired {
            return Err(Refusal::Retired);
        }
        let found = self.find(name);
        let known = found.map(|entry| self.app(entry));
        let (state, pause) = known.map_or((State::Open, 0), |app| (app.state, app.pause));
        let was_paused = known.is_some_and(ModelApp::is_paused_or_stopped);
        let is_away = known.is_some_and(|app| app.away.is_some() && !app.ends_pause);
        match which {
            Expected::New if state != State::Open && !is_away => return Err(Refusal::NotOpen),
            Expected::This(id) if id.0 != pause || !was_paused => return Err(Refusal::OtherPause),
            Expected::Paused(id) if id.0 == pause && state == State::Stopped => {
                return Err(Refusal::Stopped)
            }
            Expected::Paused(id) if id.0 != pause || state != State::Paused => {
                return Err(Refusal::OtherPause)
            }
            _ => {}
        }
        found.or_else(|| self.makes_room(name)).ok_or(Refusal::Full)
    }

    pub(super) fn pauses_entry(
        &mut self,
        entry: usize,
        ask: Ask,
        to: State,
        begun: Option<PauseId>,
    ) -> Paused {
        let now = self.zone.now;
        let end = ask.lease.map(|lease| later(now, lease));
        let app = self.apps[entry].as_mut().unwrap();
        let (state, was_paused) = (app.state, app.is_paused_or_stopped());
        let mut changed = ask.intent == Intent::Change;
        if was_paused {
            if (state, to) == (State::Paused, State::Stopped) {
                app.until = end;
            }
            let until = app.until.zip(end).map(|(a, b)| if a.wall > b.wall { a } else { b });
            let reason = ask.reason.or(app.reason);
            changed |= (until, reason) != (app.until, app.reason);
            (app.until, app.reason) = (until, reason);
        } else {
            // Any number that no pause has had before.
            if let Some(PauseId(fresh)) = begun {
                assert!(fresh > self.pauses);
                (app.pause, self.pauses) = (fresh, fresh);
            }
            (app.reason, app.began, app.until, app.pace) = (ask.reason, now, end, ask.pace);
            app.forgets();
        }
        if state != to {
            app.turns(to, now);
            return Paused::Begun(PauseId(app.pause));
        }
        if changed {
            Paused::Changed(PauseId(app.pause))
        } else {
            Paused::Unchanged
        }
    }

    pub(super) fn fences(&mut self, name: usize, token: Token) -> Result<(), Refusal> {
        if self.retired {
            return Err(Refusal::Retired);
        }
        let found = self.find(name);
        if found.is_some_and(|entry| self.app(entry).token > token) {
            return Err(Refusal::Fenced);
        }
        let entry = found.or_else(|| self.makes_room(name)).ok_or(Refusal::Full)?;
        self.apps[entry].as_mut().unwrap().token = token;
        Ok(())
    }

    pub(super) fn makes_room(&mut self, name: usize) -> Option<usize> {
        let entry = self.entry_for_new()?;
        self.apps[entry] = Some(ModelApp::new(name, self.zone.now));
        Some(entry)
    }

    pub(super) fn entry_for_new(&self) -> Option<usize> {
        let unused = self.apps.iter().position(Option::is_none);
        let apps = self.apps.iter().enumerate();
        let idle = apps.filter_map(|(entry, app)| Some((entry, app.as_ref()?)));
        let idle = idle.filter(|(entry, app)| app.is_idle() && !self.is_waited_for(*entry));
        let key = |app: &ModelApp| (app.token > Token(0), app.since.monotonic);
        let oldest = idle.min_by_key(|(_, app)| key(app)).map(|(entry, _)| entry);
        unused.or(oldest)
    }

    pub(super) fn disables(
        &mut self,
        name: usize,
        which: Expected,
        change: PaceChange,
    ) -> Result<Opened, Refusal> {
        let found = self.find(name);
        let pause = found.map_or(0, |entry| self.app(entry).pause);
        if matches!(which, Expected::This(id) | Expected::Paused(id) if id.0 != pause) {
            return Err(Refusal::OtherPause);
        }
        let is_stopped = found.is_some_and(|entry| self.app(entry).state == State::Stopped);
        if matches!(which, Expected::Paused(_)) && is_stopped {
            return Err(Refusal::Stopped);
        }
        let now = self.zone.now;
        let Some(app) = found.and_then(|entry| self.apps[entry].as_mut()) else {
            return Ok(Opened::Unchanged);
        };
        let by_holder = matches!(which, Expected::This(_) | Expected::Paused(_));
        if by_holder && !app.is_paused_or_stopped() && !app.ended_by_holder {
            return Err(Refusal::Over);
        }
        if app.is_paused_or_stopped() {
            let ended = app.ends(change.apply(app.pace), now);
            app.ended_by_holder = by_holder;
            found.into_iter().for_each(|entry| self.ends_waits(entry));
            return Ok(Opened::Ended(PauseId(pause), ended));
        }
        let pace = change.apply(app.round.pace);
        if app.state == State::Open || pace == app.round.pace {
            return Ok(Opened::Unchanged);
        }
        app.round = Round::first(pace, app.line.len(), now.monotonic);
        Ok(Opened::Paced(pace))
    }

    pub(super) fn ends_lease(&mut self) -> Option<(AppName, PauseId, Ended)> {
        let now = self.zone.now;
        let over = |app: &ModelApp| {
            app.is_paused_or_stopped()
                && app.until.is_some_and(|until| until.monotonic <= now.monotonic)
        };
        let entry = self.apps.iter().position(|app| app.as_ref().is_some_and(over))?;
        let app = self.apps[entry].as_mut()?;
        let (pause, pace) = (PauseId(app.pause), app.pace);
        let ended = (name(NAMES[app.name]), pause, app.ends(pace, now));
        self.ends_waits(entry);
        Some(ended)
    }

    /// The zone is retired, if no app has a pause or a held request.
    pub(super) fn retires(&mut self) -> bool {
        let mut apps = self.apps.iter().flatten();
        self.retired = apps.all(|app| app.state == State::Open && app.line.is_empty());
        self.retired
    }

    pub(super) fn registers(&mut self, process: Process) -> WorkerId {
        let worker = self.workers.iter().position(|worker| worker.pid == process.pid).unwrap();
        self.workers[worker].generation = Some(self.generation);
        self.workers[worker].leaves = false;
        self.nginx = Nginx::Runs;
        WorkerId::at(worker)
    }

    /// When all workers of the newest configuration are told to leave, nginx quits.
    pub(super) fn is_told_to_leave(&mut self, id: WorkerId) -> Outcome {
        self.workers[id.index()].leaves = true;
        self.all_may_leave();
        Outcome::Done
    }

    pub(super) fn all_may_leave(&mut self) {
        let newest = Some(self.generation);
        let is_newest = |worker: &&ModelWorker| worker.generation == newest;
        let mut of_newest = self.workers.iter().filter(is_newest).peekable();
        if of_newest.peek().is_some() && of_newest.all(|worker| worker.leaves) {
            self.nginx_quits();
        }
    }
}

impl ModelApp {
    /// A pause or stop begins, or one turns into the other.
    pub(super) fn turns(&mut self, to: State, now: Now) {
        (self.state, self.since, self.paused_at) = (to, now, now.monotonic);
    }

    /// The pause ends.
    pub(super) fn ends(&mut self, pace: Pace, now: Now) -> Ended {
        self.upto = Ticket(self.next_ticket.0 - 1);
        self.state = State::Draining { upto: self.upto };
        self.since = now;
        self.ended_by_holder = false;
        self.drain_began = now.monotonic;
        self.drain_failed = 0;
        self.drain_held = self.line.len();
        self.ends_pause = true;
        self.released_before = self.totals.released;
        self.spacing = Spacing::OneByOne;
        self.round = Round::first(pace, self.line.len(), now.monotonic);
        let lasted = now.monotonic.since(self.began.monotonic);
        Ended { held: self.line.len() as u32, lasted, pace, rejected: 0, expired: 0 }
    }
}

pub(super) fn later(now: Now, by: Msec) -> Now {
    Now { monotonic: now.monotonic.after(by), wall: now.wall.after(by) }
}
