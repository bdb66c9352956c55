//! The dashboard: a page, its script and its style sheet, three files of the endpoint.
#![forbid(unsafe_code)]

use crate::text::header_value;

/// A file that the page loads.
#[derive(Clone, Copy, Debug)]
pub struct File {
    pub media_type: &'static str,
    pub text: &'static str,
}

/// The page's script: one module, in these parts.
pub const SCRIPT: File = File {
    media_type: "text/javascript; charset=utf-8",
    text: concat!(
        include_str!("script/words.js"),
        include_str!("script/chart.js"),
        include_str!("script/card.js"),
        include_str!("script/story.js"),
        include_str!("script/dialogs.js"),
        include_str!("script/polling.js"),
    ),
};

/// The page's style sheet.
pub const STYLE: File =
    File { media_type: "text/css; charset=utf-8", text: include_str!("page.css") };

/// The page's header Content-Security-Policy: nothing else than these files may run.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("page.html");

/// The page, as HTML, for a request for `uri`. The page names its files relative to `uri`, so it
/// also works behind a proxy that changes the beginning of the path.
pub fn page(uri: &[u8]) -> String {
    let folder = match uri.rsplit(|byte| *byte == b'/').next() {
        None | Some(b"") => String::new(),
        Some(name) => format!("{}/", header_value(name)),
    };
    PAGE.replace("@BASE@", &folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_has_no_script_and_no_style_of_its_own() {
        assert!(PAGE.starts_with("<!doctype html>"));
        assert!(PAGE.trim_end().ends_with("</html>"));
        for part in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!PAGE.contains(part), "{part}");
        }
        assert_eq!(PAGE.matches("<script type=\"module\" src=\"@BASE@").count(), 1);
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert_eq!((PAGE.matches(" src=").count(), PAGE.matches(" href=").count()), (1, 1));
        for part in ["url(", "@import", "innerHTML", "eval("] {
            assert!(!STYLE.text.contains(part) && !SCRIPT.text.contains(part), "{part}");
        }
    }

    #[test]
    fn its_files_are_found_with_a_slash_behind_its_name_and_without() {
        let script = |uri: &str| {
            let page = page(uri.as_bytes());
            let from = page.split_once(" src=\"").unwrap().1;
            from.split_once('"').unwrap().0.to_string()
        };
        assert_eq!(script("/_intermission"), "_intermission/dashboard.js");
        assert_eq!(script("/ops/_intermission/"), "dashboard.js");
        assert_eq!(script("/"), "dashboard.js");
        assert_eq!(script("/a\"b:c"), "a%22b%3Ac/dashboard.js");
    }
}
