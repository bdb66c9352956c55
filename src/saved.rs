//! The state file: the pauses that are to live through a restart.
//!
//! Two records, written in turn, so that one is always whole: each a line with its number, its
//! length and its checksum, and the pauses as JSON. The valid one with the greater number counts.
#![forbid(unsafe_code)]

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use crate::ids::PauseId;
use crate::shared::app::{App, State};
use crate::shared::pace::Pace;
use crate::shared::terms::Terms;
use crate::text::{header_value, AppName, Text};
use crate::time::{Msec, Now};

/// Where the second record begins, in bytes; the first begins at 0.
pub const RECORD: usize = 4 << 20;

/// The length of a record's first line.
pub const LINE: usize = 64;

const MAGIC: &str = "intermission 1";

/// No lease is restored that lasts longer, in ms: 100 years.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// By so much, in ms, the two clocks may differ by rounding.
const ROUNDING: u64 = 1000;

/// A pause, as it is written. Names and reasons are percent-encoded; times are milliseconds since
/// 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    app: String,
    stopped: bool,
    pause: u64,
    began: u64,
    until: Option<u64>,
    /// How long the lease had to go when this was written, in ms.
    #[serde(default)]
    left: Option<u64>,
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
    #[serde(default)]
    pub written: Written,
    pub saved: Vec<Saved>,
}

/// When a snapshot was taken, in ms on both clocks, and the machine's start from which the monotonic
/// one counts. All zero and empty if the file does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Written {
    boot: String,
    monotonic: u64,
    wall: u64,
}

impl Written {
    /// At this time; `boot` is the kernel's name for the machine's start, empty if not known.
    pub fn at(now: Now, boot: &str) -> Self {
        Self { boot: boot.into(), monotonic: now.monotonic.0, wall: now.wall.0 }
    }

    /// How long ago that is; None if nothing is known. The monotonic clock says it until the machine
    /// starts anew. Then the wall's does, and 0 if that went back meanwhile.
    pub fn age(&self, now: Now, boot: &str) -> Option<Msec> {
        let (monotonic, wall) = (Msec(self.monotonic), Msec(self.wall));
        if !boot.is_empty() && self.boot == boot && monotonic <= now.monotonic {
            return Some(now.monotonic.since(monotonic));
        }
        (wall != Msec(0)).then(|| now.wall.since(wall))
    }
}

/// Why a file gives no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is not one of ours, and must not be written to.
    Foreign,
    /// It is ours, and neither record is whole.
    Broken,
}

impl Saved {
    /// Of an app that is paused or stopped, whoever may yet take that back.
    pub fn of(app: &App, now: Now) -> Option<Self> {
        let app = app.without_provisional();
        if !app.is_paused_or_stopped() {
            return None;
        }
        let (reason, by) = app.reason_and_by();
        let saved = Self {
            app: header_value(app.name()?.as_bytes()).to_string(),
            stopped: app.state() == State::Stopped,
            pause: app.pause().0,
            began: app.began().wall.0,
            until: app.until().map(|until| until.wall.0),
            left: app.until().map(|until| until.monotonic.since(now.monotonic).0),
            reason: header_value(reason.as_bytes()).to_string(),
            by: header_value(by.as_bytes()).to_string(),
            spread: app.pace().spread.0,
            concurrency: app.pace().concurrency,
        };
        Some(saved)
    }

    /// The app, paused or stopped as it was; None if a value makes no sense or the lease has ended.
    /// `age` says how long ago this was written.
    pub fn restore(&self, age: Option<Msec>, now: Now) -> Option<App> {
        let began = Msec(self.began);
        let began = Now {
            monotonic: if began >= now.wall {
                now.monotonic.after(began.since(now.wall))
            } else {
                now.monotonic.since(now.wall.since(began))
            },
            wall: began,
        };
        let until = match self.until {
            None => Now::NEVER,
            Some(wall) => self.end(Msec(wall), age, now)?,
        };
        Some(App::restored(
            decode(&self.app)?,
            if self.stopped { State::Stopped } else { State::Paused },
            PauseId(self.pause),
            began,
            Terms {
                reason: decode(&self.reason)?,
                by: decode(&self.by)?,
                until,
                pace: Pace { spread: Msec(self.spread), concurrency: self.concurrency },
            },
        ))
    }

    /// The end of the lease, which was to be at `wall`; None if that is over. It is never further away
    /// than it was when this was written, whatever the wall's clock says.
    fn end(&self, wall: Msec, age: Option<Msec>, now: Now) -> Option<Now> {
        let by_wall = wall.since(now.wall);
        let left = match (self.left, age) {
            (Some(left), Some(age)) => Msec(left).since(age),
            (Some(left), None) => by_wall.min(Msec(left)),
            (None, _) => by_wall.min(wall.since(Msec(self.began))),
        };
        let left = left.min(Msec(LONGEST));
        let agree = by_wall.0.abs_diff(left.0) <= ROUNDING && by_wall > Msec(0);
        let wall = if agree { wall } else { now.wall.after(left) };
        (left > Msec(0)).then(|| Now { monotonic: now.monotonic.after(left), wall })
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
    use crate::ids::Epoch;
    use crate::shared::terms::PauseRequest;
    use crate::text::{Address, AppName, Reason};

    fn at(wall: u64) -> Now {
        Now { monotonic: Msec(50_000), wall: Msec(wall) }
    }

    fn paused(lease: Option<u64>) -> App {
        let mut app = App::UNUSED;
        app.create(AppName::new(b"a\"\xff/").unwrap(), Epoch(1));
        let request = PauseRequest {
            number: PauseId(7),
            by: Address::new(b"127.0.0.1").unwrap(),
            reason: Reason::new(b"db\nswitch").ok(),
            lease: lease.map(Msec),
            pace: Pace { spread: Msec(5), concurrency: 3 },
        };
        app.enable(&request, at(1_000_000), Epoch(2));
        app
    }

    fn snapshot(pauses: u64, lease: Option<u64>) -> Snapshot {
        let began = at(1_000_000);
        let saved = vec![Saved::of(&paused(lease), began).unwrap()];
        Snapshot { pauses, written: Written::at(began, "boot"), saved }
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

    const BOOT: &str = "boot";

    /// The end of a lease of 60 s, written at once, if nginx starts at this time.
    fn until(now: Now, boot: &str) -> Option<Now> {
        let snapshot = snapshot(7, Some(60_000));
        let app = snapshot.saved[0].restore(snapshot.written.age(now, boot), now)?;
        app.until()
    }

    fn later(monotonic: u64, wall: u64) -> Now {
        Now { monotonic: Msec(50_000 + monotonic), wall: Msec(1_000_000 + wall) }
    }

    #[test]
    fn a_pause_comes_back_as_it_was_and_its_lease_counts_on() {
        let before = paused(Some(60_000));
        let saved = Saved::of(&before, at(1_000_000)).unwrap();
        let after = saved.restore(Some(Msec(10_000)), later(10_000, 10_000)).unwrap();
        assert_eq!(after.name(), before.name());
        assert_eq!((after.state(), after.pause()), (State::Paused, PauseId(7)));
        assert_eq!((after.reason_and_by(), after.pace()), (before.reason_and_by(), before.pace()));
        assert_eq!(after.until(), before.until());
        assert_eq!(until(later(10_000, 10_000), BOOT), before.until());
        assert_eq!(until(later(60_000, 60_000), BOOT), None, "the lease ended");
    }

    #[test]
    fn a_lease_never_has_more_to_go_than_when_it_was_written() {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        let behind = Now { monotonic: Msec(5_000), wall: Msec(1_000_000 - 500_000) };
        let end = behind.after(Msec(60_000));
        assert_eq!(until(behind, "another boot"), Some(end), "the clock went back");
        let ahead = later(1, DAY);
        assert_eq!(until(ahead, "another boot"), None, "the clock went forth");
        let sooner = ahead.after(Msec(60_000 - 1));
        assert_eq!(until(ahead, BOOT), Some(sooner), "but the machine ran on");
        let behind = Now { monotonic: Msec(50_000 + 59_000), wall: Msec(3) };
        assert_eq!(until(behind, BOOT), Some(behind.after(Msec(1_000))), "as it did here");
        assert_eq!(until(later(60_000, 0), BOOT), None, "and here");
    }

    #[test]
    fn a_file_that_does_not_say_what_was_left_bounds_it_by_the_whole_lease() {
        let mut saved = Saved::of(&paused(Some(60_000)), at(1_000_000)).unwrap();
        saved.left = None;
        let early = Now { monotonic: Msec(9), wall: Msec(1_000_000 - 500_000) };
        let until = |now| saved.restore(Written::default().age(now, BOOT), now)?.until();
        assert_eq!(until(early), Some(early.after(Msec(60_000))));
        let usual = later(0, 20_000);
        assert_eq!(until(usual), Some(usual.after(Msec(40_000))));
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
            let _ = newest(&bytes).map(|(_, s)| {
                let age = s.written.age(at(5), "");
                s.saved.iter().filter_map(|s| s.restore(age, at(5))).count()
            });
        }
    }
}
