//! The apps in Prometheus' text format, version 0.0.4.
#![forbid(unsafe_code)]

use core::fmt::{self, Display, Write};

use crate::control::status::{Slots, Status};
use crate::control::versions::Versions;
use crate::shared::totals::Totals;
use crate::shared::word::Word;
use crate::text::AppName;

/// The format's media type.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

type Outcome = (&'static str, fn(&Totals) -> u64);

/// The outcomes of requests: each request is counted in one of these.
const OUTCOMES: [Outcome; 8] = [
    ("passed", |totals| totals.passed),
    ("released", |totals| totals.released),
    ("expired", |totals| totals.expired),
    ("rejected", |totals| totals.rejected),
    ("bypassed", |totals| totals.bypassed),
    ("stopped", |totals| totals.stopped),
    ("left", |totals| totals.left),
    ("lost", |totals| totals.lost),
];

/// The metrics of these apps, of the zone, and of the module.
pub fn render(apps: &[Status], slots: Slots, versions: &Versions) -> String {
    let mut page = Page(String::with_capacity(2048 * (1 + apps.len())));
    // A label is written in each of an app's lines: so it is made once.
    let apps: Vec<_> = apps.iter().map(|app| (Label(&app.app).to_string(), app)).collect();
    // Writing into a string does not fail.
    let _ = page.write(&apps, slots).and_then(|()| page.build_info(versions));
    page.0
}

struct Page(String);

/// An app, with its name as a label.
type Labelled<'a> = (String, &'a Status);

impl Page {
    fn write(&mut self, apps: &[Labelled<'_>], slots: Slots) -> fmt::Result {
        let flag = |on: bool| u8::from(on);
        self.gauge("paused", "1 if the app is paused, else 0.", apps, |app| {
            flag(app.state == Word::Paused)
        })?;
        self.gauge("stopped", "1 if the app is stopped, else 0.", apps, |app| {
            flag(app.state == Word::Stopped)
        })?;
        self.gauge(
            "draining",
            "1 if requests of an ended pause are still held, else 0.",
            apps,
            |app| flag(app.state == Word::Draining),
        )?;
        self.gauge(
            "away",
            "1 if the app cannot be reached, and requests are held until it can be, else 0.",
            apps,
            |app| flag(app.state == Word::Away),
        )?;
        self.gauge("held", "Requests that are held now.", apps, |app| app.held)?;
        let help =
            "For how many seconds the first request in line has been held, 0 if none is held.";
        self.gauge("oldest_held_seconds", help, apps, |app| app.oldest_held_seconds)?;
        let help = "Requests that were passed on to the app and are unfinished.";
        self.gauge("in_flight", help, apps, |app| app.in_flight)?;
        let help =
            "For how many seconds the oldest request in flight has been in flight, 0 if there is none.";
        self.gauge("oldest_in_flight_seconds", help, apps, |app| {
            app.oldest_in_flight.iter().next().map_or(0.0, |oldest| oldest.seconds.as_f64())
        })?;
        let help = "Connections that became WebSockets or other tunnels.";
        self.gauge("upgraded", help, apps, |app| app.upgraded)?;
        let help = "Requests that nginx gave up although the app may still work on them.";
        self.per_app("abandoned_total", "counter", help, apps, |app| app.all_abandoned)?;
        self.head("requests_total", "counter", "Requests, by outcome.")?;
        for (name, app) in apps {
            for (outcome, count) in OUTCOMES {
                let count = count(&app.totals);
                let labels = format_args!("app=\"{name}\",outcome=\"{outcome}\"");
                writeln!(self.0, "intermission_requests_total{{{labels}}} {count}")?;
            }
        }
        let help = "Released requests that nginx itself answered with 502, 503 or 504.";
        self.per_app("failed_total", "counter", help, apps, |app| app.totals.failed)?;
        let help = "Requests that were passed on, and held because the app never saw them.";
        self.per_app("taken_back_total", "counter", help, apps, |app| app.totals.away)?;
        self.head("rejected_total", "counter", "Rejected requests, by what ran out.")?;
        for (name, app) in apps {
            for (lack, count) in app.rejected.iter() {
                let labels = format_args!("app=\"{name}\",reason=\"{}\"", lack.word());
                writeln!(self.0, "intermission_rejected_total{{{labels}}} {count}")?;
            }
        }
        let help = "Expired requests that were passed on to the app although it was paused.";
        self.per_app("expired_to_app_total", "counter", help, apps, |app| app.all_expired_to_app)?;
        let help = "Requests that took a ticket.";
        self.per_app("holds_total", "counter", help, apps, |app| app.totals.held)?;
        self.per_app("pauses_total", "counter", "Pauses that began.", apps, |app| app.pauses)?;
        self.head("hold_seconds", "histogram", "For how many seconds requests were held.")?;
        apps.iter().try_for_each(|app| self.histogram(app))?;
        let help = "How many seconds the last drain took.";
        self.gauge("last_drain_seconds", help, apps, |app| {
            app.last_drain.map_or(0.0, |drain| drain.seconds.as_f64())
        })?;
        let help = "When the last drain ended, in seconds since 1970; 0 before the first.";
        self.gauge("last_drain_timestamp_seconds", help, apps, |app| {
            app.last_drain.map_or(0.0, |drain| drain.ended.as_f64())
        })?;
        self.gauge("room", "How many more requests can be held now.", apps, |app| app.room)?;
        self.head("slots", "gauge", "Slots for held requests in the zone, for all apps together.")?;
        writeln!(self.0, "intermission_slots {}", slots.total)?;
        self.head("slots_used", "gauge", "Slots for held requests that are in use.")?;
        writeln!(self.0, "intermission_slots_used {}", slots.used)?;
        let help = "0 if intermission_state_file is set but a restart would forget pauses, else 1.";
        self.head("state_file_ok", "gauge", help)?;
        let ok = flag(apps.iter().all(|(_, app)| app.state_file.is_fine()));
        writeln!(self.0, "intermission_state_file_ok {ok}")
    }

    /// 1, with what there is to know in the labels: so it can be joined to any other series.
    fn build_info(&mut self, versions: &Versions) -> fmt::Result {
        let help = "1; the labels are the versions of the module and of nginx.";
        self.head("build_info", "gauge", help)?;
        let Versions { module, nginx } = versions;
        writeln!(self.0, "intermission_build_info{{version=\"{module}\",nginx=\"{nginx}\"}} 1")
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.0, "# HELP intermission_{name} {help}")?;
        writeln!(self.0, "# TYPE intermission_{name} {kind}")
    }

    fn gauge<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        apps: &[Labelled<'_>],
        value: impl Fn(&Status) -> V,
    ) -> fmt::Result {
        self.per_app(name, "gauge", help, apps, value)
    }

    fn per_app<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        apps: &[Labelled<'_>],
        value: impl Fn(&Status) -> V,
    ) -> fmt::Result {
        self.head(name, kind, help)?;
        apps.iter().try_for_each(|(label, app)| {
            let value = value(app);
            writeln!(self.0, "intermission_{name}{{app=\"{label}\"}} {value}")
        })
    }

    fn histogram(&mut self, (name, app): &Labelled<'_>) -> fmt::Result {
        const NAME: &str = "intermission_hold_seconds";
        let holds = &app.holds;
        for (bound, count) in holds.up_to() {
            let bound = bound.0 as f64 / 1000.0;
            writeln!(self.0, "{NAME}_bucket{{app=\"{name}\",le=\"{bound}\"}} {count}")?;
        }
        let (count, sum) = (holds.count(), holds.sum().seconds());
        writeln!(self.0, "{NAME}_bucket{{app=\"{name}\",le=\"+Inf\"}} {count}")?;
        writeln!(self.0, "{NAME}_sum{{app=\"{name}\"}} {sum}")?;
        writeln!(self.0, "{NAME}_count{{app=\"{name}\"}} {count}")
    }
}

/// An app's name in a label. A name that is not UTF-8 is escaped as in the log. So is a name that
/// looks as if it were escaped: two names never become one.
struct Label<'a>(&'a AppName);

impl Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped;
        let text = match core::str::from_utf8(self.0.as_bytes()) {
            Ok(text) if !text.contains("\\x") => text,
            _ => {
                escaped = self.0.to_string();
                &escaped
            }
        };
        text.chars().try_for_each(|char| match char {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            char => f.write_char(char),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::status::Seconds;
    use crate::time::Msec;

    const SLOTS: Slots = Slots { used: 3, total: 8 };

    fn page(apps: &[Status]) -> String {
        render(apps, SLOTS, &Versions::new(b"nginx/1.28.3"))
    }

    fn app(name: &[u8]) -> Status {
        Status { room: 5, slots: SLOTS, ..Status::unknown(AppName::new(name).unwrap()) }
    }

    #[test]
    fn everything_is_there_from_the_start() {
        let text = page(&[app(b"")]);
        for line in [
            "intermission_paused{app=\"\"} 0",
            "intermission_oldest_held_seconds{app=\"\"} 0",
            "intermission_requests_total{app=\"\",outcome=\"lost\"} 0",
            "intermission_failed_total{app=\"\"} 0",
            "intermission_abandoned_total{app=\"\"} 0",
            "intermission_hold_seconds_bucket{app=\"\",le=\"2.5\"} 0",
            "intermission_hold_seconds_bucket{app=\"\",le=\"+Inf\"} 0",
            "intermission_hold_seconds_sum{app=\"\"} 0.000",
            "intermission_last_drain_timestamp_seconds{app=\"\"} 0",
            "intermission_rejected_total{app=\"\",reason=\"connections\"} 0",
            "intermission_rejected_total{app=\"\",reason=\"zone\"} 0",
            "intermission_room{app=\"\"} 5",
            "intermission_slots 8",
            "intermission_slots_used 3",
            "intermission_state_file_ok 1",
            concat!(
                "intermission_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\",nginx=\"nginx/1.28.3\"} 1"
            ),
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }

    #[test]
    fn each_outcome_has_its_own_count() {
        let mut one = app(b"a");
        one.state = Word::Paused;
        one.oldest_held_seconds = Seconds(Msec(1500));
        one.totals = Totals {
            passed: 1,
            held: 2,
            released: 3,
            expired: 4,
            rejected: 5,
            bypassed: 6,
            stopped: 7,
            left: 8,
            lost: 9,
            failed: 10,
            away: 11,
        };
        let text = page(&[one]);
        for (outcome, count) in [("passed", 1), ("released", 3), ("stopped", 7), ("lost", 9)] {
            let line =
                format!("intermission_requests_total{{app=\"a\",outcome=\"{outcome}\"}} {count}\n");
            assert!(text.contains(&line), "{text}");
        }
        assert!(text.contains("intermission_failed_total{app=\"a\"} 10\n"));
        assert!(text.contains("intermission_holds_total{app=\"a\"} 2\n"));
        assert!(text.contains("intermission_paused{app=\"a\"} 1\n"));
        assert!(text.contains("intermission_oldest_held_seconds{app=\"a\"} 1.5\n"));
    }

    #[test]
    fn odd_names_are_harmless_labels_and_stay_apart() {
        let label = |name: &[u8]| Label(&AppName::new(name).unwrap()).to_string();
        assert_eq!(label(b"a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
        assert_eq!(label("\u{e9}\u{7}".as_bytes()), "\u{e9}\u{7}");
        assert_eq!(label(b"a\xff"), "a\\\\xff");
        assert_ne!(label(b"a\xff"), label(b"a\xfe"));
    }

    #[test]
    fn a_name_that_looks_like_an_escaped_one_has_its_own_label() {
        let label = |name: &[u8]| Label(&AppName::new(name).unwrap()).to_string();
        assert_ne!(label(b"a\xff"), label(b"a\\xff"));
    }
}
