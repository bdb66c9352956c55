//! What starts nginx, if it asks the agent first what with.
#![forbid(unsafe_code)]

use super::module::Active;
use super::world::{Happens, World};
use crate::agent::call::What;
use crate::agent::start::{Begins, Stands, Start, Starts};
use crate::agent::Event;

/// An answer is awaited for so long, in ms.
const PATIENCE: u64 = 2000;

impl World {
    pub(super) fn ask_start(&mut self, at: usize, start: u64) {
        let host = &mut self.hosts[at];
        if host.starts != start || host.is_up || !host.is_member {
            return;
        }
        let (now, app) = (host.clock.shows(self.now), self.app.0.clone());
        host.asked = None;
        self.later(PATIENCE + 200, Happens::Asks(at, start));
        let host = &mut self.hosts[at];
        if host.agent.is_some() && self.now >= host.asleep_until {
            host.asked = Some(now);
            let file = host.module.active.iter();
            let file =
                file.map(|one| Stands { app: app.clone(), pause: one.number, by: one.by.clone() });
            let starts = Starts {
                file: file.collect(),
                number: host.module.number(host.clock.at(self.now)),
            };
            self.event(at, Event::Starts(starts));
        }
    }

    /// The agent may know the answer now.
    pub(super) fn answer_start(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let (Some(asked), Some(agent)) = (host.asked, &mut host.agent) else { return };
        let Some(Start { is_running, pauses, over }) =
            agent.start(host.clock.shows(self.now), asked)
        else {
            return;
        };
        assert!(!is_running, "nginx is down");
        (host.asked, host.starts) = (None, host.starts + 1);
        if !over.is_empty() {
            host.module.active = None;
        }
        for Begins { token, pause, by, left, .. } in pauses {
            let asked = u64::try_from(asked.as_millis()).unwrap();
            let until = left.map_or(u64::MAX, |left| asked + left.0);
            let what = if left.is_none() { What::Stop } else { What::Pause };
            host.module.prepare(Active { number: pause, by, until, token: Some(token.0), what });
        }
        let (start, time) = (host.starts, 20 + self.fate().quiet);
        self.later(time, Happens::IsUp(at, start));
    }

    pub(super) fn is_up(&mut self, at: usize, start: u64) {
        let host = &mut self.hosts[at];
        if host.starts != start || !host.is_member {
            return;
        }
        (host.is_up, host.takes) = (true, true);
        host.module.start(host.clock.at(self.now));
        // The first request.
        if host.module.active.is_none() {
            host.unfinished_until = self.now + 100;
        }
    }
}
