#if defined ANGIE_VER
#define PRODUCT ANGIE_VER
#elif defined TENGINE_VER
#define PRODUCT TENGINE_VER
#else
#define PRODUCT NGINX_VER
#endif
ngx_str_t ngx_http_intermission_product(void) { ngx_str_t product = ngx_string(PRODUCT); return product; }
/* What nginx has as macros or inline functions, or has only if it is built so. */
ngx_str_t ngx_http_intermission_made(const ngx_http_variable_value_t *value) {
    ngx_str_t none = ngx_null_string, empty = ngx_string(""), made = { value->len, value->data };
    if (value->not_found || (value->valid && value->len == 0)) { return empty; }
    return value->valid ? made : none;
}
/* Whether nginx turned the request away. `error_page` with `=` clears the error's status. With
 * `recursive_error_pages` nginx does not set the flag either: then all that tells is that the request is internal. */
ngx_uint_t ngx_http_intermission_was_turned_away(ngx_http_request_t *r) {
    ngx_http_core_loc_conf_t *clcf;
    if (r->err_status || r->error_page) { return 1; }
    if (!r->internal) { return 0; }
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    return clcf->recursive_error_pages;
}
void ngx_http_intermission_add_timer(ngx_event_t *ev, ngx_msec_t after) { ngx_add_timer(ev, after); }
void ngx_http_intermission_del_timer(ngx_event_t *ev) { if (ev->timer_set) { ngx_del_timer(ev); } }
void ngx_http_intermission_post_now(ngx_event_t *ev) { ngx_post_event(ev, &ngx_posted_events); }
void ngx_http_intermission_post_next(ngx_event_t *ev) { ngx_post_event(ev, &ngx_posted_next_events); }
static void post_behind(ngx_event_t *ev, ngx_queue_t *entry) {
    if (!ev->posted) {
        ev->posted = 1;
        ngx_queue_insert_after(entry, &ev->queue);
    }
}
void ngx_http_intermission_post_first(ngx_event_t *ev) { post_behind(ev, &ngx_posted_events); }
void ngx_http_intermission_post_second(ngx_event_t *ev) {
    if (!ngx_queue_empty(&ngx_posted_events)) { post_behind(ev, ngx_queue_head(&ngx_posted_events)); }
}
ngx_uint_t ngx_http_intermission_any_posted(void) {
    return !ngx_queue_empty(&ngx_posted_events) || !ngx_queue_empty(&ngx_posted_accept_events);
}
/* Another module may have wrapped it too: then ours stays where it is. */
typedef ngx_int_t (*wait_pt)(ngx_cycle_t *cycle, ngx_msec_t longest, ngx_uint_t flags);
static wait_pt nginx_own_wait, wrapper;
void ngx_http_intermission_wrap_wait(wait_pt instead) {
    if (!wrapper) {
        wrapper = instead;
        nginx_own_wait = ngx_event_actions.process_events;
        ngx_event_actions.process_events = wrapper;
    }
}
void ngx_http_intermission_unwrap_wait(void) {
    if (wrapper && ngx_event_actions.process_events == wrapper) {
        ngx_event_actions.process_events = nginx_own_wait;
        wrapper = NULL;
    }
}
ngx_int_t ngx_http_intermission_wait(ngx_cycle_t *cycle, ngx_msec_t longest, ngx_uint_t flags) {
    return nginx_own_wait(cycle, longest, flags);
}
void ngx_http_intermission_delete_posted(ngx_event_t *ev) { if (ev->posted) { ngx_delete_posted_event(ev); } }
void ngx_http_intermission_handle(ngx_event_t *ev) { ev->handler(ev); }
void ngx_http_intermission_forget_cache(ngx_http_request_t *r) {
#if (NGX_HTTP_CACHE)
    r->cache = NULL;
    r->upstream->cache_status = 0;
#endif
}
/* Whether so many bytes may be read there, in the memory of the configuration. */
static int can_read(const void *data, size_t size) {
    ngx_pool_t *block;
    ngx_pool_large_t *large;
    for (block = ngx_cycle->pool; block; block = block->d.next) {
        if ((u_char *) data >= (u_char *) block && (u_char *) data + size <= block->d.last) { return 1; }
    }
    for (large = ngx_cycle->pool->large; large; large = large->next) {
        if (data && data == large->alloc) { return malloc_usable_size(large->alloc) >= size; }
    }
    return 0;
}
/* The peers of nginx's own balancers lead back to their upstream; what another balancer has there need not,
 * and may be shorter. */
static ngx_http_upstream_rr_peers_t *own_peers(ngx_http_upstream_srv_conf_t *us) {
    ngx_http_upstream_rr_peers_t *peers = us->peer.data;
#if (NGX_HTTP_UPSTREAM_ZONE)
    if (us->shm_zone) {
        u_char *zone = us->shm_zone->shm.addr;
        if ((u_char *) peers < zone || (u_char *) (peers + 1) > zone + us->shm_zone->shm.size) { return NULL; }
        return (u_char *) peers->shpool == zone ? peers : NULL;
    }
#endif
    return can_read(peers, sizeof(*peers)) && peers->name == &us->host ? peers : NULL;
}
void ngx_http_intermission_forget_fails(ngx_http_upstream_t *u) {
    ngx_http_upstream_rr_peers_t *peers = u->upstream ? own_peers(u->upstream) : NULL;
    for ( ; peers; peers = peers->next) {
        ngx_http_upstream_rr_peer_t *peer;
        ngx_http_upstream_rr_peers_wlock(peers);
        for (peer = peers->peer; peer; peer = peer->next) { peer->fails = 0; }
        ngx_http_upstream_rr_peers_unlock(peers);
    }
}
