//! A pattern (the first line of the input) and a User-Agent (the rest): any two have an answer in time.
#![forbid(unsafe_code)]
#![no_main]

use std::time::Duration;

use cpu_time::ThreadTime;
use intermission::request::admit::{admit, Admission, Rules, Visit};
use intermission::request::agent::{oddity, privileged, Match, Oddity};
use libfuzzer_sys::fuzz_target;

/// Far more processor time than the longest search takes in a build with checks.
const LONG: Duration = Duration::from_millis(100);

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let [pattern, agent] = [(); 2].map(|()| lines.next().unwrap_or_default());
    let found = privileged(pattern, agent);
    let odd = oddity(pattern);
    if let Some(odd) = odd {
        assert!(odd.to_string().is_ascii());
    }
    if pattern.is_empty() || agent.is_empty() {
        assert_eq!(found, Match::No);
    } else if agent.windows(pattern.len()).any(|part| part == pattern) {
        assert_eq!(found, Match::Yes);
    } else if !matches!(odd, None | Some(Oddity::TakenLiterally(_))) {
        assert_eq!(found, Match::No);
    }
    let rules = Rules { health_check_path: b"", privileged_user_agent: pattern };
    let visit = Visit { only_reads: true, uri: b"/", user_agent: agent };
    let admission = admit(rules, visit);
    assert_eq!(admission == Admission::Privileged, found == Match::Yes);
    assert_eq!(admission == Admission::Undecided, found == Match::TooCostly);

    // Only one in eight of the slow ones, because there are many. With 50 times as much text the search
    // takes long only if nothing bounds it.
    if input.len().is_multiple_of(8) && timed(pattern, agent) > Duration::from_millis(1) {
        let took = timed(pattern, &agent.repeat(50));
        assert!(took < LONG, "{took:?}");
    }
});

fn timed(pattern: &[u8], agent: &[u8]) -> Duration {
    let start = ThreadTime::now();
    privileged(pattern, agent);
    start.elapsed()
}
