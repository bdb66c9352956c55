//! nginx's functions that are safe to call for what is live, as their C declarations have them.

use nginx_sys::{
    ngx_chain_t, ngx_cycle_t, ngx_http_complex_value_t, ngx_http_variable_t,
    ngx_http_variable_value_t, ngx_int_t, ngx_msec_t, ngx_pid_t, ngx_shmtx_t, ngx_str_t,
    ngx_uint_t,
};

use super::directive::Conf;
use super::event::Event;
use super::request::Request;

// SAFETY: each takes a live request or event, changes what is its own, and keeps no pointer to what
// the caller has.
unsafe extern "C" {
    /// Within the call nginx may free the request, and run others.
    pub(crate) safe fn ngx_http_finalize_request(r: Request, code: ngx_int_t);
    /// Within the call nginx may free the request, and run others.
    pub(crate) safe fn ngx_http_core_run_phases(r: Request);
    pub(crate) safe fn ngx_handle_read_event(rev: Event, flags: ngx_uint_t) -> ngx_int_t;
    pub(crate) safe fn ngx_handle_write_event(wev: Event, least: usize) -> ngx_int_t;
    /// Calls `f` within the call or later, when all of the body is there.
    pub(crate) safe fn ngx_http_read_client_request_body(
        r: Request,
        f: extern "C" fn(Request),
    ) -> ngx_int_t;
    pub(crate) safe fn ngx_http_discard_request_body(r: Request) -> ngx_int_t;
    pub(crate) safe fn ngx_http_send_header(r: Request) -> ngx_int_t;
    /// nginx copies the chain; its buffers must be in the request's memory.
    pub(crate) safe fn ngx_http_output_filter(r: Request, chain: &mut ngx_chain_t) -> ngx_int_t;
    /// Finds the user's name and password, if the client sent any.
    pub(crate) safe fn ngx_http_auth_basic_user(r: Request) -> ngx_int_t;
    /// The index must be one that nginx gave out.
    pub(crate) safe fn ngx_http_get_indexed_variable(
        r: Request,
        index: ngx_uint_t,
    ) -> Option<&'static mut ngx_http_variable_value_t>;
    /// Copies the name.
    pub(crate) safe fn ngx_http_add_variable(
        cf: Conf,
        name: &mut ngx_str_t,
        flags: ngx_uint_t,
    ) -> Option<&'static mut ngx_http_variable_t>;
    /// Copies the name. Returns NGX_ERROR if there is no memory.
    pub(crate) safe fn ngx_http_get_variable_index(cf: Conf, name: &mut ngx_str_t) -> ngx_int_t;
    /// Replaces a relative path by a copy that begins with nginx's folder.
    pub(crate) safe fn ngx_conf_full_name(
        cycle: &ngx_cycle_t,
        path: &mut ngx_str_t,
        conf_prefix: ngx_uint_t,
    ) -> ngx_int_t;
    /// Reads a size such as `10m`, in bytes. Returns NGX_ERROR if it is none.
    pub(crate) safe fn ngx_parse_size(line: &mut ngx_str_t) -> isize;
    /// Takes a zone's lock if nobody has it.
    pub(crate) safe fn ngx_shmtx_trylock(mutex: &ngx_shmtx_t) -> ngx_uint_t;
    pub(crate) safe fn ngx_shmtx_unlock(mutex: &ngx_shmtx_t);
    /// Gives the lock up for another process, if that has it.
    pub(crate) safe fn ngx_shmtx_force_unlock(mutex: &ngx_shmtx_t, pid: ngx_pid_t) -> ngx_uint_t;
    pub(crate) safe fn ngx_http_complex_value(
        r: Request,
        complex: &ngx_http_complex_value_t,
        value: &mut ngx_str_t,
    ) -> ngx_int_t;

    // nginx's macros, by C functions of our own.

    /// Makes the event happen after so many milliseconds, whatever was set before.
    #[link_name = "ngx_http_intermission_add_timer"]
    pub(crate) safe fn add_timer(ev: Event, after: ngx_msec_t);
    /// The event does not happen by its timer any more, if that was set.
    #[link_name = "ngx_http_intermission_del_timer"]
    pub(crate) safe fn del_timer(ev: Event);
    #[link_name = "ngx_http_intermission_post_now"]
    pub(crate) safe fn post_now(ev: Event);
    #[link_name = "ngx_http_intermission_post_next"]
    pub(crate) safe fn post_next(ev: Event);
    /// The event does not happen by having been posted.
    #[link_name = "ngx_http_intermission_delete_posted"]
    pub(crate) safe fn delete_posted(ev: Event);
    /// Makes the event happen within the call, which may free it.
    #[link_name = "ngx_http_intermission_handle"]
    pub(crate) safe fn handle(ev: Event);
}
