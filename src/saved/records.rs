//! The file's two records: where each goes, what is written, and which of them counts.
#![forbid(unsafe_code)]

use super::snapshot::Snapshot;

/// Where the second record begins, in bytes. The first begins at 0.
pub const RECORD: usize = 4 << 20;

/// The length of a record's first line, in bytes.
pub const LINE: usize = 64;

const MAGIC: &str = "intermission 1";

/// Why no state can be read from a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is no state file, and must not be written to.
    Foreign,
    /// It is a state file, and neither record is whole.
    Broken,
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

/// How many bytes a record has, by its first [`LINE`] bytes. Returns 0 if they are not a record's.
pub fn length(line: &[u8]) -> usize {
    let words = core::str::from_utf8(line).ok().and_then(|text| text.strip_prefix(MAGIC));
    let json = words.and_then(|words| words.split_ascii_whitespace().nth(1)?.parse().ok());
    json.map_or(0, |json: usize| LINE.saturating_add(json)).min(RECORD)
}

/// The number for the next record after these. It is greater than both, and the record does not go
/// where the newest whole one is.
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

/// A record as it is written. Returns None if it does not fit.
pub fn record(number: u64, snapshot: &Snapshot) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(snapshot).ok()?;
    let sum = checksum(number, &json);
    let line = format!("{MAGIC} {number:020} {:08} {sum:08x}", json.len());
    let mut record = format!("{line:<width$}\n", width = LINE - 1).into_bytes();
    record.extend(json);
    (record.len() <= RECORD).then_some(record)
}

/// The newest record in a file with this content: its number and what it holds. An empty file
/// counts as a record with number 0.
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
