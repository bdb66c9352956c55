//! What an agent asks etcd, one question at a time.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::keys::{App, LeaseId, Revision, Token};
use crate::snapshot::PauseEntry;
use crate::values::{Ack, Host, Versions};

/// A question that failed is repeated after this time at first, and after this time at last.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_LAST: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A lease with the agent's time.
    Grant,
    /// Writes `hosts/ID`, and `alive/ID` on this lease, in one transaction.
    Register {
        lease: LeaseId,
        host: Host,
    },
    /// All pauses, and whether the host is registered and alive, at one revision. The read must be
    /// linearizable.
    Read,
    /// Writes `hosts/ID` again, if it is there as this revision left it. So it makes no host that was
    /// forgotten, and is nothing if it comes late.
    Amend {
        modified: Revision,
        host: Host,
    },
    KeepAlive(LeaseId),
    /// Writes an ack on the lease of its pause, if the pause is still there.
    Ack {
        app: App,
        token: Token,
        lease: LeaseId,
        ack: Ack,
    },
}

#[derive(Clone, Debug)]
pub enum Reply {
    Granted(LeaseId),
    Registered(Revision),
    Pauses {
        revision: Revision,
        pauses: BTreeMap<App, PauseEntry>,
        /// `hosts/ID`, and the revision that wrote it. None: it is not there, or `alive/ID` is not.
        registered: Option<(Revision, Host)>,
    },
    Amended(Revision),
    /// `hosts/ID` is another one by now, or none: nothing was written.
    Changed,
    KeptAlive,
    /// The lease is over.
    NoLease,
    Acked,
    /// The pause is over: nothing was written.
    NoPause,
    /// No answer, or an error: it may have been carried out.
    Failed,
}

/// The agent's standing with etcd.
#[derive(Clone, Debug)]
pub(super) struct Session {
    lease: Option<LeaseId>,
    is_registered: bool,
    /// What the host says of itself.
    host: Host,
    /// What its registration says, and the revision that wrote that.
    told: Option<(Revision, Host)>,
    /// Whether the pauses were read since the host was registered.
    is_synced: bool,
    under_way: Option<(Ask, Duration)>,
    read_at: Duration,
    /// When a reading was asked for that does not wait for the poll. One that was sent before says nothing of
    /// what is after that.
    soon: Option<Duration>,
    keep_at: Duration,
    again_at: Duration,
    failures: u32,
    /// When the newest read that showed the host registered was sent.
    seen_at: Option<Duration>,
}

impl Session {
    pub(super) fn new(now: Duration, host: Host) -> Self {
        Self {
            lease: None,
            is_registered: false,
            host,
            told: None,
            is_synced: false,
            under_way: None,
            read_at: now,
            soon: None,
            keep_at: now,
            again_at: now,
            failures: 0,
            seen_at: None,
        }
    }

    pub(super) fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Whether the newest question was answered.
    pub(super) fn is_connected(&self) -> bool {
        self.is_synced && self.failures == 0
    }

    /// Whether a question that was sent after this time, or then, found the host registered.
    pub(super) fn is_registered_since(&self, time: Duration) -> bool {
        self.is_connected() && self.seen_at >= Some(time)
    }

    /// Whether the session itself waits for nothing, so that an ack may be written.
    pub(super) fn is_free(&self, now: Duration) -> bool {
        self.under_way.is_none() && self.is_synced && now >= self.again_at
    }

    /// When a question is due. None: one is under way.
    pub(super) fn next(&self) -> Option<Duration> {
        let due = match (self.lease, self.is_registered) {
            (Some(_), true) => self.read_at.min(self.keep_at),
            _ => self.again_at,
        };
        self.under_way.is_none().then_some(due.max(self.again_at))
    }

    /// What runs at the host.
    pub(super) fn runs(&mut self, versions: Option<Versions>) {
        self.host.versions = versions;
    }

    /// The pauses are to be read now.
    pub(super) fn read_soon(&mut self, now: Duration) {
        self.read_at = self.read_at.min(now);
        self.soon = Some(now);
    }

    /// The question that is due now. It counts as asked.
    pub(super) fn ask(&mut self, now: Duration) -> Option<Ask> {
        if self.under_way.is_some() || now < self.again_at {
            return None;
        }
        let ask = match self.lease {
            None => Ask::Grant,
            Some(lease) if !self.is_registered => Ask::Register { lease, host: self.host.clone() },
            Some(_) if now >= self.read_at => Ask::Read,
            Some(lease) if now >= self.keep_at => Ask::KeepAlive(lease),
            Some(_) => return None,
        };
        self.asks(now, ask.clone());
        Some(ask)
    }

    /// What the host has to say anew, if nothing else is to be asked. It counts as asked.
    pub(super) fn amend(&mut self, now: Duration) -> Option<Ask> {
        let may = self.is_free(now) && self.is_registered;
        let (modified, _) = self.told.as_ref().filter(|(_, told)| may && *told != self.host)?;
        let ask = Ask::Amend { modified: *modified, host: self.host.clone() };
        self.asks(now, ask.clone());
        Some(ask)
    }

    pub(super) fn asks(&mut self, now: Duration, ask: Ask) {
        self.under_way = Some((ask, now));
    }

    /// The question that was under way, and when it was asked.
    pub(super) fn take(&mut self) -> Option<(Ask, Duration)> {
        self.under_way.take()
    }

    pub(super) fn hear(
        &mut self,
        now: Duration,
        (ask, sent): (&Ask, Duration),
        reply: &Reply,
        poll: Duration,
    ) {
        self.failures = match reply {
            Reply::Failed => self.failures.saturating_add(1),
            _ => 0,
        };
        let next = sent.saturating_add(poll);
        match reply {
            Reply::Granted(lease) => {
                self.lease = Some(*lease);
                self.keep_at = next;
            }
            Reply::Registered(revision) => {
                self.is_registered = true;
                self.tells(ask, *revision);
                self.read_at = now;
            }
            Reply::Amended(revision) => self.tells(ask, *revision),
            Reply::Changed => {
                self.told = None;
                self.read_at = now;
            }
            Reply::Pauses { registered, .. } => {
                self.is_registered &= registered.is_some();
                self.told = registered.clone();
                self.is_synced |= self.is_registered;
                self.seen_at = self.is_registered.then_some(sent);
                let is_late = self.soon.is_some_and(|soon| soon > sent);
                self.read_at = if is_late { now } else { next };
            }
            Reply::KeptAlive => self.keep_at = next,
            Reply::NoLease => {
                self.lease = None;
                self.is_registered = false;
            }
            Reply::Acked => {}
            Reply::NoPause => self.read_at = now,
            Reply::Failed => {
                let wait = AGAIN.saturating_mul(1 << self.failures.min(5));
                self.again_at = now.saturating_add(wait.min(AGAIN_LAST));
            }
        }
    }

    fn tells(&mut self, ask: &Ask, revision: Revision) {
        if let Ask::Register { host, .. } | Ask::Amend { host, .. } = ask {
            self.told = Some((revision, host.clone()));
        }
    }
}
