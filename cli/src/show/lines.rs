//! What happens, in lines for people.
#![forbid(unsafe_code)]

use super::{Host, Weight};
use crate::client::answer::{Failure, Status};
use crate::plan::action::{Closed, Loss, Notice};
use crate::plan::event::{Exit, HostId, Signal};
use crate::plan::terms::Terms;
use crate::plan::Plan;
use crate::words::{printable, seconds};

pub fn pausing(names: &[&str], terms: &Terms) -> String {
    let wait = match terms.wait.is_zero() {
        true => String::new(),
        false => format!(", waiting up to {} until quiet", seconds(terms.wait)),
    };
    format!("pausing {} as {}, lease {}{wait}", names.join(", "), terms.by, seconds(terms.lease))
}

/// Returns None if there is nothing to say.
pub fn notice(notice: &Notice, hosts: &[Host], plan: &Plan) -> Option<(Weight, String)> {
    let name = |id: &HostId| hosts.get(id.0).map_or("?", |host| host.name.as_str());
    let (wrong, progress) = (Weight::Wrong, Weight::Progress);
    Some(match notice {
        Notice::Paused(id, status) => (progress, format!("{}: {}", name(id), paused(status))),
        Notice::Joined(id, status) => {
            (progress, format!("{}: joined: {}", name(id), printable(&status.standing())))
        }
        Notice::Waits(id, failure) => {
            (progress, format!("{}: cannot pause yet: {}", name(id), first(failure)))
        }
        Notice::Failed(id, failure) => {
            (wrong, format!("{}: not paused: {}", name(id), all(failure)))
        }
        Notice::Lost(id, loss) => {
            let after = "requests may reach the app now";
            (wrong, format!("PAUSE LOST at {}: {}; {after}", name(id), lost(loss)))
        }
        Notice::Ending(signal) => (wrong, format!("sending {} to the command", word(*signal))),
        Notice::Aborted(signal) => {
            (wrong, format!("{}: the command will not run; ending all pauses first", word(*signal)))
        }
        Notice::StillEnding(signal, open) => {
            let open: Vec<&str> = open.iter().map(name).collect();
            (wrong, format!("{}: still ending the pauses at {}", word(*signal), open.join(", ")))
        }
        Notice::Delayed(id, failure) => (
            wrong,
            format!(
                "{}: not resumed yet: {}; trying again until its lease is over",
                name(id),
                first(failure)
            ),
        ),
        Notice::Closed(id, closed) => return self::closed(name(id), closed, plan.seen(*id)),
    })
}

pub fn ended(exit: Exit) -> String {
    match exit {
        Exit::Status(0) => "the command succeeded".to_owned(),
        Exit::Status(status) => format!("the command failed with status {status}"),
        Exit::Killed(signal) => format!("the command was ended by {}", word(signal)),
    }
}

fn paused(status: &Status) -> String {
    let held = match status.held {
        0 => String::new(),
        held => format!(", {held} held"),
    };
    let abandoned = match status.abandoned {
        0 => String::new(),
        count => format!(
            "; nginx gave up {count} requests within the last minute: the app may still work on them"
        ),
    };
    let flight = match status.in_flight {
        0 => "quiet".to_owned(),
        count => format!("{count} in flight"),
    };
    format!("paused, {flight}{held} (pause {}){abandoned}", status.pause)
}

fn closed(name: &str, closed: &Closed, seen: Option<&Status>) -> Option<(Weight, String)> {
    Some(match closed {
        Closed::Nothing => return None,
        Closed::Ended(status) => {
            let held = match status.held {
                0 => String::new(),
                1 => ", 1 held request goes on".to_owned(),
                held => format!(", {held} held requests go on"),
            };
            (Weight::Progress, format!("{name}: resumed{held}"))
        }
        Closed::Left => {
            (Weight::Progress, format!("{name}: left paused, for the owner of the pause"))
        }
        Closed::Lost => {
            let now = seen
                .map_or_else(String::new, |status| format!("; it is {} now", status.standing()));
            let by = seen.and_then(|status| status.drained_by.as_ref());
            let by = by.map_or_else(String::new, |by| format!(", ended by {by}"));
            (
                Weight::Wrong,
                format!("{name}: its pause was over before{}{}", printable(&by), printable(&now)),
            )
        }
        Closed::LeaseOver(failure) => {
            let why = failure.as_ref().map_or("no answer", |failure| failure.text.as_str());
            let text = format!(
                "{name}: no answer says that it is resumed ({}); its lease is over, so the pause has \
                 ended by itself",
                printable(why)
            );
            (Weight::Wrong, text)
        }
    })
}

pub fn lost(loss: &Loss) -> String {
    match loss {
        Loss::Seen(status) => {
            let by = match (&status.drained_by, status.until.is_some()) {
                (Some(by), _) => format!(" (ended by {by})"),
                (None, _) => String::new(),
            };
            printable(&format!("the app is {}{by}", status.standing()))
        }
        Loss::Told(text) => printable(text),
        Loss::Unanswered(failure) => {
            let why = failure.as_ref().map_or("no answer", |failure| failure.text.as_str());
            format!("its lease may be over: {}", printable(why))
        }
    }
}

/// The first line of a failure.
fn first(failure: &Failure) -> String {
    printable(failure.text.lines().next().unwrap_or_default())
}

/// All its lines.
fn all(failure: &Failure) -> String {
    let lines: Vec<String> = failure.text.lines().map(printable).collect();
    lines.join("\n")
}

pub fn word(Signal(number): Signal) -> String {
    let name = signal_hook::low_level::signal_name(number);
    name.map_or_else(|| format!("signal {number}"), str::to_owned)
}
