//! Times: any bytes are read, and any point in time is shown.
#![forbid(unsafe_code)]
#![no_main]

use intermission::time::{rfc3339, MaxTime, Msec};
use libfuzzer_sys::fuzz_target;

const TEN_YEARS: Msec = Msec(10 * 365 * 24 * 3_600_000);
/// The last millisecond of the year 9999.
const LAST: u64 = 253_402_300_799_999;

fuzz_target!(|input: &[u8]| {
    if let Ok(time) = MaxTime::parse(input) {
        let time = time.msec();
        assert!(time <= TEN_YEARS);
        assert!(input.iter().any(u8::is_ascii_digit));
        assert!(input.iter().all(|byte| b"0123456789. wdhms".contains(byte)));
        assert_eq!(parse(&time.seconds().to_string()), Some(time), "seconds do not read back");
        assert_eq!(parse(&format!("{}ms", time.0)), Some(time), "milliseconds do not read back");
    }
    decimals(input);
    if let Some(bytes) = input.first_chunk() {
        shown(u64::from_le_bytes(*bytes));
        shown(u64::from_le_bytes(*bytes) % (LAST + 1));
    }
});

fn parse(text: &str) -> Option<Msec> {
    MaxTime::parse(text.as_bytes()).map(MaxTime::msec).ok()
}

/// Seconds with decimals are computed by hand.
fn decimals(input: &[u8]) {
    let digits: String = input.iter().map(|byte| char::from(b'0' + byte % 10)).collect();
    let (whole, fraction) = digits.split_at(digits.len().min(10));
    let meant = whole.parse::<u64>().map(|seconds| {
        let msec: u64 = format!("{fraction:0<3}")[..3].parse().unwrap_or(0);
        let least = u64::from(seconds > 0 || fraction.bytes().any(|digit| digit != b'0'));
        Msec((seconds * 1000 + msec).max(least))
    });
    let meant = meant.ok().filter(|time| *time <= TEN_YEARS);
    assert_eq!(parse(&format!("{whole}.{fraction}")), meant, "{whole}.{fraction}");
}

/// The shown point in time is computed back by hand.
fn shown(unix: u64) {
    let text = rfc3339(Msec(unix)).to_string();
    assert_eq!(text.len(), "2012-05-01T09:30:00.000Z".len());
    let number = |from: usize, to: usize| text[from..to].parse::<u64>().unwrap();
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    assert!((1..=12).contains(&month) && day >= 1 && day <= lengths[month as usize - 1], "{text}");
    let years = (1970..year).map(|year| 365 + u64::from(leap(year)));
    let days = years.chain(lengths[..month as usize - 1].iter().copied()).sum::<u64>() + day - 1;
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    assert!(hour < 24 && minute < 60 && second < 60, "{text}");
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    assert_eq!(seconds * 1000 + number(20, 23), unix.min(LAST), "{text}");
}
