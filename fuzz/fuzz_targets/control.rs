//! A control request: location, URI, query and the header Accept, each a line of the input.
#![forbid(unsafe_code)]
#![no_main]

use intermission::control::{self, Command, Format, Method, Place, Verb};
use intermission::time::Msec;
use intermission::zone::Which;
use libfuzzer_sys::fuzz_target;

const VERBS: [Verb; 4] = [Verb::Status, Verb::Enable, Verb::Disable, Verb::Stop];
const TEN_YEARS: Msec = Msec(10 * 365 * 24 * 3_600_000);

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(4, |byte| *byte == b'\n');
    let [location, uri, query, accept] = [(); 4].map(|()| lines.next().unwrap_or_default());
    for exact in [false, true] {
        if let Some(verb) = Verb::at(Place { location, exact }, uri) {
            assert!(uri.ends_with(word(verb)), "the verb is not the last that was asked for");
            assert!(verb.allows(Method::Get) && !verb.allows(Method::Other));
        }
    }
    let format = control::format(query, accept);
    for verb in VERBS {
        match verb.command(query) {
            Ok(command) => {
                understood(verb, &command, query);
                assert!(format == Format::Json || !query.starts_with(b"format="));
            }
            Err(bad) => {
                let said = bad.to_string();
                assert!(said.len() < 400 && said.starts_with("parameter \""), "{said}");
                assert!(said.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{said}");
            }
        }
    }
});

fn word(verb: Verb) -> &'static [u8] {
    match verb {
        Verb::Status => b"status",
        Verb::Enable => b"enable",
        Verb::Disable => b"disable",
        Verb::Stop => b"stop",
    }
}

/// A command is the one of its verb, within its bounds, and says what the query said and no more.
fn understood(verb: Verb, command: &Command, query: &[u8]) {
    let has = |name: &[u8]| {
        query.split(|byte| *byte == b'&').filter(|pair| pair.starts_with(name)).count() == 1
    };
    let which = match (verb, *command) {
        (Verb::Status, Command::Status) => return,
        (Verb::Disable, Command::Disable { which, pace }) => {
            assert_eq!(pace.spread.is_some(), has(b"spread="));
            assert_eq!(pace.concurrency.is_some(), has(b"concurrency="));
            assert!(pace.spread.unwrap_or_default() <= TEN_YEARS);
            which
        }
        (Verb::Enable, Command::Enable(shut)) | (Verb::Stop, Command::Stop(shut)) => {
            assert_eq!(shut.lease.is_some(), has(b"for="));
            assert!(shut.lease.is_none_or(|lease| Msec(0) < lease && lease <= TEN_YEARS));
            assert!(shut.asks_for_change() || (shut.lease.is_none() && shut.reason.is_none()));
            let reason = shut.reason.map(|reason| reason.as_bytes().to_vec());
            let said = query.split(|byte| *byte == b'&').find_map(|pair| match pair {
                b"reason" => Some(&[][..]),
                pair => pair.strip_prefix(b"reason="),
            });
            assert_eq!(reason, said.map(|said| decoded(said).unwrap()));
            assert!(reason.is_none_or(|reason| reason.len() <= 256));
            shut.which
        }
        other => panic!("another verb's command: {other:?}"),
    };
    match which {
        Which::This(_) => assert!(has(b"id=")),
        Which::New => assert!(has(b"new=1") && verb == Verb::Enable),
        Which::Any => assert!(!has(b"id=") && !has(b"new=")),
    }
}

fn decoded(mut value: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let [first, rest @ ..] = value {
        let (rest, byte) = match (first, rest) {
            (b'%', [high, low, rest @ ..]) => {
                let digits = [*high, *low].map(|digit| char::from(digit).to_digit(16));
                (rest, digits[0]? as u8 * 16 + digits[1]? as u8)
            }
            (b'%', _) => return None,
            (plain, rest) => (rest, *plain),
        };
        bytes.push(byte);
        value = rest;
    }
    Some(bytes)
}
