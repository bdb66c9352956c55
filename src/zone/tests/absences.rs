//! Apps that are away or outrun in the model, and requests that come back.
#![forbid(unsafe_code)]

use proptest::prelude::*;

use super::away::LONGEST;
use super::deeds::{Deed, Outcome};
use super::events::event_of_absence;
use super::model::{Last, Pair, NAMES, SLOTS};
use super::model_app::{ModelApp, ModelRequest, Nginx};
use super::rounds::{Next, Round};
use super::*;

/// The app cannot be reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelAway {
    pub since: Now,
    next_try: Msec,
    tries: u32,
    /// When one was tried last, and which.
    tried: Option<(Msec, Cookie)>,
}

/// The app takes only so many at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outrun {
    limit: usize,
    /// The last one went on although that many were unfinished.
    exceeded: bool,
    /// How many have finished in a row, while there was room for more.
    finished: usize,
    /// When one more goes on nevertheless.
    next: Msec,
}

/// A request that was passed on, and has no slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    pub app: usize,
    /// What it had if it was held and has lost its slot, else 0.
    pub ticket: Ticket,
    pub owner: WorkerId,
    pub cookie: Cookie,
    pub arrived: Msec,
}

impl Passed {
    pub(super) fn request(self) -> ModelRequest {
        let Self { ticket, owner, cookie, arrived, .. } = self;
        let slot = SlotId::NONE;
        ModelRequest { ticket, owner, cookie, slot, arrived, back: false }
    }
}

pub(super) const STATUS: u32 = 502;

const SECOND: Msec = Msec(1000);

impl Pair {
    /// A request comes back. `one` is as it was passed on.
    pub(super) fn comes_back(
        &mut self,
        name: usize,
        one: ModelRequest,
        came: Came,
        max_held: u32,
    ) -> TakenBack {
        let (now, nginx) = (self.zone.now, self.nginx);
        if self.retired || nginx == Nginx::Quits {
            return TakenBack::No;
        }
        let found = self.find(name);
        let same = |other: &ModelRequest| (other.slot, other.cookie) == (one.slot, one.cookie);
        if let Some(app) = found.and_then(|entry| self.apps[entry].as_mut()) {
            if app.turns_away(nginx) {
                app.totals.stopped += 1;
                let retry_after = app.retry_after(now);
                self.finishes(same);
                return TakenBack::Stopped { retry_after };
            }
        }
        let kept = found
            .and_then(|entry| Some((entry, self.app(entry).unfinished.iter().position(same)?)));
        let (entry, one) = match kept {
            Some((entry, at)) => (entry, self.apps[entry].as_mut().unwrap().unfinished.remove(at)),
            None => {
                let held = found.map_or(0, |entry| self.app(entry).line.len());
                let has_entry = found.or_else(|| self.entry_for_new()).is_some();
                if held >= max_held as usize || !has_entry || !self.finds_slot(one.slot) {
                    return TakenBack::No;
                }
                let Some(entry) = found.or_else(|| self.makes_room(name)) else {
                    return TakenBack::No;
                };
                let ticket = match one.ticket {
                    Ticket(0) => self.apps[entry].as_mut().unwrap().ticket(),
                    known => known,
                };
                (entry, ModelRequest { ticket, ..one })
            }
        };
        if self.app(entry).baton.is_some_and(|(_, taken)| taken.is_some_and(|it| same(&it))) {
            self.passes_on(entry);
        }
        self.out.retain(|out| *out != one.cookie);
        let app = self.apps[entry].as_mut().unwrap();
        app.takes_back = true;
        if kept.is_some() {
            app.round.take_back_one();
        }
        app.totals.away += u64::from(came == Came::First);
        app.stands_again(one);
        if app.fails(kept.is_some(), now) {
            self.absence = Some((super::name(NAMES[name]), Absence::Begins { status: STATUS }));
        }
        TakenBack::Held(one.slot)
    }

    /// Whether there is a slot to hold one more. It may be that of a released request, which loses it.
    pub(super) fn finds_slot(&mut self, got: SlotId) -> bool {
        if self.waiting().chain(self.unfinished()).count() < SLOTS {
            return true;
        }
        for app in self.apps.iter_mut().flatten() {
            let spared = app.spared_slots().any(|slot| slot == got);
            let at = app.unfinished.iter().position(|one| one.slot == got);
            if let Some(at) = at.filter(|_| spared) {
                let one = app.unfinished.remove(at);
                let ModelRequest { ticket, owner, cookie, arrived, .. } = one;
                self.passed.push(Passed { app: app.name, ticket, owner, cookie, arrived });
                return true;
            }
        }
        assert_eq!(self.apps.iter().flatten().flat_map(ModelApp::spared_slots).next(), None);
        false
    }

    /// A request gets through to the app.
    pub(super) fn gets_through(&mut self, entry: usize) -> Outcome {
        let now = self.zone.now;
        if let Some(app) = self.apps.get_mut(entry).and_then(Option::as_mut) {
            if let Some(away) = app.away.take() {
                let after = now.monotonic.since(away.since.monotonic);
                let held = app.line.len() as u32;
                self.absence = Some((name(NAMES[app.name]), Absence::Ends { after, held }));
                if app.round.pace == Pace::default() {
                    app.upto = Ticket(app.next_ticket.0 - 1);
                }
                (app.state, app.since) = (State::Draining { upto: app.upto }, now);
                app.round.stood_still(away.since.monotonic, now.monotonic);
            }
        }
        Outcome::Done
    }

    pub(super) fn finishes(&mut self, same: impl Fn(&ModelRequest) -> bool) -> Outcome {
        for app in self.apps.iter_mut().flatten() {
            let before = app.unfinished.len();
            app.unfinished.retain(|one| !same(one));
            let left = app.unfinished.len();
            if let Some(outrun) = app.outrun.as_mut().filter(|one| left < before.min(one.limit)) {
                outrun.finished += 1;
                if outrun.finished == outrun.limit {
                    (outrun.limit, outrun.finished) = (outrun.limit + 1, 0);
                }
            }
        }
        Outcome::Done
    }

    /// No request comes back any more.
    pub(super) fn nginx_quits(&mut self) {
        if self.nginx != Nginx::Quits {
            self.nginx = Nginx::Quits;
            self.apps.iter_mut().flatten().for_each(ModelApp::forgets);
        }
    }

    /// Fails if a request goes on that is not the first of those that are to, or that is out already.
    pub(super) fn goes_on(&mut self, entry: usize, one: &ModelRequest) {
        assert!(!self.out.contains(&one.cookie), "it went on twice");
        self.out.push(one.cookie);
        let app = self.app(entry);
        assert!(!app.is_paused_or_stopped(), "no pause is broken");
        let before = |other: &&ModelRequest| match (other.back, one.back) {
            (true, true) => other.arrived < one.arrived,
            (false, false) => other.ticket < one.ticket,
            (back, _) => back,
        };
        assert_eq!(app.line.iter().find(before), None, "it overtakes");
        if let Some(at) = app.tries_since() {
            let long_ago = self.zone.now.monotonic.since(at) >= Msec(5000);
            assert!(long_ago, "one is tried at a time");
        }
    }

    /// Requests that passed, or are unfinished, come back.
    pub(super) fn back(&self, app: usize, one: ModelRequest, max_held: u32) -> Deed {
        let ModelRequest { ticket, slot, owner, cookie, arrived, back } = one;
        let came = if back { Came::Again } else { Came::First };
        let slot = slot.is_some().then_some(slot);
        let ticket = (ticket != Ticket(0)).then_some(ticket);
        let unseen =
            Unseen { slot, ticket, owner, cookie, arrived, status: STATUS, longest: LONGEST, came };
        Deed::TakeBack { name: name(NAMES[app]), unseen, max_held }
    }
}

impl ModelApp {
    pub(super) fn ticket(&mut self) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket = Ticket(ticket.0 + 1);
        ticket
    }

    /// Behind those that came back and had arrived earlier, before all others.
    fn stands_again(&mut self, one: ModelRequest) {
        let place = |one: &ModelRequest| (one.arrived, one.ticket);
        let earlier = |other: &ModelRequest| other.back && place(other) < place(&one);
        let at = self.line.iter().take_while(|other| earlier(other)).count();
        self.line.insert(at, ModelRequest { back: true, ..one });
    }

    /// One could not be passed on. Returns whether the app is away since then.
    fn fails(&mut self, was_released: bool, now: Now) -> bool {
        if self.is_paused_or_stopped() {
            return false;
        }
        if let Some(away) = &mut self.away {
            if was_released {
                away.tries += 1;
                let times = [50, 100, 200, 400, 800];
                let time = times.get(away.tries as usize).map_or(SECOND, |time| Msec(*time));
                away.next_try = now.monotonic.after(time);
            }
            return false;
        }
        let open_for = now.monotonic.since(self.since.monotonic);
        let long_ago = self.state == State::Open && self.line.len() == 1 && open_for >= Msec(5000);
        let begins = self.unfinished.is_empty() || long_ago;
        if begins {
            let next_try = now.monotonic.after(Msec(50));
            let away = ModelAway { since: now, next_try, tries: 0, tried: None };
            (self.away, self.outrun) = (Some(away), None);
        } else {
            self.is_too_fast(now.monotonic);
        }
        if self.state == State::Open {
            self.upto = Ticket(self.next_ticket.0 - 1);
            (self.state, self.since) = (State::Draining { upto: self.upto }, now);
            (self.drain_held, self.drain_failed, self.ends_pause) = (0, 0, false);
            (self.drain_began, self.released_before) = (now.monotonic, self.totals.released);
            self.spacing = Spacing::OneByOne;
            self.round = Round::first(Pace::default(), 1, now.monotonic);
        }
        begins
    }

    fn is_too_fast(&mut self, now: Msec) {
        let half = (self.unfinished.len() / 2).max(1);
        let limit = match self.outrun {
            None => half,
            Some(known) if known.exceeded => known.limit - 1,
            Some(known) if self.unfinished.len() < known.limit => half,
            Some(_) => return,
        };
        if self.outrun.is_some_and(|known| known.limit == limit) {
            return;
        }
        let next = now.after(SECOND);
        self.outrun = Some(Outrun { limit, exceeded: false, finished: 0, next });
    }

    /// Those of released requests that have one only in case they come back.
    fn spared_slots(&self) -> impl Iterator<Item = SlotId> + '_ {
        let has_limit = self.away.is_some() || self.outrun.is_some();
        let paced = self.round.pace.concurrency > 0 || self.pace.concurrency > 0;
        let spares = self.takes_back && !has_limit && !paced;
        let taken = self.baton.and_then(|(_, taken)| taken).map(|one| one.slot);
        let slots = self.unfinished.iter().map(|one| one.slot);
        slots.filter(move |slot| spares && Some(*slot) != taken)
    }

    /// When the next one may go on, as far as the app can be reached.
    pub(super) fn next_by_absence(&self, now: Msec) -> Next {
        let at = |at: Msec| if at > now { Next::At(at) } else { Next::Now };
        match (self.away, self.outrun) {
            (Some(away), _) => {
                at(self.tries_since().map_or(away.next_try, |since| since.after(Msec(5000))))
            }
            (None, Some(outrun)) if self.unfinished.len() >= outrun.limit => at(outrun.next),
            _ => Next::Now,
        }
    }

    /// Since when one is tried, if one is.
    fn tries_since(&self) -> Option<Msec> {
        let (at, cookie) = self.away?.tried?;
        self.unfinished.iter().any(|one| one.cookie == cookie).then_some(at)
    }

    /// One goes on, beside those that are unfinished.
    pub(super) fn one_more(&mut self, one: &ModelRequest, now: Msec) {
        if let Some(away) = &mut self.away {
            away.tried = Some((now, one.cookie));
        }
        if let Some(outrun) = &mut self.outrun {
            outrun.exceeded = self.unfinished.len() >= outrun.limit;
            if outrun.exceeded {
                (outrun.limit, outrun.finished) = (self.unfinished.len() + 1, 0);
            }
            outrun.next = now.after(SECOND);
        }
    }

    /// Whether it can be reached is not known any more.
    pub(super) fn forgets(&mut self) {
        (self.away, self.outrun) = (None, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn an_app_that_often_cannot_be_reached_loses_no_request_and_no_order(
        events in prop::collection::vec(event_of_absence(), 0..150),
    ) {
        let mut pair = Pair::new();
        events.iter().for_each(|event| pair.apply(event));
        pair.finish(Last::Disable);
    }
}
