//! Whatever happens to hosts, callers, etcd and the network, in whatever order.
#![forbid(unsafe_code)]

mod anew;
mod callers;
mod cases;
mod clock;
mod etcd;
mod hosts;
mod module;
mod starter;
mod story;
mod versions;
mod world;

use proptest::prelude::*;

use story::{Deed, Fate, Kind, Story};
use world::{World, HEALED, HOSTS};

fn fate() -> impl Strategy<Value = Fate> {
    let kind = prop_oneof![
        30 => Just(Kind::Fine),
        1 => Just(Kind::Lost),
        1 => Just(Kind::AnswerLost),
        1 => Just(Kind::Late),
    ];
    let slow = prop_oneof![9 => 0..40_u64, 1 => 0..900_u64];
    let quiet = prop_oneof![8 => 0..600_u64, 1 => 0..4000_u64];
    (kind, slow.clone(), slow, quiet).prop_map(|(kind, there, back, quiet)| Fate {
        kind,
        there,
        back,
        quiet,
    })
}

fn deed() -> impl Strategy<Value = Deed> {
    let (host, caller) = (0..HOSTS, 0..2_usize);
    let time = prop_oneof![2 => 0..3000_u64, 1 => 0..25_000_u64];
    prop_oneof![
        (host.clone(), time.clone()).prop_map(|(at, time)| Deed::AgentDies(at, time)),
        (host.clone(), time.clone()).prop_map(|(at, time)| Deed::AgentSleeps(at, time)),
        (host.clone(), time.clone()).prop_map(|(at, time)| Deed::NginxDies(at, time)),
        (host.clone(), time.clone()).prop_map(|(at, time)| Deed::HostDies(at, time)),
        host.clone().prop_map(Deed::Joins),
        host.clone().prop_map(Deed::Joins),
        host.clone().prop_map(Deed::Leaves),
        host.clone().prop_map(Deed::Upgrade),
        (host.clone(), time.clone()).prop_map(|(at, time)| Deed::Cut(at, time)),
        (caller.clone(), time.clone()).prop_map(|(at, time)| Deed::CallerCut(at, time)),
        caller.clone().prop_map(Deed::CallerDies),
        (caller, time.clone()).prop_map(|(at, time)| Deed::CallerSleeps(at, time)),
        time.clone().prop_map(Deed::EtcdDown),
        Just(Deed::NewLeader),
        Just(Deed::Compaction),
        host.clone().prop_map(Deed::WatchEnds),
        (host.clone(), time).prop_map(|(at, time)| Deed::WatchLags(at, time)),
        host.clone().prop_map(Deed::Alice),
        host.prop_map(Deed::AliceEnds),
        Just(Deed::Stop),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let deeds = prop_oneof![
        1 => Just(vec![]),
        3 => proptest::collection::vec((0..HEALED / 2, deed()), 1..4),
        2 => proptest::collection::vec((0..HEALED / 2, deed()), 1..12),
    ];
    let callers = proptest::collection::vec((1000..12_000_u64, 0..25_000_u64, any::<bool>()), 1..3);
    let clocks = proptest::collection::vec((0..100_000_u64, 990..=1010_u64), HOSTS + 2);
    let fates = proptest::collection::vec(fate(), 1..300);
    let flags = (any::<bool>(), any::<bool>());
    (1..=HOSTS, fates, deeds, callers, clocks, flags).prop_map(
        |(hosts, fates, deeds, callers, clocks, (endpoints, starters))| Story {
            hosts,
            fates,
            deeds,
            callers,
            clocks,
            endpoints,
            starters,
        },
    )
}

/// `FLEET_CASES` sets another number.
fn cases() -> u32 {
    std::env::var("FLEET_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(1000)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_no_request_passes_while_the_command_runs(story in story()) {
        World::new(story).play();
    }
}
