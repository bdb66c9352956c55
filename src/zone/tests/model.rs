//! A model of the zone with a plain list per app: random deeds have the same results in both.
#![forbid(unsafe_code)]

use proptest::prelude::*;

use super::absences::{Passed, STATUS};
use super::callers::ModelCaller;
use super::deeds::{reason_text, Ask, Deed, Outcome};
use super::events::{event, Event};
use super::model_app::{ModelApp, ModelRequest, Nginx};
use super::rounds::Next;
use super::*;
use crate::control::command::PaceChange;
use crate::saved::{Saved, SavedToken};
use crate::shared::slots::Held;

pub(super) const WORKERS: usize = 3;
pub(super) const ENTRIES: usize = 3;
pub(super) const SLOTS: usize = 7;
/// At most so many callers wait.
pub(super) const WAITS: usize = 3;
/// More than there are entries.
pub(super) const NAMES: [&str; 4] = ["", "a", "b", "c"];

/// The zone and its model.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub zone: Owned,
    pub apps: Vec<Option<ModelApp>>,
    pub workers: [ModelWorker; WORKERS],
    pub generation: Generation,
    pub nginx: Nginx,
    pub retired: bool,
    pub pauses: u64,
    pub cookies: u64,
    pub callers: [Option<ModelCaller>; WAITS],
    /// The requests that were released: their apps, and what released them.
    pub released: Vec<(AppName, Release)>,
    /// Requests that were passed on without having been held.
    pub passed: Vec<Passed>,
    /// Those that were released and did not come back.
    pub out: Vec<Cookie>,
    /// An app that is away since this deed, or no longer.
    pub absence: Option<(AppName, Absence)>,
    /// When the workers were last asked for their requests in flight.
    pub asked: Option<Msec>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ModelWorker {
    pub pid: i32,
    /// None while it is not registered.
    pub generation: Option<Generation>,
    pub leaves: bool,
    /// The app that it served last.
    pub last: AppId,
    /// It was woken, and has not found yet that there is nothing to do.
    pub awake: bool,
    /// When it wakes by itself.
    pub alarm: Option<Msec>,
    /// When it last said that it has counted everything.
    pub saw: Option<Msec>,
    /// What it counts, per entry.
    pub counts: [Counts; ENTRIES],
}

impl Pair {
    pub(super) fn new() -> Self {
        let mut pair = Self::starting(1);
        pair.all_register();
        pair
    }

    /// Before any worker has registered.
    pub(super) fn starting(first_pid: i32) -> Self {
        let worker = |index: usize| ModelWorker {
            pid: first_pid + index as i32,
            generation: None,
            leaves: false,
            last: AppId::NONE,
            awake: false,
            alarm: None,
            saw: None,
            counts: [Counts::default(); ENTRIES],
        };
        Self {
            zone: Owned::new(ENTRIES, WORKERS + 1, SLOTS),
            apps: vec![None; ENTRIES],
            workers: core::array::from_fn(worker),
            generation: Generation(0),
            nginx: Nginx::Runs,
            retired: false,
            pauses: 0,
            cookies: 0,
            callers: [None; WAITS],
            released: Vec::new(),
            passed: Vec::new(),
            out: Vec::new(),
            absence: None,
            asked: None,
        }
    }

    pub(super) fn all_register(&mut self) {
        for worker in 0..WORKERS {
            let process = process(self.workers[worker].pid);
            self.carry_out(&Deed::Register { process, generation: self.generation });
        }
    }

    /// Carries the event out in the zone and in the model, and compares the results.
    pub(super) fn apply(&mut self, event: &Event) {
        if let Event::Restarts { after } = event {
            return self.restarts(Msec(*after));
        }
        for deed in self.deeds(event) {
            self.carry_out(&deed);
        }
    }

    pub(super) fn carry_out(&mut self, deed: &Deed) -> Outcome {
        self.wait(Msec(1));
        let before = self.written();
        let zone = self.zone.clone();
        let (outcome, effects) = self.zone.visit(|zone| deed.carry_out(zone));
        check_endings_after(&zone, &self.zone);
        let before_deed = self.nginx;
        let expected = self.expect(deed, &outcome);
        assert_eq!(outcome.clone().without_reports(), expected, "{deed:?}");
        self.end_drains();
        // Unreported counts depend on what was logged before.
        let Effects { wake, unreported, .. } = effects;
        assert_eq!(effects, Effects { wake, unreported, ..self.reports() }, "{deed:?}");
        check(&self.zone);
        self.compare();
        self.compare_callers();
        self.compare_told();
        let quits = self.nginx != before_deed && self.nginx == Nginx::Quits;
        let is_due =
            if quits { effects.wake == Wake::All } else { is_due(effects.wake, deed, &outcome) };
        assert!(is_due, "{deed:?}: {:?}", effects.wake);
        let after = self.written();
        let same = (&before.saved, &before.tokens) == (&after.saved, &after.tokens);
        assert!(same || before.version != after.version, "{deed:?}");
        assert!(before.lease == after.lease || effects.wake == Wake::All, "{deed:?}");
        self.wake(effects.wake);
        if let (Deed::Take { me, spare, .. }, Outcome::Turn(last, turn, all)) = (deed, &outcome) {
            self.took(*me, *spare, *last, *turn);
            let named = |given: &Given| {
                Some((name(NAMES[self.apps.get(given.by.app.index())?.as_ref()?.name]), given.by))
            };
            self.released.extend(all.iter().filter_map(named).collect::<Vec<_>>());
        }
        self.the_next_is_awake();
        outcome
    }

    /// Lets time pass, and wakes the workers whose alarm is due.
    pub(super) fn wait(&mut self, time: Msec) {
        self.zone.wait(time);
        let now = self.zone.now.monotonic;
        for worker in &mut self.workers {
            worker.awake |= worker.alarm.take_if(|at| *at <= now).is_some();
        }
    }

    /// A newcomer passes: it may not overtake a request that a pause held.
    pub(super) fn passes(&self, app: usize) {
        let Some(app) = self.find(app).map(|entry| self.app(entry)) else {
            return;
        };
        assert_eq!(app.state, State::Open);
        let taken = app.baton.iter().filter_map(|(_, one)| one.as_ref());
        assert!(app.line.iter().chain(taken).all(|one| one.ticket > app.upto));
    }

    pub(super) fn find(&self, app: usize) -> Option<usize> {
        let named = |entry: &Option<ModelApp>| entry.as_ref().is_some_and(|one| one.name == app);
        self.apps.iter().position(named)
    }

    pub(super) fn app(&self, entry: usize) -> &ModelApp {
        self.apps[entry].as_ref().unwrap()
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &ModelRequest> {
        self.apps.iter().flatten().flat_map(|app| &app.line)
    }

    pub(super) fn unfinished(&self) -> impl Iterator<Item = &ModelRequest> {
        self.apps.iter().flatten().flat_map(|app| &app.unfinished)
    }

    /// The apps whose baton a worker has, and the request that it took from each.
    pub(super) fn batons_of(
        &self,
        worker: WorkerId,
    ) -> impl Iterator<Item = (AppId, Option<ModelRequest>)> + '_ {
        self.apps.iter().enumerate().filter_map(move |(entry, app)| {
            let (holder, taken) = app.as_ref()?.baton?;
            (holder == worker).then_some((AppId::at(entry), taken))
        })
    }

    fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Nobody => {}
            Wake::One(worker) => self.workers[worker.index()].awake = true,
            Wake::All => self.workers.iter_mut().for_each(|worker| worker.awake = true),
        }
    }

    /// A worker asks again until there is nothing for it, and again when it has a connection to spare.
    fn took(&mut self, me: WorkerId, spare: Spare, last: AppId, turn: Turn) {
        let worker = &mut self.workers[me.index()];
        worker.last = last;
        if let Turn::Later(at) = turn {
            worker.alarm = Some(at);
        }
        let more = matches!(turn, Turn::Release(..) | Turn::TurnAway { .. });
        worker.awake = more || spare == Spare::None;
    }

    fn the_next_is_awake(&self) {
        let now = self.zone.now.monotonic;
        for app in self.apps.iter().flatten() {
            let awake = |one: &ModelRequest| self.workers[one.owner.index()].awake;
            if app.turns_away(self.nginx) {
                assert!(app.line.iter().all(awake), "{app:?}: not all are woken");
            }
            let Some(head) = app.line.front().filter(|head| !awake(head)) else { continue };
            let alarm = self.workers[head.owner.index()].alarm;
            match app.next(now) {
                None => {}
                Some(Next::Now) => panic!("{head:?} is not woken"),
                Some(Next::At(at)) => assert!(alarm.is_some_and(|alarm| alarm <= at)),
                Some(Next::WhenOneIsFinished) => assert!(!app.unfinished.is_empty()),
            }
        }
    }

    /// All leases and pauses end. The workers only do what they are woken for.
    pub(super) fn finish(&mut self, last: Last) {
        while let Some(end) = self.zone.words.signals().next_lease() {
            self.wait(end.since(self.zone.now.monotonic));
            let ended = self.carry_out(&Deed::EndLease);
            assert_ne!(ended, Outcome::LeaseEnded(None));
        }
        let names = NAMES.map(name);
        for name in names.into_iter().filter(|_| last == Last::Stop) {
            self.carry_out(&Deed::Stop { name, which: Expected::Any, ask: Ask::default() });
        }
        self.go_on();
        let stopped = |app: &&ModelApp| app.state == State::Stopped;
        assert!(self.apps.iter().flatten().filter(stopped).all(|app| app.line.is_empty()));
        for name in names {
            let pace = PaceChange::default();
            self.carry_out(&Deed::Disable { name, which: Expected::Any, pace });
        }
        self.go_on();
        self.all_look();
        assert_eq!(self.waiting().chain(self.unfinished()).count(), 0);
        assert!(self.zone.words.signals().all_open());
        assert_eq!(self.zone.visit(|zone| (zone.retire(), zone.slots_used())).0, (true, 0));
    }

    /// The workers do what they are woken for, and released requests finish.
    fn go_on(&mut self) {
        for step in 0.. {
            assert!(step < 1000, "it does not end");
            let busy = |id: &WorkerId| {
                self.workers[id.index()].awake || self.batons_of(*id).next().is_some()
            };
            if let Some(me) = (0..WORKERS).map(WorkerId::at).find(busy) {
                let last = self.workers[me.index()].last;
                let take = Deed::Take { me, last, spare: Spare::One };
                let back = self.batons_of(me).next().map(|(id, _)| Deed::GiveBack { id, me });
                self.carry_out(&back.unwrap_or(take));
                continue;
            }
            let alarm = self.workers.iter().filter_map(|worker| worker.alarm).min();
            let done = self.unfinished().next().copied();
            match (alarm, done) {
                (Some(at), None) => self.wait(at.since(self.zone.now.monotonic)),
                (Some(at), _) if step % 2 == 0 => self.wait(at.since(self.zone.now.monotonic)),
                (_, Some(ModelRequest { slot, owner, cookie, .. })) => {
                    self.carry_out(&Deed::Finish { slot, owner, cookie });
                }
                (None, None) => return,
            }
        }
    }

    fn written(&self) -> Written {
        let apps = &self.zone.tables.apps;
        Written {
            saved: apps.iter().filter_map(|app| Saved::of(app, Now::NEVER)).collect(),
            tokens: apps.iter().filter_map(SavedToken::of).collect(),
            version: self.zone.tables.header.version,
            lease: self.zone.words.signals().next_lease(),
        }
    }

    fn compare(&self) {
        let tables = &self.zone.tables;
        for (app, model) in tables.apps.iter().zip(&self.apps) {
            let named = model.as_ref().map(|model| name(NAMES[model.name]));
            assert_eq!(app.name().copied(), named);
            let Some(model) = model else { continue };
            assert_eq!(app.state(), model.state);
            assert_eq!((app.since(), app.began()), (model.since, model.began));
            assert_eq!(app.until(), model.until.filter(|_| model.is_paused_or_stopped()));
            assert_eq!(app.pause(), PauseId(model.pause));
            assert_eq!(*app.reason_and_by().0, reason_text(model.reason));
            let drains = matches!(model.state, State::Draining { .. });
            assert_eq!(app.pace(), if drains { model.round.pace } else { model.pace });
            assert_eq!((app.totals, app.all_expired_to_app().0), (model.totals, model.to_app));
            assert_eq!(app.last_drain().map(|(last, _)| last), model.last_drain);
            let baton = model.baton.as_ref();
            assert_eq!(app.baton, baton.map_or(WorkerId::NONE, |(me, _)| *me));
            assert_eq!(app.about_to_go_on(), model.taken());
            assert_eq!(app.spacing(), model.spacing);
            let line = app.line.iter(&tables.slots).map(|(id, slot)| (id, slot.held().unwrap()));
            let same = |(slot, held): (SlotId, Held), one: &ModelRequest| {
                let is_back = held.ticket.came_back();
                let same_ticket = one.back || held.ticket == one.ticket;
                (held.owner, held.cookie, held.since) == (one.owner, one.cookie, one.arrived)
                    && (slot, is_back) == (one.slot, one.back)
                    && same_ticket
            };
            assert_eq!(app.line.len as usize, model.line.len());
            assert!(line.zip(&model.line).all(|(real, one)| same(real, one)));
            let away = model.away.map(|away| (away.since, STATUS));
            assert_eq!(app.away(), away);
            assert_eq!(app.unfinished as usize, model.unfinished.len());
            for one in &model.unfinished {
                let unfinished = tables.slots[one.slot.index()].unfinished().unwrap();
                assert_eq!((unfinished.owner, unfinished.cookie), (one.owner, one.cookie));
            }
        }
    }
}

/// What ends the pauses that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Disable,
    Stop,
}

/// What the edge keeps outside of the tables.
struct Written {
    saved: Vec<Saved>,
    tokens: Vec<SavedToken>,
    version: u64,
    lease: Option<Msec>,
}

/// Whether the workers are woken that must be, and no others than may be.
fn is_due(wake: Wake, deed: &Deed, outcome: &Outcome) -> bool {
    let turned = matches!(
        outcome,
        Outcome::Paused(Ok(Paused::Begun(_) | Paused::Changed(_)))
            | Outcome::Opened(Ok(Opened::Ended(..) | Opened::Paced(_)))
            | Outcome::WaitsForDrain(Ok((Opened::Ended(..) | Opened::Paced(_), _) | (_, Some(_))))
            | Outcome::Waits(Ok(_))
            | Outcome::LeaseEnded(Some(_))
    );
    let rolled_back = matches!(outcome, Outcome::Polled(WaitResult::RolledBack(_)));
    match *deed {
        _ if turned => wake == Wake::All,
        Deed::AskAll => (wake == Wake::All) == (*outcome == Outcome::Asked(true)),
        Deed::AddApp { .. } | Deed::Fence { .. } => matches!(wake, Wake::Nobody | Wake::All),
        Deed::Reap { .. } | Deed::Leaving { .. } => matches!(wake, Wake::Nobody | Wake::All),
        // An enable that changes nothing may still make a provisional pause final.
        Deed::Enable { .. } => matches!(wake, Wake::Nobody | Wake::All),
        Deed::Poll { .. } if rolled_back => matches!(wake, Wake::Nobody | Wake::All),
        Deed::Depart { .. } | Deed::Finish { .. } | Deed::GiveBack { .. } => wake != Wake::All,
        Deed::TakeBack { .. } | Deed::Through { .. } => wake != Wake::All,
        Deed::Arrive { owner, .. } => [Wake::Nobody, Wake::One(owner)].contains(&wake),
        _ => wake == Wake::Nobody,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn the_zone_does_what_a_plain_list_per_app_would_do(
        events in prop::collection::vec(event(), 0..80),
        last in prop::sample::select(vec![Last::Disable, Last::Stop]),
    ) {
        let mut pair = Pair::new();
        events.iter().for_each(|event| pair.apply(event));
        pair.finish(last);
    }
}
