//! The variables: four that the operator sets, three that an access log can show.

use core::fmt::Write;

use nginx_sys::{
    ngx_http_variable_value_t, ngx_int_t, ngx_str_t, ngx_uint_t, NGX_ERROR,
    NGX_HTTP_VAR_CHANGEABLE, NGX_HTTP_VAR_NOCACHEABLE, NGX_OK,
};
use ngx::ngx_string;

use crate::ffi::conf::{self, Indexes};
use crate::ffi::nginx::conf::Conf;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{callbacks, evaluate, flags, functions, Failed};
use crate::ffi::request::mark::{self, Mark};
use crate::text::Text;

const APP_NAME: ngx_str_t = ngx_string!("app_name");
const MAX_TIME: ngx_str_t = ngx_string!("intermission_max_time");
const HEALTH_CHECK_PATH: ngx_str_t = ngx_string!("intermission_health_check_path");
const PRIVILEGED_USER_AGENT: ngx_str_t = ngx_string!("intermission_privileged_user_agent");

const STATUS: ngx_str_t = ngx_string!("intermission_status");
const HOLD_TIME: ngx_str_t = ngx_string!("intermission_hold_time");
const POSITION: ngx_str_t = ngx_string!("intermission_position");

/// Adds the variables, before the http block is read. The operator's variables are unset at first, so
/// that it is no error to leave one out; `set`, `map` and `geo` take the place of our getter. They are
/// cacheable: reading one again must not lose what `set` gave it.
pub(crate) extern "C" fn add(cf: Conf) -> ngx_int_t {
    let unset = evaluate::UNSET;
    let variables = [
        (APP_NAME, NGX_HTTP_VAR_CHANGEABLE, unset),
        (MAX_TIME, NGX_HTTP_VAR_CHANGEABLE, unset),
        (HEALTH_CHECK_PATH, NGX_HTTP_VAR_CHANGEABLE, unset),
        (PRIVILEGED_USER_AGENT, NGX_HTTP_VAR_CHANGEABLE, unset),
        (STATUS, NGX_HTTP_VAR_NOCACHEABLE, callbacks::getter(get_status)),
        (HOLD_TIME, NGX_HTTP_VAR_NOCACHEABLE, callbacks::getter(get_hold_time)),
        (POSITION, NGX_HTTP_VAR_NOCACHEABLE, callbacks::getter(get_position)),
    ];
    for (mut name, flags, handler) in variables {
        match functions::ngx_http_add_variable(cf, &mut name, flags as ngx_uint_t) {
            Some(variable) => variable.get_handler = handler,
            None => return NGX_ERROR as ngx_int_t,
        }
    }
    NGX_OK as ngx_int_t
}

/// Notes the indexes of the operator's variables, when the http block has been read.
pub(crate) fn find(cf: Conf) -> Result<(), Failed> {
    let index = |mut name: ngx_str_t| {
        let index = functions::ngx_http_get_variable_index(cf, &mut name);
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

extern "C" fn get_status(r: Request, value: &mut ngx_http_variable_value_t, _: usize) -> ngx_int_t {
    answer(r, value, |mark, text| text.write_str(mark.status()))
}

extern "C" fn get_hold_time(
    r: Request,
    value: &mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    answer(r, value, |mark, text| match mark.waited() {
        Some(waited) => write!(text, "{}", waited.seconds()),
        None => Ok(()),
    })
}

extern "C" fn get_position(
    r: Request,
    value: &mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    answer(r, value, |mark, text| match mark.ahead() {
        Some(ahead) => write!(text, "{ahead}"),
        None => Ok(()),
    })
}

/// Gives a variable the text that `write` writes about the request's mark. If it writes nothing, or the
/// request has no mark, the variable is unset.
fn answer(
    r: Request,
    value: &mut ngx_http_variable_value_t,
    write: impl FnOnce(&Mark, &mut Text<32>) -> core::fmt::Result,
) -> ngx_int_t {
    let mut text = Text::<32>::EMPTY;
    let written = mark::find(r).map(|mark| write(mark, &mut text));
    let copy = r.copy(text.as_bytes());
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
