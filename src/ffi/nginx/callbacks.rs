//! Functions of ours that nginx calls: it passes pointers, and ours take handles and references.

use nginx_sys::{
    ngx_conf_t, ngx_cycle_t, ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t,
};

use super::directive::Conf;
use super::request::Request;

/// `name: (our arguments) as (nginx's arguments) -> what both return;` makes a function `name` that
/// turns a function of ours into one of nginx's type.
///
/// Each of our arguments must be a handle, or a reference to what nginx's pointer leads to.
macro_rules! callbacks {
    ($($(#[$doc:meta])* $visible:vis $name:ident: ($($ours:ty),*) as ($($nginx:ty),*) $(-> $returns:ty)?;)*) => {
        $($(#[$doc])*
        $visible const fn $name(
            f: extern "C" fn($($ours),*) $(-> $returns)?,
        ) -> Option<unsafe extern "C" fn($($nginx),*) $(-> $returns)?> {
            // SAFETY: handles and references are passed as the pointers that they replace. nginx
            // promises, for each of its callbacks, that these pointers lead to what lives during the
            // call, and that nothing else uses it meanwhile. Null is passed for an `Option` only.
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
    /// What a request's read or write event calls.
    pub(crate) on_request: (Request) as (*mut ngx_http_request_t);
    /// A phase's handler, or a location's content handler.
    pub(crate) handler: (Request) as (*mut ngx_http_request_t) -> ngx_int_t;
    /// Makes the value of a variable for a request.
    pub(crate) getter: (Request, &mut ngx_http_variable_value_t, usize)
        as (*mut ngx_http_request_t, *mut ngx_http_variable_value_t, usize) -> ngx_int_t;
    /// Called before or after the http block is read.
    pub(crate) on_configuration: (Conf) as (*mut ngx_conf_t) -> ngx_int_t;
    /// Called with a cycle, when it is made or when a process begins to run on it.
    pub(crate) on_cycle: (&ngx_cycle_t) as (*mut ngx_cycle_t) -> ngx_int_t;
    /// Called when a process ends.
    pub(crate) on_exit: (&ngx_cycle_t) as (*mut ngx_cycle_t);
}
