//! The header Accept. Each line of the input is a line of the header.
#![forbid(unsafe_code)]
#![no_main]

use intermission::control::accept::prefers_json;
use libfuzzer_sys::fuzz_target;

const JSON: &[u8] = b"application/json";

fuzz_target!(|input: &[u8]| {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let likes = prefers_json(lines.iter().copied());
    let named = lines
        .iter()
        .any(|line| line.windows(JSON.len()).any(|part| part.eq_ignore_ascii_case(JSON)));
    assert!(named || !likes);
    // Quotes may hide what follows them.
    if input.contains(&b'"') {
        return;
    }
    let one_line = input.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b","[..]);
    assert_eq!(prefers_json([&one_line[..]].into_iter()), likes, "lines are one list");
    let ranges = one_line.split(|byte| *byte == b',');
    assert_eq!(prefers_json(ranges), likes, "the list is one of ranges");
    let more = |range: &'static [u8]| prefers_json(lines.iter().copied().chain([range]));
    assert!(!more(b"text/plain"), "nothing is liked better than q=1");
    assert_eq!(more(b"image/png;q=0.1"), likes);
    assert!(likes || !more(b"application/json;q=0"));
    assert!(!likes || more(b"application/json"));
});
