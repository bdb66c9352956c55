//! The variables: four that the operator sets, three that an access log can show.

use core::fmt::Write;
use core::ptr;

use nginx_sys::{
    ngx_conf_t, ngx_http_add_variable, ngx_http_get_variable_index, ngx_http_get_variable_pt,
    ngx_http_request_t, ngx_http_variable_t, ngx_http_variable_value_t, ngx_int_t, ngx_str_t,
    ngx_uint_t, NGX_ERROR, NGX_HTTP_VAR_CHANGEABLE, NGX_HTTP_VAR_NOCACHEABLE, NGX_OK,
};
use ngx::ngx_string;

use crate::ffi::conf;
use crate::ffi::module::Failed;
use crate::ffi::nginx::evaluate;
use crate::ffi::nginx::flags;
use crate::ffi::request::mark;
use crate::text::{AppName, Text, TooLong};

/// Where nginx keeps the operator's variables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Indexes {
    pub app_name: ngx_uint_t,
    pub max_time: ngx_uint_t,
    pub health_check_path: ngx_uint_t,
    pub privileged_user_agent: ngx_uint_t,
}

const APP_NAME: ngx_str_t = ngx_string!("app_name");
const MAX_TIME: ngx_str_t = ngx_string!("intermission_max_time");
const HEALTH_CHECK_PATH: ngx_str_t = ngx_string!("intermission_health_check_path");
const PRIVILEGED_USER_AGENT: ngx_str_t = ngx_string!("intermission_privileged_user_agent");

const STATUS: ngx_str_t = ngx_string!("intermission_status");
const HOLD_TIME: ngx_str_t = ngx_string!("intermission_hold_time");
const POSITION: ngx_str_t = ngx_string!("intermission_position");

/// Before the configuration is read. The operator's variables have a value of their own, none, so
/// that one that is never set is no error; `set`, `map` and `geo` put theirs in its place. They are
/// cacheable: a value that was set is not asked for again.
pub(crate) extern "C" fn add(cf: *mut ngx_conf_t) -> ngx_int_t {
    let unset: ngx_http_get_variable_pt = Some(GET_UNSET);
    let variables = [
        (APP_NAME, NGX_HTTP_VAR_CHANGEABLE, unset),
        (MAX_TIME, NGX_HTTP_VAR_CHANGEABLE, unset),
        (HEALTH_CHECK_PATH, NGX_HTTP_VAR_CHANGEABLE, unset),
        (PRIVILEGED_USER_AGENT, NGX_HTTP_VAR_CHANGEABLE, unset),
        (STATUS, NGX_HTTP_VAR_NOCACHEABLE, Some(get_status)),
        (HOLD_TIME, NGX_HTTP_VAR_NOCACHEABLE, Some(get_hold_time)),
        (POSITION, NGX_HTTP_VAR_NOCACHEABLE, Some(get_position)),
    ];
    for (mut name, flags, handler) in variables {
        // SAFETY: nginx passes a live cf; the name is copied.
        match unsafe { ngx_http_add_variable(cf, &mut name, flags as ngx_uint_t).as_mut() } {
            Some(variable) => variable.get_handler = handler,
            None => return NGX_ERROR as ngx_int_t,
        }
    }
    NGX_OK as ngx_int_t
}

/// After the configuration was read.
pub(crate) fn find(cf: *mut ngx_conf_t) -> Result<(), Failed> {
    let index = |mut name: ngx_str_t| {
        // SAFETY: nginx passes a live cf; the name is copied.
        let index = unsafe { ngx_http_get_variable_index(cf, &mut name) };
        ngx_uint_t::try_from(index).map_err(|_| Failed)
    };
    let conf = conf::main_conf_of(cf).ok_or(Failed)?;
    conf.variables = Indexes {
        app_name: index(APP_NAME)?,
        max_time: index(MAX_TIME)?,
        health_check_path: index(HEALTH_CHECK_PATH)?,
        privileged_user_agent: index(PRIVILEGED_USER_AGENT)?,
    };
    Ok(())
}

/// `$app_name`; none where there is no configuration of ours.
pub(crate) fn app_name(r: &mut ngx_http_request_t) -> Option<Result<AppName, TooLong>> {
    let index = conf::main_conf(r)?.variables.app_name;
    Some(AppName::new(evaluate::variable(r, index)))
}

/// Whether this is one of the operator's variables, and nothing in the configuration gives it a
/// value but `set`.
pub(crate) fn is_unset(variable: &ngx_http_variable_t) -> bool {
    variable.get_handler.is_some_and(|handler| ptr::fn_addr_eq(handler, GET_UNSET))
}

const GET_UNSET: unsafe extern "C" fn(
    *mut ngx_http_request_t,
    *mut ngx_http_variable_value_t,
    usize,
) -> ngx_int_t = get_unset;

extern "C" fn get_unset(
    _: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    // SAFETY: nginx passes a place for the value.
    unsafe { flags::value::NOT_FOUND.set(&mut *value) };
    NGX_OK as ngx_int_t
}

extern "C" fn get_status(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    answer(r, value, |mark, text| text.write_str(mark.status()))
}

extern "C" fn get_hold_time(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    answer(r, value, |mark, text| match mark.waited() {
        Some(waited) => write!(text, "{}", waited.seconds()),
        None => Ok(()),
    })
}

extern "C" fn get_position(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    answer(r, value, |mark, text| match mark.ahead() {
        Some(ahead) => write!(text, "{ahead}"),
        None => Ok(()),
    })
}

/// Gives a variable what `write` writes of the request's hold; nothing makes it unset.
fn answer(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    write: impl FnOnce(&mark::Mark, &mut Text<32>) -> core::fmt::Result,
) -> ngx_int_t {
    // SAFETY: nginx passes a live request and a place for the value.
    let (r, value) = unsafe { (&*r, &mut *value) };
    let mut text = Text::<32>::EMPTY;
    let written = mark::find(r).map(|mark| write(mark, &mut text));
    // SAFETY: the request's pool lives as long as the request.
    let copy = unsafe { ngx_str_t::from_bytes(r.pool, text.as_bytes()) };
    match copy.filter(|_| written == Some(Ok(())) && !text.is_empty()) {
        Some(copy) => {
            flags::value::LEN.put(value, copy.len);
            flags::value::VALID.set(value);
            flags::value::NO_CACHEABLE.set(value);
            flags::value::NOT_FOUND.clear(value);
            value.data = copy.data;
        }
        None => flags::value::NOT_FOUND.set(value),
    }
    NGX_OK as ngx_int_t
}
