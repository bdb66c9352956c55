//! A zone, two workers and their doorbells, as loom's threads share them.
#![forbid(unsafe_code)]

use intermission::ids::{
    AppId, Cookie, Epoch, Generation, NameHash, PauseId, Process, SlotId, WaitId, WorkerId,
};
use intermission::shared::in_flight::{AppIndex, Counts};
use intermission::shared::pace::Pace;
use intermission::shared::room::Bounds;
use intermission::shared::terms::PauseRequest;
use intermission::shared::waiters::WaitFor;
use intermission::shared::workers::Orders;
use intermission::text::{Address, AppName};
use intermission::time::{Msec, Now};
use intermission::zone::owned::{Tables, Words};
use intermission::zone::{
    Arrival, Came as CameBack, Deadline, Expected, Given, Intent, Spare, TakenBack, Turn, Unseen,
    WaitResult, Wake, Zone,
};
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

pub(super) const ONE: WorkerId = WorkerId(0);
pub(super) const TWO: WorkerId = WorkerId(1);

/// Time stands still, but for tries of an app that is away.
pub(super) const NOW: Now = Now { monotonic: Msec(1), wall: Msec(1) };

pub(super) const PLAIN: PauseRequest = PauseRequest {
    number: PauseId(0),
    by: Address::EMPTY,
    reason: None,
    lease: None,
    pace: Pace { spread: Msec(0), concurrency: 0 },
};

/// What became of a request that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Passed,
    Held,
    TurnedAway,
}

/// The zone, its lock, the doorbells, and the requests that went on, in order.
pub(super) struct Shared {
    pub(super) words: Words,
    tables: Mutex<Tables>,
    bells: [AtomicBool; 2],
    /// How many milliseconds have passed. Only known to the last thread.
    passed: std::sync::atomic::AtomicU64,
    gone_on: Mutex<Vec<Cookie>>,
    pub(super) turned_away: Mutex<Vec<Cookie>>,
    /// Released requests that count against the concurrency until they are finished, per worker.
    unfinished: [Mutex<Vec<(SlotId, Cookie)>>; 2],
}

impl Shared {
    pub(super) fn new(apps: usize) -> Arc<Self> {
        let words = Words::new(apps, 2);
        let tables = Tables::new(&words, 2, 3);
        let shared = Self {
            words,
            tables: Mutex::new(tables),
            bells: [AtomicBool::new(false), AtomicBool::new(false)],
            passed: std::sync::atomic::AtomicU64::new(0),
            gone_on: Mutex::new(Vec::new()),
            turned_away: Mutex::new(Vec::new()),
            unfinished: [Mutex::new(Vec::new()), Mutex::new(Vec::new())],
        };
        for (worker, pid) in [(ONE, 1), (TWO, 2)] {
            let process = Process { started: 0, pid };
            assert_eq!(
                shared.visit(|zone| zone.register(process, Generation(0), Orders::Stay)),
                worker
            );
        }
        Arc::new(shared)
    }

    /// A worker's visit. The bells ring when the lock has been released.
    pub(super) fn visit<R>(&self, f: impl FnOnce(&mut Zone<'_>) -> R) -> R {
        let mut tables = self.tables.lock().unwrap();
        let passed = Msec(self.passed.load(Ordering::Relaxed));
        let now = Now { monotonic: NOW.monotonic.after(passed), ..NOW };
        let (result, effects) = tables.visit(&self.words, now, f);
        drop(tables);
        // Not a store: loom, which knows less than C11, may lose it to an earlier swap. Pairs with the
        // swap in `hears`.
        let ring = |worker: WorkerId| {
            self.bells[worker.index()].swap(true, Ordering::AcqRel);
        };
        match effects.wake {
            Wake::Nobody => {}
            Wake::One(worker) if self.words.notices[worker.index()].call.call() => ring(worker),
            Wake::One(_) => {}
            Wake::All => [ONE, TWO].into_iter().for_each(ring),
        }
        result
    }

    /// A worker is killed in its visit, after `f`.
    pub(super) fn visit_and_die(&self, f: impl FnOnce(&mut Zone<'_>)) {
        let mut tables = self.tables.lock().unwrap();
        let mut zone = tables.lend(&self.words, NOW);
        zone.enter();
        f(&mut zone);
    }

    pub(super) fn enable(&self, app: &AppName) {
        self.enable_for(app, PLAIN);
    }

    pub(super) fn enable_for(&self, app: &AppName, request: PauseRequest) {
        let enabled = self.visit(|zone| zone.enable(app, Expected::Any, request, Intent::State));
        assert!(enabled.is_ok());
    }

    pub(super) fn stop(&self, app: &AppName) {
        assert!(self.visit(|zone| zone.stop(app, Expected::Any, PLAIN, Intent::State)).is_ok());
    }

    pub(super) fn disable(&self, app: &AppName) {
        assert!(self
            .visit(|zone| zone.disable(app, Expected::Any, &Address::EMPTY, |pace| pace))
            .is_ok());
    }

    /// Pauses, for a caller that waits until nothing is in flight.
    pub(super) fn enable_and_wait(&self, app: &AppName, owner: WorkerId) -> WaitId {
        let (which, caller) = (Expected::Any, (owner, Cookie(9)));
        let waits = self
            .visit(|zone| zone.enable_and_wait(app, which, PLAIN, WaitFor::Provisional, caller));
        waits.unwrap().1
    }

    /// Whether the waiting caller learns that nothing is in flight.
    pub(super) fn is_quiet(&self, wait: WaitId, owner: WorkerId) -> bool {
        self.visit(|zone| zone.poll(wait, owner, Cookie(9), Deadline::Ahead)) == WaitResult::Done
    }

    /// A request comes to a worker.
    pub(super) fn comes(&self, app: &AppName, owner: WorkerId, cookie: Cookie) -> Came {
        self.comes_within(app, owner, cookie, Bounds::max_held(u32::MAX))
    }

    /// A request comes that waits if its app is away.
    pub(super) fn comes_to_wait(&self, app: &AppName, owner: WorkerId, cookie: Cookie) -> Came {
        let away = Some(Msec(60_000));
        self.comes_within(app, owner, cookie, Bounds { away, ..Bounds::max_held(u32::MAX) })
    }

    fn comes_within(&self, app: &AppName, owner: WorkerId, cookie: Cookie, bounds: Bounds) -> Came {
        let arrival =
            self.gate(app).map(|id| self.visit(|zone| zone.arrive(id, app, owner, cookie, bounds)));
        match arrival {
            None | Some(Arrival::Passes) => {
                self.gone_on.lock().unwrap().push(cookie);
                Came::Passed
            }
            Some(Arrival::Held { .. }) => Came::Held,
            Some(Arrival::Stopped { .. }) => Came::TurnedAway,
            Some(Arrival::Rejected { .. }) => panic!("there is room"),
        }
    }

    /// The app whose gate a request for this one finds closed.
    fn gate(&self, app: &AppName) -> Option<AppId> {
        let signals = self.words.signals();
        if signals.all_open() {
            return None;
        }
        signals.find(NameHash::of(app.as_bytes()))
    }

    /// Whether a request for this app would find its gate open.
    pub(super) fn is_open(&self, app: &AppName) -> bool {
        self.gate(app).is_none()
    }

    /// A request that a worker passed on earlier, and that had arrived then, comes back.
    pub(super) fn comes_back(&self, app: &AppName, owner: WorkerId, cookie: Cookie, arrived: u64) {
        let (arrived, came) = (Msec(arrived), CameBack::First);
        let unseen = Unseen {
            slot: None,
            ticket: None,
            owner,
            cookie,
            arrived,
            status: 502,
            longest: Msec(60_000),
            came,
        };
        let bounds = Bounds::max_held(u32::MAX);
        let back = self.visit(|zone| zone.take_back(app, unseen, bounds));
        assert!(matches!(back, TakenBack::Held(_)));
    }

    /// A request gets through to the app.
    pub(super) fn gets_through(&self, app: &AppName) {
        self.visit(|zone| zone.find(app).into_iter().for_each(|id| zone.through(id, app)));
    }

    pub(super) fn is_held(&self, app: &AppName, owner: WorkerId, cookie: Cookie) -> bool {
        self.comes(app, owner, cookie) == Came::Held
    }

    /// A request comes to a worker that has seen `endings` pauses end. Returns whether it passes, and the
    /// worker does not see that another pause has ended.
    pub(super) fn passes_unaware(&self, app: &AppName, owner: WorkerId, endings: u64) -> bool {
        let passes = self.comes(app, owner, Cookie(1)) == Came::Passed;
        passes && self.words.signals().endings() == endings
    }

    /// Whether a worker's bell has rung since it was last asked. Pairs with the swap in `visit`.
    pub(super) fn hears(&self, worker: WorkerId) -> bool {
        self.bells[worker.index()].swap(false, Ordering::AcqRel)
    }

    /// A worker that heard its bell takes turns until there is none for it.
    pub(super) fn turns(&self, me: WorkerId) {
        self.words.notices[me.index()].call.hear(false);
        self.turns_until_nobody(me);
    }

    /// A worker that is awake takes its turns if it was called, and falls asleep.
    pub(super) fn looks_and_falls_asleep(&self, me: WorkerId) {
        let call = &self.words.notices[me.index()].call;
        call.wake_up();
        if call.is_called() && call.hear(true) {
            self.turns_until_nobody(me);
        }
        if !call.fall_asleep() {
            self.turns(me);
        }
    }

    fn turns_until_nobody(&self, me: WorkerId) {
        if !self.words.signals().any_moving() {
            return;
        }
        loop {
            let mut given: Vec<Given> = Vec::new();
            let last = AppId::NONE;
            let (_, turn) =
                self.visit(|zone| zone.take_turn(me, last, Spare::One, |one| given.push(one)));
            let cookies = given.iter().map(|one| one.cookie);
            match turn {
                Turn::Release(app, _) => {
                    self.gone_on.lock().unwrap().extend(cookies);
                    let counted = given.iter().filter_map(|one| Some((one.counted?, one.cookie)));
                    self.unfinished[me.index()].lock().unwrap().extend(counted);
                    self.visit(|zone| zone.give_back(app, me));
                }
                Turn::TurnAway { .. } => self.turned_away.lock().unwrap().extend(cookies),
                Turn::Nobody | Turn::Later(_) => return,
            }
        }
    }

    /// A request that a worker released is finished. Returns false if there is none.
    pub(super) fn finishes(&self, me: WorkerId) -> bool {
        let one = self.unfinished[me.index()].lock().unwrap().pop();
        one.map(|(slot, cookie)| self.visit(|zone| zone.finish(slot, me, cookie))).is_some()
    }

    /// The workers do what their bells tell them, and released requests finish, until nothing is left
    /// to do. Returns the requests that went on.
    pub(super) fn settle(&self) -> Vec<Cookie> {
        loop {
            if let Some(worker) = [ONE, TWO].into_iter().find(|worker| self.hears(*worker)) {
                self.turns(worker);
            } else if self.finishes(ONE) || self.finishes(TWO) {
            } else if self.words.signals().any_moving() {
                self.try_again();
            } else {
                break;
            }
        }
        assert_eq!(self.visit(|zone| zone.slots_used()), 0, "a request was forgotten");
        assert!(!self.words.signals().any_moving());
        self.gone_on.lock().unwrap().clone()
    }

    /// The workers do what their bells tell them. Then no line moves any more.
    pub(super) fn answer_bells(&self) {
        while let Some(worker) = [ONE, TWO].into_iter().find(|worker| self.hears(*worker)) {
            self.turns(worker);
        }
        assert!(!self.words.signals().any_moving(), "a worker was not woken");
    }

    /// The time of the next try has come. The worker that asked for it looks by itself.
    pub(super) fn try_again(&self) {
        let passed = self.passed.fetch_add(1000, Ordering::Relaxed);
        assert!(passed < 10_000, "a request is never tried");
        [ONE, TWO].into_iter().for_each(|worker| self.turns(worker));
    }

    /// As [`Self::settle`], when no pause is left.
    pub(super) fn settle_open(&self) -> Vec<Cookie> {
        let gone_on = self.settle();
        assert!(self.words.signals().all_open());
        gone_on
    }
}

/// The requests that a worker has passed on, counted as the edge does. None of them ever finishes.
pub(super) struct InFlight {
    me: WorkerId,
    epoch: Epoch,
    known: AppIndex,
    list: Vec<AppName>,
}

impl InFlight {
    pub(super) fn new(me: WorkerId) -> Self {
        Self { me, epoch: Epoch(0), known: AppIndex::default(), list: Vec::new() }
    }

    /// Counts again, if the epoch has changed.
    pub(super) fn refresh(&mut self, shared: &Shared) {
        if shared.words.signals().epoch() == self.epoch {
            return;
        }
        let seen = |zone: &mut Zone<'_>| {
            (AppIndex::new(zone.apps_by_hash().collect()), zone.signals.epoch())
        };
        (self.known, self.epoch) = shared.visit(seen);
        let counts = shared.words.counts();
        for (index, count) in counts.row(self.me).iter().enumerate() {
            let app = |name: &&AppName| self.known.find(name.as_bytes()) == Some(AppId::at(index));
            let in_flight = self.list.iter().filter(app).count() as u32;
            count.set(Counts { in_flight, ..Counts::default() });
        }
        counts.set_seen(self.me, self.epoch);
    }

    fn set_out(&mut self, shared: &Shared, app: &AppName) {
        if let Some(app) = self.known.find(app.as_bytes()) {
            shared.words.counts().row(self.me)[app.index()].start();
        }
        self.list.push(*app);
    }

    /// A request comes. Returns whether it is passed on.
    pub(super) fn passes(&mut self, shared: &Shared, app: &AppName) -> bool {
        self.refresh(shared);
        let passes = shared.comes(app, self.me, Cookie(1)) == Came::Passed;
        if passes {
            self.set_out(shared, app);
        }
        passes
    }

    /// It takes turns. Returns whether it releases a request. To release one may make it refresh.
    pub(super) fn turns(&mut self, shared: &Shared, app: &AppName) -> bool {
        let (me, last) = (self.me, AppId::NONE);
        let take = || shared.visit(|zone| zone.take_turn(me, last, Spare::One, |_| ())).1;
        let mut any = false;
        while let Turn::Release(id, _) = take() {
            any = true;
            self.refresh(shared);
            self.set_out(shared, app);
            shared.visit(|zone| zone.give_back(id, me));
        }
        any
    }
}

/// A thread: another worker.
pub(super) fn spawn<R: 'static>(
    shared: &Arc<Shared>,
    f: impl FnOnce(&Shared) -> R + 'static,
) -> thread::JoinHandle<R> {
    let shared = Arc::clone(shared);
    thread::spawn(move || f(&shared))
}

/// A worker takes its turns if its bell has rung.
pub(super) fn may_turn(shared: &Shared, me: WorkerId) {
    if shared.hears(me) {
        shared.turns(me);
    }
}

pub(super) fn name(text: &str) -> AppName {
    AppName::new(text.as_bytes()).unwrap()
}
