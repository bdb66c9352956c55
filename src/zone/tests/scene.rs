//! A small zone, in which workers take their turns when they are told to.
#![forbid(unsafe_code)]

use super::*;
use crate::time::Msec;

/// A zone with room for four apps and eight requests, and two workers.
pub(super) struct Scene {
    pub zone: Owned,
    cookies: u64,
    pub effects: Effects,
}

/// A held request, as its worker knows it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub slot: SlotId,
    pub owner: WorkerId,
    pub cookie: Cookie,
}

pub(super) const ONE: WorkerId = WorkerId(0);
pub(super) const TWO: WorkerId = WorkerId(1);

impl Scene {
    pub(super) fn new() -> Self {
        let mut zone = Owned::new(4, 4, 8);
        for worker in [ONE, TWO] {
            let registered = zone.visit(|zone| zone.register(process(worker.0 as i32 + 1)));
            assert_eq!(registered.0, worker);
        }
        Self {
            zone,
            cookies: 0,
            effects: Effects::default(),
        }
    }

    pub(super) fn paused(app: &str) -> Self {
        let mut scene = Self::new();
        scene.pause(app);
        scene
    }

    pub(super) fn visit<R>(&mut self, f: impl FnOnce(&mut Zone<'_>) -> R) -> R {
        let (result, effects) = self.zone.visit(f);
        check(&self.zone);
        self.effects = effects;
        result
    }

    /// A request comes to a worker, which asks the gates first.
    pub(super) fn come(&mut self, app: &str, owner: WorkerId) -> Arrival {
        let app = name(app);
        self.cookies += 1;
        let cookie = Cookie(self.cookies);
        let gates = self.zone.words.gates();
        let gate = gates.find(NameHash::of(app.as_bytes()));
        match gate.filter(|_| !gates.all_open()) {
            Some(id) => self.visit(|zone| zone.arrive(id, &app, owner, cookie)),
            None => Arrival::Passes,
        }
    }

    pub(super) fn hold(&mut self, app: &str, owner: WorkerId) -> Place {
        match self.come(app, owner) {
            Arrival::Held { slot, .. } => Place {
                slot,
                owner,
                cookie: Cookie(self.cookies),
            },
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn go(&mut self, place: Place, why: Leaving) -> Departure {
        self.visit(|zone| zone.depart(place.slot, place.owner, place.cookie, why))
    }

    pub(super) fn enable(&mut self, app: &str, which: Which) -> Result<Enabled, Refusal> {
        self.zone.wait(Msec(1));
        self.visit(|zone| zone.enable(&name(app), which, Address::EMPTY, None))
    }

    pub(super) fn pause(&mut self, app: &str) -> PauseId {
        match self.enable(app, Which::Any) {
            Ok(Enabled::Begun(pause)) => pause,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn resume(&mut self, app: &str) {
        let ended = self.visit(|zone| zone.disable(&name(app), Which::Any));
        assert!(matches!(ended, Ok(Some(_))));
    }

    pub(super) fn take(&mut self, me: WorkerId, most: u32) -> (Option<AppId>, Vec<u64>) {
        let mut run = Vec::new();
        let last = AppId::NONE;
        let app = self.visit(|zone| zone.take_run(me, last, most, |cookie| run.push(cookie.0)));
        (app, run)
    }

    pub(super) fn give_back(&mut self, app: AppId, me: WorkerId, passed_on: usize) {
        self.visit(|zone| zone.give_back(app, me, passed_on as u32, 0));
    }

    /// A worker's whole turn: whom it lets go on.
    pub(super) fn turn(&mut self, me: WorkerId) -> Vec<u64> {
        let (app, run) = self.take(me, 256);
        if let Some(app) = app {
            self.give_back(app, me, run.len());
        }
        run
    }

    pub(super) fn state(&mut self, app: &str) -> Option<State> {
        let app = name(app);
        self.visit(|zone| zone.app(zone.find(&app)?).map(|app| app.state()))
    }
}
