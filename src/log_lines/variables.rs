//! Lines about values of the operator's variables that cannot be used as they are.
#![forbid(unsafe_code)]

use core::fmt;

use super::{Level, Line};
use crate::request::agent::Oddity;
use crate::text::TooLong;
use crate::time::{MaxTime, NotATime};

/// What is wrong with a variable's value.
#[derive(Clone, Copy, Debug)]
pub enum BadValue<'a> {
    /// The app name of a request, which is therefore not held.
    AppName(TooLong),
    /// The app name of a control request.
    EndpointsAppName(TooLong),
    MaxTime(&'a [u8], NotATime),
    OddPattern(&'a [u8], Oddity),
    CostlyPattern(&'a [u8]),
}

impl Line for BadValue<'_> {
    fn level(&self) -> Level {
        match self {
            Self::OddPattern(..) => Level::Warn,
            _ => Level::Error,
        }
    }
}

impl fmt::Display for BadValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("intermission: ")?;
        match self {
            Self::AppName(problem) => write!(f, "\"$app_name\" {problem}: the request is not held"),
            Self::EndpointsAppName(problem) => {
                write!(f, "\"$app_name\" {problem}: the control request is answered with 400")
            }
            Self::MaxTime(value, problem) => {
                let (value, default) = (value.escape_ascii(), MaxTime::DEFAULT.msec().0 / 1000);
                write!(
                    f,
                    "\"$intermission_max_time\" \"{value}\" {problem}: {default} s is used instead"
                )
            }
            Self::OddPattern(pattern, oddity) => {
                let pattern = pattern.escape_ascii();
                write!(
                    f,
                    "\"$intermission_privileged_user_agent\" \"{pattern}\": the pattern {oddity}"
                )
            }
            Self::CostlyPattern(pattern) => {
                let pattern = pattern.escape_ascii();
                write!(
                    f,
                    "comparing the User-Agent with \"$intermission_privileged_user_agent\" \
                     \"{pattern}\" takes too many steps: the request is held"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::AppName;

    #[test]
    fn a_value_that_cannot_be_used_is_named_with_what_is_done_instead() {
        let Err(long) = AppName::new(&[b'x'; 129]) else { panic!("it has room for 128") };
        let Err(no_time) = MaxTime::parse(b"1y") else { panic!("a year is no time of nginx's") };
        let lines = [
            (
                BadValue::AppName(long),
                "\"$app_name\" is longer than 128 bytes: the request is not held",
            ),
            (
                BadValue::EndpointsAppName(long),
                "\"$app_name\" is longer than 128 bytes: the control request is answered with 400",
            ),
            (
                BadValue::MaxTime(b"1y", no_time),
                "\"$intermission_max_time\" \"1y\" is not a time: 300 s is used instead",
            ),
            (
                BadValue::CostlyPattern(b"a\"b"),
                "comparing the User-Agent with \"$intermission_privileged_user_agent\" \"a\\\"b\" \
                 takes too many steps: the request is held",
            ),
        ];
        for (line, text) in lines {
            assert_eq!(line.to_string(), format!("intermission: {text}"));
            assert_eq!(line.level(), Level::Error);
        }
    }

    #[test]
    fn a_pattern_that_differs_from_lua_is_a_warning() {
        let line = BadValue::OddPattern(b"%1", Oddity::TakenLiterally(b'1'));
        assert_eq!(
            line.to_string(),
            "intermission: \"$intermission_privileged_user_agent\" \"%1\": the pattern contains \
             %1, which is taken literally"
        );
        assert_eq!(line.level(), Level::Warn);
    }
}
