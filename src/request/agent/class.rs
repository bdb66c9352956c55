//! Which bytes an item of a pattern matches: classes and sets.
#![forbid(unsafe_code)]

use super::Oddity;

/// The bytes that a single-character item matches.
#[derive(Clone, Copy)]
pub(super) enum Class<'a> {
    Any,
    Byte(u8),
    Escaped(u8),
    OneOf(&'a [u8]),
    NoneOf(&'a [u8]),
}

impl<'a> Class<'a> {
    /// Reads a set from behind its `[`. Its first member may be a `]`.
    pub(super) fn set(pattern: &'a [u8]) -> Result<(Self, &'a [u8]), Oddity> {
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

    pub(super) fn has(self, c: u8) -> bool {
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
