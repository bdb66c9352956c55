//! A request that is about to connect is watched: what nginx calls with its upstream comes here first.

use core::ffi::c_void;
use core::ptr;

use nginx_sys::{
    ngx_chain_t, ngx_chain_writer, ngx_http_request_t, ngx_http_upstream_t, ngx_int_t,
    ngx_output_chain_filter_pt, NGX_ERROR, NGX_HTTP_BAD_GATEWAY, NGX_HTTP_GATEWAY_TIME_OUT,
};

use super::watch::{self, Finalize, Watch};
use super::{cut, hasty, Owner};
use crate::ffi::nginx::callbacks::callbacks;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{attempts, pointers};

callbacks! {
    /// What happens when nginx is done with an upstream.
    finalizer: (Request, ngx_int_t) as (*mut ngx_http_request_t, ngx_int_t);
    /// What sends a request.
    sender: (&Watch, *mut ngx_chain_t) as (*mut c_void, *mut ngx_chain_t) -> ngx_int_t;
}

const FINALIZE: Finalize = finalizer(on_finalize);
const OUTPUT: ngx_output_chain_filter_pt = sender(on_output);

/// nginx is about to connect a request to its upstream, the first time or once more.
pub(super) fn arm(r: Request, owner: &'static Owner) {
    if !r.is_main() || !(owner.concerns)(r) {
        return;
    }
    let finalize = pointers::upstream(&r).and_then(|u| u.finalize_request);
    let is_armed = finalize.zip(FINALIZE).is_some_and(|(one, ours)| ptr::fn_addr_eq(one, ours));
    // An upstream behind another one, by an error_page or X-Accel-Redirect, need not be the same app's.
    if !is_armed && !attempts::all(&r).is_empty() {
        return;
    }
    // Without memory for it nginx answers as ever.
    let Some(watch) = watch::find_or_begin(r, owner) else { return };
    if !is_armed {
        watch.finalize.set(finalize);
    }
    r.update_upstream(|u| {
        watch_output(watch, u);
        u.finalize_request = FINALIZE;
    });
}

fn watch_output(watch: &'static Watch, u: &mut ngx_http_upstream_t) {
    watch.is_through.set(false);
    let output = u.output.output_filter;
    if output.zip(OUTPUT).is_some_and(|(one, ours)| ptr::fn_addr_eq(one, ours)) {
        return;
    }
    watch.output.set(match output {
        // What nginx would set after this.
        None => (Some(ngx_chain_writer), ptr::from_mut(&mut u.writer).cast()),
        Some(_) => (output, u.output.filter_ctx),
    });
    u.output.output_filter = OUTPUT;
    u.output.filter_ctx = ptr::from_ref(watch).cast_mut().cast();
}

/// The first byte of a request is about to go, or more of it.
extern "C" fn on_output(watch: &Watch, chain: *mut ngx_chain_t) -> ngx_int_t {
    hasty::end(watch.r, &watch.hasty);
    let failed = NGX_ERROR as ngx_int_t;
    let (output, context) = watch.output.get();
    // SAFETY: nginx calls this in the place of that function, which gets the context that it wants.
    let rc = output.map_or(failed, |output| unsafe { output(context, chain) });
    if rc != failed && !watch.is_through.replace(true) {
        (watch.owner.through)(watch.r);
    }
    rc
}

/// nginx is done with a request's upstream, and about to clean up.
extern "C" fn on_finalize(r: Request, rc: ngx_int_t) {
    let Some(watch) = watch::find(r) else { return };
    if let Some(finalize) = watch.finalize.get() {
        // SAFETY: nginx calls this in the place of that function.
        unsafe { finalize(r.as_ptr(), rc) };
    }
    let is_unreached = matches!(rc as u32, NGX_HTTP_BAD_GATEWAY | NGX_HTTP_GATEWAY_TIME_OUT);
    if is_unreached && watch.is_unsent() && (watch.owner.may_hold)(r, rc) {
        cut::off(r, rc);
    }
}
