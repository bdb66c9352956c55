//! The dashboard: one page, and the policy that lets nothing run but what stands in it.
#![forbid(unsafe_code)]

/// The page, HTML.
pub const PAGE: &str = include_str!(concat!(env!("OUT_DIR"), "/dashboard.html"));

/// The value of its header Content-Security-Policy.
pub const POLICY: &str = include_str!(concat!(env!("OUT_DIR"), "/dashboard.csp"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_for_nothing_else() {
        assert!(PAGE.starts_with("<!doctype html>"));
        assert!(PAGE.trim_end().ends_with("</html>"));
        for part in ["/*STYLE*/", "/*SCRIPT*/", " style=", " src=", " href=", "url(", "innerHTML"] {
            assert!(!PAGE.contains(part), "{part}");
        }
        assert_eq!(PAGE.matches("</script").count(), 1);
        assert_eq!(PAGE.matches("</style").count(), 1);
    }

    #[test]
    fn the_policy_is_one_header_line() {
        assert!(POLICY.starts_with("default-src 'none'; script-src 'sha256-"));
        assert!(POLICY.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
    }
}
