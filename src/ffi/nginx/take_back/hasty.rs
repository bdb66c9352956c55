//! A try waits less long for a connection than the location's configuration says.
//!
//! A server that is down may not even refuse: then nginx waits for `proxy_connect_timeout`, a minute by
//! default, and Linux repeats what it sends to connect at ever longer intervals. A new try begins anew,
//! so it finds a server that is back sooner.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::slice;

use nginx_sys::{ngx_http_upstream_conf_t, ngx_msec_t};
use ngx::core::Pool;

use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{memory, pointers};

/// How long a try waits at most for a connection, and for the handshake of TLS, in ms.
const LONGEST: ngx_msec_t = 5_000;

/// What nginx's upstream module reads.
type Conf = NonNull<ngx_http_upstream_conf_t>;

/// The location's configuration, and a copy that differs in how long nginx waits.
#[derive(Clone, Copy)]
pub(super) struct Hasty {
    own: Conf,
    copy: Conf,
}

/// The request, which is about to be tried again, does not wait long for a connection. Without memory
/// for that it waits as ever.
pub(super) fn begin(r: Request, kept: &Cell<Option<Hasty>>) {
    kept.set(kept.get().or_else(|| Hasty::of(r)));
    if let Some(Hasty { own, copy }) = kept.get() {
        exchange(r, own, copy);
    }
}

/// The request goes on with the configuration of its location: nginx keeps the pointer to it together
/// with the connection, longer than the request lives.
pub(super) fn end(r: Request, kept: &Cell<Option<Hasty>>) {
    if let Some(Hasty { own, copy }) = kept.get() {
        exchange(r, copy, own);
    }
}

impl Hasty {
    /// None if the location's own time is short.
    fn of(r: Request) -> Option<Self> {
        let own = pointers::upstream_conf(pointers::upstream(&r)?)?;
        if own.connect_timeout <= LONGEST {
            return None;
        }
        // SAFETY: a request that is not finished has a pool.
        let pool = unsafe { Pool::from_ngx_pool(r.pool) };
        let copy = memory::copy(&pool, slice::from_ref(own))?.first_mut()?;
        copy.connect_timeout = LONGEST;
        Some(Self { own: NonNull::from(own), copy: NonNull::from(copy) })
    }
}

/// Puts the second one in the place of the first one, if that is there.
fn exchange(r: Request, from: Conf, to: Conf) {
    r.update_upstream(|u| {
        if ptr::eq(u.conf, from.as_ptr()) {
            u.conf = to.as_ptr();
        }
    });
}
