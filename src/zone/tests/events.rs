//! Random events: what workers, operators, clients and nginx may do.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use proptest::sample::Index;

use super::away::LONGEST;
use super::deeds::Ask;
use super::model::{ENTRIES, NAMES, WORKERS};
use super::*;
use crate::control::command::PaceChange;

/// An event. Which deeds it is depends on the state.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Comes {
        app: usize,
        worker: usize,
        bounds: Bounds,
    },
    /// A request that was passed on, or released, could not reach the app.
    ComesBack {
        who: Index,
        max_held: u32,
    },
    /// A request reaches the app.
    GetsThrough {
        app: usize,
    },
    /// It found the gate closed long ago.
    ComesLate {
        app: usize,
        worker: usize,
        entry: u32,
    },
    /// A request that no pause holds arrives, and one whose body is still to be read.
    GoesBy {
        app: usize,
    },
    Leaves {
        who: Index,
        why: DepartReason,
    },
    /// A released request is finished.
    Finishes {
        who: Index,
    },
    /// A request that was released earlier is answered 502 by nginx.
    Fails {
        who: Index,
    },
    /// A worker names a request that may be another worker's, held, unfinished or unknown.
    Strays {
        who: Index,
        worker: usize,
    },
    Enable {
        app: usize,
        which: Aim,
        ask: Ask,
    },
    Stop {
        app: usize,
        which: Aim,
        ask: Ask,
    },
    Disable {
        app: usize,
        which: Aim,
        pace: PaceChange,
    },
    EnableAndWait {
        app: usize,
        which: Aim,
        ask: Ask,
        wait_for: WaitFor,
        worker: usize,
    },
    DisableAndWait {
        app: usize,
        which: Aim,
        pace: PaceChange,
        worker: usize,
    },
    /// A waiting caller polls, or gives up.
    Polls {
        who: Index,
        deadline: Deadline,
    },
    /// A worker has so many requests in flight.
    Counts {
        worker: usize,
        entry: usize,
        in_flight: u32,
    },
    /// A worker says that it has counted all that it has passed on.
    Sees {
        worker: usize,
    },
    /// A control request names an app.
    IsNamed {
        app: usize,
    },
    /// A control request names a token.
    Fences {
        app: usize,
        token: u64,
    },
    AsksAll,
    Tells {
        worker: usize,
        entry: usize,
        since: u64,
    },
    LeaseEnds,
    /// A worker takes a turn, or gives its baton back.
    Turns {
        worker: usize,
        spare: Spare,
    },
    /// The request that it took is delayed. Meanwhile it takes turns of other apps.
    Halts {
        worker: usize,
        spare: Spare,
        spacing: Spacing,
    },
    Dies {
        worker: usize,
    },
    NotDead {
        worker: usize,
    },
    ToldToLeave {
        worker: usize,
    },
    Reloads,
    /// A configuration with another zone is read, and takes over or does not.
    Retires,
    Reinstates,
    /// All processes end, and nginx starts again later.
    Restarts {
        after: u64,
    },
    TimePasses {
        time: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    Any,
    New,
    Newest,
    NoStop,
    Other,
}

/// A process without an entry.
pub(super) const STRANGER: Process = Process { started: 0, pid: 999 };

pub(super) fn event() -> impl Strategy<Value = Event> {
    let app = || prop_oneof![3 => Just(0), 3 => Just(1), 2 => 0..NAMES.len()];
    let worker = || 0..WORKERS;
    let aim = || {
        use Aim::{Any, New, Newest, NoStop, Other};
        prop_oneof![12 => Just(Any), 2 => Just(New), 1 => Just(Newest), 1 => Just(NoStop), 2 => Just(Other)]
    };
    let max_held = || prop_oneof![9 => Just(u32::MAX), 1 => 0..3u32];
    let bounds = (max_held(), any::<bool>()).prop_map(|(most, takes_back)| Bounds {
        away: takes_back.then_some(LONGEST),
        ..Bounds::max_held(most)
    });
    let wait_for = prop_oneof![3 => Just(WaitFor::Provisional), 1 => Just(WaitFor::Quiet)];
    let deadline = prop::sample::select(vec![Deadline::Ahead, Deadline::Over]);
    let spare = || prop_oneof![3 => Just(Spare::One), 1 => Just(Spare::None)];
    let spacing = prop::sample::select(vec![Spacing::OneByOne, Spacing::None]);
    let why = prop::sample::select(vec![
        DepartReason::Left,
        DepartReason::Passed,
        DepartReason::Answered,
    ]);
    prop_oneof![
        24 => (app(), worker(), bounds)
            .prop_map(|(app, worker, bounds)| Event::Comes { app, worker, bounds }),
        16 => (any::<Index>(), max_held())
            .prop_map(|(who, max_held)| Event::ComesBack { who, max_held }),
        4 => app().prop_map(|app| Event::GetsThrough { app }),
        2 => (app(), worker(), 0..4u32)
            .prop_map(|(app, worker, entry)| Event::ComesLate { app, worker, entry }),
        2 => app().prop_map(|app| Event::GoesBy { app }),
        6 => (any::<Index>(), why).prop_map(|(who, why)| Event::Leaves { who, why }),
        6 => any::<Index>().prop_map(|who| Event::Finishes { who }),
        6 => any::<Index>().prop_map(|who| Event::Fails { who }),
        2 => (any::<Index>(), worker()).prop_map(|(who, worker)| Event::Strays { who, worker }),
        8 => (app(), aim(), ask()).prop_map(|(app, which, ask)| Event::Enable { app, which, ask }),
        2 => (app(), aim(), ask()).prop_map(|(app, which, ask)| Event::Stop { app, which, ask }),
        8 => (app(), aim(), pace_change())
            .prop_map(|(app, which, pace)| Event::Disable { app, which, pace }),
        8 => (app(), aim(), ask(), wait_for, worker()).prop_map(|(app, which, ask, wait_for, worker)| {
            Event::EnableAndWait { app, which, ask, wait_for, worker }
        }),
        3 => (app(), aim(), pace_change(), worker())
            .prop_map(|(app, which, pace, worker)| Event::DisableAndWait { app, which, pace, worker }),
        10 => (any::<Index>(), deadline)
            .prop_map(|(who, deadline)| Event::Polls { who, deadline }),
        3 => (worker(), 0..ENTRIES, 0..2u32)
            .prop_map(|(worker, entry, in_flight)| Event::Counts { worker, entry, in_flight }),
        8 => worker().prop_map(|worker| Event::Sees { worker }),
        1 => app().prop_map(|app| Event::IsNamed { app }),
        2 => (app(), 1..9u64).prop_map(|(app, token)| Event::Fences { app, token }),
        3 => Just(Event::AsksAll),
        6 => (worker(), 0..ENTRIES, 0..1000u64)
            .prop_map(|(worker, entry, since)| Event::Tells { worker, entry, since }),
        2 => Just(Event::LeaseEnds),
        40 => (worker(), spare()).prop_map(|(worker, spare)| Event::Turns { worker, spare }),
        6 => (worker(), spare(), spacing)
            .prop_map(|(worker, spare, spacing)| Event::Halts { worker, spare, spacing }),
        2 => worker().prop_map(|worker| Event::Dies { worker }),
        1 => worker().prop_map(|worker| Event::NotDead { worker }),
        2 => worker().prop_map(|worker| Event::ToldToLeave { worker }),
        1 => Just(Event::Reloads),
        1 => Just(Event::Retires),
        3 => Just(Event::Reinstates),
        1 => (0..500u64).prop_map(|after| Event::Restarts { after }),
        3 => (0..1500u64).prop_map(|time| Event::TimePasses { time }),
    ]
}

/// Those of an app that often cannot be reached.
pub(super) fn event_of_absence() -> impl Strategy<Value = Event> {
    let (app, worker) = (0, || 0..WORKERS);
    let bounds = Bounds { away: Some(LONGEST), ..Bounds::max_held(u32::MAX) };
    let spare = Spare::One;
    prop_oneof![
        20 => worker().prop_map(move |worker| Event::Comes { app, worker, bounds }),
        20 => any::<Index>().prop_map(|who| Event::ComesBack { who, max_held: u32::MAX }),
        40 => worker().prop_map(move |worker| Event::Turns { worker, spare }),
        20 => any::<Index>().prop_map(|who| Event::Finishes { who }),
        4 => Just(Event::GetsThrough { app }),
        8 => (0..1500u64).prop_map(|time| Event::TimePasses { time }),
        1 => (0..6000u64).prop_map(|time| Event::TimePasses { time }),
        2 => any::<Index>().prop_map(|who| Event::Leaves { who, why: DepartReason::Passed }),
        2 => ask().prop_map(move |ask| Event::Enable { app, which: Aim::Any, ask }),
        4 => pace_change().prop_map(move |pace| Event::Disable { app, which: Aim::Any, pace }),
        1 => worker().prop_map(|worker| Event::Dies { worker }),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let lease = prop_oneof![2 => Just(None), 1 => (0..3000u64).prop_map(Some)];
    let pace = (spread(), concurrency());
    let intent = prop::sample::select(vec![Intent::State, Intent::Change]);
    (any::<Option<bool>>(), lease, pace, intent).prop_map(
        |(reason, lease, (spread, concurrency), intent)| Ask {
            reason,
            lease: lease.map(Msec),
            pace: Pace { spread, concurrency },
            intent,
        },
    )
}

fn pace_change() -> impl Strategy<Value = PaceChange> {
    (prop::option::weighted(0.3, spread()), prop::option::weighted(0.3, concurrency()))
        .prop_map(|(spread, concurrency)| PaceChange { spread, concurrency })
}

fn spread() -> impl Strategy<Value = Msec> {
    prop_oneof![2 => Just(0), 1 => 1..50u64, 1 => 1..2000u64].prop_map(Msec)
}

fn concurrency() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0), 1 => 1..4u32]
}
