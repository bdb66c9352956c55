//! The `upstream` blocks of a configuration.

use nginx_sys::{ngx_http_request_t, ngx_http_upstream_server_t, ngx_http_upstream_srv_conf_t};
use ngx::http::{HttpModuleMainConf, NgxHttpUpstreamModule};

use super::flags::upstream_server;
use super::pointers;

/// The names of those of which nginx avoids servers that failed. It never avoids the only server.
pub(crate) fn that_avoid_servers(r: &ngx_http_request_t) -> impl Iterator<Item = &[u8]> {
    let all = NgxHttpUpstreamModule::main_conf(r).map_or(&[][..], pointers::upstreams);
    let all = all.iter().copied().flatten();
    all.filter(|one| avoids_servers(one)).map(|one| one.host.as_bytes())
}

fn avoids_servers(upstream: &ngx_http_upstream_srv_conf_t) -> bool {
    let servers = pointers::servers(upstream).map_or(&[][..], pointers::servers_of);
    let is_used = |one: &&ngx_http_upstream_server_t| !upstream_server::DOWN.is_set(one);
    let addresses: usize = servers.iter().filter(is_used).map(|one| one.naddrs).sum();
    addresses > 1 && servers.iter().filter(is_used).any(|one| one.max_fails > 0)
}
