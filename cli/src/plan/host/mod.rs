//! One host of a plan: what is known of its pause, and which call is next.
#![forbid(unsafe_code)]

mod answers;

use std::time::Duration;

use super::action::{Call, Closed, Loss};
use super::terms::Terms;
use crate::client::answer::{Effect, Failure, Said, Status};

/// What a host is at.
#[derive(Clone, Debug)]
enum Stage {
    /// The pause may have begun earlier.
    Finding(Option<u64>),
    /// The pause is to begin.
    Enabling,
    /// The pause with this number, another caller's, is to be joined.
    Joining(u64),
    /// The call for a pause failed: what is there now? A pause of ours is ended.
    Unsure {
        effect: Effect,
        looks: u32,
    },
    /// Paused and quiet.
    Paused(Owned),
    /// The pause is over, or may be.
    Lost(Owned, Certainty),
    /// The pause is being ended, or left to its owner if it is still there.
    Ending(Owned),
    Closed(Closed),
}

/// A pause that is relied on.
#[derive(Clone, Copy, Debug)]
struct Owned {
    pause: u64,
    owner: Owner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Us,
    Another,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certainty {
    Over,
    Unknown,
}

/// Whether the command ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    Yes,
    No,
}

/// What a plan hears of a host.
#[derive(Clone, Debug)]
pub enum News {
    Paused(Box<Status>),
    Joined(Box<Status>),
    Waits(Failure),
    Failed(Failure),
    Lost(Loss),
    Delayed(Failure),
    Closed(Closed),
}

/// A host.
#[derive(Clone, Debug)]
pub struct Host {
    stage: Stage,
    /// The call that is under way, and when it was sent.
    under_way: Option<(Call, Duration)>,
    /// When the next call is due.
    next: Duration,
    /// When the pause is to be renewed.
    renew: Duration,
    /// Until then the pause lasts, if nobody ends it.
    sure_until: Duration,
    /// A pause of ours is over by then, whatever became of our calls.
    over_by: Duration,
    /// How often in a row ending it failed.
    tries: u32,
    /// The last failure.
    failure: Option<Failure>,
    seen: Option<Box<Status>>,
}

impl Host {
    /// A host that is to be paused.
    pub fn to_pause() -> Self {
        Self::at(Stage::Enabling, Duration::ZERO)
    }

    /// A host that may be paused already, by the pause with this number or by one of our name.
    pub fn to_keep(pause: Option<u64>) -> Self {
        Self::at(Stage::Finding(pause), Duration::ZERO)
    }

    /// A host whose pause is to be ended, within this time. The number is None if it is not known.
    pub fn to_resume(pause: Option<u64>, within: Duration) -> Self {
        let stage = match pause {
            Some(pause) => Stage::Ending(Owned { pause, owner: Owner::Us }),
            None => Stage::Unsure { effect: Effect::Unknown, looks: 0 },
        };
        Self::at(stage, within)
    }

    fn at(stage: Stage, over_by: Duration) -> Self {
        let zero = Duration::ZERO;
        let (next, renew, sure_until) = (zero, zero, zero);
        Self {
            stage,
            under_way: None,
            next,
            renew,
            sure_until,
            over_by,
            tries: 0,
            failure: None,
            seen: None,
        }
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed(_))
    }

    /// Whether it is paused and quiet, as of the last [`Self::pass`].
    pub fn is_paused(&self) -> bool {
        matches!(self.stage, Stage::Paused(_))
    }

    /// The number of its pause, if that is ours and active.
    pub fn pause(&self) -> Option<(u64, bool)> {
        match self.stage {
            Stage::Paused(owned) => Some((owned.pause, owned.owner == Owner::Us)),
            _ => None,
        }
    }

    /// The app as it was seen last.
    pub fn seen(&self) -> Option<&Status> {
        self.seen.as_deref()
    }

    /// When something is due.
    pub fn next(&self) -> Option<Duration> {
        let call = self.under_way.is_none().then_some(self.next);
        match self.stage {
            Stage::Closed(_) | Stage::Lost(..) => None,
            Stage::Paused(_) => Some(call.unwrap_or(self.sure_until).min(self.sure_until)),
            Stage::Ending(_) => call.map(|call| call.min(self.over_by)),
            _ => call,
        }
    }

    /// The call that is due now. It counts as sent.
    pub fn call(&mut self, now: Duration) -> Option<Call> {
        if self.under_way.is_some() || now < self.next {
            return None;
        }
        let call = match self.stage {
            Stage::Enabling => Call::Enable,
            Stage::Joining(pause) => Call::Join(pause),
            Stage::Finding(_) | Stage::Unsure { .. } | Stage::Paused(_) | Stage::Ending(_) => {
                Call::Look
            }
            Stage::Lost(..) | Stage::Closed(_) => return None,
        };
        self.under_way = Some((call, now));
        Some(call)
    }

    /// Nothing is to stay paused, or the command has ended. Returns whether a call that is under
    /// way is given up, and what is left if that is settled now.
    pub fn end(&mut self, now: Duration, used: Used, terms: &Terms) -> (bool, Option<News>) {
        let enables = matches!(self.under_way, Some((Call::Enable, _)));
        let (stage, drops) = match self.stage.clone() {
            Stage::Finding(_) => {
                self.over_by = now.saturating_add(terms.lease);
                (Stage::Unsure { effect: Effect::Unknown, looks: 0 }, true)
            }
            Stage::Enabling if enables => {
                (Stage::Unsure { effect: Effect::Unknown, looks: 0 }, true)
            }
            Stage::Enabling => (Stage::Closed(Closed::Nothing), true),
            Stage::Joining(_) => (Stage::Closed(Closed::Left), true),
            Stage::Lost(_, Certainty::Over) => (Stage::Closed(Closed::Lost), true),
            Stage::Paused(owned) | Stage::Lost(owned, Certainty::Unknown) => match owned.owner {
                Owner::Another if used == Used::No => (Stage::Closed(Closed::Left), true),
                Owner::Us | Owner::Another => (Stage::Ending(owned), true),
            },
            other => (other, false),
        };
        if !drops {
            return (false, None);
        }
        self.next = now;
        self.tries = 0;
        self.failure = None;
        let news = match &stage {
            Stage::Closed(closed) => Some(News::Closed(closed.clone())),
            _ => None,
        };
        self.stage = stage;
        let Some((call, _)) = self.under_way.take() else { return (false, news) };
        self.pause_call_is_over(now, call, terms);
        (true, news)
    }

    /// Time has passed.
    pub fn pass(&mut self, now: Duration) -> Option<News> {
        match self.stage {
            Stage::Paused(owned) if now >= self.sure_until => {
                self.stage = Stage::Lost(owned, Certainty::Unknown);
                Some(News::Lost(Loss::Unanswered(self.failure.clone())))
            }
            Stage::Ending(_) | Stage::Unsure { effect: Effect::Unknown, .. }
                if now >= self.over_by && self.under_way.is_none() && self.tries > 0 =>
            {
                Some(self.close(Closed::LeaseOver(self.failure.clone())))
            }
            _ => None,
        }
    }

    /// The call that is under way has ended. The second value is a call that follows at once.
    pub fn answered(
        &mut self,
        now: Duration,
        said: Said,
        terms: &Terms,
    ) -> (Option<News>, Option<Call>) {
        let Some((call, sent)) = self.under_way.take() else { return (None, None) };
        self.pause_call_is_over(now, call, terms);
        match &said {
            Ok(status) => self.seen = Some(status.clone()),
            Err(failure) => self.failure = Some(failure.clone()),
        }
        let (news, call) = match self.stage.clone() {
            Stage::Finding(pause) => self.finding(now, call, sent, said, pause, terms),
            Stage::Enabling => self.enabling(now, call, sent, said, terms),
            Stage::Joining(_) => (Some(self.joining(now, sent, said, terms)), None),
            Stage::Unsure { effect, looks } => self.looked(now, said, effect, looks, terms),
            Stage::Paused(owned) => self.kept(now, call, sent, said, owned, terms),
            Stage::Ending(owned) => self.ending(now, call, said, owned, terms),
            Stage::Lost(..) | Stage::Closed(_) => (None, None),
        };
        self.under_way = call.map(|call| (call, now));
        (news, call)
    }

    /// A call that may have moved the end of the pause is over.
    fn pause_call_is_over(&mut self, now: Duration, call: Call, terms: &Terms) {
        if matches!(call, Call::Enable | Call::Join(_) | Call::Renew(_)) {
            self.over_by = now.saturating_add(terms.lease);
        }
    }

    fn close(&mut self, closed: Closed) -> News {
        self.stage = Stage::Closed(closed.clone());
        News::Closed(closed)
    }
}
