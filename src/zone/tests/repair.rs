//! A worker is killed between any two writes of any visit: the next visit repairs the tables, and
//! when the dead worker is reaped, the requests of all others go on in order.
#![forbid(unsafe_code)]

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

use proptest::prelude::*;

use super::deeds::{Deed, Outcome};
use super::events::{event, STRANGER};
use super::model::{Pair, NAMES, WORKERS};
use super::scene::PLAIN;
use super::*;
use crate::shared::slots::Held;
use crate::sync::faults;

/// What cannot be derived from anything else.
struct Picture {
    apps: Vec<AppPicture>,
    /// The waiting callers, and what they wait for.
    waits: Vec<(WaitFor, AppId, Cookie)>,
    quitting: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct AppPicture {
    name: Option<AppName>,
    state: State,
    pause: PauseId,
    until: Option<Now>,
    /// What a restart would bring back: None for nothing, else whether it is stopped; and its end.
    kept: (Option<bool>, Option<Now>),
    baton: WorkerId,
    away: bool,
    line: Vec<Cookie>,
    unfinished: Vec<Cookie>,
}

impl Picture {
    fn of(zone: &Owned) -> Self {
        let tables = &zone.tables;
        let apps = tables.apps.iter().enumerate().map(|(entry, app)| AppPicture {
            name: app.name().copied(),
            state: app.state(),
            pause: app.pause(),
            until: app.until(),
            kept: kept(app),
            baton: app.baton,
            away: app.is_away(),
            line: line(zone, entry).iter().map(|held| held.cookie).collect(),
            unfinished: unfinished(zone, entry).map(|(_, held)| held.cookie).collect(),
        });
        let waits = tables.waits.iter().filter_map(Wait::get);
        let waits = waits.map(|(wait_for, one)| (wait_for, one.app, one.cookie)).collect();
        Self { apps: apps.collect(), waits, quitting: tables.header.quitting.is_on() }
    }
}

fn kept(app: &App) -> (Option<bool>, Option<Now>) {
    let kept = app.without_provisional();
    (kept.is_paused_or_stopped().then(|| kept.state() == State::Stopped), kept.until())
}

fn line(zone: &Owned, entry: usize) -> Vec<Held> {
    let tables = &zone.tables;
    let slots = tables.apps[entry].line.iter(&tables.slots);
    slots.filter_map(|(_, slot)| slot.held()).collect()
}

fn unfinished(zone: &Owned, entry: usize) -> impl Iterator<Item = (SlotId, Held)> + '_ {
    let slots = zone.tables.slots.iter().enumerate();
    let unfinished = slots.filter_map(|(at, slot)| Some((SlotId::at(at), slot.unfinished()?)));
    unfinished.filter(move |(_, held)| held.app == AppId::at(entry))
}

/// Kills the worker at a crash point of its visit. Returns false if the visit has not as many.
pub(super) fn killed(zone: &mut Owned, steps: u32, deed: &Deed) -> bool {
    // Unlike a panic, this does not call the panic hook.
    faults::arm(steps, || resume_unwind(Box::new("killed")));
    let visit = || zone.visit(|zone| deed.carry_out(zone));
    let died = catch_unwind(AssertUnwindSafe(visit)).is_err();
    assert_eq!(faults::disarm(), !died);
    died
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_worker_killed_at_any_point_harms_only_its_own_requests(
        events in prop::collection::vec(event(), 0..40),
        last in prop::collection::vec(event(), 1..4),
        by in 0..WORKERS,
        again in 0..60u32,
    ) {
        let mut pair = Pair::new();
        events.iter().for_each(|event| pair.apply(event));
        for event in &last {
            for deed in pair.deeds(event) {
                let doer = deed.doer().unwrap_or(WorkerId::at(by));
                (0..).find(|steps| !survives(&pair, &deed, doer, *steps, again));
                pair.carry_out(&deed);
            }
        }
    }
}

/// Returns false if the deed has not as many crash points.
pub(super) fn survives(pair: &Pair, deed: &Deed, doer: WorkerId, steps: u32, again: u32) -> bool {
    let before = Picture::of(&pair.zone);
    let mut done = pair.zone.clone();
    done.visit(|zone| deed.carry_out(zone));
    let after = Picture::of(&done);

    let mut zone = pair.zone.clone();
    if !killed(&mut zone, steps, deed) {
        return false;
    }
    gates_stay_shut(&zone, &before, &after);
    let gate =
        |entry: usize| zone.words.signals().names[entry].load(crate::sync::Ordering::Relaxed);
    check_endings(&pair.zone, &zone, |entry| gate(entry) == 0);
    if killed(&mut zone, again, &Deed::Visit) {
        gates_stay_shut(&zone, &before, &after);
        let (_, effects) = zone.visit(|_| ());
        assert_eq!((effects.repaired, effects.wake), (true, Wake::All));
    }
    check(&zone);
    check_endings_after(&pair.zone, &zone);
    compare(&before, &after, &Picture::of(&zone));
    Survivors::new(pair, zone, deed, doer).go_on();
    true
}

/// Fails if a gate is open that is closed before the deed and after it.
fn gates_stay_shut(zone: &Owned, before: &Picture, after: &Picture) {
    let signals = zone.words.signals();
    for (index, (was, becomes)) in before.apps.iter().zip(&after.apps).enumerate() {
        let is_paused_or_stopped = |app: &AppPicture| app.state != State::Open;
        let both =
            was.name == becomes.name && is_paused_or_stopped(was) && is_paused_or_stopped(becomes);
        let both = both && !goes_on_behind(was, State::Open);
        if let Some(name) = was.name.filter(|_| both) {
            assert!(!signals.all_open(), "all gates opened");
            let found = signals.find(NameHash::of(name.as_bytes()));
            assert_eq!(found, Some(AppId::at(index)), "a gate opened");
        }
    }
}

/// Fails unless each app is as before the deed or as after it, and its line has lost and gained no
/// others.
fn compare(before: &Picture, after: &Picture, now: &Picture) {
    assert!(now.quitting == before.quitting || now.quitting == after.quitting);
    let both = before.waits.iter().filter(|one| after.waits.contains(one));
    assert!(both.clone().all(|one| now.waits.contains(one)), "a caller was lost");
    let waited = |one| before.waits.contains(one) || after.waits.contains(one);
    assert!(now.waits.iter().all(waited), "a caller came from nowhere");
    for (entry, app) in now.apps.iter().enumerate() {
        let (old, new) = (&before.apps[entry], &after.apps[entry]);
        let AppPicture { name, state, baton, .. } = app;
        assert!(name.is_none() || *name == old.name || *name == new.name);
        if name.is_none() || old.name != new.name {
            assert!(*state == State::Open || *state == new.state);
        } else {
            let same = *state == old.state || *state == new.state;
            let same = same || goes_on_behind(old, *state);
            assert!(same, "{old:?} {new:?} {state:?}");
            assert!(app.kept.0 == old.kept.0 || app.kept.0 == new.kept.0);
            assert!(app.kept.1 == old.kept.1 || app.kept.1 == new.kept.1);
            assert!(app.pause == old.pause || app.pause == new.pause);
            let is_paused_or_stopped = |state| matches!(state, State::Paused | State::Stopped);
            let begun = is_paused_or_stopped(*state) && !is_paused_or_stopped(old.state);
            assert!(!begun || app.pause == new.pause, "a pause without a number of its own");
            let pause = |app: &AppPicture| (app.state, app.until);
            let is_paused_or_stopped = matches!(state, State::Paused | State::Stopped);
            let whole = pause(app) == pause(old) || pause(app) == pause(new);
            // If several callers of a dead worker waited, some pauses may be rolled back already: the
            // pause is as the other callers asked for it, until the next visit rolls these back too.
            let partly =
                ![&before.waits, &after.waits].iter().any(|waits| waits.len() == now.waits.len());
            assert!(
                whole || partly || !is_paused_or_stopped,
                "half a stop or pause: {old:?} {new:?} {app:?}"
            );
        }
        assert!(*baton == old.baton || *baton == new.baton);
        assert!(app.away == old.away || app.away == new.away);
        let line = &app.line;
        let both = old.line.iter().filter(|one| new.line.contains(one));
        assert!(both.clone().all(|one| line.contains(one)), "a request was lost");
        assert!(line.iter().all(|one| old.line.contains(one) || new.line.contains(one)));
        let gone = old.line.iter().any(|one| !line.contains(one));
        let taken = new.baton != old.baton && new.baton.is_some();
        assert!(!gone || !taken || *baton == new.baton, "released without the baton");
        let both = old.unfinished.iter().filter(|one| new.unfinished.contains(one));
        assert!(
            both.clone().all(|one| app.unfinished.contains(one)),
            "an unfinished request was lost"
        );
        assert!(app
            .unfinished
            .iter()
            .all(|one| old.unfinished.contains(one) || new.unfinished.contains(one)));
        let gone = |one: &&Cookie| !line.contains(one) && !app.unfinished.contains(one);
        let mut counted = old.line.iter().filter(|one| new.unfinished.contains(one));
        assert!(!counted.any(|one| gone(&one)), "a request went on uncounted");
    }
}

/// Whether requests behind a drain go on as part of it: because a paced drain has lost its own
/// requests, or because a pause that began meanwhile is gone.
fn goes_on_behind(old: &AppPicture, now: State) -> bool {
    match (old.state, now) {
        (State::Draining { upto: old }, State::Draining { upto: now }) => now > old,
        (State::Open, State::Draining { .. }) => !old.line.is_empty() || old.baton.is_some(),
        // Whether the app is away is not known after the pause. Only one that was tried was left.
        (State::Draining { .. }, State::Open) => old.away && old.line.is_empty(),
        _ => false,
    }
}

/// The zone after a worker was killed, and the workers that are left.
struct Survivors<'p> {
    pair: &'p Pair,
    zone: Owned,
    alive: Vec<WorkerId>,
    /// The highest ticket that each app had given out.
    given: Vec<Ticket>,
    cookies: u64,
}

impl<'p> Survivors<'p> {
    /// Reaps the worker that did the deed, and the one that the deed was reaping.
    fn new(pair: &'p Pair, mut zone: Owned, deed: &Deed, doer: WorkerId) -> Self {
        let mut dead = vec![doer];
        if let Deed::Reap { id, process } = deed {
            dead.extend(Some(*id).filter(|_| *process != STRANGER));
        }
        let alive = (0..WORKERS).map(WorkerId::at);
        let alive = alive.filter(|worker| !dead.contains(worker)).collect();
        let processes: Vec<_> = zone.tables.workers.iter().map(|one| one.process()).collect();
        let given = (0..zone.tables.apps.len())
            .map(|entry| line(&zone, entry).last().map_or(Ticket(0), |held| held.ticket));
        let given = given.collect();
        for worker in dead {
            if let Some(process) = processes[worker.index()] {
                zone.visit(|zone| zone.reap(worker, process));
                check(&zone);
            }
        }
        Self { pair, zone, alive, given, cookies: 1_000_000 }
    }

    fn visit<R>(&mut self, f: impl FnOnce(&mut Zone<'_>) -> R) -> R {
        let (result, effects) = self.zone.visit(f);
        check(&self.zone);
        assert!(!effects.repaired);
        result
    }

    fn go_on(mut self) {
        for worker in self.alive.clone() {
            let batons = self.pair.batons_of(worker).map(|(id, _)| id);
            for id in batons.collect::<Vec<_>>() {
                self.visit(|zone| zone.give_back(id, worker));
            }
        }
        self.others_come();
        self.all_are_turned_away();
        let mut expected: Vec<_> =
            Picture::of(&self.zone).apps.into_iter().map(|a| a.line).collect();
        for app in NAMES {
            self.visit(|zone| {
                zone.disable(&name(app), Expected::Any, &Address::EMPTY, |pace| pace)
            })
            .unwrap();
        }
        let mut released = vec![Vec::new(); expected.len()];
        for step in 0.. {
            assert!(step < 1000, "no end");
            match self.next_turn() {
                Some((id, Turn::Release(..), given)) => released[id.index()].extend(given),
                None if self.one_finishes() => {}
                None => break,
                other => panic!("{other:?}"),
            }
        }
        expected.iter_mut().zip(&released).for_each(|(one, other)| assert_eq!(one, other));
        let rest = self.visit(|zone| (zone.retire(), zone.slots_used()));
        assert_eq!(rest, (true, 0));
        assert!(self.zone.words.signals().all_open());
    }

    /// All workers turn away what they have to. Fails if a request is left that is to be turned away.
    fn all_are_turned_away(&mut self) {
        let alive = self.alive.clone();
        for me in alive.into_iter().cycle().take(20) {
            let turn = self.turn_of(me, Spare::None);
            assert!(!matches!(turn, Some((_, Turn::Release(..), _))));
        }
        let now = Picture::of(&self.zone);
        let turns_away = |app: &&AppPicture| {
            app.state == State::Stopped || (app.state == State::Paused && now.quitting)
        };
        assert!(now.apps.iter().filter(turns_away).all(|app| app.line.is_empty()));
    }

    /// Fails if newcomers get tickets that were given out before.
    fn others_come(&mut self) {
        let owner = self.alive[0];
        for entry in 0..self.zone.tables.apps.len() {
            let Some(name) = self.zone.tables.apps[entry].name().copied() else {
                continue;
            };
            self.cookies += 1;
            let cookie = Cookie(self.cookies);
            let id = AppId::at(entry);
            let came = self
                .visit(|zone| zone.arrive(id, &name, owner, cookie, Bounds::max_held(u32::MAX)));
            let Arrival::Held { ticket, .. } = came else {
                continue;
            };
            assert!(ticket > self.given[entry], "a ticket was given twice");
            let model = self.pair.apps[entry].as_ref();
            let same = model.filter(|model| NAMES[model.name].as_bytes() == name.as_bytes());
            assert!(same.is_none_or(|model| ticket >= model.next_ticket));
        }
    }

    fn next_turn(&mut self) -> Option<(AppId, Turn, Vec<Cookie>)> {
        self.alive.clone().into_iter().find_map(|me| self.turn_of(me, Spare::One))
    }

    fn turn_of(&mut self, me: WorkerId, spare: Spare) -> Option<(AppId, Turn, Vec<Cookie>)> {
        let take = Deed::Take { me, last: AppId::NONE, spare };
        let Outcome::Turn(id, turn, given) = self.visit(|zone| take.carry_out(zone)) else {
            return None;
        };
        match turn {
            Turn::Nobody => return None,
            Turn::Later(at) => {
                let now = self.zone.now.monotonic;
                assert!(at > now);
                self.zone.wait(at.since(now));
                return self.turn_of(me, spare);
            }
            Turn::Release(app, _) => {
                self.visit(|zone| zone.give_back(app, me));
            }
            Turn::TurnAway { .. } => {}
        }
        Some((id, turn, given.iter().map(|one| one.cookie).collect()))
    }

    fn one_finishes(&mut self) -> bool {
        let entries = 0..self.zone.tables.apps.len();
        let one = entries.flat_map(|entry| unfinished(&self.zone, entry)).next();
        let Some((slot, Held { owner, cookie, .. })) = one else {
            return false;
        };
        assert!(self.alive.contains(&owner));
        self.visit(|zone| zone.finish(slot, owner, cookie));
        true
    }
}

#[test]
fn a_repair_that_is_cut_short_opens_no_gate() {
    let mut zone = Owned::new(2, 2, 2);
    let (draining, paused) = (name("draining"), name("paused"));
    let me = zone.visit(|zone| zone.register(process(1), Generation(0), Orders::Stay)).0;
    for app in [&draining, &paused] {
        let enabled = zone.visit(|zone| zone.enable(app, Expected::Any, PLAIN, Intent::State));
        assert!(enabled.0.is_ok());
    }
    let (slot, cookie) = (SlotId(0), Cookie(1));
    zone.visit(|zone| zone.arrive(AppId(0), &draining, me, cookie, Bounds::max_held(u32::MAX)));
    zone.visit(|zone| zone.disable(&draining, Expected::Any, &Address::EMPTY, |pace| pace))
        .0
        .unwrap();
    let why = DepartReason::Left;
    let leaves = Deed::Depart { slot, owner: me, cookie, why };
    assert!(killed(&mut zone, 2, &leaves));
    for steps in 0.. {
        let mut zone = zone.clone();
        if !killed(&mut zone, steps, &Deed::Visit) {
            break;
        }
        let signals = zone.words.signals();
        assert!(!signals.all_open(), "after {steps} steps");
        assert_eq!(signals.find(NameHash::of(b"paused")), Some(AppId(1)));
    }
}
