//! `$intermission_max_time`.

use super::complaints::{self, Complaint};
use crate::ffi::conf::MainConf;
use crate::ffi::nginx::evaluate;
use crate::ffi::nginx::request::Request;
use crate::log_lines::variables::BadValue;
use crate::time::MaxTime;

/// How long the request may be held. A value that is not a time is logged, and the default counts.
pub(crate) fn of(r: Request, main: &MainConf) -> MaxTime {
    match evaluate::variable(&r, main.variables.max_time) {
        [] => MaxTime::DEFAULT,
        value => MaxTime::parse(value).unwrap_or_else(|problem| {
            complaints::write(r, Complaint::MaxTime, BadValue::MaxTime(value, problem));
            MaxTime::DEFAULT
        }),
    }
}
