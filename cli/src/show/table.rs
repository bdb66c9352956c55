//! The table of `status`.
#![forbid(unsafe_code)]

use comfy_table::{presets, ContentArrangement, Table};

use crate::client::answer::{State, Status};
use crate::verbs::status::Row;
use crate::words::{ago, printable, until};

/// A line for each app, and below it what the columns have no room for.
pub fn status(rows: &[(String, Row)]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "HOST",
        "APP",
        "STATE",
        "PAUSE",
        "FOR",
        "ENDS IN",
        "BY",
        "HELD",
        "IN FLIGHT",
        "ROOM",
    ]);
    let mut notes = String::new();
    let mut failures = String::new();
    for (host, row) in rows {
        match row {
            Ok((status, _)) => {
                table.add_row(line(host, status));
                notes.push_str(&self::notes(host, status));
            }
            Err(failure) => {
                let text = failure.text.lines().map(printable).collect::<Vec<_>>().join("; ");
                failures.push_str(&format!("{host}: {text}\n"));
            }
        }
    }
    let table = match table.row_count() {
        0 => String::new(),
        _ => table.lines().map(|line| line.trim_end().to_owned() + "\n").collect(),
    };
    table + &notes + &failures
}

fn line(host: &str, status: &Status) -> [String; 10] {
    let closed = matches!(status.state, State::Paused | State::Stopped);
    let short = |time: Option<std::time::Duration>| {
        time.map(|time| humantime::format_duration(std::time::Duration::from_secs(time.as_secs())))
    };
    let dash = || "-".to_owned();
    let since = status.since.as_deref().and_then(ago);
    let ends = status.until.as_deref().and_then(until);
    [
        host.to_owned(),
        if status.app.is_empty() { "(default)".to_owned() } else { printable(&status.app) },
        status.state.word().to_owned(),
        if status.pause == 0 { dash() } else { status.pause.to_string() },
        short(since).map_or_else(dash, |time| time.to_string()),
        match (short(ends), closed) {
            (Some(time), _) => time.to_string(),
            (None, true) => "never".to_owned(),
            (None, false) => dash(),
        },
        status.by.as_deref().map_or_else(dash, printable),
        status.held.to_string(),
        status.in_flight.to_string(),
        status.room.to_string(),
    ]
}

/// What an operator must see beside the numbers.
fn notes(host: &str, status: &Status) -> String {
    let mut notes = Vec::new();
    if let Some(reason) = &status.reason {
        notes.push(format!("reason: {reason}"));
    }
    if let Some(until) = &status.waiting_until {
        notes.push(format!("may be rolled back until {until}"));
    }
    if status.state == State::Paused || status.waiting_until.is_some() {
        for one in &status.oldest_in_flight {
            notes.push(format!(
                "in flight: {} {} from {}, for {} s, waits for {}",
                one.method, one.uri, one.client, one.seconds, one.waits_for
            ));
        }
    }
    if status.abandoned > 0 {
        notes.push(format!("given up within the last minute: {}", status.abandoned));
    }
    if status.expired_to_app > 0 {
        notes.push(format!("expired and passed on to the paused app: {}", status.expired_to_app));
    }
    if !matches!(status.state_file.as_str(), "" | "ok" | "off") {
        notes.push(format!("state file: {}", status.state_file));
    }
    notes.iter().map(|note| format!("{host}: {}\n", printable(note))).collect()
}
