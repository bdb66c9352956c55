//! The agent: one for each host, beside its nginx. It makes the host what etcd says.
//!
//! What it promises: no pause of the fleet lasts at this host beyond its hard end, counted from a
//! moment that is not later than its caller's newest beat. Another's pause is never ended. An ack
//! says for how long the host holds at least.
#![forbid(unsafe_code)]

mod acks;
mod bounds;
pub mod call;
mod local;
mod names;
mod session;
pub mod start;
mod stop;
#[cfg(test)]
mod tests;
mod view;
mod want;

use std::collections::BTreeMap;
use std::time::Duration;

pub use session::{Ask, Reply};
pub use view::Change;

use crate::keys::{App, Fleet, LeaseId, Revision, Token};
use crate::values::{Host, Versions};
use call::{Call, Said, What};
use local::{Local, Manner, Reread};
use session::Session;
use start::{Starting, Starts};
use view::View;

/// What an agent is for.
#[derive(Clone, Debug)]
pub struct Terms {
    pub fleet: Fleet,
    pub host: Host,
    /// How often the pauses are read and the lease is renewed. The lease must last for several.
    pub poll: Duration,
    /// How often a paused app is looked at.
    pub look: Duration,
    /// A call of the endpoint reaches it within this time, or not at all.
    pub slack: Duration,
}

#[derive(Clone, Debug)]
pub enum Event {
    Tick,
    /// The apps that the endpoint has. The first event.
    Apps(Vec<App>),
    /// What came of the question that was under way.
    Told(Reply),
    /// The watch tells a change.
    Changed(Change),
    /// The watch has ended, or was refused, because etcd has forgotten that revision.
    WatchEnded,
    /// What came of the call that was under way for this app.
    Answered(App, Said),
    /// What is known of the apps is old: they are looked at again.
    Forget,
    /// nginx says what it is. None: it does not say it.
    Runs(Option<Versions>),
    /// nginx is about to be started: see [`Agent::start`].
    Starts(Starts),
}

#[derive(Clone, Debug)]
pub enum Action {
    Ask(Ask),
    /// The changes of `pauses/` after this revision are told from now on.
    Watch(Revision),
    Call(App, Call),
}

/// An agent.
#[derive(Clone, Debug)]
pub struct Agent {
    terms: Terms,
    manner: Manner,
    session: Session,
    view: View,
    apps: BTreeMap<App, Local>,
    is_watching: bool,
    starting: Option<Starting>,
}

impl Agent {
    pub fn new(now: Duration, terms: Terms) -> Self {
        let Terms { fleet, look, slack, .. } = terms.clone();
        let manner = Manner { fleet, look, slack };
        let session = Session::new(now, terms.host.clone());
        let (view, apps) = (View::default(), BTreeMap::new());
        Self { terms, manner, session, view, apps, is_watching: false, starting: None }
    }

    /// When an [`Event::Tick`] is needed. None: only other events are awaited.
    pub fn next(&self) -> Option<Duration> {
        let busy = self.apps.iter().filter(|(app, one)| !self.is_at_rest(app, one));
        busy.filter_map(|(_, one)| one.next()).chain(self.session.next()).min()
    }

    /// Whether the host may take traffic: it is registered, and its apps, looked at after this
    /// time, are what etcd says. A pause is held, and etcd knows it.
    pub fn is_ready(&self, since: Duration) -> bool {
        self.session.is_synced()
            && self.apps.iter().all(|(app, one)| one.is_ready(self.view.pause(app), since))
    }

    /// Whether the host is registered, and no pause of its apps is there: nginx may start.
    pub fn is_clear(&self) -> bool {
        let is_paused = |seen: &view::Seen| !seen.entry.is_released() && !seen.entry.is_stop();
        let mut ours = self.view.pauses().filter(|(app, _)| self.terms.host.serves(app));
        self.session.is_connected() && !ours.any(|(_, seen)| is_paused(seen))
    }

    /// The apps that are closed, each by this pause or this stop.
    pub fn holds(&self) -> Vec<(App, Token, What)> {
        let held = |(app, one): (&App, &Local)| {
            let (token, what) = one.holds()?;
            Some((app.clone(), token, what))
        };
        self.apps.iter().filter_map(held).collect()
    }

    /// Whether etcd has answered the newest question.
    pub fn is_connected(&self) -> bool {
        self.session.is_connected()
    }

    /// The revision of the newest thing that etcd told.
    pub fn revision(&self) -> Revision {
        self.view.revision()
    }

    /// Something has happened at this time. Adds what is to be done.
    pub fn handle(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => {}
            Event::Apps(apps) => {
                for app in apps.into_iter().filter(|app| self.terms.host.serves(app)) {
                    self.apps.entry(app).or_default();
                }
            }
            Event::Told(reply) => self.told(now, reply, actions),
            Event::Changed(change) => self.change(now, |view| view.change(change)),
            Event::WatchEnded => {
                self.is_watching = false;
                self.session.read_soon(now);
            }
            Event::Answered(app, said) => {
                let seen = self.view.pause(&app);
                let local = self.apps.get_mut(&app);
                let reread = local.map(|one| one.answered(now, said, seen, &self.manner));
                if reread == Some(Reread::Yes) {
                    self.session.read_soon(now);
                }
            }
            Event::Runs(versions) => self.session.runs(versions),
            Event::Forget => self.apps.values_mut().for_each(|one| one.forget(now)),
            Event::Starts(starts) => {
                self.starting = Some(Starting { asked: now, starts });
                self.apps.values_mut().for_each(|one| one.forget(now));
                self.session.read_soon(now);
            }
        }
        self.advance(now, actions);
    }

    fn told(&mut self, now: Duration, reply: Reply, actions: &mut Vec<Action>) {
        let Some((ask, sent)) = self.session.take() else { return };
        self.session.hear(now, (&ask, sent), &reply, self.terms.poll);
        match (ask, reply) {
            (_, Reply::Registered(revision)) => self.view.wrote(sent, revision),
            (_, Reply::Pauses { revision, pauses, .. }) => {
                self.change(now, |view| view.read(sent, revision, pauses));
                if !self.is_watching {
                    self.is_watching = true;
                    actions.push(Action::Watch(self.view.revision()));
                }
            }
            (Ask::Ack { app, token, ack, .. }, Reply::Acked) => {
                if let Some(one) = self.apps.get_mut(&app) {
                    one.acked(token, ack);
                }
            }
            _ => {}
        }
    }

    /// The view changes: the apps that it is about are seen to.
    fn change(&mut self, now: Duration, change: impl FnOnce(&mut View)) {
        let old: BTreeMap<App, Revision> = self.revisions();
        change(&mut self.view);
        let new = self.revisions();
        for app in new.keys().filter(|app| self.terms.host.serves(app)) {
            self.apps.entry(app.clone()).or_default();
        }
        for (app, one) in &mut self.apps {
            if old.get(app) != new.get(app) {
                one.wake(now);
            }
        }
    }

    fn revisions(&self) -> BTreeMap<App, Revision> {
        self.view.pauses().map(|(app, seen)| (app.clone(), seen.entry.modified)).collect()
    }

    /// Does what is due. Before etcd was heard nothing is changed at the endpoint.
    fn advance(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.session.is_synced() {
            for (app, one) in &mut self.apps {
                let seen = self.view.pause(app);
                if seen.is_some() || !one.is_idle() {
                    actions.extend(
                        one.call(now, seen, &self.manner)
                            .map(|call| Action::Call(app.clone(), call)),
                    );
                }
            }
        }
        self.promise(now);
        let ask = self.session.ask(now).or_else(|| self.ack(now));
        let ask = ask.or_else(|| self.session.amend(now));
        actions.extend(ask.map(Action::Ask));
    }

    fn ack(&mut self, now: Duration) -> Option<Ask> {
        if !self.session.is_free(now) {
            return None;
        }
        let acks = self.apps.iter().filter_map(|(app, one)| {
            let (token, ack) = one.ack(now, self.view.pause(app))?;
            let lease = self.view.pause(app).map_or(LeaseId(0), |seen| seen.entry.lease);
            Some(Ask::Ack { app: app.clone(), token, lease, ack })
        });
        let ask = { acks }.next()?;
        self.session.asks(now, ask.clone());
        Some(ask)
    }

    fn is_at_rest(&self, app: &App, one: &Local) -> bool {
        !self.session.is_synced() || (self.view.pause(app).is_none() && one.is_idle())
    }
}
