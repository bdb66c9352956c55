//! Whether a User-Agent is privileged: it contains the pattern literally, or matches it as a Lua 5.1
//! pattern.

#![forbid(unsafe_code)]

use core::fmt;
use core::ops::ControlFlow::{self, Break, Continue};

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

/// At most so many bytes of pattern are read for one User-Agent, repetitions included.
const STEPS: usize = 200_000;

/// The longest pattern, in bytes: each offset into it, and its end, has a bit in `Offsets`.
const MAX_PATTERN: usize = Offsets::COUNT - 1;

/// A well-formed pattern.
///
/// Without captures and back references a pattern describes a regular language. So it is matched
/// without backtracking: all offsets that the pattern can have reached are moved on together, byte by
/// byte. Whether a quantifier is greedy does not change whether there is a match.
struct Pattern<'a> {
    /// The pattern without the leading `^`. Offsets count from here.
    items: &'a [u8],
    anchored: bool,
    /// The byte of the first [`Oddity::TakenLiterally`].
    literally: Option<u8>,
}

/// What a pattern begins with. Each tail is the rest of the pattern.
enum Item<'a> {
    End,
    EndOfText,
    Open(&'a [u8]),
    Close(&'a [u8]),
    Single(Class<'a>, Times, &'a [u8]),
}

/// The bytes that a single-character item matches.
#[derive(Clone, Copy)]
enum Class<'a> {
    Any,
    Byte(u8),
    Escaped(u8),
    OneOf(&'a [u8]),
    NoneOf(&'a [u8]),
}

#[derive(Clone, Copy)]
enum Times {
    Once,
    AtMostOnce,
    AnyNumber,
    AtLeastOnce,
}

impl<'a> Pattern<'a> {
    fn parse(pattern: &'a [u8]) -> Result<Self, Oddity> {
        if pattern.len() > MAX_PATTERN {
            return Err(Oddity::TooLong);
        }
        let (anchored, items) = match pattern {
            [b'^', items @ ..] => (true, items),
            items => (false, items),
        };
        let mut literally = None;
        let mut open = 0_usize;
        let mut rest = items;
        loop {
            literally = literally.or(taken_literally(rest));
            rest = match Item::first(rest)? {
                Item::End | Item::EndOfText if open == 0 => break,
                Item::End | Item::EndOfText => return Err(Oddity::UnbalancedParentheses),
                Item::Open(tail) => {
                    open = open.saturating_add(1);
                    tail
                }
                Item::Close(tail) => {
                    open = open.checked_sub(1).ok_or(Oddity::UnbalancedParentheses)?;
                    tail
                }
                Item::Single(_, _, tail) => tail,
            };
        }
        Ok(Pattern { items, anchored, literally })
    }

    fn search(&self, text: &[u8], steps: &mut usize) -> Match {
        let mut here = Offsets::default();
        here.add(0);
        let mut rest = text;
        loop {
            let c = rest.first().copied();
            let next = match self.advance(&mut here, c, steps) {
                Continue(offsets) => offsets,
                Break(answer) => return answer,
            };
            let [_, tail @ ..] = rest else {
                return Match::No;
            };
            rest = tail;
            here = next;
            if !self.anchored {
                here.add(0);
            } else if here.first_from(0).is_none() {
                return Match::No;
            }
        }
    }

    /// Moves all offsets over one byte of text, or over its end. Offsets that are reached without a byte
    /// of text are greater, so that one ascending walk meets them all.
    fn advance(
        &self,
        here: &mut Offsets,
        c: Option<u8>,
        steps: &mut usize,
    ) -> ControlFlow<Match, Offsets> {
        let mut next = Offsets::default();
        let mut from = 0;
        while let Some(offset) = here.first_from(from) {
            from = offset.saturating_add(1);
            let rest = self.items.get(offset..).unwrap_or_default();
            let Ok(item) = Item::first(rest) else {
                return Break(Match::No);
            };
            let tail = match item {
                Item::End => return Break(Match::Yes),
                Item::EndOfText if c.is_none() => return Break(Match::Yes),
                Item::EndOfText => &[],
                Item::Open(tail) | Item::Close(tail) => {
                    here.add(self.offset(tail));
                    tail
                }
                Item::Single(class, times, tail) => {
                    let behind = self.offset(tail);
                    if matches!(times, Times::AtMostOnce | Times::AnyNumber) {
                        here.add(behind);
                    }
                    if c.is_some_and(|c| class.has(c)) {
                        if matches!(times, Times::AnyNumber | Times::AtLeastOnce) {
                            next.add(offset);
                        }
                        if !matches!(times, Times::AnyNumber) {
                            next.add(behind);
                        }
                    }
                    tail
                }
            };
            match steps.checked_sub(rest.len().saturating_sub(tail.len())) {
                Some(left) => *steps = left,
                None => return Break(Match::TooCostly),
            }
        }
        Continue(next)
    }

    fn offset(&self, tail: &[u8]) -> usize {
        self.items.len().saturating_sub(tail.len())
    }
}

impl<'a> Item<'a> {
    /// The rules of `do_match` in Lua 5.1's lstrlib.c: `$` is an anchor only as the last byte, and a
    /// quantifier that follows nothing it could repeat (a parenthesis, say) is an ordinary byte.
    fn first(pattern: &'a [u8]) -> Result<Self, Oddity> {
        let (class, tail) = match pattern {
            [] => return Ok(Item::End),
            [b'$'] => return Ok(Item::EndOfText),
            [b'(', tail @ ..] => return Ok(Item::Open(tail)),
            [b')', tail @ ..] => return Ok(Item::Close(tail)),
            [b'%'] => return Err(Oddity::BarePercent),
            [b'%', tail @ ..] if taken_literally(pattern).is_some() => {
                return Ok(Item::Single(Class::Byte(b'%'), Times::Once, tail));
            }
            [b'%', c, tail @ ..] => (Class::Escaped(*c), tail),
            [b'[', set @ ..] => Class::set(set)?,
            [b'.', tail @ ..] => (Class::Any, tail),
            [c, tail @ ..] => (Class::Byte(*c), tail),
        };
        Ok(match tail {
            [b'?', tail @ ..] => Item::Single(class, Times::AtMostOnce, tail),
            [b'*' | b'-', tail @ ..] => Item::Single(class, Times::AnyNumber, tail),
            [b'+', tail @ ..] => Item::Single(class, Times::AtLeastOnce, tail),
            tail => Item::Single(class, Times::Once, tail),
        })
    }
}

fn taken_literally(pattern: &[u8]) -> Option<u8> {
    match pattern {
        [b'%', c @ (b'b' | b'f' | b'0'..=b'9'), ..] => Some(*c),
        _ => None,
    }
}

impl<'a> Class<'a> {
    /// Reads a set from behind its `[`. Its first member may be a `]`.
    fn set(pattern: &'a [u8]) -> Result<(Self, &'a [u8]), Oddity> {
        let (class, members): (fn(&'a [u8]) -> Self, _) = match pattern {
            [b'^', members @ ..] => (Class::NoneOf, members),
            members => (Class::OneOf, members),
        };
        let mut rest = members;
        loop {
            rest = match rest {
                [] | [b'%'] => return Err(Oddity::UnfinishedSet),
                [b'%', _, rest @ ..] | [_, rest @ ..] => rest,
            };
            if let [b']', tail @ ..] = rest {
                let len = members.len().saturating_sub(rest.len());
                return Ok((class(members.get(..len).unwrap_or_default()), tail));
            }
        }
    }

    fn has(self, c: u8) -> bool {
        match self {
            Class::Any => true,
            Class::Byte(byte) => byte == c,
            Class::Escaped(class) => in_class(class, c),
            Class::OneOf(members) => in_set(members, c),
            Class::NoneOf(members) => !in_set(members, c),
        }
    }
}

fn in_set(mut members: &[u8], c: u8) -> bool {
    loop {
        let (hit, rest) = match members {
            [] => return false,
            // Only behind a range that ends in `%`, as in `[a-%%]`: Lua makes the `]` a member there.
            [b'%'] => return c == b']',
            [b'%', class, rest @ ..] => (in_class(*class, c), rest),
            [low, b'-', high, rest @ ..] => ((*low..=*high).contains(&c), rest),
            [byte, rest @ ..] => (*byte == c, rest),
        };
        if hit {
            return true;
        }
        members = rest;
    }
}

/// Whether `c` is in what `%` and `class` stand for: a class, its complement if in upper case, or the
/// byte itself.
fn in_class(class: u8, c: u8) -> bool {
    let hit = match class.to_ascii_lowercase() {
        b'a' => c.is_ascii_alphabetic(),
        b'c' => c.is_ascii_control(),
        b'd' => c.is_ascii_digit(),
        b'g' => c.is_ascii_graphic(),
        b'l' => c.is_ascii_lowercase(),
        b'p' => c.is_ascii_punctuation(),
        b's' => matches!(c, b' ' | b'\t'..=b'\r'),
        b'u' => c.is_ascii_uppercase(),
        b'w' => c.is_ascii_alphanumeric(),
        b'x' => c.is_ascii_hexdigit(),
        b'z' => c == 0,
        _ => return c == class,
    };
    hit != class.is_ascii_uppercase()
}

/// A set of offsets into a pattern.
#[derive(Clone, Copy, Default)]
struct Offsets([u64; Self::WORDS]);

impl Offsets {
    const WORDS: usize = 16;
    const COUNT: usize = Self::WORDS * 64;

    fn add(&mut self, offset: usize) {
        if let Some(word) = self.0.get_mut(offset / 64) {
            *word |= 1 << (offset % 64);
        }
    }

    /// The first offset in the set that is not less than this one.
    fn first_from(&self, offset: usize) -> Option<usize> {
        let first = offset / 64;
        let mut mask = u64::MAX << (offset % 64);
        for (index, word) in self.0.iter().enumerate().skip(first) {
            let bits = word & mask;
            if bits != 0 {
                return Some(
                    index.saturating_mul(64).saturating_add(bits.trailing_zeros() as usize),
                );
            }
            mask = u64::MAX;
        }
        None
    }
}

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

const LITERALLY: &str = "so it is only searched for literally";

#[cfg(test)]
mod tests;
