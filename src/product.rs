//! Which product an nginx is. Products that are made of nginx keep its version number, by which nginx
//! judges a module, but not its structures.
#![forbid(unsafe_code)]

use core::fmt;

/// What stands before the product, where a program says its version: `nginx version: nginx/1.28.3`.
const MARK: &[u8] = b" version: ";

/// nginx, or what was made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product<'a> {
    /// `nginx`, `openresty`, `Tengine`.
    pub name: &'a str,
    /// `1.28.3`, `1.27.1.2`.
    pub version: &'a str,
}

impl<'a> Product<'a> {
    /// Reads a text that begins with a product, such as `nginx/1.28.3 (Debian)`.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (name, rest) =
            split(text, |byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))?;
        let (version, _) = split(rest.strip_prefix(b"/")?, |byte| {
            byte.is_ascii_alphanumeric() || b".-+~_".contains(&byte)
        })?;
        version.starts_with(|first: char| first.is_ascii_digit()).then_some(Self { name, version })
    }

    /// Finds out which product a program is, from the texts in its file. A product that is made of nginx
    /// may also say which nginx. None if the program does not say what it is.
    pub fn of_program(image: &'a [u8]) -> Option<Self> {
        let mut nginx = None;
        for (at, _) in image.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK) {
            match image.get(at + MARK.len()..).and_then(Self::parse) {
                Some(product) if product.name != "nginx" => return Some(product),
                Some(product) => nginx = nginx.or(Some(product)),
                None => {}
            }
        }
        nginx
    }

    /// Whether a module that was built for this product has the structures of the other. The number of
    /// nginx's own version is nginx's to check; that of another product nginx does not see.
    pub fn has_structures_of(&self, other: &Product) -> bool {
        self.name == other.name && (self.name == "nginx" || self.version == other.version)
    }
}

impl fmt::Display for Product<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// Splits a text behind its bytes of a kind. None if it begins with no such byte.
fn split(text: &[u8], is_of_kind: impl Fn(u8) -> bool) -> Option<(&str, &[u8])> {
    let end = text.iter().position(|byte| !is_of_kind(*byte)).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    Some((core::str::from_utf8(word).ok().filter(|word| !word.is_empty())?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn product(name: &'static str, version: &'static str) -> Product<'static> {
        Product { name, version }
    }

    #[test]
    fn a_product_has_a_name_and_a_version() {
        let good = [
            ("nginx/1.22.1", product("nginx", "1.22.1")),
            ("nginx/1.29.0 (nginx-plus-r35)", product("nginx", "1.29.0")),
            ("openresty/1.27.1.2\n", product("openresty", "1.27.1.2")),
            ("Tengine/3.1.0\0nginx", product("Tengine", "3.1.0")),
        ];
        for (text, expected) in good {
            assert_eq!(Product::parse(text.as_bytes()), Some(expected), "{text}");
        }
        for text in ["", "nginx", "nginx/", "/1.0", "nginx/%s", "0x%xD", "\"%ui\" \"%s\"", "%d"] {
            assert_eq!(Product::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_program_says_which_product_it_is() {
        let cases = [
            ("\0nginx version: nginx/1.22.1\n\0", Some(product("nginx", "1.22.1"))),
            ("nginx version: openresty/1.27.1.2", Some(product("openresty", "1.27.1.2"))),
            (
                "nginx version: nginx/1.31.3\n\0Tengine version: Tengine/3.2.0\n\0",
                Some(product("Tengine", "3.2.0")),
            ),
            (
                "Angie version: Angie/1.11.0\n\0nginx version: nginx/1.29.3\n\0",
                Some(product("Angie", "1.11.0")),
            ),
            ("unknown PROXY protocol version: %ui\0version: \"%ui\"\0 version: ", None),
            ("", None),
        ];
        for (image, expected) in cases {
            assert_eq!(Product::of_program(image.as_bytes()), expected, "{image}");
        }
    }

    #[test]
    fn a_module_for_nginx_runs_on_nginx_alone() {
        let nginx = product("nginx", "1.27.1");
        // The number of nginx's version is nginx's to judge; some change the text.
        assert!(nginx.has_structures_of(&product("nginx", "1.27.1-acme")));
        assert!(!nginx.has_structures_of(&product("openresty", "1.27.1.2")));
        assert!(!product("openresty", "1.27.1.2").has_structures_of(&nginx));
    }

    #[test]
    fn a_module_for_another_product_runs_on_the_same_version_alone() {
        let openresty = product("openresty", "1.27.1.2");
        assert!(openresty.has_structures_of(&openresty));
        assert!(!openresty.has_structures_of(&product("openresty", "1.27.1.1")));
    }
}
