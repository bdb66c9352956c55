//! Our functions as nginx's types have them: nginx passes pointers to what is live as long as the call
//! takes, ours take handles and references.

use nginx_sys::{
    ngx_conf_t, ngx_cycle_t, ngx_http_event_handler_pt, ngx_http_get_variable_pt,
    ngx_http_handler_pt, ngx_http_variable_value_t, ngx_int_t,
};

use super::conf::Conf;
use super::request::Request;

macro_rules! callbacks {
    ($($(#[$doc:meta])* $name:ident: $ours:ty, $nginx:ty;)*) => {
        $($(#[$doc])*
        pub(crate) const fn $name(f: $ours) -> $nginx {
            // SAFETY: the same function but for its arguments: nginx passes pointers to what is live,
            // of this type, and not used by others during the call.
            unsafe { core::mem::transmute::<$ours, $nginx>(f) }
        })*
    };
}

pub(crate) use callbacks;

callbacks! {
    /// What happens when nginx may write to the client, or the request's time is over.
    on_request: extern "C" fn(Request), ngx_http_event_handler_pt;
    /// What a phase, or a location's content, does with a request.
    handler: extern "C" fn(Request) -> ngx_int_t, ngx_http_handler_pt;
    /// How a variable's value is made.
    getter: extern "C" fn(Request, &mut ngx_http_variable_value_t, usize) -> ngx_int_t, ngx_http_get_variable_pt;
    /// What happens before or after the http block is read.
    on_configuration: extern "C" fn(Conf) -> ngx_int_t, Option<unsafe extern "C" fn(*mut ngx_conf_t) -> ngx_int_t>;
    /// What happens with a cycle that has been made.
    on_cycle: extern "C" fn(&ngx_cycle_t) -> ngx_int_t, Option<unsafe extern "C" fn(*mut ngx_cycle_t) -> ngx_int_t>;
    /// What happens when a process ends.
    on_exit: extern "C" fn(&ngx_cycle_t), Option<unsafe extern "C" fn(*mut ngx_cycle_t)>;
}
