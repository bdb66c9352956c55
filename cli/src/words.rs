//! Times and names, as they are read and written.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// A time that an operator gives: seconds with decimals, or units (`1m30s`, `500ms`). At most ten
/// years.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    let seconds = text.bytes().all(|c| c.is_ascii_digit() || c == b'.').then(|| text.parse().ok());
    let time = match seconds {
        Some(seconds) => seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok()),
        None => humantime::parse_duration(text).ok(),
    };
    let time = time.ok_or("is not a time: write it like 30s, 1m30s or 0.5")?;
    match (time.is_zero(), time > LONGEST) {
        (true, _) => Err("must be above 0".to_owned()),
        (_, true) => Err("is longer than ten years".to_owned()),
        _ => Ok(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1))),
    }
}

/// A time as a parameter of the endpoint.
pub fn parameter(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

/// A time for people, in seconds with at most one decimal.
pub fn seconds(time: Duration) -> String {
    let tenths = time.as_millis().div_ceil(100);
    match tenths % 10 {
        0 => format!("{} s", tenths / 10),
        tenth => format!("{}.{tenth} s", tenths / 10),
    }
}

/// How long it is from now to a time of an answer. Returns None if it is not one, or over.
pub fn until(time: &str) -> Option<Duration> {
    humantime::parse_rfc3339(time).ok()?.duration_since(SystemTime::now()).ok()
}

/// How long ago a time of an answer was. Returns None if it is not one, or to come.
pub fn ago(time: &str) -> Option<Duration> {
    humantime::parse_rfc3339(time).ok()?.elapsed().ok()
}

/// The caller's name at the endpoints: `name`, or the user and the machine, and a number that no
/// other call has. At most 64 bytes of ASCII.
pub fn caller(name: Option<&str>) -> String {
    let own = || {
        let names =
            ["SUDO_USER", "USER", "LOGNAME"].iter().filter_map(|name| std::env::var(name).ok());
        let user = names.into_iter().find(|name| !name.is_empty());
        let user = user.unwrap_or_else(|| match rustix::process::getuid().as_raw() {
            0 => "root".to_owned(),
            id => format!("uid {id}"),
        });
        let machine = rustix::system::uname();
        format!("{user}@{}", machine.nodename().to_string_lossy())
    };
    let name = name.filter(|name| !name.is_empty()).map_or_else(own, str::to_owned);
    let mut text: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .take(54)
        .collect();
    text.push_str(" #");
    for byte in nonce() {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn nonce() -> [u8; 4] {
    let mut bytes = [0; 4];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(4) => bytes,
        _ => {
            let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            (time.subsec_nanos() ^ std::process::id().rotate_left(16)).to_be_bytes()
        }
    }
}

/// Without control characters: what others chose must not change the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_at_the_endpoint() {
        let ms = |text| parse_time(text).map(|time| time.as_millis());
        assert_eq!(ms("30"), Ok(30_000));
        assert_eq!(ms("0.5"), Ok(500));
        assert_eq!(ms("1m30s"), Ok(90_000));
        assert_eq!(ms("500ms"), Ok(500));
        for wrong in ["", ".", "-1", "1e9", "x", "0", "0s", "99999999999999999999", "1.2.3"] {
            assert!(ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_callers_name_is_unique_and_short_enough() {
        let (one, two) = (caller(Some("alice")), caller(Some("alice")));
        assert!(one.starts_with("alice #") && one != two);
        assert_eq!(caller(Some(&"ü".repeat(99))).len(), 64);
    }
}
