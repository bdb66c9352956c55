//! The plan's plain cases, each a promise.
#![forbid(unsafe_code)]

use super::endpoint::Deed;
use super::world::{Fate, Kind, Story, World};
use crate::plan::action::Outcome;
use crate::plan::event::{Exit, Signal};
use crate::plan::terms::{Goal, Join, OnLost};

const FINE: Fate = Fate { kind: Kind::Fine, there: 5, back: 5, quiet: 100 };

fn story() -> Story {
    Story {
        hosts: 2,
        join: Join::Never,
        on_lost: OnLost::Finish,
        goal: Goal::Run,
        fates: vec![FINE],
        deeds: vec![],
        signal: None,
        dead: vec![None; 3],
        runs: 7000,
    }
}

fn play(story: Story) -> Outcome {
    World::new(story).play()
}

#[test]
fn a_command_that_runs_for_longer_than_the_lease_runs_in_one_pause() {
    assert!(matches!(play(story()), Outcome::Ran(Exit::Status(0))));
}

#[test]
fn an_app_that_is_not_quiet_in_time_keeps_the_command_from_running() {
    let late = Fate { quiet: 1200, ..FINE };
    assert!(matches!(play(Story { fates: vec![FINE, late], ..story() }), Outcome::NotPaused(..)));
}

#[test]
fn another_callers_pause_keeps_the_command_from_running_unless_it_is_joined() {
    let paused = Story { deeds: vec![(0, 1, Deed::Enable(None))], ..story() };
    assert!(matches!(play(paused.clone()), Outcome::NotPaused(..)));
    assert!(matches!(play(Story { join: Join::Yes, ..paused }), Outcome::Ran(_)));
}

#[test]
fn another_callers_stop_is_not_joined() {
    let stopped = Story { deeds: vec![(0, 1, Deed::Stop)], join: Join::Yes, ..story() };
    assert!(matches!(play(stopped), Outcome::NotPaused(..)));
}

#[test]
fn a_pause_that_another_caller_ends_is_told() {
    let ended = Story { deeds: vec![(6900, 1, Deed::Disable)], ..story() };
    assert!(matches!(play(ended), Outcome::RanUnpaused(_)));
    let stopped = Story { deeds: vec![(3000, 0, Deed::Stop)], ..story() };
    assert!(matches!(play(stopped), Outcome::RanUnpaused(_)));
}

#[test]
fn a_host_that_dies_while_the_command_runs_is_told() {
    let dead = vec![None, Some(2000), None];
    assert!(matches!(play(Story { dead, ..story() }), Outcome::RanUnpaused(_)));
}

#[test]
fn a_host_that_dies_at_the_end_is_told() {
    let dead = vec![None, Some(6990), None];
    assert!(matches!(play(Story { dead, ..story() }), Outcome::RanUnsure(_)));
}

#[test]
fn a_signal_before_the_command_runs_ends_all() {
    for time in [0, 3, 50, 104, 111, 112] {
        let outcome = play(Story { signal: Some(time), ..story() });
        let is_right = matches!(outcome, Outcome::Interrupted(Signal(15)));
        assert!(is_right || time > 110, "{time}: {outcome:?}");
    }
}

#[test]
fn an_answer_that_is_lost_leaves_no_pause() {
    for kind in [Kind::LostAfter, Kind::LostBefore, Kind::Broken, Kind::NoConnection] {
        let lost = Fate { kind, ..FINE };
        let fates = vec![FINE, lost, FINE, FINE, FINE, FINE, FINE, FINE];
        assert!(matches!(play(Story { fates, ..story() }), Outcome::NotPaused(..)), "{kind:?}");
    }
}
