//! What is known of each host while a plan goes on: a line for each.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::Host;
use crate::client::answer::{State, Status};
use crate::plan::action::{Closed, Notice};
use crate::words::{printable, seconds, until};

/// A host as it was seen last.
#[derive(Clone, Debug, Default)]
struct Seen {
    status: Option<Box<Status>>,
    word: Option<&'static str>,
}

/// All hosts of a plan.
#[derive(Debug)]
pub struct Seens {
    all: Vec<Seen>,
    phase: &'static str,
    since: Instant,
    /// When a line about apps that are not quiet yet was printed last.
    told: Instant,
}

/// How often lines say what is still in flight.
const TELL: Duration = Duration::from_secs(3);

impl Seens {
    pub fn new(hosts: usize) -> Self {
        let now = Instant::now();
        Self { all: vec![Seen::default(); hosts], phase: "pausing", since: now, told: now }
    }

    /// The plan has come to this.
    pub fn phase(&mut self, phase: &'static str) {
        self.phase = phase;
        self.since = Instant::now();
    }

    pub fn seen(&mut self, host: usize, status: &Status) {
        if let Some(seen) = self.all.get_mut(host) {
            seen.status = Some(Box::new(status.clone()));
        }
    }

    pub fn note(&mut self, notice: &Notice) {
        let (id, word) = match notice {
            Notice::Paused(id, _) => (id, "quiet"),
            Notice::Joined(id, _) => (id, "joined"),
            Notice::Failed(id, _) => (id, "not paused"),
            Notice::Lost(id, _) => (id, "PAUSE LOST"),
            Notice::Delayed(id, _) => (id, "no answer"),
            Notice::Closed(id, Closed::Ended(_)) => (id, "resumed"),
            Notice::Closed(id, Closed::Left) => (id, "left paused"),
            Notice::Closed(id, Closed::Lost) => (id, "was over"),
            Notice::Closed(id, Closed::LeaseOver(_)) => (id, "lease over"),
            _ => return,
        };
        if let Some(seen) = self.all.get_mut(id.0) {
            seen.word = Some(word);
        }
    }

    /// A heading, and a line for each host.
    pub fn lines(&self, hosts: &[Host]) -> Vec<String> {
        let heading =
            format!("intermission: {} for {} s", self.phase, self.since.elapsed().as_secs());
        let lines = hosts.iter().zip(&self.all).map(|(host, seen)| line(host, seen));
        std::iter::once(heading).chain(lines).collect()
    }

    /// From time to time, while apps are not quiet: which requests keep each from that.
    pub fn waiting(&mut self, hosts: &[Host]) -> Vec<String> {
        if self.phase != "pausing" || self.told.elapsed() < TELL {
            return Vec::new();
        }
        self.told = Instant::now();
        let waits = |seen: &&Seen| seen.word.is_none();
        let all = hosts.iter().zip(&self.all).filter(|(_, seen)| waits(seen));
        all.filter_map(|(host, seen)| {
            let status = seen.status.as_ref().filter(|status| status.in_flight > 0)?;
            Some(format!("{}: not quiet yet: {}", host.name, in_flight(status)))
        })
        .collect()
    }
}

fn in_flight(status: &Status) -> String {
    let oldest = status.oldest_in_flight.first().map(|one| {
        format!(
            ", the oldest: {} {} from {}, for {:.0} s, waits for {}",
            one.method, one.uri, one.client, one.seconds, one.waits_for
        )
    });
    printable(&format!("{} in flight{}", status.in_flight, oldest.unwrap_or_default()))
}

fn line(host: &Host, seen: &Seen) -> String {
    let mut text = format!("  {}", host.name);
    match (&seen.status, seen.word) {
        (None, None) => text.push_str("  asked"),
        (None, Some(word)) => text.push_str(&format!("  {word}")),
        (Some(status), word) => {
            let word = word.map(|word| format!(", {word}")).unwrap_or_default();
            text.push_str(&format!("  {}{word}", status.state.word()));
            if status.held > 0 {
                text.push_str(&format!(", {} held", status.held));
            }
            if status.in_flight > 0 && status.state == State::Paused {
                text.push_str(&format!(", {}", in_flight(status)));
            }
            if let Some(rest) = status.until.as_deref().and_then(until) {
                text.push_str(&format!(", lease {}", seconds(Duration::from_secs(rest.as_secs()))));
            }
        }
    }
    text
}
