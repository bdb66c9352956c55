//! The values of directives. An accepted value is within its bounds, and a refusal says what is allowed.
#![forbid(unsafe_code)]
#![no_main]

use intermission::settings::{self, Allowed, Apps, Control, ErrorStatus, HealthCode, PassOr};
use intermission::shared::pace::Pace;
use intermission::text::AppName;
use intermission::time::Msec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let code = told(ErrorStatus::parse(input));
    if let Some(code) = code {
        in_bounds(code);
        assert_eq!(input, code.number().to_string().as_bytes());
    }
    match told(PassOr::<ErrorStatus>::parse(input)) {
        Some(PassOr::Pass) => assert_eq!(input, b"pass"),
        Some(PassOr::Answer(answer)) => assert_eq!(Some(answer), code),
        None => assert_eq!(code, None),
    }
    match told(PassOr::<HealthCode>::parse(input)) {
        Some(PassOr::Pass) => assert_eq!(input, b"pass"),
        Some(PassOr::Answer(HealthCode::Good(good))) => assert!(good == 200 || good == 204),
        Some(PassOr::Answer(HealthCode::Bad(answer))) => assert_eq!(Some(answer), code),
        None => assert_eq!(code, None),
    }
    if let Some(lease) = told(settings::lease(input)) {
        assert!(lease.is_none_or(|time| time > Msec(0)));
        assert_eq!(lease.is_none(), input == b"off");
    }
    if let Some(max_held) = told(settings::max_held(input)) {
        assert!(max_held > 0 && input.iter().all(u8::is_ascii_digit));
    }
    // The arguments of one directive; each may stand once.
    let mut pace = Pace::default();
    for argument in input.split(|byte| *byte == b' ') {
        let Some(next) = told(settings::release(pace, argument)) else {
            break;
        };
        let (spread, concurrency) =
            (next.spread != pace.spread, next.concurrency != pace.concurrency);
        assert!(spread != concurrency, "{pace:?} {next:?}");
        assert!(!spread || pace.spread == Msec(0));
        assert!(!concurrency || pace.concurrency == 0);
        pace = next;
    }
    apps(input);
    match told(settings::control(input)) {
        Some(Control::Post) => assert_eq!(input, b"post"),
        Some(Control::Apps(list)) => {
            assert_eq!(input, [b"apps=", list].concat());
            apps(list);
            assert!(Apps::parse(list).is_some());
        }
        None => {
            assert_ne!(input, b"post");
            assert!(input.strip_prefix(b"apps=").is_none_or(|list| Apps::parse(list).is_none()));
        }
    }
});

/// The apps of a list, compared with a split by hand.
fn apps(list: &[u8]) {
    let mut names = vec![Vec::new()];
    for byte in list {
        match byte {
            b',' => names.push(Vec::new()),
            byte => names.last_mut().unwrap().push(*byte),
        }
    }
    let any = list == b"*";
    let is_name = |name: &Vec<u8>| (1..=128).contains(&name.len()) && name != b"*";
    let good = any || names.iter().all(is_name);
    let Some(apps) = Apps::parse(list) else {
        assert!(!good);
        return;
    };
    assert!(good && apps != Apps::None);
    assert_eq!(apps == Apps::Any, any);
    let (first, last) = (&names[0], &names[names.len() - 1]);
    for near in [first, last] {
        let (short, rest) = (&near[..near.len() - 1], &near[1..]);
        for name in [near, short, rest, &[near, &b","[..]].concat(), &list[1..], list, b"*"] {
            let Ok(app) = AppName::new(name) else { continue };
            assert_eq!(apps.contain(&app), any || names.iter().any(|one| one == name));
            assert!(!Apps::None.contain(&app));
        }
    }
}

fn told<T>(parsed: Result<T, Allowed>) -> Option<T> {
    parsed.map_err(|allowed| assert!(allowed.to_string().starts_with("it must be "))).ok()
}

fn in_bounds(code: ErrorStatus) {
    let number = code.number();
    assert!((400..600).contains(&number));
    assert!(!matches!(number, 401 | 408 | 444 | 494..=499));
    assert!(!code.is_temporary() || number == 503 || number == 504);
}
