//! One request, from its app's gate to its end.

pub(crate) mod familiar;
pub(crate) mod mark;

pub(crate) mod bypass;
pub(crate) mod failed;
pub(crate) mod given_up;
pub(crate) mod halt;
pub(crate) mod in_flight;
pub(crate) mod oldest;
pub(crate) mod room;

pub(crate) mod release;

pub(crate) mod park;

pub(crate) mod gate;
