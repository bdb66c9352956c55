//! The plain cases, each a promise.
#![forbid(unsafe_code)]

use super::story::{Deed, Fate, Kind, Story};
use super::world::World;
use crate::caller::talk::{Loss, NotPaused, Outcome};
use crate::keys::HostId;

const FINE: Fate = Fate { kind: Kind::Fine, there: 3, back: 3, quiet: 200 };

fn story() -> Story {
    Story {
        hosts: 3,
        fates: vec![FINE],
        deeds: vec![],
        callers: vec![(5000, 30_000, false)],
        clocks: vec![(0, 1000), (5000, 1005), (99_000, 995)],
        endpoints: true,
        starters: false,
    }
}

fn play(story: Story) -> Vec<Option<Outcome>> {
    World::new(story).play().callers.into_iter().map(|one| one.outcome).collect()
}

fn with(deeds: &[(u64, Deed)]) -> Story {
    Story { deeds: deeds.to_vec(), ..story() }
}

fn one(story: Story) -> Outcome {
    play(story).remove(0).expect("it finishes")
}

fn ran(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ran(left) if left.is_empty())
}

#[test]
fn a_command_that_runs_for_longer_than_the_hard_end_runs_in_one_pause() {
    let outcome = one(story());
    assert!(ran(&outcome), "{outcome:?}");
}

#[test]
fn of_two_callers_one_runs_at_a_time() {
    let callers = vec![(5000, 3000, false), (5001, 3000, false)];
    let all = play(Story { callers, ..story() });
    assert!(ran(all[0].as_ref().unwrap()), "{all:?}");
    assert!(matches!(all[1], Some(Outcome::NotPaused(NotPaused::Taken(_), _))), "{all:?}");
}

#[test]
fn a_host_without_an_agent_keeps_the_command_from_running() {
    let outcome = one(with(&[(3000, Deed::HostDies(1, 50_000))]));
    // Its lease may not be over yet: then it does not answer in time.
    let is_late =
        matches!(outcome, Outcome::NotPaused(NotPaused::Late(_) | NotPaused::Refused(_), _));
    assert!(is_late, "{outcome:?}");
}

#[test]
fn an_agent_that_is_killed_and_comes_back_loses_no_pause() {
    for time in [5000, 5010, 5100, 9000, 30_000, 34_990] {
        let outcome = one(with(&[(time, Deed::AgentDies(1, 500))]));
        assert!(ran(&outcome), "{time}: {outcome:?}");
    }
}

#[test]
fn an_agent_that_stays_dead_is_told_as_a_loss() {
    let outcome = one(with(&[(8000, Deed::AgentDies(1, 50_000))]));
    assert!(matches!(outcome, Outcome::RanUnpaused(_)), "{outcome:?}");
}

#[test]
fn a_host_whose_agent_is_dead_at_the_end_is_told_directly() {
    for (time, endpoints, is_left) in [(34_000, true, false), (34_000, false, true)] {
        let deed = (time, Deed::AgentDies(1, 50_000));
        let outcome = one(Story { endpoints, ..with(&[deed]) });
        assert!(
            matches!(&outcome, Outcome::Ran(left) if left.is_empty() != is_left),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_host_that_joins_in_a_pause_is_in_it() {
    for time in [4990, 5000, 5010, 5200, 9000, 34_900, 35_000] {
        let outcome = one(with(&[(time, Deed::Joins(3))]));
        assert!(ran(&outcome), "{time}: {outcome:?}");
    }
}

#[test]
fn an_nginx_that_starts_in_a_pause_starts_paused() {
    for time in [4990, 5000, 5010, 5200, 9000, 34_900, 35_000] {
        let outcome = one(Story { starters: true, ..with(&[(time, Deed::Joins(3))]) });
        assert!(ran(&outcome), "{time}: {outcome:?}");
    }
}

/// At whatever moment: what it promised is what it holds.
#[test]
fn a_host_whose_agent_dies_while_it_joins_does_no_harm() {
    for (time, starters) in (0..150).step_by(5).flat_map(|time| [(time, false), (time, true)]) {
        let deeds = [(9000, Deed::Joins(3)), (9000 + time, Deed::AgentDies(3, 50_000))];
        play(Story { starters, ..with(&deeds) });
    }
}

#[test]
fn a_host_that_is_killed_and_boots_soon_loses_no_pause() {
    for time in [8000, 20_000] {
        let outcome = one(Story { starters: true, ..with(&[(time, Deed::HostDies(1, 2000))]) });
        assert!(ran(&outcome), "{time}: {outcome:?}");
    }
}

#[test]
fn a_host_that_leaves_does_not_disturb() {
    for time in [4990, 9000, 34_990] {
        let outcome = one(with(&[(time, Deed::Leaves(1))]));
        assert!(ran(&outcome), "{time}: {outcome:?}");
    }
}

#[test]
fn etcd_may_be_away_for_less_than_half_of_the_hard_end() {
    for time in [6000, 12_000, 33_000] {
        let outcome = one(with(&[(time, Deed::EtcdDown(6000))]));
        assert!(ran(&outcome), "{time}: {outcome:?}");
    }
}

#[test]
fn without_etcd_no_pause_begins() {
    let outcome = one(with(&[(4000, Deed::EtcdDown(20_000))]));
    assert!(matches!(outcome, Outcome::NotPaused(NotPaused::NoEtcd(_), _)), "{outcome:?}");
}

#[test]
fn a_caller_that_is_killed_leaves_no_pause() {
    for time in [5005, 5100, 9000] {
        play(with(&[(time, Deed::CallerDies(0))]));
    }
}

#[test]
fn a_caller_that_sleeps_beyond_its_lease_is_told_of_the_loss() {
    let outcome = one(with(&[(8000, Deed::CallerSleeps(0, 45_000))]));
    assert!(matches!(outcome, Outcome::RanUnpaused(_)), "{outcome:?}");
}

#[test]
fn another_operators_pause_keeps_the_command_from_running() {
    let outcome = one(with(&[(4900, Deed::Alice(1))]));
    assert!(matches!(outcome, Outcome::NotPaused(NotPaused::Refused(_), _)), "{outcome:?}");
}

#[test]
fn an_operator_who_resumes_a_host_is_told_as_a_loss() {
    let caller = World::new(with(&[(9000, Deed::AliceEnds(1))])).play().callers.remove(0);
    assert!(matches!(caller.outcome, Some(Outcome::RanUnpaused(_))), "{:?}", caller.outcome);
    assert_eq!(caller.loss, Some(Loss::Host(HostId("h1".to_owned()))));
}

#[test]
fn a_fleet_that_an_operator_stops_is_told_as_a_loss_and_stays_stopped() {
    for time in [5100, 9000, 34_000] {
        let outcome = one(with(&[(time, Deed::Stop)]));
        let is_told = match &outcome {
            Outcome::RanUnpaused(left) => left.is_empty(),
            Outcome::NotPaused(NotPaused::Stopped(by), left) => by == "bob" && left.is_empty(),
            _ => false,
        };
        assert!(is_told, "{time}: {outcome:?}");
    }
    let outcome = one(with(&[(4000, Deed::Stop)]));
    assert!(matches!(outcome, Outcome::NotPaused(NotPaused::Taken(_), _)), "{outcome:?}");
    // The command has ended: the stop is none of the caller's business.
    assert!(ran(&one(with(&[(36_000, Deed::Stop), (36_500, Deed::Joins(3))]))));
}

#[test]
fn an_nginx_that_starts_in_a_stop_starts_stopped() {
    let deeds = [(3000, Deed::Stop), (9000, Deed::Joins(3)), (20_000, Deed::HostDies(1, 3000))];
    play(Story { starters: true, ..with(&deeds) });
}
