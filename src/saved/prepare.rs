//! Pauses that another process puts into the file while nginx is down, so that nginx starts paused.
#![forbid(unsafe_code)]

use super::snapshot::{Saved, SavedToken, Snapshot, Written};
use crate::ids::{PauseId, Token};
use crate::shared::app::{App, State};
use crate::shared::terms::{PauseRequest, Terms};
use crate::text::{Address, AppName, Reason};
use crate::time::{Msec, Now};

/// A pause, or a stop, that nginx is to start with.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    pub app: AppName,
    pub pause: PauseId,
    pub by: Address,
    pub reason: Reason,
    /// The app remembers it, if it is the greatest.
    pub token: Token,
    /// Its lease. None: it is a stop, without an end.
    pub left: Option<Msec>,
}

impl Snapshot {
    /// The pauses and stops that an nginx which starts now would restore.
    pub fn restored(&self, now: Now, boot: &str) -> Vec<App> {
        let age = self.written.age(now, boot);
        self.saved.iter().filter_map(|saved| saved.restore(age, now)).collect()
    }

    /// The greatest token that the app has seen.
    pub fn token(&self, app: &AppName) -> Token {
        let all = self.tokens.iter().filter_map(SavedToken::restore);
        let seen =
            all.filter(|(name, _)| name.as_bytes() == app.as_bytes()).map(|(_, token)| token);
        seen.max().unwrap_or_default()
    }

    /// What the file is to hold: these pauses, and those that it has of other apps, if `stays` says so.
    pub fn with(
        &self,
        all: &[Prepared],
        stays: impl Fn(&App) -> bool,
        now: Now,
        boot: &str,
    ) -> Self {
        let is_prepared =
            |name: &AppName| all.iter().any(|one| one.app.as_bytes() == name.as_bytes());
        let mut apps = self.restored(now, boot);
        apps.retain(|app| !app.name().is_some_and(is_prepared) && stays(app));
        apps.extend(all.iter().map(|one| one.app(now)));
        let mut tokens = self.tokens.clone();
        tokens.retain(|one| one.restore().is_some_and(|(name, _)| !is_prepared(&name)));
        let newest =
            |one: &Prepared| SavedToken::new(&one.app, one.token.max(self.token(&one.app)));
        tokens.extend(all.iter().map(newest));
        let pauses = all.iter().map(|one| one.pause.0).fold(self.pauses, u64::max);
        let saved = apps.iter().filter_map(|app| Saved::of(app, now)).collect();
        Self { pauses, written: Written::at(now, boot), saved, tokens }
    }
}

impl Prepared {
    fn app(&self, now: Now) -> App {
        let request = PauseRequest {
            number: self.pause,
            by: self.by,
            reason: Some(self.reason),
            lease: self.left,
            ..PauseRequest::NONE
        };
        let state = if self.left.is_some() { State::Paused } else { State::Stopped };
        App::restored(self.app, state, self.pause, now, Terms::of(&request, now))
    }
}
