//! Whatever hosts answer, in whatever order, with whatever failures.
#![forbid(unsafe_code)]

mod cases;
mod endpoint;
mod world;

use proptest::prelude::*;

use super::terms::{Goal, Join, OnLost};
use endpoint::Deed;
use world::{Fate, Kind, Story, World};

fn fate() -> impl Strategy<Value = Fate> {
    let kind = prop_oneof![
        12 => Just(Kind::Fine),
        1 => Just(Kind::NoConnection),
        1 => Just(Kind::LostBefore),
        1 => Just(Kind::LostAfter),
        1 => Just(Kind::Broken),
        1 => Just(Kind::Busy),
    ];
    (kind, 0..400_u64, 0..400_u64, 0..1300_u64).prop_map(|(kind, there, back, quiet)| Fate {
        kind,
        there,
        back,
        quiet,
    })
}

fn deed() -> impl Strategy<Value = (u64, usize, Deed)> {
    let deed = prop_oneof![
        Just(Deed::Enable(Some(2500))),
        Just(Deed::Enable(None)),
        Just(Deed::Disable),
        Just(Deed::Stop),
    ];
    (0..9000_u64, 0..3_usize, deed)
}

fn story() -> impl Strategy<Value = Story> {
    let join = prop_oneof![Just(Join::Never), Just(Join::Yes)];
    let on_lost =
        prop_oneof![Just(OnLost::Finish), Just(OnLost::Kill(super::Duration::from_millis(500)))];
    let goal = prop_oneof![4 => Just(Goal::Run), 1 => Just(Goal::Hold), 1 => Just(Goal::Resume)];
    let signal = proptest::option::weighted(0.3, 0..8000_u64);
    let dead = proptest::collection::vec(proptest::option::weighted(0.15, 0..8000_u64), 3);
    let deeds = prop_oneof![2 => Just(vec![]), 1 => proptest::collection::vec(deed(), 0..5)];
    (
        (1..4_usize, join, on_lost, goal),
        (proptest::collection::vec(fate(), 1..80), deeds, signal, dead, 0..8000_u64),
    )
        .prop_map(|((hosts, join, on_lost, goal), (fates, deeds, signal, dead, runs))| Story {
            hosts,
            join,
            on_lost,
            goal,
            fates,
            deeds,
            signal,
            dead,
            runs,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_command_runs_only_if_all_are_quiet_and_no_pause_of_ours_is_left(story in story()) {
        World::new(story).play();
    }
}
