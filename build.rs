//! Passes on what nginx-sys found out about the nginx that the module is built for.

#[cfg(feature = "module")]
#[path = "build/nginx.rs"]
mod nginx;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    // nginx loads modules into one scope: without it another build of the module, at another path,
    // would find the first one's data and run its code.
    println!("cargo::rustc-link-arg-cdylib=-Wl,-Bsymbolic");
    println!("cargo::rerun-if-env-changed=DEP_NGINX_FEATURES_CHECK");
    println!("cargo::rerun-if-env-changed=DEP_NGINX_FEATURES");
    let known = std::env::var("DEP_NGINX_FEATURES_CHECK").unwrap_or_else(|_| "any()".into());
    println!("cargo::rustc-check-cfg=cfg(ngx_feature, values({known}))");
    let features = std::env::var("DEP_NGINX_FEATURES").unwrap_or_default();
    for feature in features.split(',').filter(|f| !f.is_empty()) {
        println!("cargo::rustc-cfg=ngx_feature=\"{feature}\"");
    }
    #[cfg(feature = "module")]
    nginx::embed()?;
    Ok(())
}
