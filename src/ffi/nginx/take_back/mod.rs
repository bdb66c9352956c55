//! A request that nginx could not send to any server, and is about to answer 502 or 504, is taken back
//! instead: it stays, and may be tried again.
//!
//! nginx has no place for this. So it leans on how nginx's upstream module works. Before it connects
//! it evaluates `proxy_bind` ([`bind`]). When it is done with a request it tells the module that made
//! the request ([`arm`]). If a header has been sent, it cleans up and does not answer ([`cut`]).

mod hasty;
mod headers;

mod watch;

mod cut;

mod arm;

mod bind;

mod again;

pub(crate) use again::try_again;
pub(crate) use bind::{prepare, Unprepared};

use nginx_sys::ngx_int_t;

use super::request::Request;
use super::Failed;

/// What is asked and told about the requests of a location.
pub(crate) struct Owner {
    /// Whether a request that nginx is about to connect may be taken back at all.
    pub concerns: fn(Request) -> bool,
    /// Nothing of a request was sent to any server, and nginx is about to answer it with this status:
    /// whether it is taken back.
    pub may_hold: fn(Request, ngx_int_t) -> bool,
    /// A request was taken back: nginx has let go of it, and waits for what calls [`try_again`], or
    /// finalizes it. If this fails, its connection is closed.
    pub hold: fn(Request, ngx_int_t) -> Result<(), Failed>,
    /// The connection of a request stands, and nginx sends the request on it.
    pub through: fn(Request),
}
