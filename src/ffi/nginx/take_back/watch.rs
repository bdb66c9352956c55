//! What is known of a request that may be taken back.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

use nginx_sys::{ngx_http_request_t, ngx_int_t, ngx_output_chain_filter_pt};

use super::hasty::Hasty;
use super::{headers, Owner};
use crate::ffi::nginx::attach::{self, Attached};
use crate::ffi::nginx::flags::{connection, request, upstream};
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{attempts, pointers};

pub(super) type Finalize = Option<unsafe extern "C" fn(*mut ngx_http_request_t, ngx_int_t)>;

/// In the request's own memory, from when nginx is about to connect it.
pub(super) struct Watch {
    pub r: Request,
    pub owner: &'static Owner,
    /// What the module that made its upstream does when nginx is done with that.
    pub finalize: Cell<Finalize>,
    /// What sends it, and what that wants.
    pub output: Cell<(ngx_output_chain_filter_pt, *mut c_void)>,
    /// How many there were when it was first taken back from its upstream.
    pub first: Cell<Option<usize>>,
    /// How many headers its answer had before nginx was about to connect it: one that chooses among the
    /// servers may add a cookie each time.
    pub headers: headers::Length,
    pub hasty: Cell<Option<Hasty>>,
    /// Whether something of it was sent in this attempt.
    pub is_through: Cell<bool>,
}

impl Attached for Watch {}

/// What is known of a request, if it may be taken back.
pub(super) fn find(r: Request) -> Option<&'static Watch> {
    attach::attached(r)
}

/// As [`find`], and begins with a request of which nothing is known yet. None if there is no memory.
pub(super) fn find_or_begin(r: Request, owner: &'static Owner) -> Option<&'static Watch> {
    find(r).or_else(|| attach::attach(r, Watch::new(r, owner)).ok())
}

impl Watch {
    fn new(r: Request, owner: &'static Owner) -> Self {
        Self {
            headers: headers::length(&r),
            hasty: Cell::new(None),
            r,
            owner,
            finalize: Cell::new(None),
            output: Cell::new((None, ptr::null_mut())),
            first: Cell::new(None),
            is_through: Cell::new(false),
        }
    }

    /// Whether nothing of the request was sent to any server of its upstream, and nothing to a client
    /// that is still there.
    pub(super) fn is_unsent(&self) -> bool {
        let answered = [
            request::HEADER_SENT,
            request::HEADER_ONLY,
            request::POST_ACTION,
            request::DISCARD_BODY,
        ];
        let r = &*self.r;
        let Some(u) = pointers::upstream(r) else { return false };
        // What is sent by TLS counts record by record: a server can read nothing of a part of one.
        let any_sent = attempts::all(r).iter().any(|one| one.bytes_sent > 0);
        // nginx lets go of an unbuffered body as it begins to send it. The flag tells of the last server:
        // nginx goes on to no other one then.
        let is_spent =
            upstream::REQUEST_SENT.is_set(u) && request::REQUEST_BODY_NO_BUFFERING.is_set(r);
        let is_answered =
            upstream::HEADER_SENT.is_set(u) || answered.iter().any(|flag| flag.is_set(r));
        let is_gone = pointers::connection(r).is_none_or(|c| connection::ERROR.is_set(c));
        !any_sent && !is_spent && !is_answered && !is_gone
    }
}
