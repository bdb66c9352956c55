//! Who will answer a request that nginx has sent to a page for its error.

use nginx_sys::ngx_http_request_t;

use super::conf;
use super::flags::request;

/// Whether nginx turned the request away and answers it itself: with a file, say. Then it does not
/// go to the app. It goes there where the place has a handler for its content, as `proxy_pass` sets
/// one, whatever the error was.
pub(super) fn is_nginx_own(r: &ngx_http_request_t) -> bool {
    was_turned_away(r) && !has_handler(r)
}

/// Whether the place makes its content by a handler of its own.
pub(super) fn has_handler(r: &ngx_http_request_t) -> bool {
    r.content_handler.is_some()
}

/// `error_page` with `=` leaves no status. Where these pages may have pages themselves it leaves
/// nothing but that the request is internal.
fn was_turned_away(r: &ngx_http_request_t) -> bool {
    r.err_status != 0
        || request::ERROR_PAGE.is_set(r)
        || (request::INTERNAL.is_set(r)
            && conf::core_loc_conf(r).is_some_and(|core| core.recursive_error_pages != 0))
}
