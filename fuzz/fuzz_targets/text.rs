//! Names and reasons with any bytes are harmless wherever they are printed.
#![forbid(unsafe_code)]
#![no_main]

use intermission::text::{header_value, AppName, Lossy, Text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let short = Text::<64>::new(input);
    assert_eq!(short.is_ok(), input.len() <= 64);
    let Ok(text) = AppName::new(input) else {
        assert!(input.len() > 128);
        return;
    };
    assert_eq!(text.as_bytes(), input);
    assert_eq!(text.is_empty(), input.is_empty());

    let line = text.to_string();
    assert!(line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
    assert!(!line.replace("\\\\", "").replace("\\\"", "").contains('"'), "{line}");

    let value = header_value(input).to_string();
    assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)));

    let json = serde_json::to_string(&text).unwrap();
    let read: String = serde_json::from_str(&json).unwrap();
    assert_eq!(read, String::from_utf8_lossy(input));
    assert_eq!(read, Lossy(input).to_string());
    assert!(!json.bytes().any(|byte| byte < b' '));
});
