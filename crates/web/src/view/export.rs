//! A page as one file that needs nothing: its style inside, allowed by digest; no script, nothing
//! that leads back into the window, and none of its secrets.

use maud::{PreEscaped, html};
use owlet_lab::report::html as report;

use super::page::{Page, content, document};

/// The file.
pub(super) fn saved(page: &Page, style: &str, version: &str) -> String {
    let head = html! {
        meta http-equiv="Content-Security-Policy" content=(report::policy(style));
        meta name="generator" content={ "owlet " (version) };
        style { (PreEscaped(style)) }
    };
    let body = html! {
        (PreEscaped(clean(&content(page).into_string())))
        footer { p { "Saved from a window of owlet " (version) ". This file needs no network." } }
    };
    document(page, &head, "window saved", &body).into_string()
}

/// What works only in the window, and where each ends: forms' fields, and addresses inside it.
const MARKS: [(&str, char); 5] = [
    ("<input", '>'),
    (" href=\"/", '"'),
    (" action=\"/", '"'),
    (" data-live=\"/", '"'),
    (" src=\"/", '"'),
];

/// Takes out what works only in the window.
///
/// The page was made by templates that escape `<`, `>` and `"` everywhere, so these marks are
/// markup wherever they stand.
fn clean(page: &str) -> String {
    let mut kept = String::with_capacity(page.len());
    let mut rest = page;
    let next = |rest: &str| {
        let found = MARKS.iter().filter_map(|(mark, end)| Some((rest.find(mark)?, *mark, *end)));
        found.min_by_key(|(at, ..)| *at)
    };
    while let Some((at, mark, end)) = next(rest) {
        kept.push_str(&rest[..at]);
        let value = &rest[at + mark.len()..];
        rest = value.find(end).map_or("", |end| &value[end + 1..]);
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_back_and_no_field_is_kept() {
        let page = "<form action=\"/run/stop\"><input type=\"hidden\" value=\"secret\"><a class=\"x\" href=\"/a?b=&quot;\">A</a>\
                    <a href=\"#here\">B</a></form>";
        assert_eq!(clean(page), "<form><a class=\"x\">A</a><a href=\"#here\">B</a></form>");
    }
}
