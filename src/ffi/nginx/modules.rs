//! The http modules of a configuration, and their directives.

use core::ffi::{c_void, CStr};
use core::ptr::NonNull;

use nginx_sys::{
    ngx_command_t, ngx_conf_t, ngx_http_conf_ctx_t, ngx_module_t, ngx_uint_t, NGX_HTTP_MODULE,
};

use super::conf::Conf;

/// In nginx's order.
pub(crate) fn http(cf: &ngx_conf_t) -> impl Iterator<Item = &ngx_module_t> {
    // SAFETY: a cycle has a list of modules that ends in null.
    let all = (0..).map_while(|index| unsafe { (*(*cf.cycle).modules.add(index)).as_ref() });
    all.filter(|module| module.type_ == NGX_HTTP_MODULE as ngx_uint_t)
}

/// The directives of a module.
pub(crate) fn directives(module: &ngx_module_t) -> impl Iterator<Item = &ngx_command_t> {
    let first = NonNull::new(module.commands).into_iter();
    // SAFETY: a list of directives ends in one without a name.
    let all = first.flat_map(|first| (0..).map(move |index| unsafe { first.add(index).as_ref() }));
    all.take_while(|directive| directive.name.len != 0)
}

/// A module's name, such as `ngx_http_proxy_module`.
pub(crate) fn name(module: &ngx_module_t) -> &CStr {
    // SAFETY: nginx gives each module that it loads its name.
    unsafe { CStr::from_ptr(module.name) }
}

/// What a module keeps for the location that is being merged.
pub(crate) fn location_conf(cf: Conf, module: &ngx_module_t) -> Option<NonNull<c_void>> {
    // SAFETY: within the http block cf has tables with a place for each http module.
    unsafe {
        let context = cf.ctx.cast::<ngx_http_conf_ctx_t>().as_ref()?;
        NonNull::new(context.loc_conf.add(module.ctx_index).read())
    }
}
