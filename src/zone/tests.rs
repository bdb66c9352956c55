//! The zone's promises, one a test; below them whatever random workers and operators do.
#![forbid(unsafe_code)]

mod deeds;
mod entries;
mod events;
mod model;
mod promises;
mod repair;
mod rules;
mod scene;

use super::owned::Owned;
use super::{Arrival, Departure, Effects, Enabled, Leaving, Refusal, Wake, Which, Zone};
use crate::app::State;
use crate::gates::NameHash;
use crate::ids::{AppId, Cookie, PauseId, Process, SlotId, Ticket, WorkerId};
use crate::queue::List;
use crate::text::{Address, AppName, Reason};

fn name(text: &str) -> AppName {
    AppName::new(text.as_bytes()).unwrap()
}

fn process(pid: i32) -> Process {
    Process { started: 7, pid }
}

/// What a list holds, forwards; fails where it reads differently backwards.
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

/// Fails where the tables contradict each other, as between visits they never may.
fn check(zone: &Owned) {
    let tables = &zone.tables;
    assert_eq!(tables.header.inside, 0);
    let mut seen = vec![0; tables.slots.len()];
    let mut held = vec![0; tables.workers.len()];
    for id in chain(zone, &tables.header.free) {
        seen[id.index()] += 1;
        assert_eq!(tables.slots[id.index()].held(), None);
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
        line.iter().for_each(|one| held[one.owner.index()] += 1);
        assert!(line.iter().all(|one| one.app == id));
        assert!(line.windows(2).all(|pair| pair[0].ticket < pair[1].ticket));
        assert!(app.name().is_some() || line.is_empty());
        if let State::Draining { upto } = app.state() {
            let waited_for = line.first().is_some_and(|head| head.ticket <= upto);
            assert!(waited_for || app.baton.is_some(), "a drain without an end");
        }
        check_gate(zone, id);
    }
    assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
    assert!(tables.workers.iter().map(|worker| worker.held).eq(held));
    let shut = tables.apps.iter().filter(|app| app.state() != State::Open);
    let gates = zone.words.gates();
    assert_eq!(gates.all_open(), shut.clone().count() == 0);
    let counted = gates.shut.load(crate::sync::Ordering::Relaxed);
    assert_eq!(counted as usize, shut.count());
}

fn check_gate(zone: &Owned, id: AppId) {
    let gates = zone.words.gates();
    let app = &zone.tables.apps[id.index()];
    let hash = app.name().map(|name| NameHash::of(name.as_bytes()));
    let found = hash.and_then(|hash| gates.find(hash));
    assert_eq!(found == Some(id), app.state() != State::Open);
    let moves = gates.moving_after(AppId::NONE).any(|other| other == id);
    assert_eq!(moves, app.state() != State::Paused && app.line.len > 0);
}
