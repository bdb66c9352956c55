//! Can a pause be afforded? What two looks at an app say about that, a line for each question.
#![forbid(unsafe_code)]

pub mod guard;

use std::time::Duration;

use crate::client::answer::{Settings, State, Status};
use crate::words::{printable, seconds};

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub about: &'static str,
    pub verdict: Verdict,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Unknown,
    Fault,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Unknown => "?",
            Self::Fault => "FAULT",
        }
    }
}

/// What is planned.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub pause: Duration,
    pub wait: Duration,
}

pub fn line(about: &'static str, verdict: Verdict, text: impl Into<String>) -> Line {
    Line { about, verdict, text: text.into() }
}

/// Judges an app by two looks at it, with this time between.
pub fn judge(first: &Status, second: &Status, between: Duration, planned: Planned) -> Vec<Line> {
    let mut lines = vec![state(second)];
    lines.extend(arrivals(first, second, between, planned));
    lines.push(in_flight(second, planned));
    lines.push(state_file(second));
    if let Some(settings) = &second.settings {
        lines.extend(self::settings(settings));
    }
    lines
}

fn state(status: &Status) -> Line {
    let text = printable(&status.standing());
    match status.state {
        State::Open => line("state", Verdict::Good, text),
        _ => line("state", Verdict::Fault, text),
    }
}

fn arrivals(first: &Status, second: &Status, between: Duration, planned: Planned) -> [Line; 2] {
    let all = |status: &Status| {
        let totals = status.totals;
        totals.passed.saturating_add(totals.held).saturating_add(totals.rejected)
    };
    let came = all(second).saturating_sub(all(first));
    let rate = came as f64 / between.as_secs_f64().max(0.001);
    let rate_text = format!("{rate:.1} requests a second came within {}", seconds(between));
    let rate_line = match all(second) {
        0 => line(
            "arrivals",
            Verdict::Unknown,
            "no request of this app was ever seen: is its name right?",
        ),
        _ => line("arrivals", Verdict::Good, rate_text),
    };
    let room = second.room;
    if came == 0 {
        let verdict = if room == 0 { Verdict::Fault } else { Verdict::Good };
        let text = format!("{room} more requests can be held; none came just now");
        return [rate_line, line("room", verdict, text)];
    }
    let lasts = room as f64 / rate;
    let text = format!("{room} more requests can be held: that is {lasts:.1} s at this rate");
    let room_line = match lasts >= planned.pause.as_secs_f64() {
        true => line("room", Verdict::Good, text),
        false => {
            let pause = seconds(planned.pause);
            let advice = format!(
                "{text}, less than the pause of {pause}: then requests are rejected. Raise \
                 worker_connections, intermission_max_held or intermission_zone"
            );
            line("room", Verdict::Fault, advice)
        }
    };
    [rate_line, room_line]
}

fn in_flight(status: &Status, planned: Planned) -> Line {
    let count = status.in_flight;
    match status.oldest_in_flight.first() {
        Some(oldest) if oldest.seconds >= planned.wait.as_secs_f64() => {
            let text = format!(
                "{} {} from {} has been in flight for {:.0} s and waits for {}: a wait of {} may \
                 not be enough",
                oldest.method,
                oldest.uri,
                oldest.client,
                oldest.seconds,
                oldest.waits_for,
                seconds(planned.wait)
            );
            line("in flight", Verdict::Fault, printable(&text))
        }
        Some(oldest) => {
            let text = format!("{count}, the oldest for {:.1} s", oldest.seconds);
            line("in flight", Verdict::Good, text)
        }
        None => line("in flight", Verdict::Good, format!("{count}")),
    }
}

fn state_file(status: &Status) -> Line {
    match status.state_file.as_str() {
        "ok" => line("state file", Verdict::Good, "a restart of nginx keeps the pause"),
        "off" | "" => line(
            "state file",
            Verdict::Fault,
            "off: a restart of nginx forgets the pause; set intermission_state_file",
        ),
        other => line("state file", Verdict::Fault, printable(other)),
    }
}

fn settings(settings: &Settings) -> [Line; 3] {
    let lease = match settings.lease {
        Some(lease) => {
            line("lease", Verdict::Good, format!("a forgotten pause ends after {lease} s"))
        }
        None => line(
            "lease",
            Verdict::Fault,
            "a pause without a lease of its own never ends; set intermission_lease",
        ),
    };
    let level = printable(&settings.log_level);
    let log = match level.as_str() {
        "notice" | "info" | "debug" => line("error log", Verdict::Good, format!("at {level}")),
        _ => line(
            "error log",
            Verdict::Fault,
            format!("at {level}: it shows no pauses; set error_log … notice"),
        ),
    };
    let names = printable(&settings.max_fails.join(", "));
    let upstreams = match settings.max_fails.is_empty() {
        true => line("upstreams", Verdict::Good, "nginx takes no server out of service"),
        false => line(
            "upstreams",
            Verdict::Fault,
            format!(
                "{names}: nginx may take the servers out of service while the app restarts; set \
                 max_fails=0"
            ),
        ),
    };
    [lease, log, upstreams]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANNED: Planned =
        Planned { pause: Duration::from_secs(30), wait: Duration::from_secs(10) };

    fn status(more: &str) -> Status {
        let text = format!(
            r#"{{"app":"a","state":"open","pause":0,"state_file":"ok","room":500,
            "settings":{{"lease":60.0,"log_level":"notice","max_fails":[]}},
            "totals":{{"passed":100,"held":0,"rejected":0}}{more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    /// What is wrong between these two looks, a second apart.
    fn faults(first: &str, second: &str) -> Vec<&'static str> {
        let (first, second) = (status(first), status(second));
        let lines = judge(&first, &second, Duration::from_secs(1), PLANNED);
        lines.iter().filter(|line| line.verdict == Verdict::Fault).map(|line| line.about).collect()
    }

    /// The same with another value of a field that is there already.
    fn with(field: &str, value: &str, text: &str) -> Status {
        let mut json: serde_json::Value = serde_json::from_str(text).unwrap();
        json[field] = serde_json::from_str(value).unwrap();
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_sound_app_has_no_fault() {
        assert!(faults("", "").is_empty());
    }

    #[test]
    fn room_for_less_than_the_pause_is_a_fault() {
        let base = r#"{"app":"a","state":"open","pause":0,"state_file":"ok","room":500}"#;
        let first = with("totals", r#"{"passed":100,"held":0,"rejected":0}"#, base);
        let rooms = |passed: u64| {
            let totals = format!(r#"{{"passed":{passed},"held":0,"rejected":0}}"#);
            let second = with("totals", &totals, base);
            let lines = judge(&first, &second, Duration::from_secs(1), PLANNED);
            lines.iter().find(|line| line.about == "room").map(|line| line.verdict)
        };
        assert_eq!(rooms(110), Some(Verdict::Good));
        assert_eq!(rooms(120), Some(Verdict::Fault));
        assert_eq!(rooms(100), Some(Verdict::Good));
    }

    #[test]
    fn a_request_that_is_older_than_the_wait_is_a_fault() {
        let old = |seconds: u32| {
            format!(
                r#","in_flight":1,"oldest_in_flight":[{{"method":"GET","uri":"/","client":"c",
                "seconds":{seconds},"waits_for":"app"}}]"#
            )
        };
        assert!(faults("", &old(9)).is_empty());
        assert_eq!(faults("", &old(10)), ["in flight"]);
    }

    #[test]
    fn an_app_that_is_not_open_is_a_fault() {
        let base = r#"{"app":"a","state":"paused","pause":4,"state_file":"ok","room":500}"#;
        let status: Status = serde_json::from_str(base).unwrap();
        let lines = judge(&status, &status, Duration::from_secs(1), PLANNED);
        assert_eq!(lines[0].verdict, Verdict::Fault);
    }
}
