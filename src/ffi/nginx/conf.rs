//! What the handler of a directive can read, say and allocate.

use core::ffi::c_char;
use core::fmt;
use core::mem::MaybeUninit;

use nginx_sys::{
    ngx_conf_log_error, ngx_http_compile_complex_value, ngx_http_compile_complex_value_t,
    ngx_http_complex_value_t, ngx_int_t, ngx_str_t, ngx_uint_t, NGX_LOG_EMERG, NGX_OK,
};
use ngx::core::{Pool, NGX_CONF_ERROR};

pub(crate) use super::directive::Conf;
use super::plain::zero;
use super::{functions, memory, pointers, Failed};

impl Conf {
    /// The words of the directive, its own name first.
    pub(crate) fn arguments(&self) -> &[ngx_str_t] {
        pointers::directive(self).map_or(&[], pointers::words)
    }

    /// The value of a directive that takes one; empty if there is none.
    pub(crate) fn value(self) -> ngx_str_t {
        self.arguments().get(1).copied().unwrap_or(ngx_str_t::empty())
    }

    /// Refuses a value of the directive, and says what is allowed. Returns what the handler is to
    /// return.
    pub(crate) fn refuse(self, value: ngx_str_t, allowed: impl fmt::Display) -> *mut c_char {
        let name = self.arguments().first().copied().unwrap_or(ngx_str_t::empty());
        let (name, value) = (name.as_bytes().escape_ascii(), value.as_bytes().escape_ascii());
        self.error(format_args!("invalid value \"{value}\" in \"{name}\" directive: {allowed}"))
    }

    /// Logs what is wrong with the configuration, and where. Returns what the handler is to return.
    pub(crate) fn error(self, message: impl fmt::Display) -> *mut c_char {
        let mut buffer = [const { MaybeUninit::uninit() }; ngx::log::LOG_BUFFER_SIZE];
        let line = ngx::log::write_fmt(&mut buffer, format_args!("{message}"));
        let level = NGX_LOG_EMERG as ngx_uint_t;
        // SAFETY: nginx's `%*s` takes a length and that many bytes, and copies them.
        unsafe {
            ngx_conf_log_error(level, self.as_ptr(), 0, c"%*s".as_ptr(), line.len(), line.as_ptr());
        }
        NGX_CONF_ERROR
    }

    /// Puts a value into the configuration's memory, with which it is dropped. Returns null if there
    /// is no memory.
    pub(crate) fn keep<T>(self, value: T) -> *mut T {
        // SAFETY: nginx makes a configuration's pool before it reads the configuration.
        unsafe { memory::keep(self.pool, value) }
    }

    /// A copy of some values in the configuration's memory.
    pub(crate) fn copy<T: Copy>(self, values: &[T]) -> Result<&'static [T], Failed> {
        if values.is_empty() {
            return Ok(&[]);
        }
        memory::copy(&self.memory(), values).map(|copy| &*copy).ok_or(Failed)
    }

    fn memory(self) -> Pool {
        // SAFETY: nginx makes a configuration's pool before it reads the configuration.
        unsafe { Pool::from_ngx_pool(self.pool) }
    }

    /// Makes a relative path absolute: it begins in nginx's prefix.
    pub(crate) fn full_name(self, path: &mut ngx_str_t) -> Result<(), Failed> {
        let cycle = pointers::cycle(&self).ok_or(Failed)?;
        match functions::ngx_conf_full_name(cycle, path, 0) as u32 {
            NGX_OK => Ok(()),
            _ => Err(Failed),
        }
    }

    /// Compiles a value with variables. None if it is malformed, which nginx has logged, or if there
    /// is no memory.
    pub(crate) fn compile(
        self,
        value: &mut ngx_str_t,
    ) -> Option<&'static ngx_http_complex_value_t> {
        let mut compiler: ngx_http_compile_complex_value_t = zero();
        compiler.cf = self.as_ptr();
        compiler.value = value;
        let complex = memory::copy(&self.memory(), &[zero()])?.first_mut()?;
        compiler.complex_value = complex;
        // SAFETY: the compiler has a live cf, a live value, and a place in the configuration's memory.
        let compiled = unsafe { ngx_http_compile_complex_value(&mut compiler) };
        (compiled == NGX_OK as ngx_int_t).then_some(complex)
    }
}

/// Reads a size such as `10m`, in bytes. None if it is none.
pub(crate) fn size(value: &mut ngx_str_t) -> Option<usize> {
    usize::try_from(functions::ngx_parse_size(value)).ok()
}
