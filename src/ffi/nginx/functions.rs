//! nginx's functions that need nothing but arguments that live: declared with handles and references
//! instead of C's pointers.

use nginx_sys::{
    ngx_chain_t, ngx_cycle_t, ngx_http_complex_value_t, ngx_http_request_t, ngx_http_upstream_t,
    ngx_http_variable_t, ngx_http_variable_value_t, ngx_int_t, ngx_msec_t, ngx_pid_t, ngx_shmtx_t,
    ngx_str_t, ngx_uint_t,
};

use super::directive::Conf;
use super::event::Event;
use super::request::Request;

// SAFETY: handles and references are passed as the pointers that the C declarations have, and what they
// lead to lives. None of these functions keeps a pointer to what a reference here leads to. All run on
// nginx's one thread, like their callers.
unsafe extern "C" {
    /// Within the call nginx may free the request, and run others.
    pub(crate) safe fn ngx_http_finalize_request(r: Request, code: ngx_int_t);
    /// Within the call nginx may free the request, and run others.
    pub(crate) safe fn ngx_http_core_run_phases(r: Request);
    /// Makes the request's answer by its upstream, from the beginning. Within the call nginx may free
    /// the request, and run others.
    pub(crate) safe fn ngx_http_upstream_init(r: Request);
    pub(crate) safe fn ngx_handle_read_event(rev: Event, flags: ngx_uint_t) -> ngx_int_t;
    pub(crate) safe fn ngx_handle_write_event(wev: Event, least: usize) -> ngx_int_t;
    /// Calls `f` when all of the body is there: within the call or later.
    pub(crate) safe fn ngx_http_read_client_request_body(
        r: Request,
        f: extern "C" fn(Request),
    ) -> ngx_int_t;
    pub(crate) safe fn ngx_http_discard_request_body(r: Request) -> ngx_int_t;
    pub(crate) safe fn ngx_http_send_header(r: Request) -> ngx_int_t;
    /// Copies the chain, and keeps its buffers: they must be in the request's memory.
    pub(crate) safe fn ngx_http_output_filter(r: Request, chain: &mut ngx_chain_t) -> ngx_int_t;
    /// Finds the user's name and password, if the client sent any.
    pub(crate) safe fn ngx_http_auth_basic_user(r: Request) -> ngx_int_t;
    /// Logs an alert and returns None if the index is not one that nginx gave out.
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
    /// Reads a size such as `10m`, in bytes. Returns NGX_ERROR if the text is no size.
    pub(crate) safe fn ngx_parse_size(line: &mut ngx_str_t) -> isize;
    /// Takes a zone's lock if no process has it. Returns whether it did.
    pub(crate) safe fn ngx_shmtx_trylock(mutex: &ngx_shmtx_t) -> ngx_uint_t;
    pub(crate) safe fn ngx_shmtx_unlock(mutex: &ngx_shmtx_t);
    /// Unlocks for another process, if that has the lock. Returns whether it did.
    pub(crate) safe fn ngx_shmtx_force_unlock(mutex: &ngx_shmtx_t, pid: ngx_pid_t) -> ngx_uint_t;
    pub(crate) safe fn ngx_http_complex_value(
        r: Request,
        complex: &ngx_http_complex_value_t,
        value: &mut ngx_str_t,
    ) -> ngx_int_t;

    // C functions of our own, for what nginx has as macros, or has only if it is built so.

    /// Which nginx the module was built for, as a text that never changes.
    #[link_name = "ngx_http_intermission_product"]
    pub(crate) safe fn product() -> ngx_str_t;
    /// A variable's value, empty if it has none. Its data is null if nginx has not made it.
    #[link_name = "ngx_http_intermission_made"]
    pub(crate) safe fn made(value: &ngx_http_variable_value_t) -> ngx_str_t;
    /// Whether nginx turned the request away. 0 or 1.
    #[link_name = "ngx_http_intermission_was_turned_away"]
    pub(crate) safe fn was_turned_away(r: &ngx_http_request_t) -> ngx_uint_t;
    /// The request, which has an upstream, has not asked nginx's cache yet.
    #[link_name = "ngx_http_intermission_forget_cache"]
    pub(crate) safe fn forget_cache(r: Request);
    /// None of the upstream's servers has failed, if one of nginx's own balancers chooses among them.
    #[link_name = "ngx_http_intermission_forget_fails"]
    pub(crate) safe fn forget_fails(u: &ngx_http_upstream_t);

    /// Makes the event happen after this many ms. If its timer is set and would end less than 300 ms
    /// earlier or later than that, nginx leaves the timer as it is.
    #[link_name = "ngx_http_intermission_add_timer"]
    pub(crate) safe fn add_timer(ev: Event, after: ngx_msec_t);
    /// Stops the event's timer, if it is set.
    #[link_name = "ngx_http_intermission_del_timer"]
    pub(crate) safe fn del_timer(ev: Event);
    /// Makes the event happen in this turn of the event loop, unless it is posted already.
    #[link_name = "ngx_http_intermission_post_now"]
    pub(crate) safe fn post_now(ev: Event);
    /// Makes the event happen in the next turn of the event loop, unless it is posted already.
    #[link_name = "ngx_http_intermission_post_next"]
    pub(crate) safe fn post_next(ev: Event);
    /// Makes the event happen before all that are posted, unless it is posted already.
    #[link_name = "ngx_http_intermission_post_first"]
    pub(crate) safe fn post_first(ev: Event);
    /// Makes the event happen behind the first one that is posted. Does nothing if none is, or if it is
    /// posted already.
    #[link_name = "ngx_http_intermission_post_second"]
    pub(crate) safe fn post_second(ev: Event);
    /// Whether events are posted, to happen in this turn of the event loop: not 0 if so.
    #[link_name = "ngx_http_intermission_any_posted"]
    pub(crate) safe fn any_posted() -> ngx_uint_t;
    /// From now on nginx's event loop calls `instead` to wait for events.
    #[link_name = "ngx_http_intermission_wrap_wait"]
    pub(crate) safe fn wrap_wait(
        instead: extern "C" fn(&ngx_cycle_t, ngx_msec_t, ngx_uint_t) -> ngx_int_t,
    );
    /// From now on it calls what it called before.
    #[link_name = "ngx_http_intermission_unwrap_wait"]
    pub(crate) safe fn unwrap_wait();
    /// What nginx's event loop called before.
    #[link_name = "ngx_http_intermission_wait"]
    pub(crate) safe fn wait(
        cycle: &ngx_cycle_t,
        longest: ngx_msec_t,
        flags: ngx_uint_t,
    ) -> ngx_int_t;
    /// Takes back a post, if there is one.
    #[link_name = "ngx_http_intermission_delete_posted"]
    pub(crate) safe fn delete_posted(ev: Event);
    /// Calls the event's handler, which may free the event.
    #[link_name = "ngx_http_intermission_handle"]
    pub(crate) safe fn handle(ev: Event);
}
