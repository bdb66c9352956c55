//! A handle for nginx's `cf`: the configuration that is being read, and the directive that is read now.

use core::ops::Deref;
use core::ptr::NonNull;

use nginx_sys::ngx_conf_t;

/// What nginx passes to the callbacks for a configuration. Kept only as long as the call takes.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Conf(NonNull<ngx_conf_t>);

impl Deref for Conf {
    type Target = ngx_conf_t;

    fn deref(&self) -> &ngx_conf_t {
        // SAFETY: nginx's `cf` lives during the callback that got this handle, and no callback keeps it.
        unsafe { self.0.as_ref() }
    }
}

impl Conf {
    /// As nginx's functions take it.
    pub(crate) fn as_ptr(self) -> *mut ngx_conf_t {
        self.0.as_ptr()
    }
}
