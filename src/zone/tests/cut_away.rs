//! A worker is killed at each point while its request comes back, gets through, or leaves: the
//! requests of the others go on in order, and the app is not stuck.
#![forbid(unsafe_code)]

use super::absences::Passed;
use super::away::LONGEST;
use super::deeds::{Ask, Deed, Outcome};
use super::model::{Pair, WORKERS};
use super::model_app::ModelRequest;
use super::repair::survives;
use super::scene::{ONE, TWO};
use super::*;
use crate::control::command::PaceChange;

const THREE: WorkerId = WorkerId(2);
const APP: AppId = AppId(0);
/// Its number in the model.
const A: usize = 1;

/// The worker is killed at each point of the deed, and the repair at each of its own.
fn at_each_point(pair: &Pair, deed: &Deed) {
    let doer = deed.doer().unwrap_or(ONE);
    let last = (0..).find(|steps| !(0..40).all(|again| survives(pair, deed, doer, *steps, again)));
    assert!(last > Some(0), "the deed has crash points");
}

fn take(pair: &mut Pair, me: WorkerId) -> ModelRequest {
    pair.carry_out(&Deed::Take { me, last: AppId::NONE, spare: Spare::One });
    pair.app(0).baton.unwrap().1.unwrap()
}

fn comes_back(pair: &Pair, one: ModelRequest) -> Deed {
    pair.back(A, one, u32::MAX)
}

/// One more comes to each worker.
fn come(pair: &mut Pair) {
    for owner in (0..WORKERS).map(WorkerId::at) {
        pair.cookies += 1;
        let bounds = Bounds { away: Some(LONGEST), ..Bounds::max_held(9) };
        let (name, cookie) = (name("a"), Cookie(pair.cookies));
        pair.carry_out(&Deed::Arrive { id: APP, name, owner, cookie, bounds });
    }
}

/// Three are held by a pause that is over.
fn drains(pace: PaceChange) -> Pair {
    let mut pair = Pair::new();
    let (name, which) = (name("a"), Expected::Any);
    pair.carry_out(&Deed::Enable { name, which, ask: Ask::default() });
    come(&mut pair);
    pair.carry_out(&Deed::Disable { name, which, pace });
    pair
}

/// Two that had passed are back, and another one came.
fn away() -> Pair {
    let mut pair = Pair::new();
    for (owner, arrived) in [(TWO, 20), (ONE, 10)] {
        pair.cookies += 1;
        let one = Passed {
            app: A,
            ticket: Ticket(0),
            owner,
            cookie: Cookie(pair.cookies),
            arrived: Msec(arrived),
        };
        let back = pair.back(A, one.request(), u32::MAX);
        pair.carry_out(&back);
    }
    come(&mut pair);
    pair
}

#[test]
fn one_that_had_passed_comes_back_to_an_open_app() {
    let mut pair = Pair::new();
    pair.cookies += 1;
    let one =
        Passed { app: A, ticket: Ticket(0), owner: ONE, cookie: Cookie(1), arrived: Msec(10) };
    at_each_point(&pair, &pair.back(A, one.request(), u32::MAX));
}

#[test]
fn one_that_had_passed_comes_back_to_the_head_of_a_line() {
    let mut pair = away();
    pair.cookies += 1;
    for arrived in [5, 15, 25] {
        let cookie = Cookie(pair.cookies);
        let one =
            Passed { app: A, ticket: Ticket(0), owner: THREE, cookie, arrived: Msec(arrived) };
        at_each_point(&pair, &pair.back(A, one.request(), u32::MAX));
    }
}

#[test]
fn a_released_one_comes_back_before_and_after_its_baton_was_given_back() {
    for pace in [PaceChange::default(), PaceChange { spread: Some(Msec(90)), concurrency: None }] {
        let mut pair = drains(pace);
        let one = take(&mut pair, ONE);
        at_each_point(&pair, &comes_back(&pair, one));
        pair.carry_out(&Deed::GiveBack { id: APP, me: ONE });
        at_each_point(&pair, &comes_back(&pair, one));
    }
}

#[test]
fn a_released_one_comes_back_while_others_are_unfinished() {
    let mut pair = drains(PaceChange::default());
    let one = take(&mut pair, ONE);
    pair.carry_out(&Deed::GiveBack { id: APP, me: ONE });
    take(&mut pair, TWO);
    at_each_point(&pair, &comes_back(&pair, one));
    pair.carry_out(&Deed::GiveBack { id: APP, me: TWO });
    at_each_point(&pair, &comes_back(&pair, one));
}

#[test]
fn a_tried_one_gets_through_comes_back_or_finishes() {
    let mut pair = away();
    pair.wait(Msec(50));
    let one = take(&mut pair, ONE);
    let ModelRequest { slot, owner, cookie, .. } = one;
    pair.carry_out(&Deed::GiveBack { id: APP, me: ONE });
    at_each_point(&pair, &Deed::Through { id: APP, name: name("a") });
    at_each_point(&pair, &comes_back(&pair, one));
    at_each_point(&pair, &Deed::Finish { slot, owner, cookie });
}

#[test]
fn the_head_of_the_line_leaves() {
    let pair = away();
    let ModelRequest { slot, owner, cookie, .. } = *pair.app(0).line.front().unwrap();
    at_each_point(&pair, &Deed::Depart { slot, owner, cookie, why: DepartReason::Left });
}

#[test]
fn an_operator_pauses_stops_and_paces_an_app_that_is_away() {
    let (pair, name, which) = (away(), name("a"), Expected::Any);
    let pace = PaceChange { spread: Some(Msec(90)), concurrency: Some(1) };
    at_each_point(&pair, &Deed::Enable { name, which, ask: Ask::default() });
    at_each_point(&pair, &Deed::Stop { name, which, ask: Ask::default() });
    at_each_point(&pair, &Deed::Disable { name, which, pace });
    let (wait_for, ask, caller) = (WaitFor::Provisional, Ask::default(), (ONE, Cookie(99)));
    at_each_point(&pair, &Deed::EnableAndWait { name, which, ask, wait_for, caller });
}

#[test]
fn a_worker_is_reaped_while_its_request_is_tried() {
    let mut pair = away();
    pair.wait(Msec(50));
    take(&mut pair, ONE);
    let reaps = Deed::Reap { id: ONE, process: process(pair.workers[0].pid) };
    at_each_point(&pair, &reaps);
    let outcome = pair.carry_out(&Deed::Through { id: APP, name: name("a") });
    assert_eq!(outcome, Outcome::Done);
    at_each_point(&pair, &reaps);
}
