//! Which module answers, and in which nginx it runs.
#![forbid(unsafe_code)]

use serde::Serialize;

use crate::product::Product;

/// As JSON has it. All apps of an nginx have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Versions {
    pub module: &'static str,
    /// As `nginx -v` says it: `nginx/1.28.3`. Empty if that is not known.
    pub nginx: String,
}

impl Versions {
    /// `product` is the nginx that the module was built for: nginx itself refuses a module that was built
    /// for another version.
    pub fn new(product: &[u8]) -> Self {
        let nginx = Product::parse(product).map(|product| product.to_string()).unwrap_or_default();
        Self { module: env!("CARGO_PKG_VERSION"), nginx }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_is_named_as_by_nginx_v() {
        assert_eq!(Versions::new(b"openresty/1.27.1.2").nginx, "openresty/1.27.1.2");
        assert_eq!(Versions::new(b"nginx/1.28.3 (Debian)\"").nginx, "nginx/1.28.3");
        assert_eq!(Versions::new(b"").nginx, "");
    }
}
