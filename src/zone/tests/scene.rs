//! A small zone for a test, in which workers act when they are told to.
#![forbid(unsafe_code)]

use super::*;

/// A zone with two workers, and entries for four apps and eight held requests.
pub(super) struct Scene {
    pub zone: Owned,
    cookies: u64,
    pub effects: Effects,
}

/// A held request, as its worker knows it.
#[derive(Clone, Copy)]
pub(super) struct HeldRequest {
    pub slot: SlotId,
    pub owner: WorkerId,
    pub cookie: Cookie,
}

/// A waiting caller, as its worker knows it.
#[derive(Clone, Copy)]
pub(super) struct Caller {
    pub wait: WaitId,
    pub owner: WorkerId,
    pub cookie: Cookie,
}

/// The generation of the workers that a scene begins with.
pub(super) const FIRST: Generation = Generation(0);

pub(super) const ONE: WorkerId = WorkerId(0);
pub(super) const TWO: WorkerId = WorkerId(1);

/// An `enable` or `stop` without parameters.
pub(super) const PLAIN: PauseRequest = PauseRequest {
    number: PauseId(0),
    by: Address::EMPTY,
    reason: None,
    lease: None,
    pace: Pace { spread: Msec(0), concurrency: 0 },
};

/// One with a lease.
pub(super) fn lease(msec: u64) -> PauseRequest {
    PauseRequest { lease: Some(Msec(msec)), ..PLAIN }
}

/// One with a pace.
pub(super) fn paced(spread: u64, concurrency: u32) -> PauseRequest {
    PauseRequest { pace: Pace { spread: Msec(spread), concurrency }, ..PLAIN }
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::with_slots(8)
    }

    pub(super) fn with_slots(slots: usize) -> Self {
        let mut zone = Owned::new(4, 4, slots);
        for worker in [ONE, TWO] {
            let process = process(worker.0 as i32 + 1);
            let registered = zone.visit(|zone| zone.register(process, FIRST, Orders::Stay));
            assert_eq!(registered.0, worker);
        }
        Self { zone, cookies: 0, effects: Effects::default() }
    }

    pub(super) fn paused(app: &str) -> Self {
        Self::paused_by(app, PLAIN)
    }

    pub(super) fn paused_by(app: &str, request: PauseRequest) -> Self {
        let mut scene = Self::new();
        scene.enable(app, Expected::Any, request).unwrap();
        scene
    }

    pub(super) fn visit<R>(&mut self, f: impl FnOnce(&mut Zone<'_>) -> R) -> R {
        let before = self.zone.clone();
        let (result, effects) = self.zone.visit(f);
        check(&self.zone);
        check_endings_after(&before, &self.zone);
        self.effects = effects;
        result
    }

    pub(super) fn wait(&mut self, msec: u64) {
        self.zone.wait(Msec(msec));
    }

    /// A request comes to a worker, which looks at the gates first.
    pub(super) fn come(&mut self, app: &str, owner: WorkerId) -> Arrival {
        self.come_where(app, owner, u32::MAX)
    }

    /// A request comes to a location with `intermission_max_held`.
    pub(super) fn come_where(&mut self, app: &str, owner: WorkerId, max_held: u32) -> Arrival {
        let app = name(app);
        self.cookies += 1;
        let cookie = Cookie(self.cookies);
        let signals = self.zone.words.signals();
        let gate = signals.find(NameHash::of(app.as_bytes()));
        match gate.filter(|_| !signals.all_open()) {
            Some(id) => {
                self.visit(|zone| zone.arrive(id, &app, owner, cookie, Bounds::max_held(max_held)))
            }
            None => Arrival::Passes,
        }
    }

    pub(super) fn hold(&mut self, app: &str, owner: WorkerId) -> HeldRequest {
        match self.come(app, owner) {
            Arrival::Held { slot, .. } => HeldRequest { slot, owner, cookie: Cookie(self.cookies) },
            other => panic!("{other:?}"),
        }
    }

    /// The same, if this bounds how many are held.
    pub(super) fn hold_within(
        &mut self,
        app: &str,
        owner: WorkerId,
        bounds: Bounds,
    ) -> HeldRequest {
        self.cookies += 1;
        let (app, cookie) = (name(app), Cookie(self.cookies));
        let arrival = self.visit(|zone| {
            let id = zone.find(&app).unwrap();
            zone.arrive(id, &app, owner, cookie, bounds)
        });
        match arrival {
            Arrival::Held { slot, .. } => HeldRequest { slot, owner, cookie },
            other => panic!("{other:?}"),
        }
    }

    /// The slot of the request that its worker knows as this.
    pub(super) fn slot_of(&self, cookie: u64) -> SlotId {
        let slots = self.zone.tables.slots.iter();
        let mut found = slots.map(|slot| slot.occupant().map(|one| one.cookie));
        SlotId::at(found.position(|one| one == Some(Cookie(cookie))).unwrap())
    }

    pub(super) fn depart(&mut self, one: HeldRequest, why: DepartReason) -> Departure {
        self.visit(|zone| zone.depart(one.slot, one.owner, one.cookie, why))
    }

    pub(super) fn finish(&mut self, one: HeldRequest) {
        self.visit(|zone| zone.finish(one.slot, one.owner, one.cookie));
    }

    pub(super) fn enable(
        &mut self,
        app: &str,
        which: Expected,
        request: PauseRequest,
    ) -> Result<Paused, Refusal> {
        self.wait(1);
        self.visit(|zone| zone.enable(&name(app), which, request, Intent::State))
    }

    pub(super) fn pause(&mut self, app: &str) -> PauseId {
        match self.enable(app, Expected::Any, PLAIN) {
            Ok(Paused::Begun(pause)) => pause,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn stop(&mut self, app: &str, request: PauseRequest) -> PauseId {
        match self.visit(|zone| zone.stop(&name(app), Expected::Any, request, Intent::State)) {
            Ok(Paused::Begun(pause)) => pause,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn disable(&mut self, app: &str, which: Expected) -> Result<Opened, Refusal> {
        self.visit(|zone| zone.disable(&name(app), which, &Address::EMPTY, |pace| pace))
    }

    pub(super) fn resume(&mut self, app: &str) {
        let ended = self.disable(app, Expected::Any);
        assert!(matches!(ended, Ok(Opened::Ended(..))));
    }

    /// Pauses, for a caller of `owner` that is answered when nothing is in flight.
    pub(super) fn enable_and_wait(
        &mut self,
        app: &str,
        request: PauseRequest,
        wait_for: WaitFor,
        owner: WorkerId,
    ) -> Result<(Paused, Caller), Refusal> {
        self.wait(1);
        self.cookies += 1;
        let (app, cookie) = (name(app), Cookie(self.cookies));
        let done = self.visit(|zone| {
            zone.enable_and_wait(&app, Expected::Any, request, wait_for, (owner, cookie))
        });
        done.map(|(done, wait)| (done, Caller { wait, owner, cookie }))
    }

    /// The same, for a caller whose pause is rolled back if it gives up.
    pub(super) fn quiets(&mut self, app: &str, request: PauseRequest, owner: WorkerId) -> Caller {
        self.enable_and_wait(app, request, WaitFor::Provisional, owner).unwrap().1
    }

    /// Ends a pause, for a caller of `owner` that is answered when no request is held.
    pub(super) fn disable_and_wait(
        &mut self,
        app: &str,
        owner: WorkerId,
    ) -> Result<(Opened, Option<Caller>), Refusal> {
        self.cookies += 1;
        let (app, cookie) = (name(app), Cookie(self.cookies));
        let done = self.visit(|zone| {
            zone.disable_and_wait(
                &app,
                Expected::Any,
                &Address::EMPTY,
                |pace| pace,
                (owner, cookie),
            )
        });
        done.map(|(done, wait)| (done, wait.map(|wait| Caller { wait, owner, cookie })))
    }

    pub(super) fn poll(&mut self, caller: Caller) -> WaitResult {
        self.visit(|zone| zone.poll(caller.wait, caller.owner, caller.cookie, Deadline::Ahead))
    }

    /// The caller's time is over.
    pub(super) fn give_up(&mut self, caller: Caller) -> WaitResult {
        self.visit(|zone| zone.poll(caller.wait, caller.owner, caller.cookie, Deadline::Over))
    }

    /// A worker says that it has counted all that it has passed on.
    pub(super) fn sees(&self, worker: WorkerId) {
        let words = &self.zone.words;
        words.counts().set_seen(worker, words.signals().epoch());
    }

    pub(super) fn both_see(&self) {
        self.sees(ONE);
        self.sees(TWO);
    }

    /// A worker's counts for an app.
    pub(super) fn count(&mut self, app: &str, worker: WorkerId) -> &CountCell {
        let id = self.zone.visit(|zone| zone.find(&name(app))).0.unwrap();
        &self.zone.words.counts().row(worker)[id.index()]
    }

    /// A worker passes a request on.
    pub(super) fn passes(&mut self, app: &str, worker: WorkerId) {
        assert_eq!(self.come(app, worker), Arrival::Passes);
        let count = self.count(app, worker);
        count.pass();
        count.start();
    }

    /// The counts of all workers for an app, summed.
    pub(super) fn flight(&mut self, app: &str) -> Counts {
        let app = name(app);
        self.visit(|zone| zone.sum_counts(zone.find(&app).unwrap()))
    }

    /// A process that is not told to leave asks for an entry.
    pub(super) fn register(&mut self, pid: i32, generation: Generation) -> WorkerId {
        self.visit(|zone| zone.register(process(pid), generation, Orders::Stay))
    }

    /// All workers are told to leave.
    pub(super) fn quit(&mut self) {
        self.visit(|zone| zone.told_to_leave(ONE));
        self.visit(|zone| zone.told_to_leave(TWO));
    }

    /// A worker asks whether it is its turn.
    pub(super) fn ask(&mut self, me: WorkerId) -> (Turn, Vec<Given>) {
        self.ask_with(me, Spare::One)
    }

    pub(super) fn ask_with(&mut self, me: WorkerId, spare: Spare) -> (Turn, Vec<Given>) {
        let (last, mut all) = (AppId::NONE, Vec::new());
        let (_, turn) = self.visit(|zone| zone.take_turn(me, last, spare, |one| all.push(one)));
        (turn, all)
    }

    /// A worker takes the first request in line, if it is its turn. Returns the app and the request.
    pub(super) fn take(&mut self, me: WorkerId) -> Option<(AppId, u64)> {
        let (turn, given) = self.ask(me);
        match turn {
            Turn::Release(app, _) => Some((app, given[0].cookie.0)),
            Turn::Nobody | Turn::Later(_) => None,
            Turn::TurnAway { .. } => panic!("{given:?} are turned away"),
        }
    }

    pub(super) fn give_back(&mut self, app: AppId, me: WorkerId) {
        self.visit(|zone| zone.give_back(app, me));
    }

    /// A worker takes turns for as long as it can. Returns the requests that it releases. `effects` are
    /// those of the last one's.
    pub(super) fn turn(&mut self, me: WorkerId) -> Vec<u64> {
        let (mut all, mut effects) = (Vec::new(), None);
        while let Some((app, one)) = self.take(me) {
            all.push(one);
            self.give_back(app, me);
            effects = Some(self.effects);
        }
        self.effects = effects.unwrap_or(self.effects);
        all
    }

    /// The requests that a worker turns away, and their `Retry-After` in seconds.
    pub(super) fn turned_away(&mut self, me: WorkerId) -> Option<(Vec<u64>, u64)> {
        let (turn, all) = self.ask(me);
        assert!(all.iter().all(|given| given.counted.is_none()));
        match turn {
            Turn::TurnAway { retry_after } => {
                Some((all.iter().map(|given| given.cookie.0).collect(), retry_after))
            }
            Turn::Nobody => None,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn state(&mut self, app: &str) -> Option<State> {
        let app = name(app);
        self.visit(|zone| zone.app(zone.find(&app)?).map(|app| app.state()))
    }
}
