//! Whether a request came to one of the server's names.

use core::{ptr, slice};

use nginx_sys::{
    ngx_conf_t, ngx_http_conf_ctx_t, ngx_http_core_module, ngx_http_core_srv_conf_t,
    ngx_http_request_t, ngx_http_server_name_t, ngx_palloc, ngx_str_t,
};

use crate::control::origin::is_server_name;
use crate::ffi::module::Failed;

/// The names of a server, in the configuration's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    first: *const ngx_http_server_name_t,
    count: usize,
}

impl Names {
    /// None.
    pub(crate) const NONE: Self = Self { first: ptr::null(), count: 0 };

    /// Those of the server that is being merged, copied: nginx forgets its own.
    pub(crate) fn of(cf: *mut ngx_conf_t) -> Result<Self, Failed> {
        // SAFETY: nginx passes a live cf, with the tables of the server that is being merged; its
        // names are there until the configuration is read, and the copy has room for all.
        unsafe {
            let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>().as_ref().ok_or(Failed)?;
            let conf = context.srv_conf.add(ngx_http_core_module.ctx_index).read();
            let conf = conf.cast::<ngx_http_core_srv_conf_t>().as_ref().ok_or(Failed)?;
            let (names, count) = (conf.server_names.elts, conf.server_names.nelts);
            if count == 0 {
                return Ok(Self::NONE);
            }
            let size = count * size_of::<ngx_http_server_name_t>();
            let copy = ngx_palloc((*cf).pool, size).cast::<ngx_http_server_name_t>();
            if copy.is_null() {
                return Err(Failed);
            }
            ptr::copy_nonoverlapping(names.cast(), copy, count);
            Ok(Self { first: copy, count })
        }
    }

    fn all(&self) -> &[ngx_http_server_name_t] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: what `of` copied, which lives as long as the configuration.
        unsafe { slice::from_raw_parts(self.first, self.count) }
    }
}

/// Whether the host that the client named is a name of the server that it came to. nginx gives what
/// no server has to the default one.
pub(crate) fn is_own(r: &mut ngx_http_request_t, names: &Names) -> bool {
    let host = r.headers_in.server;
    names.all().iter().any(|one| {
        matches(r, one, host)
            .unwrap_or_else(|| is_server_name(one.name.as_bytes(), host.as_bytes()))
    })
}

/// Whether a name that is a regular expression matches; none where it is not one.
#[cfg(ngx_feature = "pcre")]
fn matches(
    r: &mut ngx_http_request_t,
    one: &ngx_http_server_name_t,
    mut host: ngx_str_t,
) -> Option<bool> {
    if one.regex.is_null() {
        return None;
    }
    let (count, captures, data) = (r.ncaptures, r.captures, r.captures_data);
    // What the location's own match left there is not to be written over.
    r.captures = core::ptr::null_mut();
    // SAFETY: a live request, and a regular expression of its configuration.
    let matched = unsafe { nginx_sys::ngx_http_regex_exec(r, one.regex, &mut host) };
    (r.ncaptures, r.captures, r.captures_data) = (count, captures, data);
    Some(matched == nginx_sys::NGX_OK as nginx_sys::ngx_int_t)
}

#[cfg(not(ngx_feature = "pcre"))]
fn matches(_: &mut ngx_http_request_t, _: &ngx_http_server_name_t, _: ngx_str_t) -> Option<bool> {
    None
}
