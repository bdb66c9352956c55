//! What happened to each request, as a log and as JSON.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{json, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Connect,
    Reset,
    Eof,
    Malformed,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Connect, Self::Reset, Self::Eof, Self::Malformed];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Eof => "eof",
            Self::Malformed => "malformed",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered(u16),
    Left,
    TimedOut,
    Failed(Fault),
}

/// One request. Times are unix µs.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: u64,
    /// The request's number on its client, from 0.
    pub(crate) nth: u32,
    /// None if it was never written.
    pub(crate) sent: Option<u64>,
    pub(crate) ended: u64,
    pub(crate) outcome: Outcome,
    pub(crate) seq: Option<u64>,
    pub(crate) retry_after: Option<String>,
}

#[derive(Default)]
pub(crate) struct Report {
    /// In the order in which they ended.
    records: Vec<Record>,
    pub(crate) sent: usize,
    pub(crate) answered: usize,
    pub(crate) left: usize,
}

impl Report {
    pub(crate) fn add(&mut self, record: Record) {
        match record.outcome {
            Outcome::Answered(_) => self.answered += 1,
            Outcome::Left => self.left += 1,
            Outcome::TimedOut | Outcome::Failed(_) => {}
        }
        self.records.push(record);
    }

    pub(crate) fn progress(&self, open: usize) -> Value {
        json!({"sent": self.sent, "answered": self.answered, "left": self.left, "open": open})
    }

    /// Whether every request was answered, with a status of `expect` if that names any, or left.
    pub(crate) fn is_good(&self, expect: &[u16]) -> bool {
        self.records.iter().all(|record| match record.outcome {
            Outcome::Answered(status) => expect.is_empty() || expect.contains(&status),
            Outcome::Left => true,
            Outcome::TimedOut | Outcome::Failed(_) => false,
        })
    }

    pub(crate) fn done(&self) -> Value {
        let mut statuses = BTreeMap::new();
        let mut errors: BTreeMap<_, _> = Fault::ALL.iter().map(|f| (f.word(), 0)).collect();
        let (mut failed, mut timed_out) = (0, 0);
        for record in &self.records {
            match record.outcome {
                Outcome::Answered(status) => *statuses.entry(status.to_string()).or_insert(0) += 1,
                Outcome::Left => {}
                Outcome::TimedOut => timed_out += 1,
                Outcome::Failed(fault) => {
                    failed += 1;
                    *errors.entry(fault.word()).or_insert(0) += 1;
                }
            }
        }
        let answered = || self.records.iter().filter(|r| matches!(r.outcome, Outcome::Answered(_)));
        let mut waits: Vec<u64> = answered()
            .map(|record| record.ended.saturating_sub(record.sent.unwrap_or(record.ended)))
            .collect();
        waits.sort_unstable();
        json!({
            "event": "done",
            "sent": self.sent,
            "answered": self.answered,
            "failed": failed,
            "left": self.left,
            "timed_out": timed_out,
            "statuses": statuses,
            "errors": errors,
            "first_sent_us": self.records.iter().filter_map(|r| r.sent).min(),
            "last_sent_us": self.records.iter().filter_map(|r| r.sent).max(),
            "first_answer_us": answered().map(|r| r.ended).min(),
            "last_answer_us": answered().map(|r| r.ended).max(),
            "longest_wait_ms": milliseconds(waits.last().copied()),
            "wait_p50_ms": milliseconds(percentile(&waits, 50)),
            "wait_p99_ms": milliseconds(percentile(&waits, 99)),
            "answer_inversions": inversions(answered().map(|r| (r.sent, r.id))),
        })
    }

    /// Writes a line per request: client's number, sent, ended, status or word, X-Seq, Retry-After, request's number.
    pub(crate) fn write_log(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        for record in &self.records {
            let word = match record.outcome {
                Outcome::Answered(status) => status.to_string(),
                Outcome::Left => "left".to_owned(),
                Outcome::TimedOut => "timeout".to_owned(),
                Outcome::Failed(fault) => fault.word().to_owned(),
            };
            let sent = record.sent.map_or("-".to_owned(), |sent| sent.to_string());
            let seq = record.seq.map_or("-".to_owned(), |seq| seq.to_string());
            let retry_after = record.retry_after.as_deref().unwrap_or("-");
            let Record { id, nth, ended, .. } = record;
            writeln!(file, "{id}\t{sent}\t{ended}\t{word}\t{seq}\t{retry_after}\t{nth}")?;
        }
        file.flush()
    }
}

/// Prints one line of JSON, and flushes it.
pub(crate) fn say(value: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{value}")?;
    stdout.flush()
}

fn milliseconds(us: Option<u64>) -> Option<f64> {
    us.map(|us| us as f64 / 1000.0)
}

/// The nearest-rank percentile of a sorted list.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// How many items come after a greater one.
fn inversions<T: Ord>(items: impl Iterator<Item = T>) -> usize {
    let mut greatest = None;
    items.fold(0, |count, item| match &greatest {
        Some(seen) if item < *seen => count + 1,
        _ => {
            greatest = Some(item);
            count
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u64, outcome: Outcome) -> Record {
        Record { id, nth: 0, sent: Some(1000), ended: 3500, outcome, seq: None, retry_after: None }
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let waits: Vec<u64> = (1..=200).collect();
        assert_eq!(percentile(&waits, 50), Some(100));
        assert_eq!(percentile(&waits, 99), Some(198));
        assert_eq!(percentile(&[7], 99), Some(7));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn an_inversion_is_one_that_came_after_a_later_one() {
        assert_eq!(inversions([1, 2, 3].into_iter()), 0);
        assert_eq!(inversions([3, 1, 2].into_iter()), 2);
        assert_eq!(inversions([1, 3, 2, 4].into_iter()), 1);
    }

    #[test]
    fn whoever_was_answered_or_left_is_well() {
        let mut report = Report::default();
        report.add(record(0, Outcome::Answered(503)));
        report.add(record(1, Outcome::Left));
        assert!(report.is_good(&[]));
        assert!(report.is_good(&[200, 503]));
        assert!(!report.is_good(&[200]));
        report.add(record(2, Outcome::Failed(Fault::Eof)));
        assert!(!report.is_good(&[]));
    }

    #[test]
    fn done_counts_every_outcome() {
        let mut report = Report::default();
        report.add(record(0, Outcome::Answered(200)));
        report.add(record(1, Outcome::TimedOut));
        report.add(record(2, Outcome::Failed(Fault::Reset)));
        let done = report.done();
        assert_eq!(done["statuses"], json!({"200": 1}));
        assert_eq!(done["errors"]["reset"], 1);
        assert_eq!((&done["failed"], &done["timed_out"]), (&json!(1), &json!(1)));
        assert_eq!(done["longest_wait_ms"], 2.5);
    }
}
