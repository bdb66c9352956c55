//! The zone's promises, one a test; and a model that random workers and operators are compared with.
#![forbid(unsafe_code)]

mod absences;
mod asks;
mod away;
mod callers;
mod cut_away;
mod cut_short;
mod deeds;
mod entries;
mod events;
mod failed;
mod late;
mod leases;
mod model;
mod model_app;
mod outrun;
mod paces;
mod plans;
mod promises;
mod repair;
mod rolled_back;
mod room;
mod rounds;
mod rules;
mod scene;
mod turned_away;
mod verbs;
mod waits;

use super::owned::Owned;
use super::provisional::requests;
use super::{
    Absence, Arrival, Came, Deadline, DepartReason, Departure, Effects, Expected, Given, Intent,
    Opened, Paused, Refusal, Release, Remaining, Spare, TakenBack, Turn, Unseen, WaitResult, Wake,
    Zone,
};
use crate::ids::{
    AppId, Cookie, Epoch, Generation, NameHash, PauseId, Process, SlotId, Ticket, Token, WaitId,
    WorkerId,
};
use crate::shared::app::{App, Ended, Spacing, State};
use crate::shared::in_flight::{CountCell, Counts};
use crate::shared::pace::Pace;
use crate::shared::room::{Bounds, Lack, Room};
use crate::shared::slots::List;
use crate::shared::terms::PauseRequest;
use crate::shared::totals::Totals;
use crate::shared::waiters::{Wait, WaitFor};
use crate::shared::workers::Orders;
use crate::text::{Address, AppName, Reason, Text};
use crate::time::{Msec, Now};

fn name(text: &str) -> AppName {
    AppName::new(text.as_bytes()).unwrap()
}

fn process(pid: i32) -> Process {
    Process { started: 7, pid }
}

/// The slots of a list, from its head. Fails if the list reads differently from its tail.
fn chain(zone: &Owned, list: &List) -> Vec<SlotId> {
    let slots = &zone.tables.slots;
    let forwards: Vec<SlotId> = list.iter(slots).map(|(id, _)| id).collect();
    let before = |id: SlotId| slots.get(id.index()).map(|slot| slot.prev());
    let mut backwards: Vec<SlotId> = core::iter::successors(Some(list.tail), |id| before(*id))
        .take_while(|id| id.is_some())
        .take(slots.len() + 1)
        .collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    assert_eq!(forwards.len(), list.len as usize);
    forwards
}

/// Fails if the tables contradict each other. Between visits they never may.
fn check(zone: &Owned) {
    let tables = &zone.tables;
    assert!(!tables.header.dirty.is_on());
    let touched = tables.header.touched as usize;
    assert!(tables.slots[touched..].iter().all(|slot| slot.occupant().is_none()));
    let mut seen = vec![0; touched];
    let mut owned = vec![0; tables.workers.len()];
    let mut unfinished = vec![0; tables.apps.len()];
    for id in chain(zone, &tables.header.free) {
        seen[id.index()] += 1;
        assert_eq!(tables.slots[id.index()].occupant(), None);
    }
    for (index, slot) in tables.slots.iter().enumerate() {
        if let Some(one) = slot.unfinished() {
            seen[index] += 1;
            owned[one.owner.index()] += 1;
            unfinished[one.app.index()] += 1;
        }
    }
    for (index, app) in tables.apps.iter().enumerate() {
        let id = AppId::at(index);
        let line: Vec<_> = chain(zone, &app.line)
            .into_iter()
            .map(|slot| {
                seen[slot.index()] += 1;
                tables.slots[slot.index()].held().unwrap()
            })
            .collect();
        line.iter().for_each(|one| owned[one.owner.index()] += 1);
        assert!(line.iter().all(|one| one.app == id));
        assert!(line.windows(2).all(|pair| pair[0].ticket < pair[1].ticket));
        assert_eq!(app.unfinished, unfinished[index]);
        assert!(app.name().is_some() || (line.is_empty() && app.unfinished == 0));
        if let State::Draining { upto } = app.state() {
            let waited_for = line.first().is_some_and(|head| head.ticket <= upto);
            let tried = app.is_away() && (!line.is_empty() || app.unfinished > 0);
            assert!(waited_for || tried || app.baton.is_some(), "a drain that cannot end");
        }
        assert!(app.baton.is_some() || !app.granted.is_on());
        check_gate(zone, id);
    }
    assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
    assert!(tables.workers.iter().map(|worker| worker.slots).eq(owned));
    let not_open = tables.apps.iter().filter(|app| app.state() != State::Open);
    let signals = zone.words.signals();
    assert_eq!(signals.all_open(), not_open.clone().count() == 0);
    let counted = signals.not_open.load(crate::sync::Ordering::Relaxed);
    assert_eq!(counted as usize, not_open.count());
    let ends = tables.apps.iter().filter_map(App::until).map(|until| until.monotonic);
    assert_eq!(signals.next_lease(), ends.min());
    check_waits(zone);
}

/// Fails if requests of an app can go on that was paused or stopped, but workers cannot see that a pause
/// has ended: then the requests could get a kept connection that died with the old app.
fn check_endings(before: &Owned, now: &Owned, goes_on: impl Fn(usize) -> bool) {
    let endings = |zone: &Owned| zone.words.signals().endings();
    let mut was_paused = before.tables.apps.iter().map(App::is_paused_or_stopped).enumerate();
    let unseen = endings(before) == endings(now);
    assert!(!unseen || !was_paused.any(|(entry, not_open)| not_open && goes_on(entry)));
}

/// The same after a visit. Fails also if a worker cannot see that what it has found out about an open app
/// may not hold any more.
fn check_endings_after(before: &Owned, now: &Owned) {
    check_endings(before, now, |entry| !now.tables.apps[entry].is_paused_or_stopped());
    let seen = |zone: &Owned| {
        let signals = zone.words.signals();
        (signals.endings(), signals.epoch())
    };
    let gates = |zone: &Owned| zone.tables.apps.iter().map(App::state).collect::<Vec<_>>();
    let mut pairs = gates(before).into_iter().zip(gates(now));
    let closed = pairs.any(|(before, now)| before == State::Open && now != State::Open);
    let changes = |zone: &Owned| zone.words.signals().changes();
    let may_miss = closed || seen(before) != seen(now);
    assert!(!may_miss || changes(before) != changes(now));
}

/// Fails if a caller waits for what cannot come, or a pause is provisional without a caller.
fn check_waits(zone: &Owned) {
    let (tables, signals) = (&zone.tables, zone.words.signals());
    let waiters = || tables.waits.iter().filter_map(Wait::get);
    let told = signals.waiting.load(crate::sync::Ordering::Relaxed);
    assert_eq!(told as usize, waiters().count());
    for (wait_for, waiter) in waiters() {
        let app = &tables.apps[waiter.app.index()];
        let state = app.state();
        assert!(app.name().is_some());
        assert!(tables.workers[waiter.owner.index()].process().is_some());
        match wait_for {
            WaitFor::Drained => assert!(matches!(state, State::Open | State::Draining { .. })),
            WaitFor::Quiet => assert_eq!(state, State::Paused),
            WaitFor::Provisional => assert!(state == State::Paused && app.is_provisional()),
        }
    }
    for (index, app) in tables.apps.iter().enumerate() {
        assert!(app.created().max(app.pause_epoch()) <= signals.epoch());
        let asked = || requests(&tables.waits, AppId::at(index));
        assert_eq!(app.is_provisional(), asked().next().is_some());
        let changed =
            app.is_provisional() && app.clone().recompute_pause(asked(), zone.now, Epoch(0));
        assert!(!changed, "not the state before plus what the callers asked for");
    }
}

fn check_gate(zone: &Owned, id: AppId) {
    let signals = zone.words.signals();
    let app = &zone.tables.apps[id.index()];
    let hash = app.name().map(|name| NameHash::of(name.as_bytes()));
    let found = hash.and_then(|hash| signals.find(hash));
    assert_eq!(found == Some(id), app.state() != State::Open);
    let moves = signals.moving_after(AppId::NONE).any(|other| other == id);
    let stays = app.state() == State::Paused && !zone.tables.header.quitting.is_on();
    assert_eq!(moves, !stays && app.line.len > 0);
}
