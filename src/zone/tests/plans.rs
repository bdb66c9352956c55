//! Turns events into deeds: which ones depends on the state of the model.
#![forbid(unsafe_code)]

use proptest::sample::Index;

use super::absences::Passed;
use super::asks::told;
use super::deeds::{Deed, Who};
use super::events::{Aim, Event, STRANGER};
use super::model::{Pair, ENTRIES, NAMES, WORKERS};
use super::model_app::{ModelApp, ModelRequest};
use super::*;
use crate::saved::{Saved, SavedToken};

impl Pair {
    pub(super) fn deeds(&mut self, event: &Event) -> Vec<Deed> {
        let id = WorkerId::at;
        let deed = match *event {
            Event::Comes { app, worker, bounds } => {
                let hash = NameHash::of(NAMES[app].as_bytes());
                match self.zone.words.signals().find(hash) {
                    Some(gate) => self.comes(gate, app, worker, bounds),
                    None => {
                        self.passes(app);
                        self.cookies += 1;
                        let (owner, cookie) = (id(worker), Cookie(self.cookies));
                        let arrived = self.zone.now.monotonic;
                        self.passed.push(Passed { app, ticket: Ticket(0), owner, cookie, arrived });
                        return Vec::new();
                    }
                }
            }
            Event::ComesLate { app, worker, entry } => {
                self.comes(AppId(entry), app, worker, Bounds::max_held(u32::MAX))
            }
            Event::ComesBack { who, max_held } => {
                return self.comes_back_to(&who, max_held).into_iter().collect();
            }
            Event::GetsThrough { app } => {
                let id = self.find(app).map_or(AppId::NONE, AppId::at);
                Deed::Through { id, name: name(NAMES[app]) }
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
            Event::Strays { who, worker } => return self.strays(&who, id(worker)),
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
            Event::IsNamed { app } => Deed::AddApp { name: name(NAMES[app]) },
            Event::Fences { app, token } => {
                Deed::Fence { name: name(NAMES[app]), token: Token(token) }
            }
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

    /// One that passed, or one that is unfinished.
    fn comes_back_to(&mut self, who: &Index, max_held: u32) -> Option<Deed> {
        let apps = self.apps.iter().flatten();
        let unfinished = apps.flat_map(|app| app.unfinished.iter().map(|one| (app.name, *one)));
        let mut all: Vec<_> = unfinished.collect();
        let kept = all.len();
        all.extend(self.passed.iter().map(|one| (one.app, one.request())));
        if all.is_empty() {
            return None;
        }
        let at = who.index(all.len());
        if at >= kept {
            self.passed.swap_remove(at - kept);
        }
        let (app, one) = all[at];
        Some(self.back(app, one, max_held))
    }

    fn comes(&mut self, id: AppId, app: usize, worker: usize, bounds: Bounds) -> Deed {
        self.cookies += 1;
        Deed::Arrive {
            id,
            name: name(NAMES[app]),
            owner: WorkerId::at(worker),
            cookie: Cookie(self.cookies),
            bounds,
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

    fn strays(&self, who: &Index, owner: WorkerId) -> Vec<Deed> {
        let unknown = ModelRequest {
            ticket: Ticket(0),
            owner,
            cookie: Cookie(u64::MAX),
            slot: SlotId(who.index(9) as u32),
            arrived: Msec(0),
            back: false,
        };
        let all = self.waiting().chain(self.unfinished()).chain([&unknown]);
        let ModelRequest { slot, cookie, .. } = one_of(all, who).unwrap();
        let why = DepartReason::Left;
        vec![Deed::Finish { slot, owner, cookie }, Deed::Depart { slot, owner, cookie, why }]
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
            Aim::NoStop => Expected::Paused(PauseId(newest)),
            Aim::Other => Expected::This(PauseId(newest + 1)),
        }
    }

    /// Only what the state file keeps comes back.
    pub(super) fn restarts(&mut self, after: Msec) {
        let (apps, then) = (self.zone.tables.apps.iter(), self.zone.now);
        let saved: Vec<Saved> = apps.filter_map(|app| Saved::of(app, then)).collect();
        let apps = self.zone.tables.apps.iter();
        let tokens: Vec<SavedToken> = apps.filter_map(SavedToken::of).collect();
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
        for (name, token) in tokens.iter().filter_map(SavedToken::restore) {
            self.zone.visit(|zone| zone.restore_token(&name, token));
            check(&self.zone);
        }
        let lives = |app: &ModelApp| {
            app.is_paused_or_stopped() && app.until.is_none_or(|end| end.wall > now.wall)
        };
        let apps = before.apps.into_iter().flatten().map(ModelApp::without_callers);
        let (apps, others): (Vec<_>, Vec<_>) = apps.partition(lives);
        let others = others.into_iter().filter(|app| app.token > Token(0));
        let others =
            others.map(|app| ModelApp { token: app.token, ..ModelApp::new(app.name, now) });
        let apps = apps.into_iter().map(|app| app.restarted(now)).chain(others);
        self.apps = apps.map(Some).chain(core::iter::repeat(None)).take(ENTRIES).collect();
        self.all_register();
    }
}

fn one_of<'a>(them: impl Iterator<Item = &'a ModelRequest>, who: &Index) -> Option<ModelRequest> {
    let them: Vec<&ModelRequest> = them.collect();
    (!them.is_empty()).then(|| **who.get(&them))
}
