//! Whether the host that a client names is a name of the server.

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
    /// No names.
    pub(crate) const NONE: Self = Self(&[]);

    /// The names of the server whose locations are being merged. A copy: nginx's own table is only there
    /// while it reads the configuration.
    pub(crate) fn of(cf: Conf) -> Result<Self, Failed> {
        let server = NgxHttpCoreModule::server_conf(&*cf).ok_or(Failed)?;
        cf.copy(pointers::server_names(server)).map(Self)
    }
}

/// Whether the host that the client named is one of these names. If it is no server's name, nginx
/// gives the request to the default server.
pub(crate) fn is_own(r: Request, names: &Names) -> bool {
    let host = r.headers_in.server;
    names.0.iter().any(|one| {
        matches(r, one, host)
            .unwrap_or_else(|| is_server_name(one.name.as_bytes(), host.as_bytes()))
    })
}

/// Whether a name that is a regular expression matches. None if the name is no regular expression.
#[cfg(ngx_feature = "pcre")]
fn matches(r: Request, one: &ngx_http_server_name_t, mut host: ngx_str_t) -> Option<bool> {
    if one.regex.is_null() {
        return None;
    }
    let (count, captures, data) = (r.ncaptures, r.captures, r.captures_data);
    // The request's captures stay what its location's match made them: nginx makes a new array.
    r.update(|r| r.captures = core::ptr::null_mut());
    // SAFETY: the request lives, and nginx compiled the regular expression for its configuration.
    let matched = unsafe { nginx_sys::ngx_http_regex_exec(r.as_ptr(), one.regex, &mut host) };
    r.update(|r| (r.ncaptures, r.captures, r.captures_data) = (count, captures, data));
    Some(matched == nginx_sys::NGX_OK as nginx_sys::ngx_int_t)
}

#[cfg(not(ngx_feature = "pcre"))]
fn matches(_: Request, _: &ngx_http_server_name_t, _: ngx_str_t) -> Option<bool> {
    None
}
