//! Waiting callers in the model: a provisional pause is the earlier state plus what they ask for.
#![forbid(unsafe_code)]

use super::deeds::{Ask, Deed, Outcome, Who};
use super::model::{ModelWorker, Pair, ENTRIES, WAITS};
use super::model_app::{ModelApp, Nginx};
use super::verbs::later;
use super::*;
use crate::control::command::PaceChange;

/// A waiting caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelCaller {
    pub caller: Who,
    entry: usize,
    wait_for: WaitFor,
    since: Now,
    ask: Ask,
}

/// The arguments of `enable_and_wait`.
pub(super) struct WaitArgs {
    pub name: usize,
    pub which: Expected,
    pub ask: Ask,
    pub wait_for: WaitFor,
    pub caller: Who,
}

/// The state before a provisional pause, with its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Earlier {
    state: State,
    reason: Option<bool>,
    until: Option<Now>,
    pace: Pace,
}

impl Earlier {
    fn of(app: &ModelApp) -> Self {
        let drains = matches!(app.state, State::Draining { .. });
        let pace = if drains { app.round.pace } else { app.pace };
        Self { state: app.state, reason: app.reason, until: app.until, pace }
    }

    fn is_paused_or_stopped(self) -> bool {
        matches!(self.state, State::Paused | State::Stopped)
    }

    /// This state with a pause on top of it, which was asked for at `at`.
    fn then(self, ask: Ask, at: Now) -> Self {
        let state = State::Paused;
        let end = ask.lease.map(|lease| later(at, lease));
        if !self.is_paused_or_stopped() {
            return Self { state, reason: ask.reason, until: end, pace: ask.pace };
        }
        let until = self.until.zip(end).map(|(a, b)| if a.wall > b.wall { a } else { b });
        Self { state, reason: ask.reason.or(self.reason), until, ..self }
    }
}

impl Pair {
    pub(super) fn enables_and_waits(
        &mut self,
        asks: WaitArgs,
        begun: Option<PauseId>,
    ) -> Result<(Paused, WaitId), Refusal> {
        let WaitArgs { name, which, ask, wait_for, caller } = asks;
        let wait = self.free_wait()?;
        let done = if wait_for == WaitFor::Provisional {
            let entry = self.entry_to_pause(name, which)?;
            let app = self.apps[entry].as_mut().unwrap();
            app.earlier = app.earlier.or(Some(Earlier::of(app)));
            let ask = Ask { intent: Intent::State, ..ask };
            let done = self.pauses_entry(entry, ask, State::Paused, begun);
            self.ends_waits(entry);
            done
        } else {
            let ask = Ask { intent: Intent::Change, ..ask };
            self.pauses_or_stops(name, which, ask, State::Paused, begun)?
        };
        let entry = self.find(name).unwrap();
        let since = self.zone.now;
        self.callers[wait.index()] = Some(ModelCaller { caller, entry, wait_for, since, ask });
        Ok((done, wait))
    }

    pub(super) fn disables_and_waits(
        &mut self,
        name: usize,
        which: Expected,
        change: PaceChange,
        caller: Who,
    ) -> Result<(Opened, Option<WaitId>), Refusal> {
        let wait = self.free_wait()?;
        let done = self.disables(name, which, change)?;
        self.end_drains();
        let held = self.find(name).filter(|entry| self.still_held(*entry).is_some());
        let wait = held.map(|_| wait);
        if let (Some(entry), Some(wait)) = (held, wait) {
            let (since, ask) = (self.zone.now, Ask::default());
            let wait_for = WaitFor::Drained;
            self.callers[wait.index()] = Some(ModelCaller { caller, entry, wait_for, since, ask });
        }
        Ok((done, wait))
    }

    pub(super) fn polls(&mut self, wait: WaitId, caller: Who, deadline: Deadline) -> WaitResult {
        let one = self.callers[wait.index()].filter(|one| one.caller == caller);
        let Some(one) = one else { return WaitResult::Superseded };
        let drained = one.wait_for == WaitFor::Drained;
        let (left, cut_short) = match drained {
            true => (self.still_held(one.entry), false),
            false => (self.still_in_flight(one.entry), self.nginx == Nginx::Quits),
        };
        if left.is_some() && deadline == Deadline::Ahead && !cut_short {
            return WaitResult::Pending;
        }
        if left.is_none() && one.wait_for == WaitFor::Provisional {
            self.answered(one.entry, one.ask, one.since);
        }
        self.callers[wait.index()] = None;
        match (left, one.wait_for) {
            (None, WaitFor::Provisional) => {
                assert!(!self.adds_up(one.entry), "the pause stays");
                WaitResult::Done
            }
            (None, _) => WaitResult::Done,
            (Some(left), WaitFor::Provisional) => {
                self.is_undone(one.entry);
                WaitResult::RolledBack(left)
            }
            (Some(left), _) => WaitResult::TimedOut(left),
        }
    }

    /// A worker is gone: its callers do not wait any more.
    pub(super) fn ends_waits_of(&mut self, dead: WorkerId) {
        for wait in 0..WAITS {
            let gone = self.callers[wait].take_if(|one| one.caller.0 == dead);
            if let Some(gone) = gone.filter(|gone| gone.wait_for == WaitFor::Provisional) {
                self.is_undone(gone.entry);
            }
        }
        let worker = &mut self.workers[dead.index()];
        let (saw, counts) = (worker.saw.take(), core::mem::take(&mut worker.counts));
        for (app, count) in self.apps.iter_mut().zip(counts) {
            let app = app.as_mut().filter(|app| saw >= Some(app.created));
            app.into_iter().for_each(|app| app.totals.passed += count.passed);
        }
    }

    /// A caller's pause, asked for at `at`, is final. Returns whether anything changed.
    pub(super) fn answered(&mut self, entry: usize, ask: Ask, at: Now) -> bool {
        let app = self.apps[entry].as_mut().unwrap();
        app.earlier = app.earlier.map(|before| before.then(ask, at));
        for one in self.callers.iter_mut().flatten() {
            if ask.reason.is_some() && one.entry == entry && one.since.monotonic <= at.monotonic {
                one.ask.reason = None;
            }
        }
        self.adds_up(entry)
    }

    fn is_undone(&mut self, entry: usize) {
        let changed = self.adds_up(entry);
        self.apps[entry].as_mut().unwrap().rolled_back |= changed;
    }

    /// Adds up the earlier state and what the waiting callers ask for. Returns whether anything
    /// changed.
    fn adds_up(&mut self, entry: usize) -> bool {
        let now = self.zone.now;
        let asked = |one: &&ModelCaller| one.entry == entry && one.wait_for == WaitFor::Provisional;
        let mut asks: Vec<ModelCaller> =
            self.callers.iter().flatten().filter(asked).copied().collect();
        asks.sort_by_key(|one| one.since.monotonic);
        let app = self.apps[entry].as_mut().unwrap();
        let Some(before) = app.earlier else { return false };
        let is = asks.iter().fold(before, |is, one| is.then(one.ask, one.since));
        app.earlier = Some(before).filter(|_| !asks.is_empty());
        if !is.is_paused_or_stopped() {
            let pace = if is.state == State::Open { app.pace } else { is.pace };
            app.ends(pace, now);
            self.ends_waits(entry);
            return true;
        }
        let changed = is != Earlier::of(app);
        if app.state != is.state {
            app.turns(is.state, now);
        }
        (app.reason, app.until, app.pace) = (is.reason, is.until, is.pace);
        changed
    }

    /// Ends the waits for what can no longer come.
    pub(super) fn ends_waits(&mut self, entry: usize) {
        let app = self.apps[entry].as_mut().unwrap();
        let (paused, held_back) = (app.state == State::Paused, app.is_paused_or_stopped());
        app.earlier = app.earlier.filter(|_| paused);
        for caller in &mut self.callers {
            caller.take_if(|one| {
                one.entry == entry
                    && if one.wait_for == WaitFor::Drained { held_back } else { !paused }
            });
        }
    }

    pub(super) fn is_waited_for(&self, entry: usize) -> bool {
        self.callers.iter().flatten().any(|one| one.entry == entry)
    }

    fn free_wait(&self) -> Result<WaitId, Refusal> {
        let free = self.callers.iter().position(Option::is_none);
        free.map(WaitId::at).ok_or(Refusal::TooManyWait)
    }

    fn still_held(&self, entry: usize) -> Option<Remaining> {
        let app = self.app(entry);
        let taken = app.taken();
        let left = app.state != State::Open || !app.line.is_empty() || app.baton.is_some();
        left.then_some(Remaining::Held(app.line.len() as u32 + taken))
    }

    fn still_in_flight(&self, entry: usize) -> Option<Remaining> {
        let app = self.app(entry);
        let taken = app.taken();
        let living = self.workers.iter().filter(|worker| worker.generation.is_some());
        let (know, silent): (Vec<&ModelWorker>, Vec<_>) =
            living.partition(|worker| worker.saw >= Some(app.paused_at));
        let counted = know.iter().map(|worker| worker.counts[entry].in_flight).sum::<u32>();
        match (counted + taken, silent.len() as u32) {
            (0, 0) => None,
            (0, silent) => Some(Remaining::Silent(silent)),
            (in_flight, _) => Some(Remaining::InFlight(in_flight)),
        }
    }

    /// Without the lock: a worker has so many requests in flight, and has passed one more on.
    pub(super) fn counts(&mut self, id: WorkerId, entry: usize, in_flight: u32) {
        let count = &mut self.workers[id.index()].counts[entry];
        (count.in_flight, count.passed) = (in_flight, count.passed + 1);
        self.zone.words.counts().row(id)[entry].set(*count);
    }

    /// Without the lock: a worker has counted everything. If an entry is another app's now, it begins
    /// at 0.
    pub(super) fn sees(&mut self, id: WorkerId) {
        let worker = &mut self.workers[id.index()];
        let counts = self.zone.words.counts();
        for (entry, app) in self.apps.iter().enumerate() {
            if app.as_ref().is_some_and(|app| worker.saw < Some(app.created)) {
                worker.counts[entry] = Counts::default();
                counts.row(id)[entry].set(Counts::default());
            }
        }
        worker.saw = Some(self.zone.now.monotonic);
        counts.set_seen(id, self.zone.words.signals().epoch());
    }

    /// At the end all callers poll: each is answered.
    pub(super) fn all_look(&mut self) {
        for wait in 0..WAITS {
            if let Some(ModelCaller { caller, .. }) = self.callers[wait] {
                let wait = WaitId::at(wait);
                let polled =
                    self.carry_out(&Deed::Poll { wait, caller, deadline: Deadline::Ahead });
                assert_eq!(polled, Outcome::Polled(WaitResult::Done));
            }
        }
    }

    pub(super) fn compare_callers(&mut self) {
        for (wait, model) in self.zone.tables.waits.iter().zip(&self.callers) {
            let waits = wait
                .get()
                .map(|(wait_for, one)| (wait_for, one.app.index(), one.owner, one.cookie));
            let model = model.map(|one| (one.wait_for, one.entry, one.caller.0, one.caller.1));
            assert_eq!(waits, model);
        }
        for entry in 0..ENTRIES {
            // Not in a visit: that would take reports.
            let Owned { tables, words, now } = &mut self.zone;
            let total = tables.lend(words, *now).sum_counts(AppId::at(entry));
            let Some(app) = self.apps[entry].as_ref() else { continue };
            let real = &self.zone.tables.apps[entry];
            assert_eq!(real.is_provisional(), app.earlier.is_some());
            let start = Counts { passed: app.totals.passed, ..Counts::default() };
            let living = self.workers.iter().filter(|worker| worker.generation.is_some());
            let know = living.filter(|worker| worker.saw >= Some(app.created));
            let expected = know.fold(start, |sum, worker| Counts {
                passed: sum.passed + worker.counts[entry].passed,
                in_flight: sum.in_flight + worker.counts[entry].in_flight,
                ..Counts::default()
            });
            assert_eq!(total, expected);
        }
    }
}

impl ModelApp {
    /// The app as it is when all provisional pauses are rolled back.
    pub(super) fn without_callers(mut self) -> Self {
        if let Some(Earlier { state, reason, until, pace }) = self.earlier.take() {
            (self.state, self.reason, self.until, self.pace) = (state, reason, until, pace);
        }
        self
    }
}
