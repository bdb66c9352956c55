//! An app's requests: their tickets, how many may be held, and what becomes of them.
#![forbid(unsafe_code)]

use super::{App, StateRepr};
use crate::ids::{SlotId, Ticket};
use crate::shared::room::Lack;
use crate::shared::slots::Held;
use crate::sync::crash_point;
use crate::time::{Msec, Now};

impl App {
    /// Gives out the next ticket.
    pub fn ticket(&mut self) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket = ticket.next();
        crash_point();
        ticket
    }

    /// Notes that this ticket is in use: it and those before it are not given out again.
    pub fn ticket_seen(&mut self, ticket: Ticket) {
        self.next_ticket = self.next_ticket.max(ticket.next());
    }

    pub(super) fn last_ticket(&self) -> Ticket {
        Ticket(self.next_ticket.0.saturating_sub(1))
    }

    /// Counts an expired request that goes on to the app.
    pub fn expired_to_app(&mut self) {
        self.to_app += 1;
    }

    /// How many expired requests went on to the app: in all, and since the newest pause began.
    pub fn all_expired_to_app(&self) -> (u64, u64) {
        (self.to_app, self.to_app.saturating_sub(self.to_app_before))
    }

    /// Notes the `intermission_max_held` of the location where a request comes. The largest one counts.
    pub fn bound(&mut self, max_held: u32) {
        let known = if self.bounded == self.pause { self.max_held } else { 0 };
        (self.bounded, self.max_held) = (self.pause, known.max(max_held));
    }

    /// How many more may be held, as far as the limits are known.
    pub fn left_of_max_held(&self) -> u32 {
        self.max_held.saturating_sub(self.line.len)
    }

    /// Counts a rejected request. If a log line is due, returns how many it reports.
    pub fn reject(&mut self, lack: Lack, now: Now) -> Option<u32> {
        self.totals.rejected += 1;
        self.rejected.add(lack);
        self.rejections.add(now.monotonic)
    }

    /// Counts requests that were answered 503 because of a stop, or because nginx quits.
    pub fn turned_away(&mut self, count: u32) {
        self.totals.stopped += u64::from(count);
        if self.code == StateRepr::Paused {
            self.turned_away_by_quit += u64::from(count);
        }
    }

    /// Notes how long a request was held. One that came back has been counted when it was released, or
    /// was passed on without having been held.
    pub fn count_hold(&mut self, held: &Held, now: Msec) {
        if !held.ticket.came_back() {
            self.holds.add(now.since(held.since));
        }
    }

    /// How many are held: those in line, and one that is about to be passed on.
    pub fn held(&self) -> u32 {
        self.line.len.saturating_add(self.about_to_go_on())
    }

    /// 1 if a request has left the line and has not been passed on yet, else 0.
    pub fn about_to_go_on(&self) -> u32 {
        u32::from(self.granted.is_on())
    }

    /// Whether the request in this slot has left the line and has not been passed on yet.
    pub fn is_granted(&self, slot: SlotId) -> bool {
        self.granted.is_on() && self.granted_slot == slot
    }

    /// Notes that the request which left the line has been passed on. Does nothing if it was noted.
    pub fn granted_goes_on(&mut self) {
        let counts = self.granted.take() && !self.granted_again.is_on();
        self.totals.released += u64::from(counts);
    }

    /// The value of `Retry-After`: seconds to the end of the lease, at least 1; 10 without a lease.
    pub fn retry_after(&self, now: Now) -> u64 {
        let left = self.until().map(|until| until.monotonic.since(now.monotonic));
        left.map_or(10, |left| left.0.div_ceil(1000).max(1))
    }
}
