//! One app at this host: makes the endpoint what etcd says.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::bounds::{is_over, lease};
use super::call::{Call, Refusal, Said, State, Status, What};
use super::names::{name, token_of};
use super::view::Seen;
use super::want::Want;
use crate::keys::{Fleet, Token};
use crate::values::{Ack, Millis};

/// A call that cannot be carried out yet is repeated after this time.
const LATER: Duration = Duration::from_millis(200);
/// One call waits at most this long until the app is quiet, so that a newer beat is not kept
/// waiting.
const SLICE: Duration = Duration::from_secs(2);

/// How an agent speaks to its endpoint.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub fleet: Fleet,
    /// How often an app is looked at while it is paused.
    pub look: Duration,
    /// No call takes longer than this to reach the endpoint.
    pub slack: Duration,
}

/// A pause of this fleet at this host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) token: Token,
    pub(super) pause: u64,
    /// It lasts until then, if nobody ends it.
    pub(super) until: Duration,
    /// The beat that `until` counts from; 0: none that is known.
    pub(super) beat: u64,
    pub(super) is_quiet: bool,
    pub(super) what: What,
    /// nginx is to start with it. It has not been seen there yet.
    pub(super) is_promised: bool,
}

impl Hold {
    /// One that the endpoint has, of which nothing else is known yet.
    pub(super) fn new(token: Token, pause: u64, until: Duration, what: What) -> Self {
        Self { token, pause, until, beat: 0, is_quiet: false, what, is_promised: false }
    }
}

/// A pause that cannot be held.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) token: Token,
    pub(super) why: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Local {
    pub(super) hold: Option<Hold>,
    pub(super) known: Option<Status>,
    pub(super) failed: Option<Failed>,
    /// The pause that was ended by its caller, without etcd.
    released: Option<Token>,
    /// Since when this pause is to be held.
    wanted: Option<(Token, Duration)>,
    under_way: Option<(Call, Duration)>,
    next: Duration,
    /// When what was known became old.
    forgot: Option<Duration>,
    /// When the newest look that was answered was sent.
    pub(super) looked: Option<Duration>,
    /// When the newest call was sent, if it found no nginx.
    pub(super) down: Option<Duration>,
    pub(super) acked: Option<(Token, Ack)>,
}

impl Local {
    /// When something is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.under_way.is_none().then_some(self.next)
    }

    /// Something has changed: what is due is asked again.
    pub(super) fn wake(&mut self, now: Duration) {
        self.next = self.next.min(now);
    }

    /// The app is looked at again: what is known of it is old.
    pub(super) fn forget(&mut self, now: Duration) {
        self.known = None;
        self.forgot = Some(now);
        self.next = now;
    }

    /// Whether nothing of the fleet is known here.
    pub(super) fn is_idle(&self) -> bool {
        let is_known = self.known.is_some() && self.looked >= self.forgot;
        self.hold.is_none() && self.under_way.is_none() && is_known
    }

    /// The pause, or the stop, that it is closed by.
    pub(super) fn holds(&self) -> Option<(Token, What)> {
        self.hold.map(|hold| (hold.token, hold.what))
    }

    /// Whether the caller of this pause has ended it here, without etcd.
    pub(super) fn is_released(&self, token: Token) -> bool {
        self.released == Some(token)
    }

    /// Whether the app is what etcd says, seen after this time.
    pub(super) fn is_ready(&self, seen: Option<&Seen>, since: Duration) -> bool {
        let is_looked = self.looked.is_some_and(|looked| looked >= since);
        is_looked
            && match Want::of(seen) {
                Want::Hold(token, ..) => {
                    let is_held = self.hold.is_some_and(|hold| hold.token == token);
                    is_held
                        && self
                            .acked
                            .as_ref()
                            .is_some_and(|(acked, ack)| *acked == token && ack.beat > 0)
                }
                Want::Stop(token, _) => self.is_stopped(token),
                _ => true,
            }
    }

    /// The call that is due now. It counts as sent.
    pub(super) fn call(
        &mut self,
        now: Duration,
        seen: Option<&Seen>,
        manner: &Manner,
    ) -> Option<Call> {
        if self.under_way.is_some() || now < self.next {
            return None;
        }
        let call = self.choose(now, seen, manner);
        self.next = now.saturating_add(manner.look);
        self.under_way = call.clone().map(|call| (call, now));
        call
    }

    fn choose(&mut self, now: Duration, seen: Option<&Seen>, manner: &Manner) -> Option<Call> {
        let Some(known) = &self.known else { return Some(Call::Look) };
        let want = Want::of(seen);
        if let Want::Stop(token, pause) = want {
            return Some(self.stop(token, pause, manner));
        }
        if let Some(hold) = self.hold {
            let (spread, concurrency) = match &want {
                Want::Release(token, pause) if *token == hold.token => {
                    (pause.spread.map(Millis::time), pause.concurrency)
                }
                // This process may have slept, and its call have come too late.
                Want::Hold(token, pause, since)
                    if (*token, What::Pause) == (hold.token, hold.what)
                        && !is_over(now, *since, pause) =>
                {
                    return Some(self.keep(now, hold, &want, manner).unwrap_or(Call::Look));
                }
                Want::Unknown => return Some(Call::Look),
                _ => (None, None),
            };
            let by = name(&manner.fleet, hold.token, "");
            let Hold { token, pause, what, .. } = hold;
            return Some(Call::Disable { token, pause, what, by, spread, concurrency });
        }
        let Want::Hold(token, pause, since) = want else { return Some(Call::Look) };
        if self.wanted.is_none_or(|(wanted, _)| wanted != token) {
            self.wanted = Some((token, now));
        }
        let lease = lease(now, since, pause, manner);
        match (known.state, lease) {
            _ if self.is_released(token) => Some(Call::Look),
            (State::Open | State::Away, Some(lease)) => {
                let by = name(&manner.fleet, token, &pause.by);
                Some(Call::Enable { token, by, reason: pause.reason.clone(), lease })
            }
            _ => Some(Call::Look),
        }
    }

    /// What the hold needs next.
    fn keep(&self, now: Duration, hold: Hold, want: &Want, manner: &Manner) -> Option<Call> {
        let Want::Hold(token, pause, since) = want else { return None };
        let lease = lease(now, *since, pause, manner)?;
        let (token, number) = (*token, hold.pause);
        if pause.beat > hold.beat {
            return Some(Call::Renew { token, pause: number, lease });
        }
        let is_failed = self.failed.as_ref().is_some_and(|failed| failed.token == token);
        let wait = SLICE.min(lease / 2);
        (!hold.is_quiet && !is_failed).then_some(Call::Wait { token, pause: number, lease, wait })
    }

    /// The call that is under way has ended. Returns whether etcd is to be asked again.
    pub(super) fn answered(
        &mut self,
        now: Duration,
        said: Said,
        seen: Option<&Seen>,
        manner: &Manner,
    ) -> Reread {
        let Some((call, sent)) = self.under_way.take() else { return Reread::No };
        let want = Want::of(seen);
        (self.next, self.down) = (now, None);
        match (call, said) {
            (Call::Look, Said::Is(status)) => {
                self.looked = Some(sent);
                self.see(now, status, &want, manner);
            }
            (Call::Enable { token, lease, .. }, Said::Is(status)) => {
                let until = sent.saturating_add(lease);
                let pause = status.pause;
                self.hold = Some(Hold::new(token, pause, until, What::Pause));
                self.counts(lease, sent, &want, manner);
                self.known = Some(status);
            }
            (Call::Stop { token, .. }, Said::Is(status)) => {
                self.stopped(now, token, status.pause);
                self.known = Some(status);
            }
            (Call::Renew { lease, .. }, Said::Is(status)) => {
                self.counts(lease, sent, &want, manner);
                self.known = Some(status);
            }
            (Call::Wait { lease, .. }, Said::Is(status)) => {
                self.counts(lease, sent, &want, manner);
                if let Some(hold) = self.hold.as_mut() {
                    hold.is_quiet = true;
                }
                self.known = Some(status);
            }
            (Call::Wait { .. }, Said::Refused(Refusal::NotQuiet(why))) => {
                self.late(now, why, &want);
                self.next = now.saturating_add(LATER);
            }
            (Call::Disable { .. }, Said::Is(status)) => {
                self.hold = None;
                self.known = Some(status);
            }
            (_, Said::Refused(Refusal::OldToken)) => {
                let why = "this host has seen a greater token: was etcd set up anew?";
                self.late(now, why.to_owned(), &want);
                self.next = now.saturating_add(LATER);
                return Reread::Yes;
            }
            (Call::Enable { .. }, Said::Refused(Refusal::Never(why))) => {
                self.fail(why, &want);
                self.known = None;
                self.next = now.saturating_add(manner.look);
            }
            (call, Said::Refused(refusal)) => {
                self.known = None;
                if call == Call::Look || matches!(refusal, Refusal::Later(_)) {
                    self.next = now.saturating_add(LATER);
                }
            }
            (_, said @ (Said::Unreachable(_) | Said::Down(_))) => {
                self.down = matches!(said, Said::Down(_)).then_some(sent);
                let (Said::Unreachable(why) | Said::Down(why)) = said else { return Reread::No };
                self.known = None;
                self.late(now, why, &want);
                self.next = now.saturating_add(LATER);
            }
        }
        if self.forgot > Some(sent) {
            (self.known, self.next) = (None, now);
        }
        Reread::No
    }

    /// The hold counts from the newest beat that was known when its call was made.
    fn counts(&mut self, lease: Duration, sent: Duration, want: &Want, manner: &Manner) {
        let Some(hold) = self.hold.as_mut() else { return };
        let until = sent.saturating_add(lease);
        hold.until = hold.until.max(until);
        let Want::Hold(token, pause, Some(since)) = want else { return };
        let limit = since.saturating_add(pause.hold.time());
        // A beat that came while the call was under way is not in its lease.
        if *token == hold.token && until.saturating_add(manner.slack) >= limit {
            hold.beat = pause.beat;
        }
    }

    fn see(&mut self, now: Duration, status: Status, want: &Want, manner: &Manner) {
        if self.hold.is_some_and(|hold| !status.is_closed_by(hold.what, hold.pause)) {
            let caller = match want {
                Want::Hold(_, pause, _) => Some(&pause.by),
                _ => None,
            };
            if caller.is_some() && status.drained_by.as_ref() == caller {
                self.released = self.hold.map(|hold| hold.token);
            }
            self.hold = None;
        }
        if let Some(hold) = self.hold.as_mut() {
            hold.is_promised = false;
        }
        let ours = status.by.as_deref().and_then(|by| token_of(&manner.fleet, by));
        match (self.hold, ours, status.state, want) {
            // An agent that lived before this one began it.
            (None, Some(token), State::Paused, _) => {
                let (pause, until) = (status.pause, now);
                self.hold = Some(Hold::new(token, pause, until, What::Pause));
            }
            // A stop keeps the name of the pause that it came from: it is the fleet's if etcd says so.
            (None, _, State::Stopped, Want::Stop(token, _)) => {
                self.stopped(now, *token, status.pause);
            }
            (None, None, State::Paused | State::Stopped, Want::Hold(..)) => {
                let by = status.by.clone().unwrap_or_default();
                self.fail(format!("another pause is active, by {by}"), want);
                self.next = now.saturating_add(manner.look);
            }
            (None, _, State::Draining, Want::Hold(..)) => {
                self.late(now, "the app still drains".to_owned(), want);
                self.known = Some(status);
                // It is looked at again.
                self.next = now.saturating_add(LATER);
                return;
            }
            (None, _, _, Want::Hold(_, _, None)) => self.next = now.saturating_add(LATER),
            (None, _, _, Want::Stop(..)) => self.next = now,
            (None, ..) => {
                let is_due = matches!(want, Want::Hold(..)) && self.released.is_none();
                self.next = if is_due { now } else { now.saturating_add(manner.look) };
            }
            (Some(hold), ..) => {
                let is_due = match want {
                    Want::Hold(token, pause, since) if *token == hold.token => {
                        since.is_some() && (!hold.is_quiet || pause.beat > hold.beat)
                    }
                    Want::Stop(token, _) => (*token, What::Stop) != (hold.token, hold.what),
                    Want::Unknown => false,
                    _ => true,
                };
                self.next = if is_due { now } else { now.saturating_add(manner.look) };
            }
        }
        self.known = Some(status);
    }

    /// It did not work up to now: that is a failure if its time is over.
    fn late(&mut self, now: Duration, why: String, want: &Want) {
        let Want::Hold(token, pause, _) = want else { return };
        let (wanted, since) = *self.wanted.get_or_insert((*token, now));
        let hold = self.hold.filter(|hold| hold.token == *token);
        let holds =
            hold.is_some_and(|hold| hold.is_quiet || (hold.is_promised && now < hold.until));
        if wanted == *token && !holds && now >= since.saturating_add(pause.wait.time()) {
            self.fail(why, want);
        }
    }

    fn fail(&mut self, why: String, want: &Want) {
        if let Want::Hold(token, ..) = want {
            let first = self.failed.take().filter(|failed| failed.token == *token);
            self.failed = Some(first.unwrap_or(Failed { token: *token, why }));
        }
    }
}

/// Whether etcd is to be asked again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reread {
    Yes,
    No,
}
