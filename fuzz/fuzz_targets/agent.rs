//! A pattern and a User-Agent, the input's first line and the rest: an answer in time for any.
#![forbid(unsafe_code)]
#![no_main]

use std::time::Duration;

use cpu_time::ThreadTime;
use intermission::request::admit::{admit, Admission, Rules, Visit};
use intermission::request::agent::{oddity, privileged, Match, Oddity};
use libfuzzer_sys::fuzz_target;

/// Far beyond what a search of all its steps takes of the processor with this build's checks.
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

    // One in eight of those that are not quick, for there are many; 50 times as much text takes
    // long only where nothing bounds the search.
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
