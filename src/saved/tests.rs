//! A file that is written comes back as it was; a file that is not whole does no harm.
#![forbid(unsafe_code)]

use super::*;
use crate::ids::{Epoch, PauseId, Token};
use crate::shared::app::{App, State};
use crate::shared::pace::Pace;
use crate::shared::terms::PauseRequest;
use crate::text::{Address, AppName, Reason};
use crate::time::{Msec, Now};

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
    Snapshot { pauses, written: Written::at(began, "boot"), saved, tokens: vec![] }
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
fn a_file_without_the_rest_of_a_lease_restores_the_whole_at_most() {
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

#[test]
fn a_pause_that_is_put_into_the_file_is_one_that_nginx_starts_with() {
    let name = AppName::new(b"web").unwrap();
    let one = Prepared {
        app: name,
        pause: PauseId(9),
        by: Address::new(b"fleet web 41 alice").unwrap(),
        reason: Reason::new(b"db switch").unwrap(),
        token: Token(41),
        left: Some(Msec(30_000)),
    };
    let now = later(20_000, 20_000);
    let tokens = vec![SavedToken::new(&name, Token(40))];
    let before = Snapshot { tokens, ..snapshot(7, Some(60_000)) };
    let file = before.with(&[one], |_| true, now, BOOT);
    assert_eq!((file.pauses, file.token(&name)), (9, Token(41)));
    let [other, app] = file.restored(later(25_000, 25_000), BOOT).try_into().unwrap();
    assert_eq!((app.name(), app.state(), app.pause()), (Some(&name), State::Paused, PauseId(9)));
    assert_eq!(app.until(), Some(now.after(Msec(30_000))));
    assert_eq!(other.until(), paused(Some(60_000)).until(), "what was there stays as it was");
    let again = file.with(&[Prepared { token: Token(3), ..one }], |_| false, now, BOOT);
    assert_eq!(again.restored(now, BOOT).len(), 1, "there is one of each app");
    assert_eq!(again.token(&name), Token(41), "a token does not become lower");
    assert!(again.restored(later(50_000, 50_000), BOOT).is_empty(), "the lease is over");
    let stopped = file.with(&[Prepared { left: None, ..one }], |_| false, now, BOOT);
    let [app] = stopped.restored(later(90_000_000, 90_000_000), BOOT).try_into().unwrap();
    assert_eq!((app.state(), app.until()), (State::Stopped, None));
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
