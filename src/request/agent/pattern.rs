//! A well-formed pattern, and the search for it.
#![forbid(unsafe_code)]

use core::ops::ControlFlow::{self, Break, Continue};

use super::class::Class;
use super::offsets::Offsets;
use super::{Match, Oddity};

/// The longest pattern, in bytes: each offset into it, and its end, has a bit in `Offsets`.
pub(super) const MAX_PATTERN: usize = Offsets::COUNT - 1;

/// A well-formed pattern.
///
/// Without captures and back references a pattern describes a regular language. So it is matched
/// without backtracking: all offsets that the pattern can have reached are moved on together, byte by
/// byte. Whether a quantifier is greedy does not change whether there is a match.
pub(super) struct Pattern<'a> {
    /// The pattern without the leading `^`. Offsets count from here.
    pub(super) items: &'a [u8],
    anchored: bool,
    /// The byte of the first [`Oddity::TakenLiterally`].
    pub(super) literally: Option<u8>,
}

/// What a pattern begins with. Each tail is the rest of the pattern.
enum Item<'a> {
    End,
    EndOfText,
    Open(&'a [u8]),
    Close(&'a [u8]),
    Single(Class<'a>, Times, &'a [u8]),
}

#[derive(Clone, Copy)]
enum Times {
    Once,
    AtMostOnce,
    AnyNumber,
    AtLeastOnce,
}

impl<'a> Pattern<'a> {
    pub(super) fn parse(pattern: &'a [u8]) -> Result<Self, Oddity> {
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

    pub(super) fn search(&self, text: &[u8], steps: &mut usize) -> Match {
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
