//! The pauses as etcd told them, and since when each beat can be.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::keys::{App, Revision};
use crate::snapshot::PauseEntry;

/// A pause, with a time that is not later than its newest beat.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub entry: PauseEntry,
    /// On this machine's clock. None: the beat may be of any age.
    pub since: Option<Duration>,
}

/// What etcd told.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    revision: Revision,
    pauses: BTreeMap<App, Seen>,
    /// When the newest question that etcd has answered was sent. Whatever is not in the view yet is
    /// made later: an answer is as new as the moment of its question, or newer.
    confirmed: Option<Duration>,
    /// The newest write of this agent, and when it was sent.
    wrote: Option<(Revision, Duration)>,
}

/// A change that a watch tells.
#[derive(Clone, Debug)]
pub struct Change {
    pub revision: Revision,
    pub app: App,
    /// None: the pause is over.
    pub pause: Option<PauseEntry>,
}

impl View {
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn pause(&self, app: &App) -> Option<&Seen> {
        self.pauses.get(app)
    }

    pub(super) fn pauses(&self) -> impl Iterator<Item = (&App, &Seen)> {
        self.pauses.iter()
    }

    /// All pauses at this revision; the question was sent at this time.
    pub(super) fn read(
        &mut self,
        sent: Duration,
        revision: Revision,
        pauses: BTreeMap<App, PauseEntry>,
    ) {
        if revision >= self.revision {
            let mut all = BTreeMap::new();
            for (app, entry) in pauses {
                let seen = self.see(&app, entry);
                all.insert(app, seen);
            }
            self.pauses = all;
            self.revision = revision;
        }
        self.confirmed = self.confirmed.max(Some(sent));
    }

    /// A write that was sent at this time made this revision: a greater one is made later.
    pub(super) fn wrote(&mut self, sent: Duration, revision: Revision) {
        self.wrote = Some((revision, sent));
    }

    pub(super) fn change(&mut self, change: Change) {
        if change.revision <= self.revision {
            return;
        }
        match change.pause {
            Some(entry) => {
                let seen = self.see(&change.app, entry);
                self.pauses.insert(change.app, seen);
            }
            None => {
                self.pauses.remove(&change.app);
            }
        }
        self.revision = change.revision;
    }

    fn see(&self, app: &App, entry: PauseEntry) -> Seen {
        let known = self.pauses.get(app).filter(|one| one.entry.modified == entry.modified);
        let wrote = self.wrote.filter(|(revision, _)| entry.modified > *revision);
        let since = known.map_or(self.confirmed.max(wrote.map(|(_, sent)| sent)), |one| one.since);
        Seen { entry, since }
    }
}
