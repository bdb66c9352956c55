//! Until when every host surely holds, on the caller's clock.
//!
//! An ack for a beat says how long the host held on, at a moment after that beat. The beat was sent
//! at a time that this clock knows. So the host holds at least from that time on for so long. No
//! other clock is asked, and no message's age.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::keys::{App, HostId, Token};
use crate::snapshot::Snapshot;
use crate::values::AckState;

/// Two machines' clocks may run so differently: 49 s of one are less than 50 s of the other.
fn less(time: Duration) -> Duration {
    time / 50 * 49
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sure {
    /// When each beat was sent.
    beats: BTreeMap<u64, Duration>,
    hosts: BTreeMap<HostId, Held>,
    /// Until then the caller's lease lasts.
    lease: Option<Duration>,
    /// When the newest read that was answered was sent.
    read: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Held {
    pause: u64,
    until: Duration,
    is_alive: bool,
}

/// What a read showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost {
    /// A host that is not in the pause any more.
    pub host: Option<HostId>,
    /// The hosts whose agents have ceased to live, and until when they surely hold.
    pub not_alive: Vec<(HostId, Duration)>,
}

impl Sure {
    pub(super) fn beats(&mut self, beat: u64, sent: Duration) {
        self.beats.insert(beat, sent);
        // An ack for an older one says nothing new.
        while self.beats.len() > 64 {
            self.beats.pop_first();
        }
    }

    pub(super) fn kept(&mut self, sent: Duration, lease: Duration) {
        self.lease = Some(sent.saturating_add(less(lease)));
    }

    pub(super) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// `hold`: the hard end's distance. A host that is not known yet has promised half of it,
    /// before it took traffic, and after the newest read.
    pub(super) fn until(&self, hold: Duration) -> Option<Duration> {
        let unknown = self.read?.saturating_add(less(hold / 2));
        let hosts = self.hosts.values().map(|held| held.until).min();
        Some(self.lease?.min(unknown).min(hosts.unwrap_or(unknown)))
    }

    /// By then every hold of this pause is over, whatever became of the beats.
    pub(super) fn over_by(&self, hold: Duration) -> Option<Duration> {
        let last = self.beats.last_key_value().map(|(_, sent)| *sent)?;
        Some(last.saturating_add(hold + hold / 25).saturating_add(Duration::from_secs(5)))
    }

    /// `is_running`: the hosts are needed as they are.
    pub(super) fn read(
        &mut self,
        sent: Duration,
        at: &Snapshot,
        app: &App,
        token: Token,
        is_running: bool,
    ) -> Lost {
        self.read = self.read.max(Some(sent));
        let mut lost = Lost::default();
        // One that has left takes no traffic any more.
        self.hosts.retain(|id, _| at.hosts.contains_key(id));
        for (id, host) in at.serving(app) {
            let Some(ack) = at.ack(app, token, id) else { continue };
            let holds = matches!(ack.state, AckState::Holding | AckState::Quiet);
            let sent = self.beats.get(&ack.beat).copied();
            let until = sent.map(|sent| sent.saturating_add(less(ack.remaining.time())));
            match (self.hosts.get_mut(id), until) {
                (Some(held), Some(until)) if holds && held.pause == ack.pause => {
                    held.until = held.until.max(until);
                    if held.is_alive && !host.is_alive && is_running {
                        lost.not_alive.push((id.clone(), held.until));
                    }
                    held.is_alive = host.is_alive;
                }
                (Some(held), _) if !holds || held.pause != ack.pause => {
                    lost.host = Some(id.clone());
                    if !is_running {
                        self.hosts.remove(id);
                    }
                }
                (None, Some(until)) if holds => {
                    let (pause, is_alive) = (ack.pause, host.is_alive);
                    self.hosts.insert(id.clone(), Held { pause, until, is_alive });
                }
                _ => {}
            }
        }
        lost
    }

    /// The pause at each host that held.
    pub(super) fn pauses(&self) -> impl Iterator<Item = (&HostId, u64)> {
        self.hosts.iter().map(|(id, held)| (id, held.pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Revision;
    use crate::snapshot::HostEntry;
    use crate::values::{Ack, Host, Millis};

    const NOW: Duration = Duration::from_secs(100);
    const HOLD: Duration = Duration::from_secs(20);

    /// A host acks the beat of now for so many seconds; the lease was kept so many seconds ago.
    fn until(remaining: u64, kept: u64) -> Duration {
        let (app, token, id) = (App("a".to_owned()), Token(5), HostId("h0".to_owned()));
        let (state, remaining) = (AckState::Quiet, Millis(remaining * 1000));
        let ack =
            Ack { v: 1, state, beat: 1, remaining, pause: 7, held: 0, in_flight: 0, why: None };
        let host = HostEntry { host: Host::default(), registered: Revision(2), is_alive: true };
        let mut at = Snapshot::default();
        at.hosts.insert(id.clone(), host);
        at.acks.insert((app.clone(), token, id), ack);
        let mut sure = Sure::default();
        sure.beats(1, NOW);
        sure.kept(NOW - Duration::from_secs(kept), HOLD);
        sure.read(NOW, &at, &app, token, true);
        sure.until(HOLD).unwrap() - NOW
    }

    /// It may have joined since the newest read, and its ack not have been read.
    #[test]
    fn a_host_that_is_not_known_yet_has_promised_half_of_the_hard_end() {
        assert_eq!(until(19, 0), Duration::from_millis(9800));
    }

    #[test]
    fn the_earliest_end_counts_and_clocks_may_differ() {
        assert_eq!(until(5, 0), Duration::from_millis(4900), "the host's");
        assert_eq!(until(19, 15), Duration::from_millis(4600), "the lease's");
    }
}
