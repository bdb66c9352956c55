//! Who answers a request that nginx has turned away: nginx itself, or an app that makes the page for it.

use core::ffi::c_void;
use core::ptr;

use nginx_sys::{
    ngx_http_conf_ctx_t, ngx_http_core_loc_conf_t, ngx_http_handler_pt, ngx_http_request_t,
};

use super::conf::Conf;
use super::plain::zero;
use super::{functions, modules};

/// Directives of nginx's own modules that set a content handler which asks no app.
const OWN: [&[u8]; 4] = [b"empty_gif", b"stub_status", b"flv", b"mp4"];

/// The handlers that they set. None for a directive that this nginx does not have.
pub(crate) type OwnHandlers = [ngx_http_handler_pt; OWN.len()];

/// Whether nginx turned the request away and also makes the page for that, such as a file. The page
/// comes from an app if its location has a content handler that may ask one, as `proxy_pass` sets it.
pub(crate) fn is_nginx_own(r: &ngx_http_request_t, own: &OwnHandlers) -> bool {
    functions::was_turned_away(r) != 0 && !is_app_made(r, own)
}

/// Whether the request's location has a content handler that may ask an app.
pub(crate) fn is_app_made(r: &ngx_http_request_t, own: &OwnHandlers) -> bool {
    r.content_handler
        .is_some_and(|handler| !own.iter().flatten().any(|one| ptr::fn_addr_eq(*one, handler)))
}

/// Finds the handlers that ask no app. They are private to nginx's modules: so their directives are
/// carried out, in a location that no request comes to.
pub(crate) fn own_handlers(cf: Conf) -> OwnHandlers {
    OWN.map(|name| {
        let mut directives = modules::http(&cf).flat_map(modules::directives);
        let command = directives.find(|directive| directive.name.as_bytes() == name)?;
        // SAFETY: in postconfiguration cf has the http block's tables. The handlers of these
        // directives set the content handler of the location that cf leads to, and use nothing else of
        // cf: here that location is one of our own.
        unsafe {
            let mut location: ngx_http_core_loc_conf_t = zero();
            let mut places = vec![ptr::null_mut::<c_void>(); nginx_sys::ngx_http_max_module];
            *places.get_mut(nginx_sys::ngx_http_core_module.ctx_index)? =
                ptr::from_mut(&mut location).cast();
            let mut context = *cf.ctx.cast::<ngx_http_conf_ctx_t>();
            context.loc_conf = places.as_mut_ptr();
            let mut trial = *cf;
            trial.ctx = ptr::from_mut(&mut context).cast();
            let command = ptr::from_ref(command).cast_mut();
            (*command).set?(&mut trial, command, ptr::null_mut());
            location.handler
        }
    })
}
