//! Whether a request came to one of the server's names.

use nginx_sys::{ngx_http_server_name_t, ngx_str_t};
use ngx::http::{HttpModuleServerConf, NgxHttpCoreModule};

use super::conf::Conf;
use super::request::Request;
use super::{pointers, Failed};
use crate::control::origin::is_server_name;

/// The names of a server, in the configuration's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names(&'static [ngx_http_server_name_t]);

impl Names {
    /// None.
    pub(crate) const NONE: Self = Self(&[]);

    /// Those of the server that is being merged, copied: nginx forgets its own.
    pub(crate) fn of(cf: Conf) -> Result<Self, Failed> {
        let server = NgxHttpCoreModule::server_conf(&*cf).ok_or(Failed)?;
        cf.copy(pointers::server_names(server)).map(Self)
    }
}

/// Whether the host that the client named is a name of the server that it came to. nginx gives what
/// no server has to the default one.
pub(crate) fn is_own(r: Request, names: &Names) -> bool {
    let host = r.headers_in.server;
    names.0.iter().any(|one| {
        matches(r, one, host)
            .unwrap_or_else(|| is_server_name(one.name.as_bytes(), host.as_bytes()))
    })
}

/// Whether a name that is a regular expression matches; none where it is not one.
#[cfg(ngx_feature = "pcre")]
fn matches(r: Request, one: &ngx_http_server_name_t, mut host: ngx_str_t) -> Option<bool> {
    if one.regex.is_null() {
        return None;
    }
    let (count, captures, data) = (r.ncaptures, r.captures, r.captures_data);
    // What the location's own match left there is not to be written over.
    r.update(|r| r.captures = core::ptr::null_mut());
    // SAFETY: a live request, and a regular expression of its configuration.
    let matched = unsafe { nginx_sys::ngx_http_regex_exec(r.as_ptr(), one.regex, &mut host) };
    r.update(|r| (r.ncaptures, r.captures, r.captures_data) = (count, captures, data));
    Some(matched == nginx_sys::NGX_OK as nginx_sys::ngx_int_t)
}

#[cfg(not(ngx_feature = "pcre"))]
fn matches(_: Request, _: &ngx_http_server_name_t, _: ngx_str_t) -> Option<bool> {
    None
}
