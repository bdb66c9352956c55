//! A command that may change an app: what it does to the zone, its line in the log and its answer.
#![forbid(unsafe_code)]

use crate::control::answer::{Answer, Done};
use crate::control::command::{Change, DisableArgs, Patience, PauseArgs};
use crate::control::error::Error;
use crate::control::status::Status;
use crate::ids::{Cookie, PauseId, Token, WaitId, WorkerId};
use crate::log_lines::pauses::{NewTerms, PauseEvent};
use crate::shared::given_up::Abandoned;
use crate::shared::pace::Pace;
use crate::shared::terms::PauseRequest;
use crate::shared::waiters::WaitFor;
use crate::shared::word::Word;
use crate::text::{Address, AppName, Reason};
use crate::time::Msec;
use crate::zone::{Opened, Paused, Refusal, WaitResult, Zone};

/// The caller of a command, and what its endpoint's configuration says.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub app: AppName,
    pub by: Address,
    /// How the zone identifies a caller that waits; None if this caller cannot wait.
    pub waiter: Option<(WorkerId, Cookie)>,
    /// The lease of an `enable` without `for`; None: such a pause has no end.
    pub lease: Option<Msec>,
    /// How held requests are released when the pause ends.
    pub pace: Pace,
    /// The fencing token that the command names.
    pub token: Option<Token>,
}

/// What a command did, with the app before and after it. Made under the lock, so plain data only.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    before: Status,
    did: Result<Did, Failure>,
    after: Status,
    by: Address,
    reason: Option<Reason>,
    wait: Option<(WaitId, Msec)>,
}

#[derive(Clone, Copy, Debug)]
enum Did {
    Enable(Paused),
    Stop(Paused),
    Disable(Opened),
}

#[derive(Clone, Copy, Debug)]
enum Failure {
    Refused(Refusal),
    CannotWait,
}

/// A call that is answered later.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    pub app: AppName,
    pub place: WaitId,
    /// How long it waits at most.
    pub time: Msec,
    /// What the command did.
    pub done: Done,
}

impl Change {
    /// Carries the command out.
    pub fn carry_out(&self, zone: &mut Zone<'_>, caller: &Caller) -> Carried {
        let before = Status::of(zone, caller.app);
        let (did, wait) = match self.act(zone, caller) {
            Ok((did, wait)) => (Ok(did), wait),
            Err(failure) => (Err(failure), None),
        };
        let reason = match self {
            Self::Enable(args, _) | Self::Stop(args) => args.reason,
            Self::Disable(_) => None,
        };
        let after = Status::of(zone, caller.app);
        Carried { before, did, after, by: caller.by, reason, wait }
    }

    fn act(
        &self,
        zone: &mut Zone<'_>,
        caller: &Caller,
    ) -> Result<(Did, Option<(WaitId, Msec)>), Failure> {
        let app = &caller.app;
        if let Some(token) = caller.token {
            zone.fence(app, token)?;
        }
        match self {
            Self::Enable(args, None) => {
                let request = request(caller, args, args.lease.or(caller.lease));
                let done = zone.enable(app, args.which, request, args.intent())?;
                Ok((Did::Enable(done), None))
            }
            Self::Enable(args, Some(patience)) => enable_and_wait(zone, caller, args, *patience),
            Self::Stop(args) => {
                let request = request(caller, args, args.lease);
                let done = zone.stop(app, args.which, request, args.intent())?;
                Ok((Did::Stop(done), None))
            }
            Self::Disable(args) => disable(zone, caller, args),
        }
    }
}

fn enable_and_wait(
    zone: &mut Zone<'_>,
    caller: &Caller,
    args: &PauseArgs,
    Patience { wait, keep }: Patience,
) -> Result<(Did, Option<(WaitId, Msec)>), Failure> {
    let waiter = caller.waiter.ok_or(Failure::CannotWait)?;
    let request = request(caller, args, args.lease.or(caller.lease));
    let wait_for = if keep { WaitFor::Quiet } else { WaitFor::Provisional };
    let (done, place) = zone.enable_and_wait(&caller.app, args.which, request, wait_for, waiter)?;
    zone.set_deadline(place, zone.now.after(wait));
    Ok((Did::Enable(done), Some((place, wait))))
}

fn disable(
    zone: &mut Zone<'_>,
    caller: &Caller,
    args: &DisableArgs,
) -> Result<(Did, Option<(WaitId, Msec)>), Failure> {
    let (app, pace) = (&caller.app, |old| args.pace.apply(old));
    let Some(time) = args.wait else {
        let done = zone.disable(app, args.which, &caller.by, pace)?;
        return Ok((Did::Disable(done), None));
    };
    let waiter = caller.waiter.ok_or(Failure::CannotWait)?;
    let (done, place) = zone.disable_and_wait(app, args.which, &caller.by, pace, waiter)?;
    Ok((Did::Disable(done), place.map(|place| (place, time))))
}

fn request(caller: &Caller, args: &PauseArgs, lease: Option<Msec>) -> PauseRequest {
    PauseRequest {
        number: PauseId(0),
        by: caller.by,
        reason: args.reason,
        lease,
        pace: caller.pace,
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Carried {
    /// The wait that the command has begun; None if it is answered now.
    pub fn wait(&self) -> Option<Wait> {
        let (place, time) = self.wait?;
        let done = match self.did {
            Ok(Did::Enable(Paused::Unchanged) | Did::Disable(Opened::Unchanged)) => {
                Done::NotChanged
            }
            _ => Done::Changed,
        };
        Some(Wait { app: self.after.app, place, time, done })
    }

    /// The answer, unless the command waits.
    pub fn answer(&self) -> Answer {
        let answer = match self.did {
            Err(Failure::CannotWait) => return Answer::error(&Error::CannotWait),
            Err(Failure::Refused(refusal)) => Answer::error(&Error::Refused(refusal, &self.after)),
            Ok(did) => Answer::done(self.done(did)),
        };
        answer.between(self.before, self.after)
    }

    fn done(&self, did: Did) -> Done {
        match did {
            Did::Enable(Paused::Begun(_)) | Did::Stop(Paused::Begun(_)) => Done::Changed,
            Did::Disable(Opened::Ended(..) | Opened::Paced(_)) => Done::Changed,
            Did::Enable(Paused::Changed(_)) | Did::Stop(Paused::Changed(_)) => {
                match self.before.differs(&self.after) {
                    true => Done::Changed,
                    false => Done::NotChanged,
                }
            }
            Did::Enable(Paused::Unchanged) | Did::Stop(Paused::Unchanged) => Done::AsItWas,
            Did::Disable(Opened::Unchanged) => Done::AsItWas,
        }
    }

    /// The line in the log, if there is one.
    pub fn event(&self) -> Option<PauseEvent<'_>> {
        match self.did {
            Err(Failure::Refused(Refusal::Full)) => Some(PauseEvent::NotPaused),
            Err(_) => None,
            Ok(Did::Enable(Paused::Begun(pause))) => Some(PauseEvent::Paused(self.terms(pause))),
            Ok(Did::Stop(Paused::Begun(pause))) => Some(PauseEvent::Stopped(self.terms(pause))),
            Ok(Did::Enable(Paused::Changed(pause)) | Did::Stop(Paused::Changed(pause))) => {
                let old = self.before.reason.filter(|_| self.before.reason != self.after.reason);
                let terms = NewTerms { was: old, ..self.terms(pause) };
                self.before.differs(&self.after).then_some(PauseEvent::Changed(terms))
            }
            Ok(Did::Enable(Paused::Unchanged) | Did::Stop(Paused::Unchanged)) => None,
            Ok(Did::Disable(Opened::Ended(pause, ended))) => {
                let begun_by = self.begun_by_another();
                Some(PauseEvent::Resumed { pause, by: &self.by, begun_by, ended })
            }
            Ok(Did::Disable(Opened::Paced(pace))) => Some(PauseEvent::Paced { by: &self.by, pace }),
            Ok(Did::Disable(Opened::Unchanged)) => None,
        }
    }

    fn terms(&self, pause: PauseId) -> NewTerms<'_> {
        NewTerms {
            pause,
            by: &self.by,
            until: self.after.until.map(|until| until.0),
            reason: self.reason.filter(|reason| !reason.is_empty()),
            was: None,
            begun_by: self.begun_by_another(),
        }
    }

    /// The caller that began the pause, if it is another one.
    fn begun_by_another(&self) -> Option<Address> {
        self.before.by.filter(|owner| *owner != self.by && self.before.is_paused_or_stopped())
    }
}

/// The end of a wait.
#[derive(Clone, Copy, Debug)]
pub struct Waited {
    pub result: WaitResult,
    /// What the command did.
    pub done: Done,
    /// The app as it is.
    pub app: Status,
}

impl Waited {
    /// The answer to the caller.
    pub fn answer(&self) -> Answer {
        let app = &self.app;
        let answer = match self.result {
            WaitResult::Done => Answer::done(self.done),
            WaitResult::TimedOut(left) => Answer::error(&Error::TimedOut(left, app)),
            WaitResult::RolledBack(left) => Answer::error(&Error::RolledBack(left, app)),
            WaitResult::Superseded | WaitResult::Pending => Answer::error(&Error::Superseded(app)),
        };
        answer.about(self.app)
    }

    /// The line in the log, if there is one.
    pub fn event(&self) -> Option<PauseEvent<'static>> {
        let is_quiet = self.result == WaitResult::Done && self.app.state == Word::Paused;
        is_quiet.then_some(PauseEvent::Quiet {
            pause: self.app.pause.0,
            abandoned: Abandoned::new(self.app.abandoned),
        })
    }
}

#[cfg(test)]
mod tests;
