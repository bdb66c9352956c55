//! The pauses of a state file with a valid checksum: an app comes back as the file says, or not at all.
//! The first two lines of the input are the clocks when nginx starts, in milliseconds: the monotonic
//! one and the wall clock. The rest is the content of the file.
#![forbid(unsafe_code)]
#![no_main]

use intermission::saved::{newest, record, Saved, Snapshot, Written};
use intermission::shared::app::State;
use intermission::time::{rfc3339, Msec, Now};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let [monotonic, wall, json] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let (Some(monotonic), Some(wall)) = (msec(monotonic), msec(wall)) else { return };
    let now = Now { monotonic, wall };
    let Ok((number, snapshot)) = newest(&whole(7, json)) else {
        assert!(serde_json::from_slice::<Snapshot>(json).is_err());
        return;
    };
    assert_eq!(number, 7);
    let age = snapshot.written.age(now, "boot");
    let again = Snapshot {
        pauses: snapshot.pauses,
        written: Written::at(now, "boot"),
        saved: snapshot.saved.iter().filter_map(|saved| restored(saved, age, now)).collect(),
        tokens: snapshot.tokens.clone(),
    };
    // A restored app is saved and read back unchanged.
    let Some(record) = record(8, &again) else { return };
    assert_eq!(newest(&record), Ok((8, again.clone())));
    for saved in &again.saved {
        let age = again.written.age(now, "boot");
        assert_eq!(restored(saved, age, now).as_ref(), Some(saved));
    }
});

fn restored(saved: &Saved, age: Option<Msec>, now: Now) -> Option<Saved> {
    let app = saved.restore(age, now)?;
    assert!(matches!(app.state(), State::Paused | State::Stopped));
    assert!(app.name().is_some());
    if let Some(until) = app.until() {
        assert!(until.wall > now.wall && until.monotonic >= now.monotonic);
    }
    assert!(app.retry_after(now) >= 1);
    let _ = (rfc3339(app.began().wall).to_string(), rfc3339(app.since().wall).to_string());
    let (reason, by) = app.reason_and_by();
    let _ = (reason.to_string(), by.to_string(), app.pace().is_unlimited());
    Saved::of(&app, now)
}

fn msec(line: &[u8]) -> Option<Msec> {
    // No clock is further.
    let msec = core::str::from_utf8(line).ok()?.parse().ok().filter(|msec| *msec < u64::MAX / 4);
    msec.map(Msec)
}

/// A record with this JSON.
fn whole(number: u64, json: &[u8]) -> Vec<u8> {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&number.to_le_bytes());
    sum.update(json);
    let line = format!("intermission 1 {number} {} {:x}", json.len(), sum.finalize());
    [format!("{line:<63}\n").as_bytes(), json].concat()
}
