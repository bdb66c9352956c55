//! A control request. The lines of the input are the location, the URI and the query.
#![forbid(unsafe_code)]
#![no_main]

use core::str::FromStr;

use intermission::control::command::{
    Asked, Change, Changes, Command, DisableArgs, Format, Manner, Method, Patience, PauseArgs,
    Place, Verb,
};
use intermission::control::form::Said;
use intermission::ids::PauseId;
use intermission::text::Address;
use intermission::time::{MaxTime, Msec};
use intermission::zone::{Expected, Intent};
use libfuzzer_sys::fuzz_target;

const VERBS: [Verb; 9] = [
    Verb::Status,
    Verb::Enable,
    Verb::Disable,
    Verb::Stop,
    Verb::Apps,
    Verb::Metrics,
    Verb::Dashboard,
    Verb::Script,
    Verb::Style,
];
const METHODS: [(Method, &str); 4] = [
    (Method::Get, "GET"),
    (Method::Head, "HEAD"),
    (Method::Post, "POST"),
    (Method::Other, "other"),
];
const TEN_YEARS: Msec = Msec(10 * 365 * 24 * 3_600_000);

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let [location, uri, query] = [(); 3].map(|()| lines.next().unwrap_or_default());
    for exact in [false, true] {
        let place = Place { location, exact };
        let named = VERBS.into_iter().find(|verb| names(place, *verb, uri));
        assert_eq!(Verb::at(place, uri), named);
        named.into_iter().for_each(methods);
    }
    let said = Said::in_query(query);
    let format = all(query, "format").map(decoded).collect::<Vec<_>>();
    let json = format.iter().any(|word| word.as_deref() == Some(b"json"));
    let written = Manner::of(None, said, core::iter::empty()).format;
    assert_eq!(written == Format::Json, json);
    for verb in VERBS {
        match verb.command(said, None) {
            Ok(asked) => {
                let known = |word: &Option<Vec<u8>>| {
                    [Some(&b"json"[..]), Some(b"text")].contains(&word.as_deref())
                };
                assert!(format.len() <= 1 && format.iter().all(known));
                understood(verb, &asked, query);
                leased(verb, &asked, query);
            }
            Err(bad) => {
                let words = bad.to_string();
                assert!(words.len() < 400 && words.starts_with("parameter \""), "{words}");
                let plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
                assert!(words.bytes().all(plain), "{words}");
                assert_eq!(verb.command(said, Some(Msec(1))), Err(bad), "the lease does not help");
            }
        }
    }
});

/// The word of a verb, and its parameters.
fn known(verb: Verb) -> (&'static str, &'static [&'static str]) {
    match verb {
        Verb::Status => ("status", &["format", "app"]),
        Verb::Enable => {
            let all = &["format", "app", "id", "paused", "new", "token", "by", "reason", "for", "wait", "keep"];
            ("enable", all)
        }
        Verb::Disable => {
            let all = &["format", "app", "id", "paused", "token", "by", "spread", "concurrency", "wait"];
            ("disable", all)
        }
        Verb::Stop => ("stop", &["format", "app", "id", "token", "by", "reason", "for"]),
        Verb::Apps => ("apps", &["format"]),
        Verb::Metrics => ("metrics", &["format"]),
        Verb::Dashboard => ("", &["format"]),
        Verb::Script => ("dashboard.js", &["format"]),
        Verb::Style => ("dashboard.css", &["format"]),
    }
}

/// Whether a request for `uri` is for this verb.
fn names(Place { location, exact }: Place<'_>, verb: Verb, uri: &[u8]) -> bool {
    let word = known(verb).0.as_bytes();
    if exact {
        let is_dashboards = matches!(verb, Verb::Dashboard | Verb::Script | Verb::Style);
        !is_dashboards && (uri == word || uri.ends_with(&[b"/", word].concat()))
    } else if location.ends_with(b"/") {
        uri == [location, word].concat()
    } else {
        uri == [location, b"/", word].concat() || (word.is_empty() && uri == location)
    }
}

fn methods(verb: Verb) {
    for changes in [Changes::ByGetOrPost, Changes::ByPost] {
        for (method, name) in METHODS {
            let said = verb.methods(changes).split(", ").any(|one| one == name);
            assert_eq!(verb.allows(method, changes), said, "{verb:?} {name}");
        }
        let gets = verb.allows(Method::Get, changes);
        assert!(!(verb.changes() && changes == Changes::ByPost && gets));
    }
}

/// The command is that of its verb, and has exactly the values in the query.
fn understood(verb: Verb, asked: &Asked, query: &[u8]) {
    for pair in query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let name = pair.split(|byte| *byte == b'=').next().unwrap();
        assert!(known(verb).1.iter().any(|known| known.as_bytes() == name));
    }
    let app = asked.app.map(|app| app.as_bytes().to_vec());
    assert_eq!(app, value(query, "app"));
    assert!(app.is_none_or(|app| app.len() <= 128));
    let which = match (verb, asked.command) {
        (Verb::Status, Command::Status)
        | (Verb::Apps, Command::Apps)
        | (Verb::Metrics, Command::Metrics)
        | (Verb::Dashboard, Command::Dashboard)
        | (Verb::Script, Command::Script)
        | (Verb::Style, Command::Style) => return,
        (Verb::Disable, Command::Change(Change::Disable(args))) => {
            let DisableArgs { which, by, pace, wait } = args;
            named(by, query);
            assert_eq!(pace.spread, time(query, "spread"));
            assert_eq!(pace.concurrency, value(query, "concurrency").map(number));
            assert_eq!(wait, time(query, "wait"));
            assert!(pace.spread.unwrap_or_default() <= TEN_YEARS);
            assert!(wait.is_none_or(|wait| Msec(0) < wait && wait <= TEN_YEARS));
            which
        }
        (Verb::Enable, Command::Change(Change::Enable(args, patience))) => {
            assert_eq!(patience.map(|patience| patience.wait), time(query, "wait"));
            let keep = patience.is_some_and(|patience| patience.keep);
            assert_eq!(keep.then(|| b"1".to_vec()), value(query, "keep"));
            if let Some(Patience { wait, .. }) = patience {
                assert!(Msec(0) < wait && wait <= TEN_YEARS);
                assert!(args.lease.is_none_or(|lease| wait < lease));
            }
            cause(args, query)
        }
        (Verb::Stop, Command::Change(Change::Stop(args))) => cause(args, query),
        other => panic!("another verb's command: {other:?}"),
    };
    let id = value(query, "id").map(|id| PauseId(number(id)));
    let is_paused = value(query, "paused").is_some();
    match which {
        Expected::This(this) | Expected::Paused(this) => {
            assert!(id == Some(this) && value(query, "new").is_none());
            assert_eq!(is_paused, which == Expected::Paused(this));
        }
        _ if is_paused => panic!("no number"),
        Expected::New => assert!(id.is_none() && value(query, "new").as_deref() == Some(b"1")),
        Expected::Any => assert!(id.is_none() && value(query, "new").is_none()),
    }
}

fn named(by: Option<Address>, query: &[u8]) {
    let by = by.map(|by| by.as_bytes().to_vec());
    assert_eq!(by, value(query, "by").filter(|by| !by.is_empty()));
    assert!(by.is_none_or(|by| by.len() <= 64));
}

fn cause(args: PauseArgs, query: &[u8]) -> Expected {
    named(args.by, query);
    assert_eq!(args.lease, time(query, "for"));
    assert!(args.lease.is_none_or(|lease| Msec(0) < lease && lease <= TEN_YEARS));
    assert_eq!(args.intent() == Intent::Change, args.lease.is_some() || args.reason.is_some());
    let reason = args.reason.map(|reason| reason.as_bytes().to_vec());
    assert_eq!(reason, value(query, "reason"));
    assert!(reason.is_none_or(|reason| reason.len() <= 256));
    args.which
}

/// If the query has no lease, the one of the location refuses a longer wait, and changes nothing else.
fn leased(verb: Verb, asked: &Asked, query: &[u8]) {
    let wait = match asked.command {
        Command::Change(Change::Enable(PauseArgs { lease: None, .. }, Some(patience))) => {
            patience.wait
        }
        _ => Msec(0),
    };
    assert_eq!(verb.command(Said::in_query(query), Some(wait.after(Msec(1)))), Ok(*asked));
    if wait > Msec(0) {
        let said = verb.command(Said::in_query(query), Some(wait)).unwrap_err().to_string();
        assert!(said.starts_with("parameter \"wait\" must be shorter"), "{said}");
    }
}

/// The raw values of a parameter in the query.
fn all<'q>(query: &'q [u8], name: &'q str) -> impl Iterator<Item = &'q [u8]> {
    query.split(|byte| *byte == b'&').filter_map(move |pair| {
        let rest = pair.strip_prefix(name.as_bytes())?;
        if rest.is_empty() {
            Some(rest)
        } else {
            rest.strip_prefix(b"=")
        }
    })
}

/// The decoded value of a parameter. Fails if the query has it twice.
fn value(query: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut said = all(query, name);
    let value = said.next();
    assert!(said.next().is_none(), "{name} is said twice");
    value.map(|value| decoded(value).unwrap())
}

fn time(query: &[u8], name: &str) -> Option<Msec> {
    value(query, name).map(|said| MaxTime::parse(&said).unwrap().msec())
}

fn number<N: FromStr>(digits: Vec<u8>) -> N {
    assert!(digits.iter().all(u8::is_ascii_digit));
    core::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok()).unwrap()
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
