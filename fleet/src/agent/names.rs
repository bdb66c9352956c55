//! The names that pauses of a fleet have at the endpoint.
#![forbid(unsafe_code)]

use crate::keys::{Fleet, Token};

/// The name that a pause has at the endpoint, at most 64 bytes.
pub(super) fn name(fleet: &Fleet, Token(token): Token, by: &str) -> String {
    let mut name = format!("fleet {} {token}", fleet.name());
    if !by.is_empty() {
        name.push(' ');
        name.extend(by.chars().filter(char::is_ascii));
    }
    name.truncate(64);
    name
}

/// The pause of this fleet that has this name.
pub(super) fn token_of(fleet: &Fleet, by: &str) -> Option<Token> {
    let rest = by.strip_prefix("fleet ")?.strip_prefix(fleet.name())?.strip_prefix(' ')?;
    rest.split(' ').next()?.parse().ok().map(Token)
}
