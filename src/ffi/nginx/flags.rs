//! nginx's bit-fields and constants, by its own C compiler; see `build/nginx.rs`.

use nginx_sys::ngx_uint_t;

/// A bit-field of one of nginx's structures. All but the counts are one bit.
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
                // SAFETY: our own C functions, which read and write one field.
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

/// Constants of nginx's, and the proof that its fields lie where the bindings have them.
mod layout {
    #![allow(non_camel_case_types, non_upper_case_globals, unreachable_pub)]

    include!(concat!(env!("OUT_DIR"), "/layout.rs"));
}

pub(crate) use layout::{NGX_CLEAR_EVENT, NGX_READ_EVENT, NGX_TIMER_LAZY_DELAY};
