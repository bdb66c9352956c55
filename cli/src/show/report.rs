//! How it all ended: the exit status, the last words, and the command that mends it.
#![forbid(unsafe_code)]

use super::lines::word;
use super::{Host, Weight};
use crate::client::answer::{Failure, Kind, Said, State, Status};
use crate::exit::Exit;
use crate::plan::action::Outcome;
use crate::plan::event::{self, HostId};
use crate::plan::Plan;
use crate::words::printable;

pub fn exit(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Ran(exit) => Exit::of(*exit),
        Outcome::RanUnpaused(_) | Outcome::LostBefore(_) | Outcome::ResumedLate => Exit::LOST,
        Outcome::RanUnsure(_) | Outcome::ResumedUnsure => Exit::UNSURE,
        Outcome::NotStarted(why) => Exit(why.exit),
        Outcome::NotPaused(_, failure) => Exit::failure(failure),
        Outcome::Interrupted(signal) => Exit::signal(*signal),
        Outcome::Held | Outcome::Resumed => Exit::OK,
    }
}

/// Returns None if there is nothing more to say.
pub fn text(outcome: &Outcome, hosts: &[Host], plan: &Plan) -> Option<(Weight, String)> {
    let text = match outcome {
        Outcome::Ran(_) | Outcome::Resumed => return None,
        Outcome::Held => return Some((Weight::Progress, held(hosts, plan))),
        Outcome::RanUnpaused(exit) => format!(
            "the command ran to its end ({}), but a pause was lost meanwhile: requests may have \
             reached the app. Check what was written",
            ended(*exit)
        ),
        Outcome::RanUnsure(exit) => {
            let all: Vec<&str> = hosts.iter().map(|host| host.options.as_str()).collect();
            format!(
                "the command ran to its end ({}), but not each host answered at the end. See: \
                 intermission status {}",
                ended(*exit),
                all.join(" ")
            )
        }
        Outcome::ResumedLate => "a pause was over before it was to be ended".to_owned(),
        Outcome::ResumedUnsure => {
            "not each host has answered; repeat the call, or its lease ends the pause".to_owned()
        }
        Outcome::NotStarted(why) => format!("{}: all hosts are resumed", why.text),
        Outcome::LostBefore(id) => {
            let name = hosts.get(id.0).map_or("?", |host| host.name.as_str());
            format!(
                "nothing was run, and no pause of this call is left: the pause at {name} was lost"
            )
        }
        Outcome::Interrupted(signal) => {
            format!("{}: nothing was run, and no pause of this call is left", word(*signal))
        }
        Outcome::NotPaused(id, failure) => not_paused(*id, failure, hosts, plan),
    };
    Some((Weight::Wrong, text))
}

fn ended(exit: event::Exit) -> String {
    match exit {
        event::Exit::Status(status) => format!("status {status}"),
        event::Exit::Killed(signal) => word(signal),
    }
}

fn held(hosts: &[Host], plan: &Plan) -> String {
    let line = |(id, pause): (HostId, u64)| {
        let host = hosts.get(id.0)?;
        Some(format!("intermission resume {} --id {pause}", host.options))
    };
    let lines: Vec<String> = plan.pauses().into_iter().filter_map(line).collect();
    match lines.is_empty() {
        true => "paused".to_owned(),
        false => format!("paused; to resume:\n{}", lines.join("\n")),
    }
}

fn not_paused(id: HostId, failure: &Failure, hosts: &[Host], plan: &Plan) -> String {
    let name = hosts.get(id.0).map_or("?", |host| host.name.as_str());
    let mut text =
        format!("nothing was run, and no pause of this call is left: {name} could not be paused");
    let seen = plan.seen(id);
    if let Some(seen) = seen.filter(|_| failure.kind != Kind::NotOpen) {
        text.push_str(&format!("; it is {} now", printable(&seen.standing())));
    }
    if let (Some(host), Some(advice)) = (hosts.get(id.0), advice(failure, seen)) {
        text.push('\n');
        text.push_str(&advice.replace("{host}", &host.options));
    }
    text
}

/// What to do about it. {host} stands for the host's options.
fn advice(failure: &Failure, seen: Option<&Status>) -> Option<String> {
    let advice = match failure.kind {
        Kind::Unreachable => {
            "is nginx up, and the address right? See: intermission status {host}".to_owned()
        }
        Kind::NotOurs => {
            "is that the URL of an intermission_control location? Redirects are not followed"
                .to_owned()
        }
        Kind::Denied => {
            "allow this machine at the control location, or give --user or --cert".to_owned()
        }
        Kind::Refused => return None,
        Kind::NotOpen => match seen {
            Some(seen) if seen.state == State::Paused => format!(
                "to go on in that pause: --join. To end it: intermission resume {{host}} --id {}",
                seen.pause
            ),
            Some(seen) => format!("to end it: intermission resume {{host}} --id {}", seen.pause),
            None => return None,
        },
        Kind::NotThatPause | Kind::Superseded => "see: intermission status {host}".to_owned(),
        Kind::NotQuiet | Kind::Later => "repeat the call later, or with a longer --wait".to_owned(),
    };
    Some(advice)
}

/// What a verb did at a host.
pub fn verb(host: &Host, verb: &str, said: Option<&Said>) -> (Weight, String) {
    let name = &host.name;
    match said {
        None => (Weight::Wrong, format!("{name}: {verb}: the call was not carried out")),
        Some(Ok(status)) => {
            let changed = match status.changed {
                Some(false) => "nothing was changed: ",
                _ => "",
            };
            let held = match status.held {
                0 => String::new(),
                held => format!(", {held} held"),
            };
            (Weight::Progress, format!("{name}: {changed}{}{held}", printable(&status.standing())))
        }
        Some(Err(failure)) => {
            let mut text =
                format!("{name}: {verb}: {}", printable(&failure.text.replace('\n', "; ")));
            if let Some(advice) = advice(failure, None).filter(|_| failure.kind != Kind::NotOpen) {
                text.push('\n');
                text.push_str(&advice.replace("{host}", &host.options));
            }
            (Weight::Wrong, text)
        }
    }
}

/// The exit status, if the verb failed at this host.
pub fn verb_exit(said: Option<&Said>) -> Option<Exit> {
    match said {
        None => Some(Exit::UNREACHABLE),
        Some(Ok(_)) => None,
        Some(Err(failure)) => Some(Exit::failure(failure)),
    }
}
