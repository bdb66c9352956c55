//! Our functions as nginx's types have them: nginx passes pointers to what is live as long as the call
//! takes, ours take handles and references.

use nginx_sys::{
    ngx_conf_t, ngx_cycle_t, ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t,
};

use super::directive::Conf;
use super::request::Request;

/// `name: (our arguments) as (nginx's arguments) -> what both return;` makes a function that gives ours
/// nginx's type.
macro_rules! callbacks {
    ($($(#[$doc:meta])* $visible:vis $name:ident: ($($ours:ty),*) as ($($nginx:ty),*) $(-> $returns:ty)?;)*) => {
        $($(#[$doc])*
        $visible const fn $name(
            f: extern "C" fn($($ours),*) $(-> $returns)?,
        ) -> Option<unsafe extern "C" fn($($nginx),*) $(-> $returns)?> {
            // SAFETY: the same function but for its arguments: nginx passes pointers to what is live,
            // of this type, and not used by others during the call.
            Some(unsafe {
                core::mem::transmute::<
                    extern "C" fn($($ours),*) $(-> $returns)?,
                    unsafe extern "C" fn($($nginx),*) $(-> $returns)?,
                >(f)
            })
        })*
    };
}

pub(crate) use callbacks;

callbacks! {
    /// What happens when nginx may write to the client, or the request's time is over.
    pub(crate) on_request: (Request) as (*mut ngx_http_request_t);
    /// What a phase, or a location's content, does with a request.
    pub(crate) handler: (Request) as (*mut ngx_http_request_t) -> ngx_int_t;
    /// How a variable's value is made.
    pub(crate) getter: (Request, &mut ngx_http_variable_value_t, usize)
        as (*mut ngx_http_request_t, *mut ngx_http_variable_value_t, usize) -> ngx_int_t;
    /// What happens before or after the http block is read.
    pub(crate) on_configuration: (Conf) as (*mut ngx_conf_t) -> ngx_int_t;
    /// What happens with a cycle that has been made.
    pub(crate) on_cycle: (&ngx_cycle_t) as (*mut ngx_cycle_t) -> ngx_int_t;
    /// What happens when a process ends.
    pub(crate) on_exit: (&ngx_cycle_t) as (*mut ngx_cycle_t);
}
