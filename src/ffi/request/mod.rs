//! One request, from its app's gate to its end.
//!
//! `gate`: a request comes, and passes, is turned away, or takes a ticket. `park`: here it is held,
//! and its hold ends other than by its turn. `release`: its turn comes, for which its worker is on the
//! `lookout`; what a line waits for then is in `halt`. `in_flight`: it is passed on and not finished.
//! `mark` is what all of these know of it.
//!
//! Whether a pause holds it: `admission`; whether the worker has room for it: `room`, `held`. How it
//! ended: `failed`, `bypass`, `given_up`. What an operator is told of it: `oldest`, `complaints`.

mod complaints;
mod max_time;

pub(crate) mod held;

pub(crate) mod mark;

mod oldest;
mod room;

pub(crate) mod in_flight;

pub(crate) mod failed;
mod given_up;
mod halt;

mod bypass;

mod lookout;

pub(crate) mod release;

mod park;

mod admission;

pub(crate) mod away;

pub(crate) mod gate;
