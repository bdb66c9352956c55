//! A short pattern (the first line of the input) and a short User-Agent (the rest), compared with Lua
//! 5.1 itself: as they are, and again with their bytes replaced by ones that have a meaning.
#![forbid(unsafe_code)]
#![no_main]

use intermission::request::agent::{oddity, privileged, Match};
use libfuzzer_sys::fuzz_target;
use mlua::{Function, Lua};

const DENSE: &[u8; 32] = b"aabbc1]]^[[%%%--..**++??$$()()dD";
const SPARSE: &[u8; 16] = b"aaabbc1]%-^$(*+?";

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let [pattern, agent] = [(); 2].map(|()| lines.next().unwrap_or_default());
    // Lua backtracks: with longer ones it would take too long.
    let (pattern, agent) = (first(14, pattern), first(10, agent));
    agrees(pattern, agent);
    let pattern: Vec<u8> = pattern.iter().map(|byte| DENSE[usize::from(byte % 32)]).collect();
    let agent: Vec<u8> = agent.iter().map(|byte| SPARSE[usize::from(byte % 16)]).collect();
    agrees(&pattern, &agent);
});

fn first(limit: usize, bytes: &[u8]) -> &[u8] {
    bytes.get(..limit).unwrap_or(bytes)
}

/// Whether the pattern means the same in both. `%g` is a class only here, a NUL ends a pattern in Lua,
/// and odd patterns are taken literally here.
fn agrees(pattern: &[u8], agent: &[u8]) {
    let same = !pattern.contains(&0)
        && !pattern.windows(2).any(|pair| matches!(pair, b"%g" | b"%G"))
        && oddity(pattern).is_none();
    if same && !pattern.is_empty() && !agent.is_empty() {
        let literally = agent.windows(pattern.len()).any(|part| part == pattern);
        let lua = JUDGE.with(|judge| judge.finds(pattern, agent));
        let found = privileged(pattern, agent);
        assert_eq!(found == Match::Yes, literally || lua, "Lua says {lua}");
    }
}

thread_local! {
    static JUDGE: Judge = Judge::new();
}

struct Judge {
    lua: Lua,
    finds: Function,
}

impl Judge {
    fn new() -> Self {
        let lua = Lua::new();
        let finds = lua.load("return string.match(...) ~= nil").into_function().unwrap();
        Self { lua, finds }
    }

    /// Panics if Lua calls the pattern malformed: then it must be odd.
    fn finds(&self, pattern: &[u8], agent: &[u8]) -> bool {
        let [agent, pattern] = [agent, pattern].map(|bytes| self.lua.create_string(bytes).unwrap());
        self.finds.call((agent, pattern)).unwrap()
    }
}
