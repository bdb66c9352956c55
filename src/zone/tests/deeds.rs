//! What a worker may do in one visit, with all it needs to know, so that it can be done again.
#![forbid(unsafe_code)]

use super::*;
use crate::app::Ended;

#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Arrive {
        id: AppId,
        name: AppName,
        owner: WorkerId,
        cookie: Cookie,
    },
    Bypass {
        id: AppId,
        name: AppName,
    },
    Depart {
        slot: SlotId,
        owner: WorkerId,
        cookie: Cookie,
        why: Leaving,
    },
    Enable {
        name: AppName,
        which: Which,
        reason: Option<bool>,
    },
    Disable {
        name: AppName,
        which: Which,
    },
    Take {
        me: WorkerId,
        last: AppId,
        most: u32,
    },
    GiveBack {
        id: AppId,
        me: WorkerId,
        passed_on: u32,
        left: u32,
    },
    Bury {
        id: WorkerId,
        process: Process,
    },
    Register {
        process: Process,
    },
    Look,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Arrival(Arrival),
    Bypassed(bool),
    Departure(Departure),
    Enabled(Result<Enabled, Refusal>),
    Disabled(Result<Option<Ended>, Refusal>),
    Taken(Option<AppId>, Vec<Cookie>),
    Registered(WorkerId),
    Done,
}

impl Deed {
    pub(super) fn carry_out(&self, zone: &mut Zone<'_>) -> Outcome {
        match *self {
            Self::Arrive {
                id,
                name,
                owner,
                cookie,
            } => Outcome::Arrival(zone.arrive(id, &name, owner, cookie)),
            Self::Bypass { id, name } => Outcome::Bypassed(zone.bypass(id, &name)),
            Self::Depart {
                slot,
                owner,
                cookie,
                why,
            } => Outcome::Departure(zone.depart(slot, owner, cookie, why)),
            Self::Enable {
                name,
                which,
                reason,
            } => {
                let reason = reason.map(|one| reason_text(Some(one)));
                Outcome::Enabled(zone.enable(&name, which, Address::EMPTY, reason))
            }
            Self::Disable { name, which } => Outcome::Disabled(zone.disable(&name, which)),
            Self::Take { me, last, most } => {
                let mut run = Vec::new();
                let app = zone.take_run(me, last, most, |cookie| run.push(cookie));
                Outcome::Taken(app, run)
            }
            Self::GiveBack {
                id,
                me,
                passed_on,
                left,
            } => {
                zone.give_back(id, me, passed_on, left);
                Outcome::Done
            }
            Self::Bury { id, process } => {
                zone.bury(id, process);
                Outcome::Done
            }
            Self::Register { process } => Outcome::Registered(zone.register(process)),
            Self::Look => Outcome::Done,
        }
    }

    /// Whether nobody can have become able to release by it.
    pub(super) fn is_quiet(&self) -> bool {
        use Deed::{Arrive, Bypass, Enable, Look, Register, Take};
        matches!(
            self,
            Arrive { .. } | Bypass { .. } | Enable { .. } | Look | Register { .. } | Take { .. }
        )
    }

    /// The worker that can have done it; none where any can.
    pub(super) fn doer(&self) -> Option<WorkerId> {
        match *self {
            Self::Arrive { owner, .. } | Self::Depart { owner, .. } => Some(owner),
            Self::Take { me, .. } | Self::GiveBack { me, .. } => Some(me),
            _ => None,
        }
    }
}

impl Outcome {
    /// Without what is due in the log, which depends on what was logged before.
    pub(super) fn without_reports(mut self) -> Self {
        match &mut self {
            Self::Arrival(Arrival::Rejected { report })
            | Self::Departure(Departure::Gone { report }) => *report = None,
            Self::Disabled(Ok(Some(ended))) => (ended.rejected, ended.expired) = (0, 0),
            _ => {}
        }
        self
    }
}

/// One of two reasons, or the empty one.
pub(super) fn reason_text(reason: Option<bool>) -> Reason {
    let digit = |reason| Reason::new(&[u8::from(reason)]).unwrap();
    reason.map_or(Reason::EMPTY, digit)
}
