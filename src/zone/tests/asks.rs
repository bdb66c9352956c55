//! All workers are asked for their requests in flight, also of apps that were never paused.
#![forbid(unsafe_code)]

use super::deeds::Outcome;
use super::model::{Pair, NAMES};
use super::model_app::ModelApp;
use super::scene::{Scene, ONE, PLAIN, TWO};
use super::*;
use crate::shared::oldest::{Told, WaitsFor, MAX_TOLD};
use crate::zone::PATIENCE;

/// A request in flight, as a worker reports it.
pub(super) fn told(owner: WorkerId, since: u64) -> Told {
    let (method, uri, client) = (Text::EMPTY, Text::EMPTY, Address::EMPTY);
    Told { owner, waits_for: WaitsFor::App, since: Msec(since), method, uri, client }
}

fn since(zone: &mut Zone<'_>, id: AppId) -> Vec<u64> {
    zone.oldest(id).map(|told| told.since.0).collect()
}

#[test]
fn an_app_is_counted_from_the_first_question_about_it() {
    let mut scene = Scene::new();
    let app = name("app");
    scene.visit(|zone| zone.add_app(&app));
    assert_eq!(scene.effects.wake, Wake::All, "the workers must count it");
    let before = scene.visit(|zone| zone.signals.epoch());
    scene.visit(|zone| zone.add_app(&app));
    let known =
        scene.visit(|zone| (zone.apps_by_hash().count(), zone.find(&app), zone.signals.epoch()));
    assert_eq!(known, (1, Some(AppId(0)), before), "once");
    assert_eq!(scene.effects.wake, Wake::Nobody);
}

#[test]
fn a_question_takes_no_other_apps_entry() {
    let mut scene = Scene::new();
    for app in ["a", "b", "c", "d", "e"] {
        scene.visit(|zone| zone.add_app(&name(app)));
    }
    assert_eq!(scene.visit(|zone| (zone.apps_by_hash().count(), zone.find(&name("e")))), (4, None));
    let paused = scene.visit(|zone| zone.enable(&name("e"), Expected::Any, PLAIN, Intent::State));
    assert!(paused.is_ok(), "a pause takes the entry of an idle app");
}

#[test]
fn a_question_under_way_serves_later_callers_too() {
    let mut scene = Scene::new();
    let asked = scene.visit(|zone| zone.ask());
    assert_eq!(scene.visit(|zone| zone.ask()), asked);
    scene.zone.words.counts().set_seen(ONE, asked);
    assert!(!scene.visit(|zone| zone.all_told(asked)));
    scene.zone.words.counts().set_seen(TWO, asked);
    assert!(scene.visit(|zone| zone.all_told(asked)));
    let next = scene.visit(|zone| zone.ask());
    assert!(next > asked, "the earlier one was answered");
    scene.visit(|zone| zone.add_app(&name("app")));
    let third = scene.visit(|zone| zone.ask());
    assert!(third > next, "the earlier one was not about this app");
    scene.zone.wait(PATIENCE);
    assert!(scene.visit(|zone| zone.ask()) > third, "a worker does not answer");
}

#[test]
fn only_answers_to_the_newest_question_are_shown() {
    let mut scene = Scene::new();
    scene.visit(|zone| zone.add_app(&name("app")));
    let id = AppId(0);
    let asked = scene.visit(|zone| zone.ask());
    scene.visit(|zone| zone.tell(asked, &[(id, told(ONE, 30)), (id, told(ONE, 40))]));
    scene.visit(|zone| zone.tell(asked, &[(id, told(TWO, 10)), (id, told(TWO, 20))]));
    assert_eq!(scene.visit(|zone| since(zone, id)), [10, 20, 30]);
    for worker in [ONE, TWO] {
        scene.zone.words.counts().set_seen(worker, asked);
    }
    let next = scene.visit(|zone| zone.ask());
    assert_eq!(scene.visit(|zone| since(zone, id)).len(), 0);
    scene.visit(|zone| zone.tell(asked, &[(id, told(ONE, 30))]));
    assert_eq!(scene.visit(|zone| since(zone, id)).len(), 0, "the answer comes too late");
    scene.visit(|zone| zone.tell(next, &[(id, told(ONE, 30)), (id, told(TWO, 50))]));
    assert_eq!(scene.visit(|zone| since(zone, id)), [30, 50]);
}

/// What the model does.
impl Pair {
    pub(super) fn adds_app(&mut self, name: usize) -> Outcome {
        let free = self.apps.iter().position(Option::is_none);
        if let Some(free) = free.filter(|_| !self.retired && self.find(name).is_none()) {
            self.apps[free] = Some(ModelApp::new(name, self.zone.now));
        }
        Outcome::Done
    }

    /// All workers are asked, unless a question about all these apps is under way.
    pub(super) fn asks_all(&mut self) -> Outcome {
        let now = self.zone.now.monotonic;
        let mut living = self.workers.iter().filter(|worker| worker.generation.is_some());
        let is_under_way = self.asked.is_some_and(|asked| {
            let is_old = now.since(asked) >= PATIENCE;
            let knew = self.apps.iter().flatten().all(|app| app.created <= asked);
            !is_old && knew && living.any(|worker| worker.saw < Some(asked))
        });
        if !is_under_way {
            self.asked = Some(now);
            self.apps.iter_mut().flatten().for_each(|app| app.told.clear());
        }
        Outcome::Asked(!is_under_way)
    }

    pub(super) fn tells(&mut self, id: AppId, told: Told) -> Outcome {
        let app = self.apps.get_mut(id.index()).and_then(Option::as_mut);
        if let Some(app) = app.filter(|_| self.asked.is_some()) {
            app.told.push((told.since, told.owner));
            app.told.sort_by_key(|(since, _)| *since);
            app.told.truncate(MAX_TOLD);
        }
        Outcome::Done
    }

    pub(super) fn compare_told(&mut self) {
        let Owned { tables, words, now } = &mut self.zone;
        let zone = tables.lend(words, *now);
        for (entry, app) in self.apps.iter().enumerate() {
            let Some(app) = app else { continue };
            let told = zone.oldest(AppId::at(entry)).map(|told| (told.since, told.owner));
            assert!(told.eq(app.told.iter().copied()), "{}: {:?}", NAMES[app.name], app.told);
        }
    }
}
