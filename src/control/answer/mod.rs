//! How a verb is answered that was carried out, or refused.
#![forbid(unsafe_code)]

use core::fmt;

use crate::control::command::{Format, Method};
use crate::control::reply::{Drain, Seconds, Status};
use crate::shared::app::Ender;
use crate::shared::given_up::Abandoned;
use crate::shared::word::Word;
use crate::text::{Named, Who};
use crate::time::Msec;
use crate::zone::Refusal;

/// What a verb did that may change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It changed something.
    Changed,
    /// All is as it was, and nothing else was asked for.
    AsItWas,
    /// All is as it was, and something else was asked for.
    NotChanged,
}

impl Done {
    /// The answer's status. A GET that gets text is answered as the original does, unless there is
    /// something to say; many clients take a 304 for an error.
    pub fn status(self, method: Method, format: Format) -> u16 {
        match (self, method, format) {
            (Self::AsItWas, Method::Get, Format::Text) => 304,
            _ => 200,
        }
    }

    /// Whether anything changed.
    pub fn changed(self) -> bool {
        self == Self::Changed
    }
}

/// Which pause an app has, whose it is, and until when; or how its newest one ended.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a>(pub &'a Status);

impl fmt::Display for Standing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { state, pause, since, until, reason, .. } = self.0;
        if pause.0 .0 == 0 {
            return f.write_str("it was never paused");
        }
        write!(f, "pause {}", pause.0 .0)?;
        match (state, self.0.drained_by.0) {
            (Word::Paused | Word::Stopped, _) => {
                let stopped = if *state == Word::Stopped { ", stopped" } else { "" };
                write!(f, " is under way{stopped}")?;
                self.0.by.iter().try_for_each(|by| write!(f, ", by {}", Who(by)))?;
                since.iter().try_for_each(|since| write!(f, ", since {since}"))?;
                match until {
                    Some(until) => write!(f, ", until {until}")?,
                    None => f.write_str(", without end")?,
                }
                let waiting = self.0.waiting_until;
                waiting.iter().try_for_each(|end| write!(f, ", may be taken back until {end}"))?;
                reason.iter().try_for_each(|reason| write!(f, ", reason \"{reason}\""))?;
                return Ok(());
            }
            (_, Ender::Caller(by) | Ender::Holder(by)) => {
                write!(f, " was ended by {}", Who(&by))?;
            }
            (_, Ender::Lease) => f.write_str(" was ended by its lease")?,
            (_, Ender::Rollback) => f.write_str(" was rolled back")?,
            (_, Ender::Nobody) => f.write_str(" is over")?,
        }
        self.0.ended.iter().try_for_each(|ended| write!(f, " at {ended}"))
    }
}

/// Why a verb was not carried out, and who holds the app, or has ended what.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    pub why: Refusal,
    /// The app as it is.
    pub app: &'a Status,
}

impl Refused<'_> {
    /// The answer's status.
    pub fn status(&self) -> u16 {
        match self.why {
            Refusal::OtherPause | Refusal::NotOpen => 409,
            Refusal::Over => 410,
            Refusal::Full | Refusal::TooManyWait | Refusal::Retired => 503,
        }
    }
}

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Refusal::Over => write!(f, "{}; nothing was changed", Standing(self.app)),
            Refusal::OtherPause | Refusal::NotOpen => {
                write!(f, "{}: {}", self.why, Standing(self.app))
            }
            Refusal::Full | Refusal::TooManyWait | Refusal::Retired => self.why.fmt(f),
        }
    }
}

/// What a request with parameters is told beside the words that every one gets.
#[derive(Clone, Copy, Debug)]
pub struct More<'a> {
    /// The app as it was before the verb, where that may have changed it.
    pub before: Option<&'a Status>,
    pub app: &'a Status,
    pub done: Option<Done>,
}

impl More<'_> {
    /// The pause that was under way before and still is, in the state that it had.
    fn same_pause(&self) -> Option<&Status> {
        self.before.filter(|before| {
            let what = |status: &Status| (status.state, status.pause.0);
            self.app.is_paused_or_stopped() && what(before) == what(self.app)
        })
    }
}

impl More<'_> {
    /// For how long they are held, if those who came first in this pause go on before its end.
    fn expire_before_the_lease_ends(&self) -> Option<Msec> {
        let Status { state, since, until, expire_after, .. } = self.app;
        let (since, until) = (since.filter(|_| *state == Word::Paused)?, until.as_ref()?);
        expire_after.filter(|after| since.0.after(*after) < until.0)
    }
}

/// Lines, each with its end.
impl fmt::Display for More<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let app = self.app;
        writeln!(f, "{}: {}", Named(&app.app), Standing(app))?;
        if let Some(before) = self.same_pause() {
            let until = (before.until.map(|time| time.0), app.until.map(|time| time.0));
            if before.reason != app.reason {
                match &before.reason {
                    Some(reason) => writeln!(f, "changed: the reason, it was \"{reason}\"")?,
                    None => writeln!(f, "changed: the reason, there was none")?,
                }
            }
            match (until, before.until) {
                ((old, new), Some(time)) if old != new => {
                    writeln!(f, "changed: the end, it was {time}")?;
                }
                _ if self.done == Some(Done::Changed) => {}
                _ => match app.until {
                    Some(time) => writeln!(f, "nothing was changed: still until {time}")?,
                    None => writeln!(f, "nothing was changed: still without end")?,
                },
            }
        }
        if app.state == Word::Draining {
            write!(f, "{} held, they go on", app.held)?;
            match &app.pace {
                Some(pace) => writeln!(f, "{pace}")?,
                None => writeln!(f, " at once")?,
            }
        }
        let drain = app
            .last_drain
            .filter(|drain| !app.is_paused_or_stopped() && drain.pause == app.pause.0);
        if let Some(Drain { released, failed: failed @ 1.., .. }) = drain {
            writeln!(f, "{released} released, {failed} of them answered 502, 503 or 504 by nginx")?;
        }
        if app.is_paused_or_stopped() && app.expired_to_app > 0 {
            let count = app.expired_to_app;
            writeln!(f, "{count} expired, and went on to the app although it is paused")?;
        }
        if let Some(after) = self.expire_before_the_lease_ends() {
            let after = Seconds(after);
            writeln!(
                f,
                "requests that are held for {after} s go on to the app before the lease ends"
            )?;
        }
        if app.is_paused_or_stopped() {
            Abandoned::new(app.abandoned).iter().try_for_each(|some| writeln!(f, "{some}"))?;
        }
        if !app.heard_of {
            writeln!(f, "no request of this app was ever seen: is it the one that is meant?")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
