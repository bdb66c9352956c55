//! The further lines of an answer in text to a call with parameters.
#![forbid(unsafe_code)]

use core::fmt;

use crate::control::answer::Done;
use crate::control::standing::Standing;
use crate::control::status::{LastDrain, Seconds, Status};
use crate::shared::given_up::Abandoned;
use crate::shared::word::Word;
use crate::text::{Counted, Named};
use crate::time::Msec;

/// The further lines: which pause the app has, what a verb changed, and what is doubtful.
#[derive(Clone, Copy, Debug)]
pub(super) struct More<'a> {
    /// The app before the verb, if the verb may have changed it.
    pub(super) before: Option<&'a Status>,
    pub(super) app: &'a Status,
    pub(super) done: Option<Done>,
}

impl More<'_> {
    /// The app before the verb, if its pause is still active, in the same state.
    fn same_pause(&self) -> Option<&Status> {
        self.before.filter(|before| {
            let what = |status: &Status| (status.state, status.pause.0);
            self.app.is_paused_or_stopped() && what(before) == what(self.app)
        })
    }
}

impl More<'_> {
    /// How long requests are held, if the first ones of this pause expire before the lease ends.
    fn expire_before_the_lease_ends(&self) -> Option<Msec> {
        let Status { state, since, until, expire_after, .. } = self.app;
        let (since, until) = (since.filter(|_| *state == Word::Paused)?, until.as_ref()?);
        expire_after.filter(|after| since.0.after(*after) < until.0)
    }
}

/// Whole lines.
impl fmt::Display for More<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let app = self.app;
        writeln!(f, "{}: {}", Named(&app.app), Standing(app))?;
        if let Some(before) = self.same_pause() {
            let until = (before.until.map(|time| time.0), app.until.map(|time| time.0));
            if before.reason != app.reason {
                match &before.reason {
                    Some(reason) => {
                        writeln!(f, "the reason was changed; the old reason was \"{reason}\"")?
                    }
                    None => writeln!(f, "the reason was changed; there was none before")?,
                }
            }
            match (until, before.until) {
                ((old, new), Some(time)) if old != new => {
                    writeln!(f, "the end was changed; the old end was {time}")?;
                }
                _ if self.done == Some(Done::Changed) => {}
                _ => match app.until {
                    Some(time) => {
                        writeln!(f, "nothing was changed: the pause still ends at {time}")?
                    }
                    None => writeln!(f, "nothing was changed: the pause still has no end")?,
                },
            }
        }
        if app.state == Word::Draining {
            let are = if app.held == 1 { "is" } else { "are" };
            write!(f, "{} {are} released", Counted(app.held, "held request"))?;
            match &app.pace {
                Some(pace) => writeln!(f, "{pace}")?,
                None => writeln!(f, " at once")?,
            }
        }
        let drain = app
            .last_drain
            .filter(|drain| !app.is_paused_or_stopped() && drain.pause == app.pause.0);
        if let Some(LastDrain { released, failed: failed @ 1.., .. }) = drain {
            let all = Counted(released, "released request");
            writeln!(f, "nginx answered {failed} of {all} with 502, 503 or 504")?;
        }
        if app.is_paused_or_stopped() && app.expired_to_app > 0 {
            let expired = Counted(app.expired_to_app, "expired request");
            writeln!(f, "nginx passed {expired} on to the app, although it was paused")?;
        }
        if let Some(after) = self.expire_before_the_lease_ends() {
            let after = Seconds(after);
            writeln!(
                f,
                "a request that is held for {after} s will be passed on to the app, although it is \
                 paused: the lease ends later"
            )?;
        }
        if app.is_paused_or_stopped() {
            Abandoned::new(app.abandoned).iter().try_for_each(|some| writeln!(f, "{some}"))?;
        }
        if !app.heard_of {
            writeln!(f, "no request of this app was ever seen: is its name right?")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
