//! Lines about an app's pause: how it began, changed and ended.
#![forbid(unsafe_code)]

use core::fmt;

use super::{Event, Level};
use crate::ids::PauseId;
use crate::shared::app::{Drained, Ended, Unreported};
use crate::shared::given_up::Abandoned;
use crate::shared::pace::Pace;
use crate::shared::word::Word;
use crate::text::{Address, Counted, Reason, Who};
use crate::time::{rfc3339, Msec};

/// What happened to an app's pause.
#[derive(Clone, Copy, Debug)]
pub enum PauseEvent<'a> {
    Paused(NewTerms<'a>),
    Stopped(NewTerms<'a>),
    /// The pause has another end or reason.
    Changed(NewTerms<'a>),
    /// The table of apps had no room for it.
    NotPaused,
    /// A caller that waited until the app is quiet was answered with 200.
    Quiet {
        pause: PauseId,
        abandoned: Option<Abandoned>,
    },
    /// A caller that waited until the app is quiet was not answered with 200; the app is now in this state.
    RolledBack {
        pause: PauseId,
        state: Word,
    },
    Resumed {
        pause: PauseId,
        by: &'a Address,
        begun_by: Option<Address>,
        ended: Ended,
    },
    LeaseEnded {
        pause: PauseId,
        ended: Ended,
    },
    /// The drain goes on at this pace.
    Paced {
        by: &'a Address,
        pace: Pace,
    },
    Drained(Drained),
    /// How many held requests were answered because nginx quits.
    Quit {
        count: u64,
    },
}

/// The terms of a pause that began or changed, and the caller that did it.
#[derive(Clone, Copy, Debug)]
pub struct NewTerms<'a> {
    pub pause: PauseId,
    pub by: &'a Address,
    /// By the wall clock; None if the pause has no end.
    pub until: Option<Msec>,
    pub reason: Option<Reason>,
    /// The reason before the change, if it is another one now.
    pub was: Option<Reason>,
    /// The caller that began the pause, if it is another one.
    pub begun_by: Option<Address>,
}

impl PauseEvent<'_> {
    /// The requests that this line leaves to the lines after it.
    pub fn unreported(&self) -> Option<Unreported> {
        match self {
            Self::Resumed { ended, .. } | Self::LeaseEnded { ended, .. } => {
                Some(Unreported { rejected: ended.rejected, expired: ended.expired, failed: 0 })
            }
            _ => None,
        }
    }
}

impl Event for PauseEvent<'_> {
    fn level(&self) -> Level {
        match self {
            Self::NotPaused => Level::Error,
            _ => Level::Notice,
        }
    }
}

impl fmt::Display for PauseEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused(terms) => write!(f, "paused {terms}"),
            Self::Stopped(terms) => write!(f, "stopped {terms}"),
            Self::Changed(terms) => write!(f, "pause changed {terms}"),
            Self::NotPaused => f.write_str(
                "not paused: the table of apps is full, and all its apps are in use; increase \
                 \"intermission_zone\"",
            ),
            Self::Quiet { pause, abandoned } => {
                write!(f, "nothing is in flight, pause {}", pause.0)?;
                abandoned.iter().try_for_each(|some| write!(f, "; {some}"))
            }
            Self::RolledBack { pause, state } => {
                write!(f, "rolled back, pause {}: the app is {}", pause.0, state.after_rollback())
            }
            Self::Resumed { pause, by, begun_by, ended } => {
                write!(f, "resumed by {}, pause {}, {}", Who(by), pause.0, End(ended))?;
                begun(f, begun_by)
            }
            Self::LeaseEnded { pause, ended } => {
                write!(f, "lease ended, pause {}, {}", pause.0, End(ended))
            }
            Self::Paced { by, pace } => {
                let at_once = if pace.is_unlimited() { ", all at once" } else { "" };
                write!(f, "pace of the drain changed by {}{pace}{at_once}", Who(by))
            }
            Self::Drained(Drained { released, failed, took, .. }) => {
                write!(f, "drained, {released} released in {} s", took.seconds())?;
                match failed {
                    0 => Ok(()),
                    failed => {
                        write!(f, "; nginx answered {failed} of them with 502, 503 or 504")
                    }
                }
            }
            Self::Quit { count } => {
                let held = Counted(*count, "held request");
                write!(f, "nginx quits while the app is paused: it answered {held} with 503")
            }
        }
    }
}

impl fmt::Display for NewTerms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by {}, pause {}", Who(self.by), self.pause.0)?;
        self.until.iter().try_for_each(|until| write!(f, ", until {}", rfc3339(*until)))?;
        self.reason.iter().try_for_each(|reason| write!(f, ", reason \"{reason}\""))?;
        self.was.iter().try_for_each(|was| write!(f, ", old reason \"{was}\""))?;
        begun(f, &self.begun_by)
    }
}

fn begun(f: &mut fmt::Formatter<'_>, by: &Option<Address>) -> fmt::Result {
    by.iter().try_for_each(|by| write!(f, ", begun by {}", Who(by)))
}

/// For how long new requests were held, how many are held, and how they go on.
struct End<'a>(&'a Ended);

impl fmt::Display for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ended { held, lasted, pace, .. } = self.0;
        write!(f, "after {} s, {held} held{pace}", lasted.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Msec;

    fn address(text: &str) -> Address {
        Address::new(text.as_bytes()).unwrap()
    }

    fn ended() -> Ended {
        let pace = Pace { spread: Msec(5000), concurrency: 0 };
        Ended { held: 3, lasted: Msec(3672), pace, rejected: 4, expired: 0 }
    }

    #[test]
    fn a_pause_that_begins_has_its_caller_its_end_and_its_reason() {
        let by = address("127.0.0.1");
        let terms = NewTerms {
            pause: PauseId(7),
            by: &by,
            until: None,
            reason: None,
            was: None,
            begun_by: None,
        };
        let paused = PauseEvent::Paused(terms);
        assert_eq!(paused.to_string(), "paused by 127.0.0.1, pause 7");
        assert_eq!(paused.level(), Level::Notice);
        let until = Some(Msec(1_335_864_600_007));
        let reason = Reason::new(b"db \"switch\"").ok();
        let more = NewTerms { until, reason, ..terms };
        assert_eq!(
            PauseEvent::Stopped(more).to_string(),
            "stopped by 127.0.0.1, pause 7, until 2012-05-01T09:30:00.007Z, \
             reason \"db \\\"switch\\\"\""
        );
    }

    #[test]
    fn a_pause_that_changes_says_what_it_was() {
        let by = address("bob");
        let changed = PauseEvent::Changed(NewTerms {
            pause: PauseId(7),
            by: &by,
            until: None,
            reason: Reason::new(b"new").ok(),
            was: Reason::new(b"old").ok(),
            begun_by: Some(address("al, ice")),
        });
        assert_eq!(
            changed.to_string(),
            "pause changed by bob, pause 7, reason \"new\", old reason \"old\", begun by \"al, ice\""
        );
    }

    #[test]
    fn a_pause_that_ends_says_how_long_it_was_and_how_requests_go_on() {
        let (by, pause, ended) = (address("bob"), PauseId(7), ended());
        let resumed =
            PauseEvent::Resumed { pause, by: &by, begun_by: Some(address("alice")), ended };
        assert_eq!(
            resumed.to_string(),
            "resumed by bob, pause 7, after 3.672 s, 3 held, spread over 5.000 s, begun by alice"
        );
        let lease = PauseEvent::LeaseEnded { pause, ended };
        assert_eq!(
            lease.to_string(),
            "lease ended, pause 7, after 3.672 s, 3 held, spread over 5.000 s"
        );
        for event in [resumed, lease] {
            let rest = Unreported { rejected: 4, expired: 0, failed: 0 };
            assert_eq!(event.unreported(), Some(rest));
        }
    }

    #[test]
    fn a_drain_says_its_pace_and_how_it_went() {
        let by = address("bob");
        let paced = |concurrency| {
            let pace = Pace { spread: Msec(0), concurrency };
            PauseEvent::Paced { by: &by, pace }.to_string()
        };
        assert_eq!(paced(20), "pace of the drain changed by bob, 20 at a time");
        assert_eq!(paced(0), "pace of the drain changed by bob, all at once");
        let drained = |failed| Drained { pause: PauseId(7), released: 9, failed, took: Msec(40) };
        assert_eq!(PauseEvent::Drained(drained(0)).to_string(), "drained, 9 released in 0.040 s");
        assert_eq!(
            PauseEvent::Drained(drained(2)).to_string(),
            "drained, 9 released in 0.040 s; nginx answered 2 of them with 502, 503 or 504"
        );
    }

    #[test]
    fn a_wait_for_quiet_ends_with_a_line() {
        let quiet = |count| {
            let abandoned = Abandoned::new(count);
            PauseEvent::Quiet { pause: PauseId(7), abandoned }.to_string()
        };
        assert_eq!(quiet(0), "nothing is in flight, pause 7");
        assert_eq!(
            quiet(2),
            "nothing is in flight, pause 7; nginx gave up 2 requests within the last minute: the \
             app may still work on them"
        );
        let states = [
            (Word::Open, "not paused any more"),
            (Word::Paused, "still paused"),
            (Word::Stopped, "stopped again"),
        ];
        for (state, text) in states {
            let line = PauseEvent::RolledBack { pause: PauseId(7), state }.to_string();
            assert_eq!(line, format!("rolled back, pause 7: the app is {text}"));
        }
    }

    #[test]
    fn a_pause_that_finds_no_room_is_an_error() {
        assert_eq!(
            PauseEvent::NotPaused.to_string(),
            "not paused: the table of apps is full, and all its apps are in use; increase \
             \"intermission_zone\""
        );
        assert_eq!(PauseEvent::NotPaused.level(), Level::Error);
    }

    #[test]
    fn a_quit_says_how_many_it_answered() {
        let quit = PauseEvent::Quit { count: 5 };
        assert_eq!(
            quit.to_string(),
            "nginx quits while the app is paused: it answered 5 held requests with 503"
        );
    }
}
