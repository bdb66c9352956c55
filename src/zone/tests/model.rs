//! Whatever workers and operators do, the zone does what a plain list per app would do.
#![forbid(unsafe_code)]

use proptest::prelude::*;

use super::deeds::{reason_text, Deed, Outcome};
use super::events::{event, Event};
use super::rules::{ModelApp, Waiting};
use super::*;
use crate::time::Msec;

pub(super) const WORKERS: usize = 3;
pub(super) const ENTRIES: usize = 3;
pub(super) const SLOTS: usize = 7;
/// More than there are entries.
pub(super) const NAMES: [&str; 4] = ["", "a", "b", "c"];

/// The zone, told twice.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub zone: Owned,
    pub apps: Vec<Option<ModelApp>>,
    pub pids: [i32; WORKERS],
    pub pauses: u64,
    pub cookies: u64,
    /// The app that each worker served last.
    pub last: [AppId; WORKERS],
    /// Those who were woken and have not yet found that there is nothing for them to do.
    awake: [bool; WORKERS],
}

impl Pair {
    pub(super) fn new() -> Self {
        let mut zone = Owned::new(ENTRIES, WORKERS + 1, SLOTS);
        let pids = core::array::from_fn(|worker| worker as i32 + 1);
        for pid in pids {
            zone.visit(|zone| zone.register(process(pid)));
        }
        Self {
            zone,
            apps: vec![None; ENTRIES],
            pids,
            pauses: 0,
            cookies: 0,
            last: [AppId::NONE; WORKERS],
            awake: [false; WORKERS],
        }
    }

    /// Does it in the zone and in the model, and compares.
    pub(super) fn apply(&mut self, event: &Event) {
        for deed in self.deeds(event) {
            self.carry_out(&deed);
        }
    }

    pub(super) fn carry_out(&mut self, deed: &Deed) {
        self.zone.wait(Msec(1));
        let (outcome, effects) = self.zone.visit(|zone| deed.carry_out(zone));
        let expected = self.expect(deed, &outcome);
        assert_eq!(outcome.clone().without_reports(), expected, "{deed:?}");
        assert!(!effects.repaired);
        assert_eq!(effects.drained, self.end_drains(), "{deed:?}");
        check(&self.zone);
        self.compare();
        assert!(!deed.is_quiet() || effects.wake == Wake::Nobody, "{deed:?}");
        self.wake(effects.wake);
        if let (Deed::Take { me, .. }, Outcome::Taken(None, _)) = (deed, &outcome) {
            self.awake[me.index()] = false;
        }
        self.nobody_waits_for_one_who_sleeps();
    }

    /// A newcomer passes: it overtakes nobody whom a pause held.
    pub(super) fn passes(&self, app: usize) {
        let Some(app) = self.find(app).map(|entry| self.app(entry)) else {
            return;
        };
        assert_eq!(app.state, State::Open);
        let run = app.baton.iter().flat_map(|(_, run)| run);
        assert!(app.line.iter().chain(run).all(|one| one.ticket > app.upto));
    }

    pub(super) fn find(&self, app: usize) -> Option<usize> {
        let named = |entry: &Option<ModelApp>| entry.as_ref().is_some_and(|one| one.name == app);
        self.apps.iter().position(named)
    }

    pub(super) fn app(&self, entry: usize) -> &ModelApp {
        self.apps[entry].as_ref().unwrap()
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.apps.iter().flatten().flat_map(|app| &app.line)
    }

    /// The app for which a worker releases at this moment, and whom.
    pub(super) fn run_of(&self, worker: WorkerId) -> Option<(AppId, &[Waiting])> {
        self.apps.iter().enumerate().find_map(|(entry, app)| {
            let (holder, run) = app.as_ref()?.baton.as_ref()?;
            (*holder == worker).then_some((AppId::at(entry), run.as_slice()))
        })
    }

    fn wake(&mut self, whom: Wake) {
        match whom {
            Wake::Nobody => {}
            Wake::One(worker) => self.awake[worker.index()] = true,
            Wake::All => self.awake = [true; WORKERS],
        }
    }

    /// Whoever is awake asks for a run until there is none for it; so much is enough.
    fn nobody_waits_for_one_who_sleeps(&self) {
        let able = self.apps.iter().flatten().filter(|app| app.may_release());
        for head in able.filter_map(|app| app.line.front()) {
            assert!(self.awake[head.owner.index()], "{head:?} is not woken");
        }
    }

    /// All pauses end, and the workers do what they are woken for, and nothing else.
    fn finish(&mut self) {
        for app in NAMES {
            let (name, which) = (name(app), Which::Any);
            self.carry_out(&Deed::Disable { name, which });
        }
        let give_back = |(id, run): (AppId, &[Waiting]), me| Deed::GiveBack {
            id,
            me,
            passed_on: run.len() as u32,
            left: 0,
        };
        while let Some(worker) = (0..WORKERS)
            .find(|worker| self.awake[*worker] || self.run_of(WorkerId::at(*worker)).is_some())
        {
            let (me, last) = (WorkerId::at(worker), self.last[worker]);
            let back = self.run_of(me).map(|run| give_back(run, me));
            self.carry_out(&back.unwrap_or(Deed::Take { me, last, most: 2 }));
        }
        assert_eq!(self.waiting().count(), 0);
        assert!(self.zone.words.gates().all_open());
        assert_eq!(
            self.zone.visit(|zone| (zone.busy(), zone.slots_used())).0,
            (false, 0)
        );
    }

    fn compare(&self) {
        let tables = &self.zone.tables;
        for (app, model) in tables.apps.iter().zip(&self.apps) {
            let named = model.as_ref().map(|model| name(NAMES[model.name]));
            assert_eq!(app.name().copied(), named);
            let Some(model) = model else { continue };
            assert_eq!(app.state(), model.state);
            assert_eq!(app.since().monotonic, model.since);
            assert_eq!(app.pause(), PauseId(model.pause));
            assert_eq!(*app.cause().0, reason_text(model.reason));
            assert_eq!(app.totals, model.totals);
            let baton = model.baton.as_ref();
            assert_eq!(app.baton, baton.map_or(WorkerId::NONE, |(me, _)| *me));
            assert_eq!(app.run as usize, baton.map_or(0, |(_, run)| run.len()));
            let line = app.line.iter(&tables.slots).map(|(slot, place)| {
                let held = place.held().unwrap();
                Waiting {
                    ticket: held.ticket,
                    owner: held.owner,
                    cookie: held.cookie,
                    slot,
                }
            });
            assert!(line.eq(model.line.iter().copied()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn whatever_happens_the_zone_does_what_a_plain_list_per_app_would_do(
        events in prop::collection::vec(event(), 0..80)
    ) {
        let mut pair = Pair::new();
        events.iter().for_each(|event| pair.apply(event));
        pair.finish();
    }
}
