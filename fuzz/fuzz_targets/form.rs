//! A request with a form. The lines of the input are the header Content-Type, the query and the body. A
//! form means what it would mean in the query, with each `+` a space.
#![forbid(unsafe_code)]
#![no_main]

use intermission::control::command::{Manner, Verb};
use intermission::control::form::{BadBody, Said, MAX_BODY};
use libfuzzer_sys::fuzz_target;

const FORM: &[u8] = b"application/x-www-form-urlencoded";

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let [content_type, query, form] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let length = form.len() as u64;
    match BadBody::find(length, Some(content_type)) {
        None => assert!(length == 0 || (is_form(content_type) && length <= MAX_BODY)),
        Some(BadBody::NoForm) => assert!(length > 0 && !is_form(content_type)),
        Some(BadBody::TooLong) => assert!(length > MAX_BODY),
    }
    let all = [query, &b"&"[..], &spaces(form)].concat();
    let (both, alone) = (Said { query, form }, Said::in_query(&all));
    let values = |said: Said<'_>| -> Vec<_> {
        let all = said.parameters();
        all.map(|(name, value)| (name.to_vec(), value.decode::<128>().ok())).collect()
    };
    assert_eq!(values(both), values(alone));
    let manner = |said| Manner::of(None, said, core::iter::empty());
    assert_eq!(manner(both), manner(alone));
    for verb in [Verb::Status, Verb::Enable, Verb::Disable, Verb::Stop, Verb::Apps] {
        let asked = |said| verb.command(said, None).map_err(|bad| bad.to_string());
        assert_eq!(asked(both), asked(alone));
    }
});

fn is_form(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap();
    String::from_utf8_lossy(media_type).trim_ascii().to_ascii_lowercase().as_bytes() == FORM
}

/// The form with `%20` for each `+` in a value. Names are not encoded.
fn spaces(form: &[u8]) -> Vec<u8> {
    let mut in_value = false;
    let mut spelled = Vec::new();
    for byte in form {
        match byte {
            b'&' => in_value = false,
            b'=' => in_value = true,
            _ => {}
        }
        match byte {
            b'+' if in_value => spelled.extend_from_slice(b"%20"),
            other => spelled.push(*other),
        }
    }
    spelled
}
