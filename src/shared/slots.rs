//! Ticket slots, and the lists that they are in: the line of each app, and the free slots.
//!
//! The state, app, ticket and owner in a slot are the truth. Its links are derived from them: if a
//! worker dies half-way through a change, [`sort`] rebuilds all links.
#![forbid(unsafe_code)]

use crate::ids::{AppId, Cookie, SlotId, Ticket, WorkerId};
use crate::time::Msec;

/// What a slot is used for. Zero is free.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Use {
    #[default]
    Free,
    /// Its request was released and is unfinished, and counts against the concurrency of its app.
    Unfinished,
    Held,
}

/// A held or released request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub app: AppId,
    pub ticket: Ticket,
    pub owner: WorkerId,
    pub cookie: Cookie,
    /// When it arrived, on the monotonic clock.
    pub since: Msec,
}

/// A slot for one held request.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    used: Use,
    app: AppId,
    owner: WorkerId,
    prev: SlotId,
    next: SlotId,
    ticket: Ticket,
    cookie: Cookie,
    since: Msec,
}

impl Slot {
    /// A free slot that is in no list.
    pub const FREE: Self = Self {
        used: Use::Free,
        app: AppId::NONE,
        owner: WorkerId::NONE,
        prev: SlotId::NONE,
        next: SlotId::NONE,
        ticket: Ticket(0),
        cookie: Cookie(0),
        since: Msec(0),
    };

    /// The held request in this slot.
    pub fn held(&self) -> Option<Held> {
        self.occupant().filter(|_| self.used == Use::Held)
    }

    /// The released request that still has this slot.
    pub fn unfinished(&self) -> Option<Held> {
        self.occupant().filter(|_| self.used == Use::Unfinished)
    }

    /// The request in this slot, held or unfinished.
    pub fn occupant(&self) -> Option<Held> {
        (self.used != Use::Free).then_some(Held {
            app: self.app,
            ticket: self.ticket,
            owner: self.owner,
            cookie: self.cookie,
            since: self.since,
        })
    }

    /// The next slot in the list.
    pub fn next(&self) -> SlotId {
        self.next
    }

    /// The slot before this one in the list.
    #[cfg(test)]
    pub(crate) fn prev(&self) -> SlotId {
        self.prev
    }

    /// The unfinished request in this slot is held once more.
    pub fn take_back(&mut self) {
        self.ticket = self.ticket.back(self.since);
        crate::sync::crash_point();
        self.used = Use::Held;
        crate::sync::crash_point();
    }

    /// Puts a held request here. It counts from the last write on.
    pub fn fill(&mut self, held: Held) {
        self.app = held.app;
        self.ticket = held.ticket;
        self.owner = held.owner;
        self.cookie = held.cookie;
        self.since = held.since;
        crate::sync::crash_point();
        self.used = Use::Held;
        crate::sync::crash_point();
    }

    /// Notes that the request in this slot was released and is unfinished.
    pub fn release(&mut self) {
        self.used = Use::Unfinished;
        crate::sync::crash_point();
    }

    /// Makes the slot free. Its links stay as they are.
    pub fn clear(&mut self) {
        self.used = Use::Free;
        crate::sync::crash_point();
    }

    fn key(&self) -> (u32, AppId, Ticket) {
        (self.used as u32, self.app, self.ticket)
    }

    fn goes_before(&self, other: &Self) -> bool {
        let ((used, app, ticket), (used2, app2, ticket2)) = (self.key(), other.key());
        (used, app.0, ticket) <= (used2, app2.0, ticket2)
    }
}

/// A list of slots: its ends and its length.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    pub head: SlotId,
    pub tail: SlotId,
    pub len: u32,
    /// At or near the slot that was inserted last; none if it is not known.
    inserted: SlotId,
}

impl List {
    pub const EMPTY: Self =
        Self { head: SlotId::NONE, tail: SlotId::NONE, len: 0, inserted: SlotId::NONE };

    /// Adds a slot at the end. It must be in no list.
    pub fn push(&mut self, slots: &mut [Slot], id: SlotId) {
        let Some(slot) = slots.get_mut(id.index()) else {
            return;
        };
        slot.prev = self.tail;
        slot.next = SlotId::NONE;
        crate::sync::crash_point();
        match slots.get_mut(self.tail.index()) {
            Some(last) => last.next = id,
            None => self.head = id,
        }
        crate::sync::crash_point();
        self.tail = id;
        self.len += 1;
    }

    /// Adds a held slot before the first one with a greater ticket. It must be in no list. It takes
    /// little time if the slot's place is near that of the one before it.
    pub fn insert(&mut self, slots: &mut [Slot], id: SlotId) {
        let Some(ticket) = slots.get(id.index()).map(|slot| slot.ticket) else { return };
        let next = self.first_behind(slots, ticket);
        self.inserted = id;
        let Some(next) = next else { return self.push(slots, id) };
        let prev = slots.get(next.index()).map_or(SlotId::NONE, |slot| slot.prev);
        if let Some(slot) = slots.get_mut(id.index()) {
            (slot.prev, slot.next) = (prev, next);
        }
        crate::sync::crash_point();
        match slots.get_mut(prev.index()) {
            Some(before) => before.next = id,
            None => self.head = id,
        }
        crate::sync::crash_point();
        if let Some(behind) = slots.get_mut(next.index()) {
            behind.prev = id;
        }
        self.len += 1;
    }

    /// The first slot with a greater ticket.
    fn first_behind(&self, slots: &[Slot], ticket: Ticket) -> Option<SlotId> {
        let at = |id: SlotId| slots.get(id.index()).map(|slot| (id, slot));
        let from = at(self.inserted).or(at(self.head));
        let before = core::iter::successors(from, |(_, slot)| at(slot.prev)).take(slots.len());
        let mut on = core::iter::successors(from, |(_, slot)| at(slot.next)).take(slots.len());
        let first = before.take_while(|(_, slot)| slot.ticket > ticket).last();
        let first = first.or_else(|| on.find(|(_, slot)| slot.ticket > ticket));
        first.map(|(id, _)| id)
    }

    /// Takes a slot out. It must be in this list.
    pub fn remove(&mut self, slots: &mut [Slot], id: SlotId) {
        let Some(slot) = slots.get_mut(id.index()) else {
            return;
        };
        let (prev, next) = (slot.prev, slot.next);
        slot.prev = SlotId::NONE;
        slot.next = SlotId::NONE;
        match slots.get_mut(prev.index()) {
            Some(before) => before.next = next,
            None => self.head = next,
        }
        crate::sync::crash_point();
        match slots.get_mut(next.index()) {
            Some(behind) => behind.prev = prev,
            None => self.tail = prev,
        }
        if self.inserted == id {
            self.inserted = if next.is_some() { next } else { prev };
        }
        self.len = self.len.saturating_sub(1);
    }

    /// Takes the first slot out, if there is one.
    pub fn pop(&mut self, slots: &mut [Slot]) -> Option<SlotId> {
        let id = self.head;
        id.is_some().then(|| self.remove(slots, id))?;
        Some(id)
    }

    /// The slots of the list, from the first on. Ends in any case, even if links are wrong.
    pub fn iter<'a>(&self, slots: &'a [Slot]) -> impl Iterator<Item = (SlotId, &'a Slot)> + 'a {
        let first = self.head;
        let at = move |id: SlotId| slots.get(id.index()).map(|slot| (id, slot));
        core::iter::successors(at(first), move |(_, slot)| at(slot.next)).take(slots.len())
    }
}

/// Links all slots into one chain by `next`, and returns its head: first the free ones, then the
/// unfinished, then the held; each group by app, then by ticket.
///
/// A merge sort from short chains to long ones: it needs no memory of its own and no recursion.
/// `O(n log n)`.
pub fn sort(slots: &mut [Slot]) -> SlotId {
    let count = slots.len();
    for (index, slot) in slots.iter_mut().enumerate() {
        slot.next = if index + 1 < count { SlotId::at(index + 1) } else { SlotId::NONE };
    }
    let mut head = if count > 0 { SlotId::at(0) } else { SlotId::NONE };
    let mut width = 1;
    while width < count {
        head = merge_pairs(slots, head, width);
        width = width.saturating_mul(2);
    }
    head
}

/// Merges neighbouring pieces of `width` slots, two by two, in the chain from `head`. Returns the new
/// head.
fn merge_pairs(slots: &mut [Slot], head: SlotId, width: usize) -> SlotId {
    let (mut first, mut last) = (SlotId::NONE, SlotId::NONE);
    let mut rest = head;
    while rest.is_some() {
        let mut left = rest;
        let mut right = cut(slots, left, width);
        rest = cut(slots, right, width);
        while left.is_some() || right.is_some() {
            let from_left = match (slots.get(left.index()), slots.get(right.index())) {
                (Some(l), Some(r)) => l.goes_before(r),
                (left, _) => left.is_some(),
            };
            let taken = if from_left { &mut left } else { &mut right };
            let id = *taken;
            *taken = slots.get(id.index()).map_or(SlotId::NONE, Slot::next);
            match slots.get_mut(last.index()) {
                Some(slot) => slot.next = id,
                None => first = id,
            }
            last = id;
        }
    }
    if let Some(slot) = slots.get_mut(last.index()) {
        slot.next = SlotId::NONE;
    }
    first
}

/// Cuts the chain from `head` after `width` slots. Returns the head of the rest.
fn cut(slots: &mut [Slot], head: SlotId, width: usize) -> SlotId {
    let mut id = head;
    for _ in 1..width {
        id = slots.get(id.index()).map_or(SlotId::NONE, Slot::next);
    }
    slots
        .get_mut(id.index())
        .map_or(SlotId::NONE, |slot| core::mem::replace(&mut slot.next, SlotId::NONE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(list: &List, slots: &[Slot]) -> Vec<u32> {
        list.iter(slots).map(|(id, _)| id.0).collect()
    }

    #[test]
    fn a_list_holds_the_slots_that_were_added_and_not_taken_out() {
        let mut slots = [Slot::FREE; 4];
        let mut list = List::EMPTY;
        (0..4).for_each(|i| list.push(&mut slots, SlotId(i)));
        list.remove(&mut slots, SlotId(2));
        assert_eq!(list.pop(&mut slots), Some(SlotId(0)));
        assert_eq!((ids(&list, &slots), list.len), (vec![1, 3], 2));
        list.remove(&mut slots, SlotId(3));
        list.remove(&mut slots, SlotId(1));
        assert_eq!((list, list.pop(&mut slots)), (List::EMPTY, None));
    }

    proptest! {
        #[test]
        fn inserted_slots_stand_in_the_order_of_their_tickets(
            steps in prop::collection::vec((any::<bool>(), any::<u8>()), 0..60)
        ) {
            let mut slots = [Slot::FREE; 60];
            let mut list = List::EMPTY;
            for (at, &(adds, ticket)) in steps.iter().enumerate() {
                let chosen = list.iter(&slots).map(|(id, _)| id).nth(usize::from(ticket) % 7);
                if let Some(one) = chosen.filter(|_| !adds) {
                    list.remove(&mut slots, one);
                } else {
                    slots[at].ticket = Ticket(i64::from(ticket));
                    list.insert(&mut slots, SlotId::at(at));
                }
                let tickets: Vec<_> = list.iter(&slots).map(|(_, slot)| slot.ticket).collect();
                prop_assert!(tickets.is_sorted());
                prop_assert_eq!(tickets.len(), list.len as usize);
            }
        }

        #[test]
        fn any_slots_are_sorted_whatever_their_links_were(
            seeds in prop::collection::vec((any::<bool>(), 0u32..3, any::<i64>(), any::<u32>()), 0..40)
        ) {
            let mut slots: Vec<Slot> = seeds.iter().map(|&(held, app, ticket, next)| Slot {
                used: if held { Use::Held } else { Use::Free },
                app: AppId(app),
                ticket: Ticket(ticket),
                next: SlotId(next),
                ..Slot::FREE
            }).collect();
            let head = sort(&mut slots);
            let chain = List { head, ..List::EMPTY };
            let order = ids(&chain, &slots);
            prop_assert_eq!(order.len(), slots.len());
            let keys: Vec<_> = chain.iter(&slots).map(|(_, s)| (s.used as u32, s.app.0, s.ticket)).collect();
            prop_assert!(keys.is_sorted());
        }
    }
}
