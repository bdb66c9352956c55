//! Which pause an app has, in a line for people.
#![forbid(unsafe_code)]

use core::fmt;

use crate::control::status::Status;
use crate::shared::app::Ender;
use crate::shared::word::Word;
use crate::text::Who;

/// Which pause an app has, who began it and until when it lasts; or how its newest pause ended.
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
                let stopped = if *state == Word::Stopped { " (stopped)" } else { "" };
                write!(f, " is active{stopped}")?;
                self.0.by.iter().try_for_each(|by| write!(f, ", by {}", Who(by)))?;
                since.iter().try_for_each(|since| write!(f, ", since {since}"))?;
                match until {
                    Some(until) => write!(f, ", until {until}")?,
                    None => f.write_str(", without end")?,
                }
                let waiting = self.0.waiting_until;
                waiting.iter().try_for_each(|end| write!(f, ", may be rolled back until {end}"))?;
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
