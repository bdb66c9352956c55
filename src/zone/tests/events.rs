//! What may happen to a zone, chosen at random.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use proptest::sample::Index;

use super::deeds::Deed;
use super::model::{Pair, NAMES, WORKERS};
use super::rules::Waiting;
use super::*;
use crate::time::Msec;

/// Of which it depends on the moment what exactly it is.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Comes {
        app: usize,
        worker: usize,
    },
    /// It asked the gates long ago.
    ComesLate {
        app: usize,
        worker: usize,
        entry: u32,
    },
    GoesBy {
        app: usize,
    },
    Leaves {
        who: Index,
        why: Leaving,
    },
    /// Somebody who is not held, or no longer.
    Ghost {
        slot: u32,
        worker: usize,
    },
    Enable {
        app: usize,
        which: Aim,
        reason: Option<bool>,
    },
    Disable {
        app: usize,
        which: Aim,
    },
    /// A worker takes a run, or is done with it.
    Turns {
        worker: usize,
        most: u32,
        left: Index,
    },
    Dies {
        worker: usize,
    },
    NotDead {
        worker: usize,
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

/// A process that is in no table.
pub(super) const STRANGER: Process = Process {
    started: 0,
    pid: 999,
};

pub(super) fn event() -> impl Strategy<Value = Event> {
    let app = || prop_oneof![3 => Just(0), 3 => Just(1), 2 => 0..NAMES.len()];
    let worker = || 0..WORKERS;
    let aim = || {
        use Aim::{Any, New, Newest, Other};
        prop_oneof![4 => Just(Any), 1 => Just(New), 1 => Just(Newest), 1 => Just(Other)]
    };
    let why = prop::sample::select(vec![Leaving::Left, Leaving::Passed, Leaving::Answered]);
    prop_oneof![
        12 => (app(), worker()).prop_map(|(app, worker)| Event::Comes { app, worker }),
        1 => (app(), worker(), 0..4u32)
            .prop_map(|(app, worker, entry)| Event::ComesLate { app, worker, entry }),
        1 => app().prop_map(|app| Event::GoesBy { app }),
        4 => (any::<Index>(), why).prop_map(|(who, why)| Event::Leaves { who, why }),
        1 => (0..9u32, worker()).prop_map(|(slot, worker)| Event::Ghost { slot, worker }),
        4 => (app(), aim(), any::<Option<bool>>())
            .prop_map(|(app, which, reason)| Event::Enable { app, which, reason }),
        4 => (app(), aim()).prop_map(|(app, which)| Event::Disable { app, which }),
        12 => (worker(), 0..4u32, any::<Index>())
            .prop_map(|(worker, most, left)| Event::Turns { worker, most, left }),
        1 => worker().prop_map(|worker| Event::Dies { worker }),
        1 => worker().prop_map(|worker| Event::NotDead { worker }),
        1 => (0..1500u64).prop_map(|time| Event::TimePasses { time }),
    ]
}

/// What an event is at this moment.
impl Pair {
    pub(super) fn deeds(&mut self, event: &Event) -> Vec<Deed> {
        let id = WorkerId::at;
        let deed = match *event {
            Event::Comes { app, worker } => {
                let hash = NameHash::of(NAMES[app].as_bytes());
                match self.zone.words.gates().find(hash) {
                    Some(gate) => self.comes(gate, app, worker),
                    None => {
                        self.passes(app);
                        return Vec::new();
                    }
                }
            }
            Event::ComesLate { app, worker, entry } => self.comes(AppId(entry), app, worker),
            Event::GoesBy { app } => Deed::Bypass {
                id: self.find(app).map_or(AppId::NONE, AppId::at),
                name: name(NAMES[app]),
            },
            Event::Leaves { who, why } => {
                let waiting: Vec<Waiting> = self.waiting().copied().collect();
                if waiting.is_empty() {
                    return Vec::new();
                }
                let who = who.get(&waiting);
                Deed::Depart {
                    slot: who.slot,
                    owner: who.owner,
                    cookie: who.cookie,
                    why,
                }
            }
            Event::Ghost { slot, worker } => Deed::Depart {
                slot: SlotId(slot),
                owner: id(worker),
                cookie: Cookie(u64::MAX),
                why: Leaving::Left,
            },
            Event::Enable { app, which, reason } => Deed::Enable {
                name: name(NAMES[app]),
                which: self.which(app, which),
                reason,
            },
            Event::Disable { app, which } => Deed::Disable {
                name: name(NAMES[app]),
                which: self.which(app, which),
            },
            Event::Turns { worker, most, left } => self.turns(id(worker), most, &left),
            Event::Dies { worker } => return self.dies(worker),
            Event::NotDead { worker } => Deed::Bury {
                id: id(worker),
                process: STRANGER,
            },
            Event::TimePasses { time } => {
                self.zone.wait(Msec(time));
                Deed::Look
            }
        };
        vec![deed]
    }

    pub(super) fn comes(&mut self, id: AppId, app: usize, worker: usize) -> Deed {
        self.cookies += 1;
        Deed::Arrive {
            id,
            name: name(NAMES[app]),
            owner: WorkerId::at(worker),
            cookie: Cookie(self.cookies),
        }
    }

    fn turns(&self, me: WorkerId, most: u32, left: &Index) -> Deed {
        let Some((id, run)) = self.run_of(me) else {
            let last = self.last[me.index()];
            return Deed::Take { me, last, most };
        };
        let left = left.index(run.len() + 1) as u32;
        Deed::GiveBack {
            id,
            me,
            passed_on: run.len() as u32 - left,
            left,
        }
    }

    fn dies(&mut self, worker: usize) -> Vec<Deed> {
        let dead = process(self.pids[worker]);
        self.pids[worker] += WORKERS as i32;
        let id = WorkerId::at(worker);
        let process = process(self.pids[worker]);
        vec![Deed::Bury { id, process: dead }, Deed::Register { process }]
    }

    fn which(&self, app: usize, aim: Aim) -> Which {
        let newest = self.find(app).map_or(0, |entry| self.app(entry).pause);
        match aim {
            Aim::Any => Which::Any,
            Aim::New => Which::New,
            Aim::Newest => Which::This(PauseId(newest)),
            Aim::Other => Which::This(PauseId(newest + 1)),
        }
    }
}
