//! A page as one file that needs nothing: its style inside, allowed by digest; no script, nothing
//! that leads back into the window, and none of its secrets.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use owlet_lab::report::html as report;

use super::page::{Page, content};

/// The file.
pub(super) fn saved(page: &Page, style: &str, version: &str) -> String {
    let policy = report::policy(style);
    let body = clean(&content(page).into_string());
    let whole: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "owlet " (version) };
                title { (page.title) " · owlet" }
                link rel="icon" href="data:,";
                style { (PreEscaped(style)) }
            }
            body class="window saved" {
                (PreEscaped(body))
                footer { p { "Saved from a window of owlet " (version) ". This file needs no network." } }
            }
        }
    };
    whole.into_string()
}

/// Takes out what works only in the window: forms' fields, and addresses inside it.
///
/// The page was made by templates that escape `<`, `>` and `"` everywhere, so these marks are
/// markup wherever they stand.
fn clean(page: &str) -> String {
    let page = without_fields(page);
    let mut kept = String::with_capacity(page.len());
    let mut rest = page.as_str();
    let marks = [" href=\"/", " action=\"/", " data-live=\"/", " src=\"/"];
    while let Some((at, mark)) =
        marks.iter().filter_map(|mark| Some((rest.find(mark)?, *mark))).min_by_key(|(at, _)| *at)
    {
        kept.push_str(&rest[..at]);
        let value = &rest[at + mark.len()..];
        rest = value.find('"').map_or("", |end| &value[end + 1..]);
    }
    kept.push_str(rest);
    kept
}

fn without_fields(page: &str) -> String {
    let mut kept = String::with_capacity(page.len());
    let mut rest = page;
    while let Some(at) = rest.find("<input") {
        kept.push_str(&rest[..at]);
        rest = rest[at..].find('>').map_or("", |end| &rest[at + end + 1..]);
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
