//! Lines about an app that cannot be reached.
#![forbid(unsafe_code)]

use core::fmt;

use super::{Event, Level};
use crate::zone::Absence;

/// An app cannot be reached, or can be again.
#[derive(Clone, Copy, Debug)]
pub struct AbsenceEvent(pub Absence);

impl Event for AbsenceEvent {
    fn level(&self) -> Level {
        match self.0 {
            Absence::Begins { .. } => Level::Warn,
            Absence::Ends { .. } | Absence::Unknown { .. } => Level::Notice,
        }
    }
}

impl fmt::Display for AbsenceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Absence::Begins { status } => write!(
                f,
                "away: nginx cannot reach the app ({status}): requests are held until it can, or \
                 \"intermission_away\" is over"
            ),
            Absence::Ends { after, held } => {
                write!(f, "back after {} s, {held} held", after.seconds())
            }
            Absence::Unknown { after } => write!(
                f,
                "after {} s away no request is held any more: the next one tries the app",
                after.seconds()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Msec;

    #[test]
    fn an_absence_says_why_it_begins_and_how_long_it_took() {
        let begins = AbsenceEvent(Absence::Begins { status: 502 });
        let ends = AbsenceEvent(Absence::Ends { after: Msec(1500), held: 3 });
        assert!(begins.to_string().starts_with("away: nginx cannot reach the app (502)"));
        assert_eq!(ends.to_string(), "back after 1.500 s, 3 held");
        let unknown = AbsenceEvent(Absence::Unknown { after: Msec(30_000) });
        assert!(unknown.to_string().starts_with("after 30.000 s away no request is held"));
    }
}
