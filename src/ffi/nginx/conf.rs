//! A configuration that is being read, by nginx's pointer to it.

use core::ffi::c_char;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::NonNull;

use nginx_sys::{
    ngx_conf_full_name, ngx_conf_log_error, ngx_conf_t, ngx_http_compile_complex_value,
    ngx_http_compile_complex_value_t, ngx_http_complex_value_t, ngx_palloc, ngx_parse_size,
    ngx_str_t, ngx_uint_t, NGX_LOG_EMERG, NGX_OK,
};
use ngx::core::NGX_CONF_ERROR;

use super::plain::zero;
use super::Failed;

/// What nginx passes to a directive's handler: live, and nobody else's meanwhile.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Conf(NonNull<ngx_conf_t>);

impl Deref for Conf {
    type Target = ngx_conf_t;

    fn deref(&self) -> &ngx_conf_t {
        // SAFETY: live, as its description says.
        unsafe { self.0.as_ref() }
    }
}

impl Conf {
    /// As nginx's functions take it.
    pub(crate) fn as_ptr(self) -> *mut ngx_conf_t {
        self.0.as_ptr()
    }

    /// The words of a directive, its own name first.
    pub(crate) fn arguments(&self) -> &[ngx_str_t] {
        // SAFETY: in a directive's handler these are its words.
        unsafe { self.args.as_ref().map_or(&[], |args| args.as_slice()) }
    }

    /// The value of a directive that takes one.
    pub(crate) fn value(self) -> ngx_str_t {
        self.arguments().get(1).copied().unwrap_or(ngx_str_t::empty())
    }

    /// Refuses a directive's value, saying what is allowed. Returns what the handler returns then.
    pub(crate) fn refuse(self, value: ngx_str_t, allowed: impl fmt::Display) -> *mut c_char {
        let name = self.arguments().first().copied().unwrap_or(ngx_str_t::empty());
        let (name, value) = (name.as_bytes().escape_ascii(), value.as_bytes().escape_ascii());
        self.error(format_args!("invalid value \"{value}\" in \"{name}\" directive: {allowed}"))
    }

    /// Says what is wrong with the configuration, and where. Returns what a handler returns then.
    pub(crate) fn error(self, message: fmt::Arguments<'_>) -> *mut c_char {
        let mut buffer = [const { MaybeUninit::uninit() }; ngx::log::LOG_BUFFER_SIZE];
        let line = ngx::log::write_fmt(&mut buffer, message);
        let level = NGX_LOG_EMERG as ngx_uint_t;
        // SAFETY: `%*s` takes a length and that many bytes, which are copied.
        unsafe {
            ngx_conf_log_error(level, self.as_ptr(), 0, c"%*s".as_ptr(), line.len(), line.as_ptr());
        }
        NGX_CONF_ERROR
    }

    /// Puts a value into the configuration's memory, where it is never dropped.
    pub(crate) fn allocate<T>(self, value: T) -> Result<&'static mut T, Failed> {
        // SAFETY: a live pool; what it gives is aligned for anything that C has.
        unsafe {
            let place = ngx_palloc(self.pool, size_of::<T>()).cast::<T>();
            place.as_mut().ok_or(Failed)?;
            place.write(value);
            Ok(&mut *place)
        }
    }

    /// A copy of some values in the configuration's memory.
    pub(crate) fn copy<T: Copy>(self, values: &[T]) -> Result<&'static [T], Failed> {
        if values.is_empty() {
            return Ok(&[]);
        }
        // SAFETY: a live pool, whose memory lives as long as the configuration; it has room for all.
        unsafe {
            let copy = ngx_palloc(self.pool, size_of_val(values)).cast::<T>();
            copy.as_mut().ok_or(Failed)?;
            copy.copy_from_nonoverlapping(values.as_ptr(), values.len());
            Ok(core::slice::from_raw_parts(copy, values.len()))
        }
    }

    /// A relative path becomes one from nginx's folder.
    pub(crate) fn full_name(self, path: &mut ngx_str_t) -> Result<(), Failed> {
        // SAFETY: the cycle that is being made; the path is replaced by a copy.
        match unsafe { ngx_conf_full_name(self.cycle, path, 0) } as u32 {
            NGX_OK => Ok(()),
            _ => Err(Failed),
        }
    }

    /// A value with variables. None if it is malformed, which nginx has logged.
    pub(crate) fn compile(
        self,
        value: &mut ngx_str_t,
    ) -> Option<&'static ngx_http_complex_value_t> {
        let complex = self.allocate(zero::<ngx_http_complex_value_t>()).ok()?;
        let mut compiler: ngx_http_compile_complex_value_t = zero();
        compiler.cf = self.as_ptr();
        compiler.value = value;
        compiler.complex_value = complex;
        // SAFETY: the three are live.
        let compiled = unsafe { ngx_http_compile_complex_value(&mut compiler) };
        (compiled == NGX_OK as isize).then_some(complex)
    }
}

/// A size such as `10m`, in bytes.
pub(crate) fn size(value: &mut ngx_str_t) -> Option<usize> {
    // SAFETY: it reads the value only.
    usize::try_from(unsafe { ngx_parse_size(value) }).ok()
}
