//! One request, from its app's gate to its end.

mod complaints;
mod familiar;
pub(crate) mod held;

pub(crate) mod mark;

mod oldest;
mod room;

pub(crate) mod in_flight;

pub(crate) mod failed;
mod given_up;
mod halt;

mod bypass;

pub(crate) mod release;

mod park;

mod admission;

pub(crate) mod gate;
