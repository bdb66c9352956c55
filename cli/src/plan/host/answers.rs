//! What a host makes of an answer.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::{Certainty, Host, News, Owned, Owner, Stage};
use crate::client::answer::{Effect, Failure, Kind, Said, State, Status};
use crate::plan::action::{Call, Closed, Loss};
use crate::plan::terms::{Join, Terms};

/// A call that cannot be carried out yet is repeated after this time.
const LATER: Duration = Duration::from_millis(200);
/// How often a pause is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A call that ends a pause is repeated after this time at first, and after this time at last.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_LAST: Duration = Duration::from_secs(2);
/// A call that was given up may still be carried out. So what is there is looked at this often,
/// at this interval.
const LOOKS: u32 = 2;
const LOOK_AGAIN: Duration = Duration::from_millis(300);

type Next = (Option<News>, Option<Call>);

impl Host {
    /// A pause of ours that is active is kept. Else one is begun.
    pub(super) fn finding(
        &mut self,
        now: Duration,
        call: Call,
        sent: Duration,
        said: Said,
        pause: Option<u64>,
        terms: &Terms,
    ) -> Next {
        let is_ours = |status: &Status| {
            let is_known = pause == Some(status.pause) || status.by.as_ref() == Some(&terms.by);
            status.state == State::Paused && is_known
        };
        match said {
            Ok(status) if matches!(call, Call::Renew(_)) => {
                (Some(News::Paused(self.paused(now, sent, status, Owner::Us, terms))), None)
            }
            Ok(status) if is_ours(&status) => (None, Some(Call::Renew(status.pause))),
            Err(failure) if !is_over(&failure) => {
                self.over_by = now.saturating_add(terms.lease);
                let unknown = Failure { effect: Effect::Unknown, ..failure.clone() };
                self.failed(now, unknown);
                (Some(News::Failed(failure)), None)
            }
            _ => {
                self.stage = Stage::Enabling;
                self.next = now;
                (None, None)
            }
        }
    }

    pub(super) fn enabling(
        &mut self,
        now: Duration,
        call: Call,
        sent: Duration,
        said: Said,
        terms: &Terms,
    ) -> Next {
        match (call, said) {
            (Call::Enable, Ok(status)) => {
                (Some(News::Paused(self.paused(now, sent, status, Owner::Us, terms))), None)
            }
            (Call::Enable, Err(failure)) => match failure.kind {
                // Whose pause is it?
                Kind::NotOpen => (None, Some(Call::Look)),
                Kind::Later if now < terms.patience => (self.later(now, failure), None),
                _ => (Some(self.failed(now, failure)), None),
            },
            (_, said) => (self.not_open(now, said, terms), None),
        }
    }

    /// The app is not open: this is what it is.
    fn not_open(&mut self, now: Duration, said: Said, terms: &Terms) -> Option<News> {
        let status = match said {
            Ok(status) => status,
            Err(failure) => return Some(self.failed(now, failure)),
        };
        let is_ours = status.by.as_ref() == Some(&terms.by);
        let (kind, is_closed) = match status.state {
            State::Open | State::Draining | State::Away => (Kind::Later, false),
            State::Paused | State::Stopped | State::Other => (Kind::NotOpen, true),
        };
        let mut text = format!("the app is {}", status.standing());
        if is_ours {
            text.push_str("; this is the same nginx as another host of this call");
        }
        let failure = Failure { kind, text, effect: Effect::Nothing };
        if status.state == State::Paused && terms.join == Join::Yes && !is_ours {
            self.stage = Stage::Joining(status.pause);
            self.next = now;
            return None;
        }
        if !is_closed && now < terms.patience {
            return self.later(now, failure);
        }
        self.stage = Stage::Closed(Closed::Nothing);
        Some(News::Failed(failure))
    }

    /// The pause cannot begin yet. Only the first time is news.
    fn later(&mut self, now: Duration, failure: Failure) -> Option<News> {
        self.next = now.saturating_add(LATER);
        self.tries = self.tries.saturating_add(1);
        (self.tries == 1).then_some(News::Waits(failure))
    }

    /// The pause cannot begin.
    fn failed(&mut self, now: Duration, failure: Failure) -> News {
        let effect = failure.effect;
        let is_away = failure.kind == Kind::Unreachable && effect == Effect::Nothing;
        self.stage = match is_away {
            true => Stage::Closed(Closed::Nothing),
            false => Stage::Unsure { effect, looks: 0 },
        };
        self.next = now;
        self.tries = 0;
        News::Failed(failure)
    }

    pub(super) fn joining(
        &mut self,
        now: Duration,
        sent: Duration,
        said: Said,
        terms: &Terms,
    ) -> News {
        match said {
            Ok(status) => News::Joined(self.paused(now, sent, status, Owner::Another, terms)),
            Err(failure) => {
                self.stage = Stage::Closed(Closed::Left);
                News::Failed(failure)
            }
        }
    }

    fn paused(
        &mut self,
        now: Duration,
        sent: Duration,
        status: Box<Status>,
        owner: Owner,
        terms: &Terms,
    ) -> Box<Status> {
        self.stage = Stage::Paused(Owned { pause: status.pause, owner });
        self.sure_until = sent.saturating_add(terms.lease);
        self.renew = sent.saturating_add(terms.lease / 3);
        self.next = now.saturating_add(look_interval(terms));
        self.tries = 0;
        self.failure = None;
        status
    }

    /// After a call for a pause that failed or was given up.
    pub(super) fn looked(
        &mut self,
        now: Duration,
        said: Said,
        effect: Effect,
        looks: u32,
        terms: &Terms,
    ) -> Next {
        match said {
            Ok(status)
                if effect == Effect::Unknown
                    && status.state == State::Paused
                    && status.by.as_ref() == Some(&terms.by) =>
            {
                let pause = status.pause;
                self.stage = Stage::Ending(Owned { pause, owner: Owner::Us });
                (None, Some(Call::Disable(pause)))
            }
            Ok(_) if effect == Effect::Unknown && looks + 1 < LOOKS => {
                self.stage = Stage::Unsure { effect, looks: looks + 1 };
                self.next = now.saturating_add(LOOK_AGAIN);
                (None, None)
            }
            Err(failure) if effect == Effect::Unknown => (self.again(now, failure), None),
            _ => (Some(self.close(Closed::Nothing)), None),
        }
    }

    /// While the pause is needed.
    pub(super) fn kept(
        &mut self,
        now: Duration,
        call: Call,
        sent: Duration,
        said: Said,
        owned: Owned,
        terms: &Terms,
    ) -> Next {
        match said {
            Ok(status) if !status.is_paused_by(owned.pause) => {
                self.stage = Stage::Lost(owned, Certainty::Over);
                (Some(News::Lost(Loss::Seen(status))), None)
            }
            Ok(_) if matches!(call, Call::Renew(_)) => {
                self.sure_until = sent.saturating_add(terms.lease);
                self.renew = sent.saturating_add(terms.lease / 3);
                self.next = now.saturating_add(look_interval(terms));
                self.failure = None;
                (None, None)
            }
            Ok(_) if now >= self.renew => (None, Some(Call::Renew(owned.pause))),
            Ok(_) => {
                self.next = now.saturating_add(look_interval(terms)).min(self.renew);
                (None, None)
            }
            Err(failure) if is_over(&failure) => {
                self.stage = Stage::Lost(owned, Certainty::Over);
                (Some(News::Lost(Loss::Told(failure.text))), None)
            }
            Err(_) => {
                self.next = now.saturating_add(AGAIN.min(terms.lease / 10));
                (None, None)
            }
        }
    }

    /// While the pause is being ended.
    pub(super) fn ending(
        &mut self,
        now: Duration,
        call: Call,
        said: Said,
        owned: Owned,
        terms: &Terms,
    ) -> Next {
        let is_ours = |status: &Status| {
            status.pause == owned.pause && status.drained_by.as_ref() == Some(&terms.by)
        };
        match said {
            Ok(status) if call == Call::Look && status.is_paused_by(owned.pause) => {
                match owned.owner {
                    Owner::Us => (None, Some(Call::Disable(owned.pause))),
                    Owner::Another => (Some(self.close(Closed::Left)), None),
                }
            }
            Ok(status) if is_ours(&status) || status.changed == Some(true) => {
                (Some(self.close(Closed::Ended(status))), None)
            }
            Ok(_) => (Some(self.close(Closed::Lost)), None),
            Err(failure) if is_over(&failure) => (Some(self.close(Closed::Lost)), None),
            Err(failure) => (self.again(now, failure), None),
        }
    }

    /// The call is repeated later. Only the first failure is news.
    fn again(&mut self, now: Duration, failure: Failure) -> Option<News> {
        let pause = AGAIN.saturating_mul(1 << self.tries.min(3)).min(AGAIN_LAST);
        self.tries = self.tries.saturating_add(1);
        self.next = now.saturating_add(pause);
        (self.tries == 1).then_some(News::Delayed(failure))
    }
}

/// Whether the endpoint says that the pause is over.
fn is_over(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::NotThatPause | Kind::NotOpen | Kind::Superseded)
}

fn look_interval(terms: &Terms) -> Duration {
    LOOK.min(terms.lease / 6)
}
