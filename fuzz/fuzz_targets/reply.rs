//! Two apps with any bytes in their names and reason: their JSON and metrics can be read by others.
//!
//! The first eleven bytes of the input are the lengths of the names, a state and a number. The names
//! follow; the rest is the reason.
#![forbid(unsafe_code)]
#![no_main]

use std::collections::{HashMap, HashSet};

use intermission::control::answer::AppList;
use intermission::control::command::Verb;
use intermission::control::form::Said;
use intermission::control::metrics;
use intermission::control::status::{LastDrain, PauseNumber, Seconds, Slots, Status, Time};
use intermission::control::versions::Versions;
use intermission::ids::PauseId;
use intermission::shared::totals::{Holds, Totals};
use intermission::shared::word::Word;
use intermission::text::{header_value, AppName, Reason};
use intermission::time::{Msec, Now};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const SLOTS: Slots = Slots { used: 3, total: u32::MAX };
const WORDS: [(Word, &str); 4] = [
    (Word::Open, "open"),
    (Word::Paused, "paused"),
    (Word::Draining, "draining"),
    (Word::Stopped, "stopped"),
];

fuzz_target!(|input: &[u8]| {
    let Some(([one, two, state, number @ ..], rest)) = input.split_first_chunk::<11>() else {
        return;
    };
    let (one, rest) = rest.split_at(rest.len().min(usize::from(one % 129)));
    let (two, reason) = rest.split_at(rest.len().min(usize::from(two % 129)));
    let number = u64::from_le_bytes(*number);
    let [one, two] = [one, two].map(|name| app(name, reason, *state, number));
    let mut apps = vec![one];
    if two.app != one.app {
        apps.push(two);
    }
    json(&apps, Now { monotonic: Msec(number), wall: Msec(number) });
    prometheus(&apps);
});

fn app(name: &[u8], reason: &[u8], state: u8, number: u64) -> Status {
    let time = Some(Time(Msec(number)));
    let mut holds = Holds::NONE;
    (0..64).step_by(5).for_each(|bit| holds.add(Msec(number >> bit)));
    Status {
        state: WORDS[usize::from(state % 4)].0,
        pause: PauseNumber(PauseId(number)),
        since: time,
        until: time,
        reason: Some(Reason::new(reason.get(..256).unwrap_or(reason)).unwrap()),
        held: number as u32,
        oldest_held_seconds: Seconds(Msec(number)),
        last_drain: time.map(|ended| LastDrain {
            pause: PauseId(number),
            released: number,
            failed: !number,
            seconds: Seconds(Msec(number)),
            ended,
        }),
        totals: Totals { held: number, lost: !number, ..Totals::NONE },
        slots: SLOTS,
        pauses: number,
        holds,
        ..Status::unknown(AppName::new(name).unwrap())
    }
}

fn versions() -> Versions {
    Versions::new(b"nginx/1.28.3")
}

fn json(apps: &[Status], now: Now) {
    let text = serde_json::to_string(&AppList::new(apps.to_vec(), versions(), now)).unwrap();
    assert!(!text.bytes().any(|byte| byte < b' '));
    // Quotes in a value are escaped: so this can only be the key.
    for key in ["\"app\":", "\"app_encoded\":", "\"reason\":", "\"state\":"] {
        assert_eq!(text.matches(key).count(), apps.len());
    }
    let read: Value = serde_json::from_str(&text).unwrap();
    let listed = read["apps"].as_array().unwrap();
    assert_eq!(listed.len(), apps.len());
    for (read, app) in listed.iter().zip(apps) {
        let lossy = |bytes| Value::from(String::from_utf8_lossy(bytes));
        assert_eq!(read["app"], lossy(app.app.as_bytes()));
        assert_eq!(read["reason"], lossy(app.reason.unwrap().as_bytes()));
        assert!(WORDS.contains(&(app.state, read["state"].as_str().unwrap())));
        assert_eq!(read["pause"].as_u64(), Some(app.pause.0 .0));
        assert_eq!(read["totals"]["lost"].as_u64(), Some(app.totals.lost));
        assert_eq!(read["last_drain"]["failed"].as_u64(), app.last_drain.map(|one| one.failed));
        assert_eq!(read["last_drain"]["seconds"].as_f64().is_some(), app.last_drain.is_some());
        encoded(read["app_encoded"].as_str().unwrap(), &app.app);
        assert!(app.retry_after(now) >= 1);
    }
}

/// The app's name as in a query. It is harmless in a header.
fn encoded(text: &str, app: &AppName) {
    let query = format!("app={text}&format=json");
    assert_eq!(
        Verb::Status.command(Said::in_query(query.as_bytes()), None).unwrap().app,
        Some(*app)
    );
    assert_eq!(text, header_value(app.as_bytes()).to_string());
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    assert_eq!(bytes, app.as_bytes());
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)));
}

/// Each line has the right format, each family is announced once and is complete, no series is there
/// twice, and the buckets of a histogram grow up to its count.
fn prometheus(apps: &[Status]) {
    let text = metrics::render(apps, SLOTS, &versions());
    let names: Vec<String> = apps.iter().map(label).collect();
    let (mut kinds, mut seen, mut counts) = (HashMap::new(), HashSet::new(), HashMap::new());
    let mut family = "";
    for line in text.strip_suffix('\n').unwrap().split('\n') {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').unwrap().0;
            assert!(is_name(family) && !kinds.contains_key(family), "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let kind = kind.strip_prefix(family).and_then(|kind| kind.strip_prefix(' ')).unwrap();
            assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(family, kind).is_none(), "{line}");
            continue;
        }
        let Sample { name, labels, value } = sample(line).unwrap_or_else(|| panic!("{line:?}"));
        let part = name.strip_prefix(family).unwrap();
        let histogram = kinds[family] == "histogram";
        assert!(if histogram { PARTS.contains(&part) } else { part.is_empty() }, "{line}");
        assert!(value >= 0.0 && seen.insert((name, labels.clone())), "{line:?} is there twice");
        if part == "_bucket" || part == "_count" {
            let before = counts.insert(labels[0].clone(), value);
            assert!(before.is_none_or(|before| before <= value), "{line}");
            assert!(part == "_bucket" || before == Some(value), "{line}");
        }
        if name == "intermission_build_info" {
            let keys: Vec<_> = labels.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, ["version", "nginx"]);
        } else if let Some((key, app)) = labels.first() {
            assert!(*key == "app" && names.contains(app), "{line:?}");
        }
    }
    assert_eq!((kinds.len(), seen.len()), (FAMILIES, 4 + apps.len() * SERIES));
}

const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];
const FAMILIES: usize = 25;
/// The series of an app: gauges and counters, outcomes, reasons, buckets, and the histogram's sum and
/// count.
const SERIES: usize = 18 + 8 + 5 + 11 + 2;

/// A readable name is its own label. Any other name, and one that looks escaped, shows its bytes.
fn label(app: &Status) -> String {
    let name = app.app.as_bytes();
    match core::str::from_utf8(name) {
        Ok(text) if !text.contains("\\x") => text.to_owned(),
        _ => name.escape_ascii().to_string(),
    }
}

struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

/// The text format of <https://prometheus.io/docs/instrumenting/exposition_formats/>, without the
/// optional spaces.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(mut more) = rest.strip_prefix('{') {
        loop {
            let (label, behind) = more.split_once("=\"")?;
            let (value, behind) = unquoted(behind)?;
            labels.push((label, value));
            match behind.split_at_checked(1)? {
                (",", behind) => more = behind,
                ("}", behind) => break rest = behind,
                _ => return None,
            }
        }
    }
    let value = rest.strip_prefix(' ')?;
    let plain = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let good = plain && is_name(name) && labels.iter().all(|(label, _)| is_name(label));
    good.then_some(Sample { name, labels, value: value.parse().ok()? })
}

/// The value up to its closing quote, and the rest.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut chars = text.chars();
    let mut value = String::new();
    loop {
        value.push(match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => match chars.next()? {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            },
            '\n' => return None,
            plain => plain,
        });
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    bytes.next().is_some_and(letter) && bytes.all(|byte| letter(byte) || byte.is_ascii_digit())
}
