//! A deed: what a worker does in one visit, as a value, so that it can be done again.
#![forbid(unsafe_code)]

use super::*;
use crate::control::command::PaceChange;
use crate::shared::oldest::Told;

#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Arrive { id: AppId, name: AppName, owner: WorkerId, cookie: Cookie, bounds: Bounds },
    TakeBack { name: AppName, unseen: Unseen, max_held: u32 },
    Through { id: AppId, name: AppName },
    Bypass { id: AppId, name: AppName },
    Refuse { id: AppId, name: AppName },
    Depart { slot: SlotId, owner: WorkerId, cookie: Cookie, why: DepartReason },
    Finish { slot: SlotId, owner: WorkerId, cookie: Cookie },
    Fail { name: AppName, by: Release },
    Enable { name: AppName, which: Expected, ask: Ask },
    Stop { name: AppName, which: Expected, ask: Ask },
    Disable { name: AppName, which: Expected, pace: PaceChange },
    EnableAndWait { name: AppName, which: Expected, ask: Ask, wait_for: WaitFor, caller: Who },
    DisableAndWait { name: AppName, which: Expected, pace: PaceChange, caller: Who },
    Poll { wait: WaitId, caller: Who, deadline: Deadline },
    AddApp { name: AppName },
    Fence { name: AppName, token: Token },
    AskAll,
    Tell { id: AppId, told: Told },
    EndLease,
    Take { me: WorkerId, last: AppId, spare: Spare },
    Halt { id: AppId, me: WorkerId },
    Hurry { id: AppId, me: WorkerId },
    GiveBack { id: AppId, me: WorkerId },
    Reap { id: WorkerId, process: Process },
    Register { process: Process, generation: Generation },
    Leaving { id: WorkerId },
    NextGeneration,
    Retire,
    Reinstate,
    Visit,
}

/// A caller: its worker, and the cookie by which the worker knows it.
pub(super) type Who = (WorkerId, Cookie);

/// The arguments of `enable` and `stop`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ask {
    pub reason: Option<bool>,
    pub lease: Option<Msec>,
    pub pace: Pace,
    pub intent: Intent,
}

/// The result of a deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Arrival(Arrival),
    TakenBack(TakenBack),
    Bypassed(Option<u64>),
    Refused(Option<u64>),
    Departure(Departure),
    Failed(Option<u32>),
    Paused(Result<Paused, Refusal>),
    Opened(Result<Opened, Refusal>),
    Waits(Result<(Paused, WaitId), Refusal>),
    WaitsForDrain(Result<(Opened, Option<WaitId>), Refusal>),
    Polled(WaitResult),
    Fenced(Result<(), Refusal>),
    /// Whether a new question was asked.
    Asked(bool),
    LeaseEnded(Option<(AppName, PauseId, Ended)>),
    Turn(AppId, Turn, Vec<Given>),
    Registered(WorkerId),
    Retired(bool),
    Done,
}

impl Ask {
    pub(super) fn request(self) -> PauseRequest {
        PauseRequest {
            number: PauseId(0),
            by: Address::EMPTY,
            reason: self.reason.map(|one| reason_text(Some(one))),
            lease: self.lease,
            pace: self.pace,
        }
    }
}

impl Deed {
    pub(super) fn carry_out(&self, zone: &mut Zone<'_>) -> Outcome {
        match *self {
            Self::Arrive { id, name, owner, cookie, bounds } => {
                return Outcome::Arrival(zone.arrive(id, &name, owner, cookie, bounds));
            }
            Self::TakeBack { name, unseen, max_held } => {
                let bounds = Bounds::max_held(max_held);
                return Outcome::TakenBack(zone.take_back(&name, unseen, bounds));
            }
            Self::Through { id, name } => zone.through(id, &name),
            Self::Bypass { id, name } => return Outcome::Bypassed(zone.bypass(id, &name)),
            Self::Refuse { id, name } => return Outcome::Refused(zone.refuse(id, &name)),
            Self::Depart { slot, owner, cookie, why } => {
                return Outcome::Departure(zone.depart(slot, owner, cookie, why));
            }
            Self::Finish { slot, owner, cookie } => zone.finish(slot, owner, cookie),
            Self::Fail { name, by } => return Outcome::Failed(zone.failed(&name, by)),
            Self::Enable { name, which, ask } => {
                return Outcome::Paused(zone.enable(&name, which, ask.request(), ask.intent));
            }
            Self::Stop { name, which, ask } => {
                return Outcome::Paused(zone.stop(&name, which, ask.request(), ask.intent));
            }
            Self::Disable { name, which, pace } => {
                return Outcome::Opened(
                    zone.disable(&name, which, &Address::EMPTY, |old| pace.apply(old)),
                );
            }
            Self::EnableAndWait { name, which, ask, wait_for, caller } => {
                let request = ask.request();
                return Outcome::Waits(
                    zone.enable_and_wait(&name, which, request, wait_for, caller),
                );
            }
            Self::DisableAndWait { name, which, pace, caller } => {
                let pace = |old| pace.apply(old);
                return Outcome::WaitsForDrain(zone.disable_and_wait(
                    &name,
                    which,
                    &Address::EMPTY,
                    pace,
                    caller,
                ));
            }
            Self::Poll { wait, caller: (owner, cookie), deadline } => {
                return Outcome::Polled(zone.poll(wait, owner, cookie, deadline));
            }
            Self::AddApp { name } => zone.add_app(&name),
            Self::Fence { name, token } => return Outcome::Fenced(zone.fence(&name, token)),
            Self::AskAll => {
                let before = zone.asked();
                return Outcome::Asked(zone.ask() != before);
            }
            Self::Tell { id, told } => zone.tell(zone.asked(), &[(id, told)]),
            Self::EndLease => return Outcome::LeaseEnded(zone.end_lease()),
            Self::Take { me, last, spare } => {
                let mut all = Vec::new();
                let (last, turn) = zone.take_turn(me, last, spare, |given| all.push(given));
                return Outcome::Turn(last, turn, all);
            }
            Self::Halt { id, me } => zone.halt(id, me),
            Self::Hurry { id, me } => zone.hurry(id, me),
            Self::GiveBack { id, me } => zone.give_back(id, me),
            Self::Reap { id, process } => zone.reap(id, process),
            Self::Register { process, generation } => {
                return Outcome::Registered(zone.register(process, generation, Orders::Stay));
            }
            Self::Leaving { id } => zone.told_to_leave(id),
            Self::NextGeneration => {
                zone.next_generation();
            }
            Self::Retire => return Outcome::Retired(zone.retire()),
            Self::Reinstate => zone.reinstate(),
            Self::Visit => {}
        }
        Outcome::Done
    }

    /// The worker that does this. None if any worker can.
    pub(super) fn doer(&self) -> Option<WorkerId> {
        match *self {
            Self::Arrive { owner, .. }
            | Self::Depart { owner, .. }
            | Self::Finish { owner, .. } => Some(owner),
            Self::TakeBack { unseen, .. } => Some(unseen.owner),
            Self::Take { me, .. }
            | Self::Halt { me, .. }
            | Self::Hurry { me, .. }
            | Self::GiveBack { me, .. } => Some(me),
            Self::Leaving { id } => Some(id),
            Self::Tell { told, .. } => Some(told.owner),
            Self::EnableAndWait { caller, .. }
            | Self::DisableAndWait { caller, .. }
            | Self::Poll { caller, .. } => Some(caller.0),
            _ => None,
        }
    }
}

impl Outcome {
    /// The number of a pause or stop that began, or that turned into the other.
    pub(super) fn begun(&self) -> Option<PauseId> {
        match self {
            Self::Paused(Ok(Paused::Begun(pause))) | Self::Waits(Ok((Paused::Begun(pause), _))) => {
                Some(*pause)
            }
            _ => None,
        }
    }

    /// Without the reports: they depend on what was logged before.
    pub(super) fn without_reports(mut self) -> Self {
        match &mut self {
            Self::Failed(report)
            | Self::Arrival(Arrival::Rejected { report, .. })
            | Self::Departure(Departure::Gone { report, .. }) => *report = None,
            Self::Opened(Ok(Opened::Ended(_, ended)))
            | Self::WaitsForDrain(Ok((Opened::Ended(_, ended), _)))
            | Self::LeaseEnded(Some((_, _, ended))) => (ended.rejected, ended.expired) = (0, 0),
            _ => {}
        }
        self
    }
}

/// One of two reasons, or none.
pub(super) fn reason_text(reason: Option<bool>) -> Reason {
    let digit = |reason| Reason::new(&[u8::from(reason)]).unwrap();
    reason.map_or(Reason::EMPTY, digit)
}
