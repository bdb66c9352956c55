//! What etcd wants of one app.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::view::Seen;
use crate::keys::Token;
use crate::values::{Pause, Stage};

/// What is to be so.
pub(super) enum Want<'a> {
    Hold(Token, &'a Pause, Option<Duration>),
    Release(Token, &'a Pause),
    Stop(Token, &'a Pause),
    Nothing,
    /// It cannot be understood: it stays as it is.
    Unknown,
}

impl<'a> Want<'a> {
    pub(super) fn of(seen: Option<&'a Seen>) -> Self {
        let Some(Seen { entry, since }) = seen else { return Want::Nothing };
        match &entry.pause {
            Some(pause) if pause.stage == Stage::Hold => Want::Hold(entry.token, pause, *since),
            Some(pause) if pause.stage == Stage::Release => Want::Release(entry.token, pause),
            Some(pause) if pause.stage == Stage::Stop => Want::Stop(entry.token, pause),
            _ => Want::Unknown,
        }
    }
}
