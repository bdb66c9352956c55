//! nginx's bit-fields and constants. C functions of our own read them, and constants come from the C
//! compiler: see `build/nginx.rs`.

use nginx_sys::ngx_uint_t;

/// A bit-field of one of nginx's structures: a flag of one bit, or a number of several.
pub(crate) struct Flag<T> {
    get: extern "C" fn(&T) -> ngx_uint_t,
    set: extern "C" fn(&mut T, ngx_uint_t),
}

impl<T> Flag<T> {
    pub(crate) fn value(&self, of: &T) -> ngx_uint_t {
        (self.get)(of)
    }

    pub(crate) fn is_set(&self, of: &T) -> bool {
        self.value(of) != 0
    }

    pub(crate) fn set(&self, of: &mut T) {
        self.put(of, 1);
    }

    pub(crate) fn clear(&self, of: &mut T) {
        self.put(of, 0);
    }

    pub(crate) fn put(&self, of: &mut T, value: ngx_uint_t) {
        (self.set)(of, value);
    }
}

macro_rules! flags {
    ($module:ident: $structure:ident, $($name:ident $flag:ident)*) => {
        pub(crate) mod $module {
            use nginx_sys::{ngx_uint_t, $structure};

            use super::Flag;

            $(pub(crate) const $name: Flag<$structure> = {
                // SAFETY: C functions of our own, compiled with nginx's headers. They have these
                // arguments, and read or write this one field.
                unsafe extern "C" {
                    #[link_name = concat!(
                        "ngx_http_intermission_", stringify!($structure), "_", stringify!($flag)
                    )]
                    safe fn get(of: &$structure) -> ngx_uint_t;
                    #[link_name = concat!(
                        "ngx_http_intermission_", stringify!($structure), "_", stringify!($flag),
                        "_set"
                    )]
                    safe fn set(of: &mut $structure, value: ngx_uint_t);
                }
                Flag { get, set }
            };)*
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/flags.rs"));

/// nginx's constants, and assertions that its fields lie where the bindings have them.
mod layout {
    #![allow(non_camel_case_types, non_upper_case_globals, unreachable_pub)]

    include!(concat!(env!("OUT_DIR"), "/layout.rs"));
}

pub(crate) use layout::{
    MODULE_SIGN, MODULE_VERSION, NGX_CLEAR_EVENT, NGX_READ_EVENT, NGX_TIMER_LAZY_DELAY,
};
