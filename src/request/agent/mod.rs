//! Whether a User-Agent is privileged: it contains the pattern literally, or matches it as a Lua 5.1
//! pattern.
#![forbid(unsafe_code)]

mod class;
mod offsets;
mod pattern;

use core::fmt;

use pattern::{Pattern, MAX_PATTERN};

/// The answer for one User-Agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    Yes,
    No,
    /// The search was given up after a fixed number of steps. Counts as no match.
    TooCostly,
}

/// What is odd about a pattern, for the operator. Finishes the sentence "the pattern …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// It ends with an unescaped `%`. Then, as with all but `TakenLiterally`, the pattern is only
    /// searched for literally.
    BarePercent,
    /// A `[` has no `]`.
    UnfinishedSet,
    /// A `(` without its `)`, or the reverse.
    UnbalancedParentheses,
    /// It has more than 1023 bytes.
    TooLong,
    /// It contains `%` and this byte (`b`, `f` or a digit): Lua's balanced match, frontier and back
    /// references, which this matcher does not have. The `%` and what follows are ordinary characters
    /// there: `%bxy` matches the text `%bxy`, and `%1+` a `%` and one or more `1`.
    TakenLiterally(u8),
}

/// Whether this User-Agent is privileged.
///
/// Yes if it contains the pattern literally, or if Lua 5.1's `string.match(user_agent, pattern)`
/// would find it (Lua 5.1 manual, 5.4.1, in the C locale: bytes from 0x80 on are in no class).
/// Unlike there, `%g` is a class (as in LuaJIT and 5.2), and a NUL in the pattern is an ordinary
/// byte. [`Oddity`] lists other differences. An empty pattern or User-Agent is never privileged.
///
/// The number of steps is bounded: the search takes at most one or two milliseconds.
pub fn privileged(pattern: &[u8], user_agent: &[u8]) -> Match {
    if pattern.is_empty() || user_agent.is_empty() {
        return Match::No;
    }
    if user_agent.windows(pattern.len()).any(|part| part == pattern) {
        return Match::Yes;
    }
    let Ok(pattern) = Pattern::parse(pattern) else {
        return Match::No;
    };
    pattern.search(user_agent, &mut { STEPS })
}

/// What is odd about a pattern; if there are several oddities, the most serious one.
pub fn oddity(pattern: &[u8]) -> Option<Oddity> {
    match Pattern::parse(pattern) {
        Ok(pattern) => pattern.literally.map(Oddity::TakenLiterally),
        Err(oddity) => Some(oddity),
    }
}

/// At most this many bytes of pattern are read for one User-Agent, repetitions included.
const STEPS: usize = 200_000;

const LITERALLY: &str = "so it is only searched for literally";

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Oddity::BarePercent => "ends with a single %",
            Oddity::UnfinishedSet => "has a [ without a ]",
            Oddity::UnbalancedParentheses => "has unbalanced parentheses",
            Oddity::TooLong => return write!(f, "is longer than {MAX_PATTERN} bytes, {LITERALLY}"),
            Oddity::TakenLiterally(c) => {
                return write!(f, "contains %{}, which is taken literally", char::from(*c));
            }
        };
        write!(f, "{what}, {LITERALLY}")
    }
}

#[cfg(test)]
mod tests;
