//! The operator's verbs, and the lease that acts in his place.
#![forbid(unsafe_code)]

use super::{Wake, Zone};
use crate::ids::{AppId, PauseId};
use crate::shared::app::{App, Ended, Ender, State};
use crate::shared::pace::Pace;
use crate::shared::terms::PauseRequest;
use crate::sync::crash_point;
use crate::text::{Address, AppName};

/// What `enable` and `stop` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// A pause began, or turned into a stop or back.
    Begun(PauseId),
    /// The pause under way has another reason or end.
    Changed(PauseId),
    /// It is as it was.
    Unchanged,
}

/// What a call of `enable` or `stop` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intent {
    /// That the app is paused, or stopped: where it is, nothing is done.
    #[default]
    State,
    /// A reason or an end too: the answer is [`Paused::Changed`] even if both are as they were.
    Change,
}

/// What `disable` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The pause is over.
    Ended(PauseId, Ended),
    /// The drain goes on at another pace.
    Paced(Pace),
    /// It is as it was.
    Unchanged,
}

/// Why a verb changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was to touch another pause than the one there is.
    OtherPause,
    /// It was to end a pause that somebody else, or something else, has ended.
    Over,
    /// It was to begin a pause, and the app is not open.
    NotOpen,
    /// The table of apps is full.
    Full,
    /// The table of those who wait is full.
    TooManyWait,
    /// A newer configuration has a zone of its own: this one's pauses would hold nobody.
    Retired,
}

/// Which pause a verb is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    #[default]
    Any,
    /// The one with this number.
    This(PauseId),
    /// One that is yet to begin.
    New,
}

impl Zone<'_> {
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

    /// The entry of an app that is to be paused or stopped, made where it has none.
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
            Expected::New if app.state() == State::Open => {}
            Expected::New => return Err(Refusal::NotOpen),
            Expected::This(id) if id == app.pause() && app.is_paused_or_stopped() => {}
            Expected::This(_) => return Err(Refusal::OtherPause),
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
        // A worker that dies before this is done leaves what was before.
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

    /// Gives it a number, where a pause begins.
    pub(super) fn with_number(&mut self, id: AppId, request: PauseRequest) -> PauseRequest {
        let begins = self.app(id).is_some_and(|app| !app.is_paused_or_stopped());
        let number = PauseId(self.header.pauses.saturating_add(u64::from(begins)));
        self.header.pauses = number.0;
        crash_point();
        PauseRequest { number, ..request }
    }

    /// Ends the pause of the app `name`, or changes the pace of its drain to what `pace` makes of
    /// it; nothing to do where it is open.
    pub fn disable(
        &mut self,
        name: &AppName,
        which: Expected,
        by: &Address,
        pace: impl FnOnce(Pace) -> Pace,
    ) -> Result<Opened, Refusal> {
        let known = self.find(name);
        let newest = known.and_then(|id| self.app(id)).map_or(PauseId(0), App::pause);
        if matches!(which, Expected::This(id) if id != newest) {
            return Err(Refusal::OtherPause);
        }
        let now = self.now;
        let app = known.and_then(|id| Some((id, self.apps.get_mut(id.index())?)));
        let Some((id, app)) = app else {
            return Ok(Opened::Unchanged);
        };
        let ender = match which {
            Expected::This(_) => Ender::Holder(*by),
            _ => Ender::Caller(*by),
        };
        let ended_by_holder = matches!(app.ended_by(), Ender::Holder(_));
        if matches!(which, Expected::This(_)) && !app.is_paused_or_stopped() && !ended_by_holder {
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

    /// Takes an app over that was paused or stopped before nginx started; none where there is no
    /// room.
    pub fn restore(&mut self, app: App) -> Option<AppId> {
        let id = self.create(app.name()?)?;
        self.apps.get_mut(id.index())?.resume(&app);
        self.line_changed(id);
        self.publish_leases();
        Some(id)
    }

    /// Numbers of pauses go on from this one.
    pub fn pauses_seen(&mut self, pauses: u64) {
        self.header.pauses = self.header.pauses.max(pauses);
    }

    /// The greatest number that a pause has had.
    pub fn pauses(&self) -> u64 {
        self.header.pauses
    }

    /// Counts what the state file would say otherwise.
    pub fn version(&self) -> u64 {
        self.header.version
    }

    /// The number of the first app whose lease has ended, with how its pause went. Each is told
    /// once.
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

    /// A pause began, changed or ended.
    pub(super) fn pause_changed(&mut self, id: AppId) {
        self.header.version = self.header.version.wrapping_add(1);
        if self.app(id).is_some_and(|app| !app.is_paused_or_stopped()) {
            self.signals.pause_ended();
        }
        self.line_changed(id);
        self.publish_leases();
        self.effects.wake = Wake::All;
    }

    /// An entry for a new app: an unused one, else that of the app that has been idle longest.
    pub(super) fn create(&mut self, name: &AppName) -> Option<AppId> {
        let free = self.apps.iter().position(|app| app.name().is_none());
        let idle = self.apps.iter().enumerate();
        let idle = idle.filter(|(at, app)| app.idle() && !self.is_waited_for(AppId::at(*at)));
        let oldest = idle.min_by_key(|(_, app)| app.since().monotonic).map(|(index, _)| index);
        let index = free.or(oldest)?;
        let created = self.coming_epoch();
        self.apps.get_mut(index)?.create(*name, created);
        Some(AppId::at(index))
    }
}
