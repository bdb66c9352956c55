//! Random events, and the deeds that they are in a model's present state.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use proptest::sample::Index;

use super::asks::told;
use super::deeds::{Ask, Deed, Who};
use super::model::{Pair, ENTRIES, NAMES, WORKERS};
use super::rules::{ModelApp, Waiting};
use super::*;
use crate::control::command::PaceChange;
use crate::saved::Saved;

/// An event. Which deeds it is depends on the state.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Comes {
        app: usize,
        worker: usize,
        max_held: u32,
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
        unfinished: bool,
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
    IsKnown {
        app: usize,
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
    Other,
}

/// A process without an entry.
pub(super) const STRANGER: Process = Process { started: 0, pid: 999 };

pub(super) fn event() -> impl Strategy<Value = Event> {
    let app = || prop_oneof![3 => Just(0), 3 => Just(1), 2 => 0..NAMES.len()];
    let worker = || 0..WORKERS;
    let aim = || {
        use Aim::{Any, New, Newest, Other};
        prop_oneof![6 => Just(Any), 1 => Just(New), 1 => Just(Newest), 1 => Just(Other)]
    };
    let max_held = prop_oneof![9 => Just(u32::MAX), 1 => 0..3u32];
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
        24 => (app(), worker(), max_held)
            .prop_map(|(app, worker, max_held)| Event::Comes { app, worker, max_held }),
        2 => (app(), worker(), 0..4u32)
            .prop_map(|(app, worker, entry)| Event::ComesLate { app, worker, entry }),
        2 => app().prop_map(|app| Event::GoesBy { app }),
        6 => (any::<Index>(), why).prop_map(|(who, why)| Event::Leaves { who, why }),
        6 => any::<Index>().prop_map(|who| Event::Finishes { who }),
        6 => any::<Index>().prop_map(|who| Event::Fails { who }),
        2 => (any::<Index>(), worker(), any::<bool>())
            .prop_map(|(who, worker, unfinished)| Event::Strays { who, worker, unfinished }),
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
        1 => app().prop_map(|app| Event::IsKnown { app }),
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

/// Turns events into deeds.
impl Pair {
    pub(super) fn deeds(&mut self, event: &Event) -> Vec<Deed> {
        let id = WorkerId::at;
        let deed = match *event {
            Event::Comes { app, worker, max_held } => {
                let hash = NameHash::of(NAMES[app].as_bytes());
                match self.zone.words.signals().find(hash) {
                    Some(gate) => self.comes(gate, app, worker, max_held),
                    None => {
                        self.passes(app);
                        return Vec::new();
                    }
                }
            }
            Event::ComesLate { app, worker, entry } => {
                self.comes(AppId(entry), app, worker, u32::MAX)
            }
            Event::GoesBy { app } => {
                let id = self.find(app).map_or(AppId::NONE, AppId::at);
                let name = name(NAMES[app]);
                return vec![Deed::Bypass { id, name }, Deed::Refuse { id, name }];
            }
            Event::Leaves { who, why } => {
                let Some(who) = one_of(self.waiting(), &who) else { return Vec::new() };
                Deed::Depart { slot: who.slot, owner: who.owner, cookie: who.cookie, why }
            }
            Event::Finishes { who } => {
                let Some(who) = one_of(self.unfinished(), &who) else { return Vec::new() };
                Deed::Finish { slot: who.slot, owner: who.owner, cookie: who.cookie }
            }
            Event::Fails { .. } if self.released.is_empty() => return Vec::new(),
            Event::Fails { who } => {
                let (name, by) = *who.get(&self.released);
                Deed::Fail { name, by }
            }
            Event::Strays { who, worker, unfinished } => self.strays(&who, id(worker), unfinished),
            Event::Enable { app, which, ask } => {
                Deed::Enable { name: name(NAMES[app]), which: self.which(app, which), ask }
            }
            Event::Stop { app, which, ask } => {
                Deed::Stop { name: name(NAMES[app]), which: self.which(app, which), ask }
            }
            Event::Disable { app, which, pace } => {
                Deed::Disable { name: name(NAMES[app]), which: self.which(app, which), pace }
            }
            Event::EnableAndWait { app, which, ask, wait_for, worker } => Deed::EnableAndWait {
                name: name(NAMES[app]),
                which: self.which(app, which),
                ask,
                wait_for,
                caller: self.calls(worker),
            },
            Event::DisableAndWait { app, which, pace, worker } => Deed::DisableAndWait {
                name: name(NAMES[app]),
                which: self.which(app, which),
                pace,
                caller: self.calls(worker),
            },
            Event::Polls { who, deadline } => self.polls_again(&who, deadline),
            Event::Counts { worker, entry, in_flight } => {
                self.counts(id(worker), entry, in_flight);
                Deed::Visit
            }
            Event::Sees { worker } => {
                self.sees(id(worker));
                Deed::Visit
            }
            Event::IsKnown { app } => Deed::Know { name: name(NAMES[app]) },
            Event::AsksAll => Deed::AskAll,
            Event::Tells { worker, entry, since } => {
                Deed::Tell { id: AppId::at(entry), told: told(id(worker), since) }
            }
            Event::LeaseEnds => Deed::EndLease,
            Event::Turns { worker, spare } => self.turns(id(worker), spare),
            Event::Halts { worker, spare, spacing } => {
                return self.halts(id(worker), spare, spacing);
            }
            Event::Dies { worker } => return self.dies(worker),
            Event::NotDead { worker } => Deed::Reap { id: id(worker), process: STRANGER },
            Event::ToldToLeave { worker } => Deed::Leaving { id: id(worker) },
            Event::Reloads => Deed::NextGeneration,
            Event::Retires => Deed::Retire,
            Event::Reinstates => Deed::Reinstate,
            Event::Restarts { .. } => return Vec::new(),
            Event::TimePasses { time } => {
                self.wait(Msec(time));
                Deed::Visit
            }
        };
        vec![deed]
    }

    fn comes(&mut self, id: AppId, app: usize, worker: usize, max_held: u32) -> Deed {
        self.cookies += 1;
        Deed::Arrive {
            id,
            name: name(NAMES[app]),
            owner: WorkerId::at(worker),
            cookie: Cookie(self.cookies),
            max_held,
        }
    }

    fn calls(&mut self, worker: usize) -> Who {
        self.cookies += 1;
        (WorkerId::at(worker), Cookie(self.cookies))
    }

    /// Sometimes the caller is an unknown one.
    fn polls_again(&self, who: &Index, deadline: Deadline) -> Deed {
        let stranger = (WorkerId(0), Cookie(u64::MAX));
        let all = self.callers.iter().enumerate();
        let all = all.filter_map(|(wait, one)| Some((WaitId::at(wait), one.as_ref()?.caller)));
        let all: Vec<_> = all.chain([(WaitId(0), stranger)]).collect();
        let (wait, caller) = *who.get(&all);
        Deed::Poll { wait, caller, deadline }
    }

    fn strays(&self, who: &Index, owner: WorkerId, unfinished: bool) -> Deed {
        let nobody = Waiting {
            ticket: Ticket(0),
            owner,
            cookie: Cookie(u64::MAX),
            slot: SlotId(who.index(9) as u32),
        };
        let all = self.waiting().chain(self.unfinished()).chain([&nobody]);
        let Waiting { slot, cookie, .. } = one_of(all, who).unwrap();
        if unfinished {
            Deed::Finish { slot, owner, cookie }
        } else {
            Deed::Depart { slot, owner, cookie, why: DepartReason::Left }
        }
    }

    fn turns(&self, me: WorkerId, spare: Spare) -> Deed {
        match self.batons_of(me).next() {
            Some((id, _)) => Deed::GiveBack { id, me },
            None => Deed::Take { me, last: self.workers[me.index()].last, spare },
        }
    }

    fn halts(&self, me: WorkerId, spare: Spare, spacing: Spacing) -> Vec<Deed> {
        let take = Deed::Take { me, last: self.workers[me.index()].last, spare };
        let Some((id, _)) = self.batons_of(me).next() else { return vec![take] };
        match spacing {
            Spacing::OneByOne => vec![Deed::Halt { id, me }, take],
            Spacing::None => vec![Deed::Halt { id, me }, Deed::Hurry { id, me }, take],
        }
    }

    fn dies(&mut self, worker: usize) -> Vec<Deed> {
        let one = &mut self.workers[worker];
        let dead = process(one.pid);
        one.pid += WORKERS as i32;
        let process = process(one.pid);
        let generation = self.generation;
        let dies = Deed::Reap { id: WorkerId::at(worker), process: dead };
        vec![dies, Deed::Register { process, generation }]
    }

    fn which(&self, app: usize, aim: Aim) -> Expected {
        let newest = self.find(app).map_or(0, |entry| self.app(entry).pause);
        match aim {
            Aim::Any => Expected::Any,
            Aim::New => Expected::New,
            Aim::Newest => Expected::This(PauseId(newest)),
            Aim::Other => Expected::This(PauseId(newest + 1)),
        }
    }

    /// Only what the state file keeps comes back.
    pub(super) fn restarts(&mut self, after: Msec) {
        let (apps, then) = (self.zone.tables.apps.iter(), self.zone.now);
        let saved: Vec<Saved> = apps.filter_map(|app| Saved::of(app, then)).collect();
        let pauses = self.zone.visit(|zone| zone.pauses()).0;
        self.wait(Msec(after.0 + 1));
        let now = self.zone.now;
        let age = Some(now.monotonic.since(then.monotonic));
        let pids = self.workers.iter().map(|worker| worker.pid);
        let mut started = Self::starting(pids.max().unwrap_or(0) + 1);
        (started.zone.now, started.cookies, started.pauses) = (now, self.cookies, self.pauses);
        let before = core::mem::replace(self, started);
        self.zone.visit(|zone| zone.pauses_seen(pauses));
        for app in saved.iter().filter_map(|saved| saved.restore(age, now)) {
            assert!(self.zone.visit(|zone| zone.restore(app)).0.is_some());
            check(&self.zone);
        }
        let lives = |app: &ModelApp| {
            app.is_paused_or_stopped() && app.until.is_none_or(|end| end.wall > now.wall)
        };
        let apps = before.apps.into_iter().flatten().map(ModelApp::without_callers).filter(lives);
        let apps = apps.map(|app| Some(app.restarted(now))).chain(core::iter::repeat(None));
        self.apps = apps.take(ENTRIES).collect();
        self.all_register();
    }
}

fn one_of<'a>(them: impl Iterator<Item = &'a Waiting>, who: &Index) -> Option<Waiting> {
    let them: Vec<&Waiting> = them.collect();
    (!them.is_empty()).then(|| **who.get(&them))
}
