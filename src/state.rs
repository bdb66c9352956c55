//! The state file: the pauses that are to live through a restart.
//!
//! Two records, written in turn, so that one is always whole: each a line with its number, its
//! length and its checksum, and the pauses as JSON. The valid one with the greater number counts.
#![forbid(unsafe_code)]

use core::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use crate::app::{App, State};
use crate::ids::PauseId;
use crate::pace::Pace;
use crate::terms::Terms;
use crate::text::{header_value, AppName, Text};
use crate::time::{Msec, Now};

/// Where the second record begins, in bytes; the first begins at 0.
pub const RECORD: usize = 4 << 20;

/// The length of a record's first line.
pub const LINE: usize = 64;

const MAGIC: &str = "intermission 1";

/// A pause, as it is written. Names and reasons are percent-encoded; times are milliseconds since
/// 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    app: String,
    stopped: bool,
    pause: u64,
    began: u64,
    until: Option<u64>,
    reason: String,
    by: String,
    spread: u64,
    concurrency: u32,
}

/// All that is written at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The greatest number that a pause has had.
    pub pauses: u64,
    pub saved: Vec<Saved>,
}

/// Why a file gives no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is not one of ours, and must not be written to.
    Foreign,
    /// It is ours, and neither record is whole.
    Broken,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "is not a state file: it is left alone, and pauses are not kept",
            Self::Broken => "is broken: no pause is restored",
        })
    }
}

impl Saved {
    /// Of an app that is paused or stopped, whoever may yet take that back.
    pub fn of(app: &App) -> Option<Self> {
        let app = app.settled();
        if !app.is_shut() {
            return None;
        }
        let (reason, by) = app.cause();
        let saved = Self {
            app: header_value(app.name()?.as_bytes()).to_string(),
            stopped: app.state() == State::Stopped,
            pause: app.pause().0,
            began: app.began().wall.0,
            until: app.until().map(|until| until.wall.0),
            reason: header_value(reason.as_bytes()).to_string(),
            by: header_value(by.as_bytes()).to_string(),
            spread: app.pace().spread.0,
            concurrency: app.pace().concurrency,
        };
        Some(saved)
    }

    /// The app, paused or stopped as it was; none where a value makes no sense or the lease has
    /// ended.
    pub fn restore(&self, now: Now) -> Option<App> {
        let on_both = |wall: u64| Now {
            monotonic: if wall >= now.wall.0 {
                now.monotonic.after(Msec(wall - now.wall.0))
            } else {
                now.monotonic.since(Msec(now.wall.0 - wall))
            },
            wall: Msec(wall),
        };
        let until = self.until.map(on_both);
        if until.is_some_and(|until| until.wall <= now.wall) {
            return None;
        }
        Some(App::restored(
            decode(&self.app)?,
            if self.stopped { State::Stopped } else { State::Paused },
            PauseId(self.pause),
            on_both(self.began),
            Terms {
                reason: decode(&self.reason)?,
                by: decode(&self.by)?,
                until: until.unwrap_or(Now::NEVER),
                pace: Pace { spread: Msec(self.spread), concurrency: self.concurrency },
            },
        ))
    }

    /// The app's name; the default app's where what is written makes no sense.
    pub fn name(&self) -> AppName {
        decode(&self.app).unwrap_or_default()
    }
}

fn decode<const N: usize>(value: &str) -> Option<Text<N>> {
    let mut text = Text::EMPTY;
    percent_decode_str(value).try_for_each(|byte| text.push(byte)).ok()?;
    Some(text)
}

/// Where the records begin, in bytes from the file's beginning.
pub const PLACES: [usize; 2] = [0, RECORD];

/// Where the record with this number goes.
pub fn place(number: u64) -> usize {
    if number.is_multiple_of(2) {
        0
    } else {
        RECORD
    }
}

/// How many bytes a record has, by its first [`LINE`] bytes; 0 where they are no record's.
pub fn length(line: &[u8]) -> usize {
    let words = core::str::from_utf8(line).ok().and_then(|text| text.strip_prefix(MAGIC));
    let json = words.and_then(|words| words.split_ascii_whitespace().nth(1)?.parse().ok());
    json.map_or(0, |json: usize| LINE.saturating_add(json)).min(RECORD)
}

/// The number for the next record, after these: greater than that of each, and not in the place of
/// the newest that is whole.
pub fn next_number(records: [&[u8]; 2]) -> u64 {
    let stated = |record: &[u8]| {
        let words = core::str::from_utf8(record.get(..LINE)?).ok()?.strip_prefix(MAGIC)?;
        words.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let greatest = records.into_iter().filter_map(stated).max().unwrap_or(0);
    let whole = records.into_iter().filter_map(parse).map(|(number, _)| number).max();
    let next = greatest.saturating_add(1);
    match whole {
        Some(whole) if place(whole) == place(next) => next.saturating_add(1),
        _ => next,
    }
}

/// A record as it is written; none where it does not fit.
pub fn record(number: u64, snapshot: &Snapshot) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(snapshot).ok()?;
    let sum = checksum(number, &json);
    let line = format!("{MAGIC} {number:020} {:08} {sum:08x}", json.len());
    let mut record = format!("{line:<width$}\n", width = LINE - 1).into_bytes();
    record.extend(json);
    (record.len() <= RECORD).then_some(record)
}

/// The newest state in a file of this content: its number and what it holds. A file of nothing is
/// number 0.
pub fn newest(file: &[u8]) -> Result<(u64, Snapshot), Unusable> {
    if file.is_empty() {
        return Ok((0, Snapshot::default()));
    }
    let records = PLACES.map(|start| file.get(start..).and_then(parse));
    let newest = records.into_iter().flatten().max_by_key(|(number, _)| *number);
    let ours = file.starts_with(MAGIC.as_bytes());
    newest.ok_or(if ours { Unusable::Broken } else { Unusable::Foreign })
}

fn parse(record: &[u8]) -> Option<(u64, Snapshot)> {
    let (line, rest) = record.split_at_checked(LINE)?;
    let words = core::str::from_utf8(line).ok()?.strip_prefix(MAGIC)?;
    let mut words = words.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let json = rest.get(..words.next()?.parse().ok()?)?;
    let sum = u32::from_str_radix(words.next()?, 16).ok()?;
    (sum == checksum(number, json)).then_some(())?;
    Some((number, serde_json::from_slice(json).ok()?))
}

fn checksum(number: u64, json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(json);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flight::Epoch;
    use crate::terms::Cause;
    use crate::text::{Address, AppName, Reason};

    fn at(wall: u64) -> Now {
        Now { monotonic: Msec(50_000), wall: Msec(wall) }
    }

    fn paused(lease: Option<u64>) -> App {
        let mut app = App::UNUSED;
        app.create(AppName::new(b"a\"\xff/").unwrap(), Epoch(1));
        let cause = Cause {
            fresh: PauseId(7),
            by: Address::new(b"127.0.0.1").unwrap(),
            reason: Reason::new(b"db\nswitch").ok(),
            lease: lease.map(Msec),
            pace: Pace { spread: Msec(5), concurrency: 3 },
        };
        app.enable(&cause, at(1_000_000), Epoch(2));
        app
    }

    fn snapshot(pauses: u64, lease: Option<u64>) -> Snapshot {
        Snapshot { pauses, saved: vec![Saved::of(&paused(lease)).unwrap()] }
    }

    fn file(records: &[(u64, Snapshot)]) -> Vec<u8> {
        let mut file = vec![0; 2 * RECORD];
        for (number, snapshot) in records {
            let record = record(*number, snapshot).unwrap();
            let start = place(*number);
            file[start..start + record.len()].copy_from_slice(&record);
        }
        file
    }

    #[test]
    fn a_pause_comes_back_as_it_was_and_its_lease_counts_on() {
        let before = paused(Some(60_000));
        let after = Saved::of(&before).unwrap().restore(at(1_010_000)).unwrap();
        assert_eq!(after.name(), before.name());
        assert_eq!((after.state(), after.pause()), (State::Paused, PauseId(7)));
        assert_eq!((after.cause(), after.pace()), (before.cause(), before.pace()));
        let until = after.until().unwrap();
        assert_eq!((until.monotonic, until.wall), (Msec(100_000), Msec(1_060_000)));
        assert!(Saved::of(&before).unwrap().restore(at(1_060_000)).is_none(), "the lease ended");
    }

    #[test]
    fn the_newest_whole_record_counts() {
        let (old, new) = (snapshot(7, None), snapshot(8, None));
        let whole = file(&[(4, old.clone()), (5, new.clone())]);
        assert_eq!(newest(&whole), Ok((5, new)));
        let mut torn = whole.clone();
        torn[RECORD + 100] ^= 1;
        assert_eq!(newest(&torn), Ok((4, old)));
        torn[100] ^= 1;
        assert_eq!(newest(&torn), Err(Unusable::Broken));
        assert_eq!(newest(b""), Ok((0, Snapshot::default())));
        assert_eq!(newest(b"root:x:0:0:root:/root:/bin/bash\n"), Err(Unusable::Foreign));
    }

    #[test]
    fn the_next_record_never_takes_the_place_of_the_newest_whole_one() {
        let records = [4, 5].map(|number| record(number, &snapshot(7, None)).unwrap());
        let [even, odd] = &records;
        assert_eq!(next_number([even, odd]), 6);
        let torn = &odd[..odd.len() - 1];
        assert_eq!(next_number([even, torn]), 7, "6 would go where 4 is");
        assert_eq!(next_number([b"", b""]), 1);
        assert_eq!((length(even), length(b"root:x:0:0")), (even.len(), 0));
    }

    #[test]
    fn a_record_cut_off_anywhere_is_none() {
        let whole = record(6, &snapshot(7, Some(5))).unwrap();
        assert!(newest(&whole).is_ok());
        for length in 1..whole.len() {
            assert!(newest(&whole[..length]).is_err(), "{length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics(mut bytes: Vec<u8>, ours: bool) {
            if ours {
                let mut record = record(1, &snapshot(7, None)).unwrap();
                record.extend(&bytes);
                let at = bytes.len() % record.len();
                record[at] = bytes.first().copied().unwrap_or(0);
                bytes = record;
            }
            let _ = newest(&bytes).map(|(_, s)| s.saved.iter().filter_map(|s| s.restore(at(5))).count());
        }
    }
}
