//! A state file: two records made from the input, whole, torn or overwritten.
//!
//! The first six bytes of the input are the number of the records, how much of the newer one is written
//! (two bytes), the number of the pauses, and which bit of the older one flips (two bytes). The rest
//! is the pauses as JSON, and the earlier content of the file.
#![forbid(unsafe_code)]
#![no_main]

use std::cell::RefCell;

use intermission::saved::{newest, place, record, Snapshot, Unusable, Written, RECORD};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // The input itself.
    match newest(input) {
        Ok((number, _)) => assert!(!input.is_empty() || number == 0),
        Err(Unusable::Foreign) => assert!(!input.starts_with(b"intermission 1")),
        Err(Unusable::Broken) => assert!(input.starts_with(b"intermission 1")),
    }
    // The writer dies: the record before is still there, or the new one is complete.
    let Some(([number, low, high, pauses, byte, bit], noise)) = input.split_first_chunk::<6>()
    else {
        return;
    };
    let (number, pauses) = (u64::from(*number) + 1, u64::from(*pauses));
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let (old, new) = (snapshot(pauses, noise), snapshot(pauses + 1, noise));
    let (Some(first), Some(second)) = (record(number, &old), record(number + 1, &new)) else {
        return;
    };
    FILE.with_borrow_mut(|file| {
        let written = length.min(second.len());
        write(file, place(number), &first);
        // The earlier content is still there behind the written part of the new record.
        write(file, place(number + 1), noise);
        write(file, place(number + 1), &second[..written]);
        let found = newest(file);
        if written == second.len() {
            assert_eq!(found, Ok((number + 1, new)));
        } else {
            assert_eq!(found, Ok((number, old.clone())), "{written} of {}", second.len());
        }
        // A bit of the older one flips: it is not valid any more.
        file[place(number) + usize::from(*byte) % first.len()] ^= 1 << (bit % 8);
        if let Ok(found) = newest(file) {
            assert!(found.0 == number + 1 || found == (number, old));
        }
        for start in [0, RECORD] {
            file[start..start + MAX_PAYLOAD].fill(0);
        }
    });
});

fn snapshot(pauses: u64, noise: &[u8]) -> Snapshot {
    let saved = noise.get(..256).unwrap_or(noise);
    let saved = serde_json::from_slice(saved).unwrap_or_default();
    Snapshot { pauses, written: Written::default(), saved, tokens: vec![] }
}

fn write(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// More than a record ever takes: an input of libFuzzer has at most 4096 bytes.
const MAX_PAYLOAD: usize = 1 << 14;

thread_local! {
    /// All zero between two inputs.
    static FILE: RefCell<Vec<u8>> = RefCell::new(vec![0; RECORD + MAX_PAYLOAD]);
}
