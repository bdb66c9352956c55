//! What an nginx that is to start on this host must start with: the pauses that etcd has.
//!
//! While nginx is down no request is passed on, so the agent can promise a hold that begins with
//! nginx's first moment: etcd is told first, then the pause is written into nginx's state file, then
//! nginx starts. What etcd is told is only that the host holds. Quiet it is when the endpoint says so.
#![forbid(unsafe_code)]

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounds::{lease, LEAST};
use super::call::What;
use super::local::{Hold, Local, Manner};
use super::names::{name, token_of};
use super::view::Seen;
use super::want::Want;
use super::Agent;
use crate::keys::{App, Token};
use crate::values::{AckState, Millis, Pause};

/// An answer is awaited for so long. Later nothing is promised for it.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A pause or a stop that stands in the state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stands {
    pub app: String,
    pub pause: u64,
    pub by: String,
}

/// Somebody is about to start nginx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starts {
    pub file: Vec<Stands>,
    /// Numbers of pauses from here on are new on this host.
    pub number: u64,
}

/// What nginx may start with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// nginx runs already: the file is nginx's.
    pub is_running: bool,
    pub pauses: Vec<Begins>,
    /// The apps whose pause in the file is over.
    pub over: Vec<String>,
}

/// A pause that nginx is to start with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begins {
    pub app: String,
    pub token: Token,
    pub pause: u64,
    pub by: String,
    pub reason: Option<String>,
    /// From the question on, it lasts so long at most. None: it is a stop, which is ended by its key.
    pub left: Option<Millis>,
}

/// The newest start that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Starting {
    pub asked: Duration,
    pub starts: Starts,
}

impl Agent {
    /// What nginx may start with, if that is known, and was found out after this time, when it was
    /// asked for. Returns None if it must wait. It is answered once: what is promised after that is in
    /// no file.
    pub fn start(&mut self, now: Duration, since: Duration) -> Option<Start> {
        let start = self.found(now, since)?;
        self.starting = None;
        Some(start)
    }

    fn found(&self, now: Duration, since: Duration) -> Option<Start> {
        let starting = self.starting.as_ref().filter(|one| one.asked >= since)?;
        if self.apps.values().any(|one| one.looked >= Some(since)) {
            return Some(Start { is_running: true, ..Start::default() });
        }
        let is_down = self.apps.values().all(|one| one.down >= Some(since));
        if !is_down || !self.session.is_registered_since(since) {
            return None;
        }
        let mut start = Start::default();
        let (file, mut number) = (&starting.starts.file, starting.starts.number);
        for (app, seen) in self.view.pauses().filter(|(app, _)| self.terms.host.serves(app)) {
            let local = self.apps.get(app)?;
            match Want::of(Some(seen)) {
                Want::Hold(token, ..) if local.is_released(token) => {}
                Want::Hold(..) => start.pauses.push(local.begins(now, app, seen, &self.manner)?),
                Want::Stop(token, pause) => {
                    let stands = file.iter().find(|stands| stands.app == app.0);
                    let stop = local.stops(token, pause, stands, number, &self.manner);
                    start.pauses.push(Begins { app: app.0.clone(), ..stop });
                }
                Want::Release(..) | Want::Nothing => {}
                Want::Unknown => return None,
            }
            number = number.saturating_add(1);
        }
        let ours = |one: &&Stands| token_of(&self.terms.fleet, &one.by).is_some();
        let file = file.iter().filter(ours);
        let over = file.filter(|one| !start.pauses.iter().any(|begins| begins.app == one.app));
        start.over = over.map(|one| one.app.clone()).collect();
        Some(start)
    }

    /// Promises what nginx is to start with.
    pub(super) fn promise(&mut self, now: Duration) {
        let Some(Starting { asked, starts }) = &self.starting else { return };
        if now >= *asked + PATIENCE {
            return;
        }
        let mut number = starts.number;
        for (app, one) in &mut self.apps {
            if one.down >= Some(*asked) {
                let stands = starts.file.iter().find(|stands| stands.app == app.0);
                one.promise(now, self.view.pause(app), stands, number, &self.manner);
            }
            number = number.saturating_add(1);
        }
    }
}

impl Local {
    /// `number`: the pause's, unless it has one here.
    fn promise(
        &mut self,
        now: Duration,
        seen: Option<&Seen>,
        stands: Option<&Stands>,
        number: u64,
        manner: &Manner,
    ) {
        let Want::Hold(token, pause, since) = Want::of(seen) else { return };
        let own = stands.and_then(|stands| token_of(&manner.fleet, &stands.by));
        // Another's pause stays as it is: nginx waits until it, or the fleet's, is over.
        if self.is_released(token) || (stands.is_some() && own.is_none()) {
            return;
        }
        let before = self.hold.filter(|hold| hold.token == token);
        if before.is_some_and(|hold| hold.beat == pause.beat && hold.until > now + LEAST) {
            return;
        }
        let lease = lease(now, since, pause, manner);
        let Some(lease) = lease.filter(|lease| *lease >= pause.hold.time() / 2) else { return };
        let stands = stands.filter(|_| own == Some(token));
        let known = before.map(|hold| hold.pause).or(stands.map(|stands| stands.pause));
        self.hold = Some(Hold {
            token,
            pause: known.unwrap_or(number),
            until: now.saturating_add(lease),
            beat: pause.beat,
            is_quiet: false,
            what: What::Pause,
            is_promised: true,
        });
        self.failed = None;
    }

    /// The stop that nginx is to start with.
    fn stops(
        &self,
        token: Token,
        pause: &Pause,
        stands: Option<&Stands>,
        number: u64,
        manner: &Manner,
    ) -> Begins {
        let is_own = |one: &&Stands| token_of(&manner.fleet, &one.by) == Some(token);
        let known = self.hold.filter(|hold| hold.token == token).map(|hold| hold.pause);
        let known = known.or(stands.filter(is_own).map(|stands| stands.pause));
        Begins {
            app: String::new(),
            token,
            pause: known.unwrap_or(number),
            by: name(&manner.fleet, token, &pause.by),
            reason: pause.reason.clone(),
            left: None,
        }
    }

    /// What nginx is to start with. Returns None if etcd does not know of it yet.
    fn begins(&self, now: Duration, app: &App, seen: &Seen, manner: &Manner) -> Option<Begins> {
        let Want::Hold(token, pause, _) = Want::of(Some(seen)) else { return None };
        let hold = self.hold.filter(|hold| hold.token == token && hold.beat == pause.beat)?;
        let left = hold.until.checked_sub(now).filter(|left| *left >= LEAST)?;
        let (acked, ack) = self.acked.as_ref()?;
        let is_known = *acked == token && (ack.beat, ack.pause) == (hold.beat, hold.pause);
        if !is_known || !matches!(ack.state, AckState::Holding | AckState::Quiet) {
            return None;
        }
        Some(Begins {
            app: app.0.clone(),
            token,
            pause: hold.pause,
            by: name(&manner.fleet, token, &pause.by),
            reason: pause.reason.clone(),
            left: Some(Millis::of(left)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::{manner, seen, NOW};

    #[test]
    fn nothing_is_promised_over_another_callers_pause() {
        for (by, is_promised) in [("bob", false), ("fleet web 3 carol", true)] {
            let stands = Stands { app: "a".to_owned(), pause: 3, by: by.to_owned() };
            let mut local = Local::default();
            local.promise(NOW, Some(&seen(1)), Some(&stands), 9, &manner());
            assert_eq!(local.hold.map(|hold| hold.pause), is_promised.then_some(9), "{by}");
        }
    }
}
