//! A worker's row of counts: alone, and through random events.
#![forbid(unsafe_code)]

use proptest::prelude::*;

use super::*;

const A: AppId = AppId(0);
const B: AppId = AppId(1);

#[test]
fn a_row_is_read_only_if_its_worker_has_seen_the_epoch() {
    let notices = [Notice::default(), Notice::default()];
    let counts: Vec<CountCell> = (0..8).map(|_| CountCell::default()).collect();
    let counts = CountTable { notices: &notices, counts: &counts, apps: 2 };
    counts.row(WorkerId(1))[1].pass();
    counts.row(WorkerId(1))[1].start();
    assert_eq!(counts.of(WorkerId(1), B, Epoch(1)), None);
    counts.set_seen(WorkerId(1), Epoch(1));
    let one = Counts { passed: 1, in_flight: 1, ..Counts::default() };
    assert_eq!(counts.of(WorkerId(1), B, Epoch(1)), Some(one));
    assert_eq!(counts.of(WorkerId(1), A, Epoch(1)), Some(Counts::default()));
    assert_eq!(counts.of(WorkerId(0), B, Epoch(1)), None);
    assert_eq!(counts.of(WorkerId(2), B, Epoch(0)), None, "no such worker");
    counts.clear(WorkerId(1));
    assert_eq!(counts.of(WorkerId(1), B, Epoch(0)), Some(Counts::default()));
}

#[test]
fn a_tunnel_is_not_in_flight() {
    let count = CountCell::default();
    count.start();
    count.upgrade();
    assert_eq!(count.get(), Counts { upgraded: 1, ..Counts::default() });
    count.close();
    assert_eq!(count.get(), Counts::default());
}

#[test]
fn the_index_finds_an_app_by_its_name() {
    let (a, b) = (NameHash::of(b"a"), NameHash::of(b"b"));
    let known = AppIndex::new(vec![(a, A), (b, B)]);
    assert_eq!((known.find(b"a"), known.find(b"b"), known.find(b"c")), (Some(A), Some(B), None));
    let other = AppIndex::new(vec![(a, A), (NameHash::of(b"c"), B)]);
    assert!(known.agrees(&other, A));
    assert!(!known.agrees(&other, B));
    assert!(!known.agrees(&AppIndex::default(), A));
}

/// One worker, which counts as the edge does, and the apps that have an entry.
struct Scene {
    notices: [Notice; 1],
    counts: Vec<CountCell>,
    /// The app that has each entry, and the epoch in which it got it.
    apps: [Option<(u8, Epoch)>; ENTRIES],
    newest: Epoch,
    known: AppIndex,
    epoch: Epoch,
    list: Vec<Passed>,
    /// How many requests the worker passed on for each entry's app, since it knows the app.
    passed: [u64; ENTRIES],
}

#[derive(Clone, Copy)]
struct Passed {
    name: u8,
    upgraded: bool,
    counted: Option<AppId>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// An app gets an entry, which may have been another app's.
    Enters {
        name: u8,
        entry: usize,
    },
    Pauses,
    Passes {
        name: u8,
    },
    Upgrades {
        who: usize,
    },
    Finishes {
        who: usize,
    },
    Refreshes,
}

const ENTRIES: usize = 3;
const ME: WorkerId = WorkerId(0);

fn event() -> impl Strategy<Value = Event> {
    let name = || 0..4u8;
    prop_oneof![
        2 => (name(), 0..ENTRIES).prop_map(|(name, entry)| Event::Enters { name, entry }),
        1 => Just(Event::Pauses),
        8 => name().prop_map(|name| Event::Passes { name }),
        3 => any::<usize>().prop_map(|who| Event::Upgrades { who }),
        4 => any::<usize>().prop_map(|who| Event::Finishes { who }),
        4 => Just(Event::Refreshes),
    ]
}

impl Scene {
    fn new() -> Self {
        Self {
            notices: [Notice::default()],
            counts: vec![CountCell::default(); CountTable::row_length(ENTRIES)],
            apps: [None; ENTRIES],
            newest: Epoch(0),
            known: AppIndex::default(),
            epoch: Epoch(0),
            list: Vec::new(),
            passed: [0; ENTRIES],
        }
    }

    fn counts(&self) -> CountTable<'_> {
        CountTable { notices: &self.notices, counts: &self.counts, apps: ENTRIES }
    }

    fn count(&self, app: AppId) -> &CountCell {
        &self.counts().row(ME)[app.index()]
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Enters { name, entry } => {
                if self.apps.iter().flatten().all(|(other, _)| *other != name) {
                    self.newest.0 += 1;
                    self.apps[entry] = Some((name, self.newest));
                }
            }
            Event::Pauses => self.newest.0 += 1,
            Event::Passes { name } => {
                let counted = self.known.find(&[name]);
                if let Some(app) = counted {
                    self.count(app).pass();
                    self.count(app).start();
                    self.passed[app.index()] += 1;
                }
                self.list.push(Passed { name, upgraded: false, counted });
            }
            Event::Upgrades { who } => {
                let index = who % self.list.len().max(1);
                let Some(one) = self.list.get_mut(index).filter(|one| !one.upgraded) else {
                    return;
                };
                one.upgraded = true;
                let counted = one.counted;
                counted.into_iter().for_each(|app| self.count(app).upgrade());
            }
            Event::Finishes { who } if !self.list.is_empty() => {
                let one = self.list.swap_remove(who % self.list.len());
                let Some(app) = one.counted else { return };
                match one.upgraded {
                    true => self.count(app).close(),
                    false => self.count(app).end(),
                }
            }
            Event::Finishes { .. } => {}
            Event::Refreshes => self.refreshes(),
        }
    }

    fn refreshes(&mut self) {
        let apps = self.apps.iter().enumerate();
        let apps =
            apps.filter_map(|(at, app)| Some((NameHash::of(&[app.as_ref()?.0]), AppId::at(at))));
        let known = AppIndex::new(apps.collect());
        for one in &mut self.list {
            one.counted = known.find(&[one.name]);
        }
        for app in (0..ENTRIES).map(AppId::at) {
            if !known.agrees(&self.known, app) {
                self.passed[app.index()] = 0;
            }
            let of_app = |one: &Passed| one.counted == Some(app);
            let in_flight = self.how_many(|one| of_app(one) && !one.upgraded);
            let upgraded = self.how_many(|one| of_app(one) && one.upgraded);
            let passed = self.passed[app.index()];
            self.count(app).set(Counts { passed, in_flight, upgraded, ..Counts::default() });
        }
        (self.known, self.epoch) = (known, self.newest);
        self.counts().set_seen(ME, self.epoch);
    }

    fn how_many(&self, these: impl Fn(&Passed) -> bool) -> u32 {
        self.list.iter().filter(|one| these(one)).count() as u32
    }

    /// Either the counts of an app are complete, or they cannot be read.
    fn check(&self) {
        for (entry, app) in self.apps.iter().enumerate() {
            let Some((name, since)) = app else { continue };
            let in_flight = self.how_many(|one| one.name == *name && !one.upgraded);
            let upgraded = self.how_many(|one| one.name == *name && one.upgraded);
            let passed = self.passed[entry];
            let all = Counts { passed, in_flight, upgraded, ..Counts::default() };
            let read = self.counts().of(ME, AppId::at(entry), *since);
            assert_eq!(read, (self.epoch >= *since).then_some(all));
        }
    }
}

proptest! {
    #[test]
    fn the_counts_of_an_app_are_complete_or_cannot_be_read(
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut scene = Scene::new();
        for event in events {
            scene.happens(event);
            scene.check();
        }
    }
}
