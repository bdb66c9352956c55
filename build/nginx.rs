//! What only a C compiler knows of nginx: its bit-fields, its constants, and where its fields lie.
//!
//! bindgen places bit-fields by rules of its own, which are not always the compiler's. So flags are
//! read and set by C functions, compiled for the nginx that the module is built for; and what the
//! bindings say of the fields that we touch is held against C's `offsetof` when the module is built.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// One of nginx's structures.
struct Structure {
    /// Its name in C.
    name: &'static str,
    /// The module of its flags in `src/ffi/nginx/flags.rs`.
    module: &'static str,
    /// The bit-fields that we touch.
    flags: &'static [&'static str],
    /// The other fields that we touch.
    fields: &'static [&'static str],
}

const STRUCTURES: &[Structure] = &[
    Structure {
        name: "ngx_http_request_t",
        module: "request",
        flags: &[
            "aio",
            "count",
            "disable_not_modified",
            "discard_body",
            "done",
            "error_page",
            "header_only",
            "header_sent",
            "keepalive",
            "post_action",
            "request_body_no_buffering",
        ],
        fields: &[
            "args",
            "connection",
            "content_handler",
            "ctx",
            "err_status",
            "headers_in",
            "headers_out",
            "host_end",
            "host_start",
            "lingering_time",
            "loc_conf",
            "main",
            "main_conf",
            "method",
            "method_name",
            "phase_handler",
            "pool",
            "read_event_handler",
            "request_body",
            "stream",
            "unparsed_uri",
            "upstream",
            "upstream_states",
            "uri",
            "variables",
            "write_event_handler",
        ],
    },
    Structure {
        name: "ngx_http_headers_in_t",
        module: "headers_in",
        flags: &["chunked"],
        fields: &[
            "content_length_n",
            "content_type",
            "headers",
            "host",
            "server",
            "user",
            "user_agent",
        ],
    },
    Structure {
        name: "ngx_http_headers_out_t",
        module: "headers_out",
        flags: &[],
        fields: &["content_length_n", "content_type", "content_type_len", "headers", "status"],
    },
    Structure {
        name: "ngx_http_upstream_t",
        module: "upstream",
        flags: &["buffering", "cacheable", "header_sent", "request_sent", "upgrade"],
        fields: &[
            "buffer",
            "cleanup",
            "conf",
            "finalize_request",
            "headers_in",
            "length",
            "output",
            "peer",
            "pipe",
            "resolved",
            "state",
            "upstream",
            "writer",
        ],
    },
    Structure {
        name: "ngx_http_upstream_resolved_t",
        module: "resolved",
        flags: &[],
        fields: &["ctx"],
    },
    Structure {
        name: "ngx_http_request_body_t",
        module: "request_body",
        flags: &[],
        fields: &["bufs", "rest"],
    },
    Structure {
        name: "ngx_http_core_main_conf_t",
        module: "core",
        flags: &[],
        fields: &["phase_engine", "variables"],
    },
    Structure {
        name: "ngx_http_upstream_headers_in_t",
        module: "upstream_headers_in",
        flags: &[],
        fields: &["status_n"],
    },
    Structure {
        name: "ngx_http_upstream_state_t",
        module: "upstream_state",
        flags: &[],
        fields: &["bytes_sent", "header_time", "response_time", "status"],
    },
    Structure {
        name: "ngx_http_upstream_conf_t",
        module: "upstream_conf",
        flags: &[],
        fields: &["connect_timeout", "local", "read_timeout"],
    },
    Structure {
        name: "ngx_http_upstream_main_conf_t",
        module: "upstream_main_conf",
        flags: &[],
        fields: &["upstreams"],
    },
    Structure {
        name: "ngx_http_upstream_srv_conf_t",
        module: "upstream_srv_conf",
        flags: &[],
        fields: &["host", "servers"],
    },
    Structure {
        name: "ngx_http_upstream_server_t",
        module: "upstream_server",
        flags: &["down"],
        fields: &["max_fails", "naddrs"],
    },
    Structure {
        name: "ngx_http_upstream_local_t",
        module: "local",
        flags: &[],
        fields: &["addr", "value"],
    },
    Structure {
        name: "ngx_http_complex_value_t",
        module: "complex",
        flags: &[],
        fields: &["lengths", "values"],
    },
    Structure {
        name: "ngx_http_script_engine_t",
        module: "script",
        flags: &[],
        fields: &["ip", "pos", "request", "status"],
    },
    Structure {
        name: "ngx_output_chain_ctx_t",
        module: "output",
        flags: &[],
        fields: &["filter_ctx", "output_filter"],
    },
    Structure {
        name: "ngx_module_t",
        module: "module",
        flags: &[],
        fields: &["commands", "ctx_index", "name"],
    },
    Structure {
        name: "ngx_command_t",
        module: "command",
        flags: &[],
        fields: &["name", "offset", "set"],
    },
    Structure { name: "ngx_http_conf_ctx_t", module: "context", flags: &[], fields: &["loc_conf"] },
    Structure { name: "ngx_list_t", module: "list", flags: &[], fields: &["last", "part"] },
    Structure {
        name: "ngx_list_part_t",
        module: "list_part",
        flags: &[],
        fields: &["nelts", "next"],
    },
    Structure { name: "ngx_array_t", module: "array", flags: &[], fields: &["elts", "nelts"] },
    Structure {
        name: "ngx_peer_connection_t",
        module: "peer",
        flags: &["log_error"],
        fields: &["connection", "log"],
    },
    Structure {
        name: "ngx_event_pipe_t",
        module: "pipe",
        flags: &["upstream_blocked", "upstream_done", "upstream_eof", "upstream_error"],
        fields: &["length"],
    },
    Structure {
        name: "ngx_http_core_loc_conf_t",
        module: "location",
        flags: &["exact_match", "named", "noname"],
        fields: &["handler", "name", "resolver_timeout"],
    },
    Structure {
        name: "ngx_http_core_srv_conf_t",
        module: "server",
        flags: &[],
        fields: &["server_names"],
    },
    Structure {
        name: "ngx_core_conf_t",
        module: "core_conf",
        flags: &[],
        fields: &["shutdown_timeout", "worker_processes"],
    },
    Structure {
        name: "ngx_connection_t",
        module: "connection",
        flags: &["close", "error", "idle", "timedout"],
        fields: &["addr_text", "fd", "listening", "log", "read", "sent", "write"],
    },
    Structure {
        name: "ngx_cycle_t",
        module: "cycle",
        flags: &[],
        fields: &[
            "conf_ctx",
            "connection_n",
            "connections",
            "free_connection_n",
            "log",
            "modules",
            "prefix",
            "reusable_connections_n",
            "shared_memory",
        ],
    },
    Structure {
        name: "ngx_event_t",
        module: "event",
        flags: &[
            "cancelable",
            "channel",
            "delayed",
            "error",
            "posted",
            "ready",
            "timedout",
            "timer_set",
        ],
        fields: &["data", "handler", "log", "timer"],
    },
    Structure {
        name: "ngx_buf_t",
        module: "buf",
        flags: &["last_buf", "last_in_chain", "memory", "mmap", "temporary"],
        fields: &["file", "file_last", "file_pos", "last", "pos"],
    },
    Structure {
        name: "ngx_variable_value_t",
        module: "value",
        flags: &["len", "no_cacheable", "not_found", "valid"],
        fields: &["data"],
    },
];

/// Constants that the bindings lack.
const CONSTANTS: &[&str] =
    &["MODULE_SIGN", "MODULE_VERSION", "NGX_CLEAR_EVENT", "NGX_READ_EVENT", "NGX_TIMER_LAZY_DELAY"];

/// What nginx checks when it loads a module. Angie has a version of its own, and a sign.
const CHECKED: &str = "#ifdef ANGIE_VER\n\
                       #define MODULE_VERSION angie_version\n#define MODULE_SIGN ngx_angie_sign\n\
                       #else\n\
                       #define MODULE_VERSION nginx_version\n#define MODULE_SIGN 0\n\
                       #endif\n";

const HEADERS: &str = "#include <ngx_config.h>\n#include <ngx_core.h>\n#include <ngx_event.h>\n\
                       #include <ngx_http.h>\n\
                       #include <malloc.h>\n";

const FUNCTIONS: &str = include_str!("functions.c");

/// Compiles the functions, and writes what `src/ffi/nginx/flags.rs` includes.
pub(crate) fn embed() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build/nginx.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let (c, rust) = (out.join("flags.c"), out.join("flags.rs"));
    let flags = || STRUCTURES.iter().flat_map(|one| one.flags.iter().map(|flag| (one.name, *flag)));
    fs::write(&c, HEADERS.to_owned() + FUNCTIONS + &accessors(flags()))?;
    compile(&c, "intermission_flags");
    fs::write(rust, declarations())?;
    fs::write(out.join("layout.rs"), layout()?)?;
    if env::var_os("CARGO_FEATURE_FLAGS").is_some() {
        compare(&out)?;
    }
    Ok(())
}

/// C functions that read and set bit-fields.
fn accessors<'a>(flags: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    flags.fold(String::new(), |text, (of, flag)| {
        let name = format!("ngx_http_intermission_{of}_{flag}");
        text + &format!(
            "ngx_uint_t {name}(const {of} *p) {{ return p->{flag}; }}\n\
             void {name}_set({of} *p, ngx_uint_t value) {{ p->{flag} = value; }}\n"
        )
    })
}

/// Their declarations in Rust.
fn declarations() -> String {
    let flagged = STRUCTURES.iter().filter(|one| !one.flags.is_empty());
    flagged.fold(String::new(), |text, Structure { name, module, flags, .. }| {
        let flags = flags.iter().map(|flag| format!(" {} {flag}", flag.to_uppercase()));
        text + &format!("flags! {{ {module}: {name},{} }}\n", flags.collect::<String>())
    })
}

/// The constants, and assertions that the bindings have our fields where C has them.
fn layout() -> io::Result<String> {
    let mut header = HEADERS.to_owned() + CHECKED + "enum {\n";
    let mut asserts = String::new();
    for name in CONSTANTS {
        // Writing into a string does not fail.
        let _ = writeln!(header, "intermission_{name} = {name},");
        let _ = writeln!(asserts, "pub const {name}: u32 = intermission_{name};");
    }
    for Structure { name, fields, .. } in STRUCTURES {
        let _ = writeln!(header, "intermission_size_{name} = sizeof({name}),");
        let _ = writeln!(
            asserts,
            "const _: () = assert!(size_of::<nginx_sys::{name}>() == intermission_size_{name} as usize);"
        );
        for field in *fields {
            let _ = writeln!(header, "intermission_{name}_{field} = offsetof({name}, {field}),");
            let _ = writeln!(
                asserts,
                "const _: () = assert!(core::mem::offset_of!(nginx_sys::{name}, {field}) \
                 == intermission_{name}_{field} as usize);"
            );
        }
    }
    let numbers = bindings(&(header + "};\n"))
        .allowlist_var("intermission_.*")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .generate()
        .map_err(io::Error::other)?;
    Ok(numbers.to_string() + &asserts)
}

/// For the test that compares the bindings' flags with C's: all of them.
fn compare(out: &Path) -> io::Result<()> {
    let text = bindings(HEADERS).generate().map_err(io::Error::other)?.to_string();
    let mut all = Vec::new();
    let (mut of, mut get) = ("", "");
    for line in text.lines().map(str::trim) {
        let function = line.strip_prefix("pub fn ").and_then(|rest| rest.split_once('('));
        if let Some(name) = line.strip_prefix("impl ").and_then(|rest| rest.strip_suffix(" {")) {
            of = name;
        }
        match function.map(|(name, _)| (name, name.strip_prefix("set_"))) {
            Some((_, Some(flag)))
                if of.starts_with("ngx_") && get.trim_end_matches('_') == flag =>
            {
                all.push((of, flag, get));
            }
            Some((name, _)) => get = name,
            None => {}
        }
    }
    let c = all.iter().fold(HEADERS.to_owned(), |text, (of, flag, _)| {
        let kind = if of.ends_with("_s") { "struct " } else { "" };
        text + &format!("void compare_{of}_{flag}({kind}{of} *p) {{ p->{flag} = -1; }}\n")
    });
    fs::write(out.join("compare.c"), c)?;
    compile(&out.join("compare.c"), "intermission_compare");
    let lines = all.iter().map(|(of, flag, get)| {
        format!("compare!(misplaced, {of}, {get}, set_{flag}, compare_{of}_{flag});\n")
    });
    let lines: String = lines.collect();
    fs::write(out.join("compare.rs"), format!("{{ {lines} {} }}", all.len()))
}

fn bindings(header: &str) -> bindgen::Builder {
    bindgen::Builder::default()
        .header_contents("nginx.h", header)
        .clang_args(includes().iter().map(|path| format!("-I{}", path.display())))
        .clang_args(cflags())
        .layout_tests(false)
        .use_core()
}

fn compile(file: &Path, library: &str) {
    let mut build = cc::Build::new();
    for flag in cflags() {
        build.flag(flag);
    }
    build.includes(includes()).warnings(false).file(file).compile(library);
}

fn includes() -> Vec<PathBuf> {
    env::split_paths(&env::var_os("DEP_NGINX_INCLUDE").unwrap_or_default()).collect()
}

fn cflags() -> Vec<String> {
    let flags = env::var("DEP_NGINX_CFLAGS").unwrap_or_default();
    flags.split_ascii_whitespace().map(str::to_owned).collect()
}
