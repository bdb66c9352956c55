//! The operator's verbs, and the lease.
#![forbid(unsafe_code)]

use super::{Wake, Zone};
use crate::ids::{AppId, PauseId, Token};
use crate::shared::app::{App, Ended, Ender, State};
use crate::shared::pace::Pace;
use crate::shared::terms::PauseRequest;
use crate::sync::crash_point;
use crate::text::{Address, AppName};

/// What `enable` and `stop` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// A pause or stop began, or one turned into the other.
    Begun(PauseId),
    /// The current pause has another reason or end.
    Changed(PauseId),
    /// Nothing changed.
    Unchanged,
}

/// What a call of `enable` or `stop` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intent {
    /// Only that the app is paused, or stopped. If it is, nothing changes.
    #[default]
    State,
    /// Also a reason or an end. The answer is then [`Paused::Changed`], even if both stay the same.
    Change,
}

/// What `disable` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The pause is over.
    Ended(PauseId, Ended),
    /// The drain goes on at another pace.
    Paced(Pace),
    /// Nothing changed.
    Unchanged,
}

/// Why a verb changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It named another pause than the app's.
    OtherPause,
    /// It named a pause that something else has ended already.
    Over,
    /// It named a pause that has become a stop.
    Stopped,
    /// It was to begin a new pause, and the app is not open.
    NotOpen,
    /// A verb has named a greater token.
    Fenced,
    /// The table of apps is full.
    Full,
    /// The table of waiting callers is full.
    TooManyWait,
    /// A newer configuration has a zone of its own: a pause in this one would hold no request.
    Retired,
}

/// The pause that a verb may touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    #[default]
    Any,
    /// Only the one with this number.
    This(PauseId),
    /// Only the one with this number, and only while it is no stop.
    Paused(PauseId),
    /// Only one that begins with this call.
    New,
}

impl Zone<'_> {
    /// A verb names this token: it is refused if another one of the app `name` has named a greater one.
    /// From now on those with a lower one are.
    pub fn fence(&mut self, name: &AppName, token: Token) -> Result<(), Refusal> {
        if self.header.retired.is_on() {
            return Err(Refusal::Retired);
        }
        let known = self.find(name);
        if known.and_then(|id| self.app(id)).is_some_and(|app| app.token() > token) {
            return Err(Refusal::Fenced);
        }
        let id = match known {
            Some(id) => id,
            None => {
                let id = self.create(name).ok_or(Refusal::Full)?;
                self.publish(id);
                self.effects.wake = Wake::All;
                id
            }
        };
        if self.apps.get_mut(id.index()).is_some_and(|app| app.token_seen(token)) {
            self.header.version = self.header.version.wrapping_add(1);
        }
        Ok(())
    }

    /// Pauses the app `name`, or changes its pause.
    pub fn enable(
        &mut self,
        name: &AppName,
        which: Expected,
        request: PauseRequest,
        intent: Intent,
    ) -> Result<Paused, Refusal> {
        self.pause_or_stop(name, which, request, intent, State::Paused)
    }

    /// Stops the app `name`, or changes its stop.
    pub fn stop(
        &mut self,
        name: &AppName,
        which: Expected,
        request: PauseRequest,
        intent: Intent,
    ) -> Result<Paused, Refusal> {
        self.pause_or_stop(name, which, request, intent, State::Stopped)
    }

    fn pause_or_stop(
        &mut self,
        name: &AppName,
        which: Expected,
        request: PauseRequest,
        intent: Intent,
        state: State,
    ) -> Result<Paused, Refusal> {
        let id = self.entry_to_pause(name, which)?;
        Ok(self.pause_known(id, request, intent, state))
    }

    /// The entry of an app that is to be paused or stopped. Makes one if it has none.
    pub(super) fn entry_to_pause(
        &mut self,
        name: &AppName,
        which: Expected,
    ) -> Result<AppId, Refusal> {
        if self.header.retired.is_on() {
            return Err(Refusal::Retired);
        }
        let known = self.find(name);
        let app = known.and_then(|id| self.app(id)).unwrap_or(&App::UNUSED);
        match which {
            Expected::Any => {}
            Expected::New if app.state() == State::Open || app.is_away_without_pause() => {}
            Expected::New => return Err(Refusal::NotOpen),
            Expected::This(id) if id == app.pause() && app.is_paused_or_stopped() => {}
            Expected::Paused(id) if id == app.pause() && app.state() == State::Paused => {}
            Expected::Paused(id) if id == app.pause() && app.state() == State::Stopped => {
                return Err(Refusal::Stopped);
            }
            Expected::This(_) | Expected::Paused(_) => return Err(Refusal::OtherPause),
        }
        known.or_else(|| self.create(name)).ok_or(Refusal::Full)
    }

    pub(super) fn pause_known(
        &mut self,
        id: AppId,
        request: PauseRequest,
        intent: Intent,
        state: State,
    ) -> Paused {
        let (now, epoch) = (self.now, self.coming_epoch());
        let request = self.with_number(id, request);
        let Some(app) = self.apps.get_mut(id.index()) else { return Paused::Unchanged };
        let (provisional, pause) = (app.is_provisional(), app.pause());
        // If the worker dies before this is complete, the repair brings back the state before.
        app.save_before();
        let done = if app.state() == state {
            let changed = match provisional {
                true => self.commit(id, &request, now),
                false => app.change(&request, now),
            };
            match changed || intent == Intent::Change {
                true => Paused::Changed(pause),
                false => Paused::Unchanged,
            }
        } else {
            match state {
                State::Stopped => app.stop(&request, now, epoch),
                _ => app.enable(&request, now, epoch),
            }
            Paused::Begun(app.pause())
        };
        if let Some(app) = self.apps.get_mut(id.index()).filter(|_| !provisional) {
            app.drop_before();
        }
        self.dismiss_waiters(id, state);
        if done != Paused::Unchanged || provisional {
            self.pause_changed(id);
        }
        done
    }

    /// Gives the request the number of the pause: a new one if a pause begins.
    pub(super) fn with_number(&mut self, id: AppId, request: PauseRequest) -> PauseRequest {
        let begins = self.app(id).is_some_and(|app| !app.is_paused_or_stopped());
        let number = PauseId(self.header.pauses.saturating_add(u64::from(begins)));
        self.header.pauses = number.0;
        crash_point();
        PauseRequest { number, ..request }
    }

    /// Ends the pause of the app `name`, or changes the pace of its drain to what `pace` returns. Does
    /// nothing if the app is open.
    pub fn disable(
        &mut self,
        name: &AppName,
        which: Expected,
        by: &Address,
        pace: impl FnOnce(Pace) -> Pace,
    ) -> Result<Opened, Refusal> {
        let known = self.find(name);
        let newest = known.and_then(|id| self.app(id)).map_or(PauseId(0), App::pause);
        let number = match which {
            Expected::This(id) | Expected::Paused(id) => Some(id),
            Expected::Any | Expected::New => None,
        };
        if number.is_some_and(|id| id != newest) {
            return Err(Refusal::OtherPause);
        }
        let is_stopped = known.and_then(|id| self.app(id)).map(App::state) == Some(State::Stopped);
        if is_stopped && matches!(which, Expected::Paused(_)) {
            return Err(Refusal::Stopped);
        }
        let now = self.now;
        let app = known.and_then(|id| Some((id, self.apps.get_mut(id.index())?)));
        let Some((id, app)) = app else {
            return Ok(Opened::Unchanged);
        };
        let ender = match number {
            Some(_) => Ender::Holder(*by),
            None => Ender::Caller(*by),
        };
        let ended_by_holder = matches!(app.ended_by(), Ender::Holder(_));
        if number.is_some() && !app.is_paused_or_stopped() && !ended_by_holder {
            return Err(Refusal::Over);
        }
        let (old, new) = (app.pace(), pace(app.pace()));
        let done = match app.state() {
            State::Paused | State::Stopped => {
                let ended = app.end(ender, new, now);
                self.dismiss_waiters(id, State::Open);
                Opened::Ended(newest, ended)
            }
            State::Draining { .. } if old != new => {
                app.set_pace(new, now);
                Opened::Paced(new)
            }
            State::Draining { .. } | State::Open => return Ok(Opened::Unchanged),
        };
        self.pause_changed(id);
        Ok(done)
    }

    /// Takes over the greatest token that a verb named for an app before nginx ended.
    pub fn restore_token(&mut self, name: &AppName, token: Token) {
        // Without room for it the caller's next one is the first.
        let _ = self.fence(name, token);
    }

    /// Takes over an app that was paused or stopped when nginx ended. Returns None if the table of apps
    /// is full.
    pub fn restore(&mut self, app: App) -> Option<AppId> {
        let id = self.create(app.name()?)?;
        self.apps.get_mut(id.index())?.resume(&app);
        self.line_changed(id);
        self.publish_leases();
        Some(id)
    }

    /// Notes that this number is in use: later pauses have greater ones.
    pub fn pauses_seen(&mut self, pauses: u64) {
        self.header.pauses = self.header.pauses.max(pauses);
    }

    /// The number of the newest pause of any app.
    pub fn pauses(&self) -> u64 {
        self.header.pauses
    }

    /// Changes with everything that the state file keeps.
    pub fn version(&self) -> u64 {
        self.header.version
    }

    /// Ends the pause of the first app whose lease is over. Returns the app, its pause, and how that
    /// ended; None if no lease is over.
    pub fn end_lease(&mut self) -> Option<(AppName, PauseId, Ended)> {
        let now = self.now;
        let over = |app: &App| app.until().is_some_and(|until| until.monotonic <= now.monotonic);
        let id = AppId::at(self.apps.iter().position(over)?);
        let app = self.apps.get_mut(id.index())?;
        let (name, pause, ended) =
            (*app.name()?, app.pause(), app.end(Ender::Lease, app.pace(), now));
        self.dismiss_waiters(id, State::Open);
        self.pause_changed(id);
        Some((name, pause, ended))
    }

    /// A pause began, changed or ended: publishes that, and wakes all workers.
    pub(super) fn pause_changed(&mut self, id: AppId) {
        self.header.version = self.header.version.wrapping_add(1);
        if self.app(id).is_some_and(|app| !app.is_paused_or_stopped()) {
            self.signals.pause_ended();
        }
        self.line_changed(id);
        self.publish_leases();
        self.effects.wake = Wake::All;
    }

    /// The entry that a new app would get: an unused one, or else that of the app that is idle for
    /// longest, if possible one without a token.
    pub(super) fn entry_for_new(&self) -> Option<AppId> {
        let free = self.apps.iter().position(|app| app.name().is_none());
        let idle = self.apps.iter().enumerate();
        let idle = idle.filter(|(at, app)| app.is_idle() && !self.is_waited_for(AppId::at(*at)));
        // Those without a token first: it is forgotten with its entry.
        let key = |app: &App| (app.token() > Token(0), app.since().monotonic);
        let oldest = idle.min_by_key(|(_, app)| key(app)).map(|(index, _)| index);
        free.or(oldest).map(AppId::at)
    }

    /// Makes an entry for a new app.
    pub(super) fn create(&mut self, name: &AppName) -> Option<AppId> {
        let id = self.entry_for_new()?;
        let created = self.coming_epoch();
        let app = self.apps.get_mut(id.index())?;
        if app.token() > Token(0) {
            self.header.version = self.header.version.wrapping_add(1);
        }
        app.create(*name, created);
        Some(id)
    }
}
