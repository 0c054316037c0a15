//! Which requests come from this machine's own user and pages, and which a foreign page made.
//!
//! A browser sends any page's requests to this machine. A name that an attacker's name server points
//! here (DNS rebinding) is caught by `Host`, a foreign page's request by `Origin` and
//! `Sec-Fetch-Site`. Both servers ask here; what differs between them are a [`Door`]'s settings.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

/// Addresses by which a server may be called: they cannot be rebound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// Any: it may listen where others can reach it.
    All,
    /// 127.0.0.1 and ::1.
    Loopback,
}

/// How a server is called.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    addresses: Addresses,
    /// Names beside `localhost`, in lower case.
    names: Vec<String>,
    /// Whether a proxy before it may speak TLS, so that its pages' scheme is not known.
    proxied: bool,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// It does not say whom it calls.
    NoHost,
    /// It calls somebody else.
    Host,
    /// A page of somebody else sent it.
    Origin,
}

/// Where the browser says a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// It is no browser, or an old one.
    Unknown,
    /// The server's own page.
    Own,
    /// The user: typed, or a bookmark.
    User,
    /// Another page, of this machine or not.
    Foreign,
}

impl Site {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match headers.get("sec-fetch-site").map(axum::http::HeaderValue::as_bytes) {
            None => Self::Unknown,
            Some(b"same-origin") => Self::Own,
            Some(b"none") => Self::User,
            Some(_) => Self::Foreign,
        }
    }
}

impl Door {
    pub(crate) fn new(addresses: Addresses, names: &[String], proxied: bool) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { addresses, names, proxied }
    }

    /// Whom the request calls, if all it says of that is this server.
    pub(crate) fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Stranger> {
        let mut called: Vec<Authority> = uri.authority().cloned().into_iter().collect();
        for host in headers.get_all(header::HOST) {
            let host = host.to_str().ok().and_then(|host| host.parse().ok());
            called.push(host.ok_or(Stranger::NoHost)?);
        }
        if !called.iter().all(|host| self.is_own(host)) {
            return Err(Stranger::Host);
        }
        called.into_iter().next().ok_or(Stranger::NoHost)
    }

    fn is_own(&self, host: &Authority) -> bool {
        // Nobody who calls this server has a name and a password for it.
        if host.as_str().contains('@') {
            return false;
        }
        // Nor anything but a port behind the name: `[::1]x` is taken for `[::1]` otherwise.
        let rest = host.as_str().strip_prefix(host.host()).unwrap_or("?");
        let port = rest.strip_prefix(':').unwrap_or(rest);
        if !port.bytes().all(|byte| byte.is_ascii_digit())
            || port.len() == rest.len() && !rest.is_empty()
        {
            return false;
        }
        let bare = host.host().trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok() {
            return match self.addresses {
                Addresses::All => true,
                Addresses::Loopback => ["127.0.0.1", "::1"].contains(&bare),
            };
        }
        let name = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
        name == "localhost" || self.names.contains(&name)
    }

    /// Lets in what no page sent, or one of the server's own under the name `host`.
    pub(crate) fn origin(&self, headers: &HeaderMap, host: &Authority) -> Result<(), Stranger> {
        let own = headers.get_all(header::ORIGIN).iter().all(|origin| {
            let parts = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            parts.is_some_and(|(scheme, authority)| {
                (self.proxied || scheme.eq_ignore_ascii_case("http"))
                    && authority.eq_ignore_ascii_case(host.as_str())
            })
        });
        if own { Ok(()) } else { Err(Stranger::Origin) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn serve() -> Door {
        Door::new(Addresses::All, &["Lab.example".to_owned()], true)
    }

    fn view() -> Door {
        Door::new(Addresses::Loopback, &[], false)
    }

    #[test]
    fn only_names_that_cannot_be_rebound_are_answered_to() {
        let own = |door: &Door, host| {
            door.host(&Uri::from_static("/"), &headers(&[("host", host)])).is_ok()
        };
        for (host, by_serve, by_view) in [
            ("localhost:8080", true, true),
            ("LOCALHOST:9999", true, true),
            ("127.0.0.1", true, true),
            ("[::1]:8080", true, true),
            ("192.168.1.7:8080", true, false),
            ("0.0.0.0:1", true, false),
            ("127.0.0.2", true, false),
            ("LAB.example:1", true, false),
            ("lab.example.:1", true, false),
            ("attacker.example", false, false),
            ("localhost.attacker.example", false, false),
            ("127.0.0.1.attacker.example:80", false, false),
            ("localhost:1@attacker.example", false, false),
            ("attacker.example@localhost", false, false),
            ("[::1]x:1", false, false),
            ("", false, false),
        ] {
            assert_eq!(own(&serve(), host), by_serve, "serve: {host}");
            assert_eq!(own(&view(), host), by_view, "view: {host}");
        }
    }

    #[test]
    fn all_a_request_says_of_its_host_must_be_own() {
        let uri = Uri::from_static("http://attacker.example/");
        let own = ("host", "localhost");
        assert_eq!(view().host(&uri, &headers(&[own])), Err(Stranger::Host));
        let two = headers(&[own, ("host", "attacker.example")]);
        assert_eq!(view().host(&Uri::from_static("/"), &two), Err(Stranger::Host));
        assert_eq!(view().host(&Uri::from_static("/"), &headers(&[])), Err(Stranger::NoHost));
    }

    #[test]
    fn pages_of_other_origins_are_strangers() {
        let host: Authority = "localhost:8080".parse().unwrap();
        let own = |door: &Door, origin| door.origin(&headers(&[("origin", origin)]), &host).is_ok();
        for (origin, by_serve, by_view) in [
            ("http://localhost:8080", true, true),
            ("https://localhost:8080", true, false),
            ("http://localhost:3000", false, false),
            ("http://127.0.0.1:8080", false, false),
            ("https://attacker.example", false, false),
            ("http://localhost:8080.attacker.example", false, false),
            ("null", false, false),
        ] {
            assert_eq!(own(&serve(), origin), by_serve, "serve: {origin}");
            assert_eq!(own(&view(), origin), by_view, "view: {origin}");
        }
        for door in [serve(), view()] {
            assert_eq!(door.origin(&headers(&[]), &host), Ok(()));
        }
    }

    #[test]
    fn browsers_say_where_requests_come_from() {
        for (value, site) in [
            ("same-origin", Site::Own),
            ("none", Site::User),
            ("same-site", Site::Foreign),
            ("cross-site", Site::Foreign),
            ("anything", Site::Foreign),
        ] {
            assert_eq!(Site::of(&headers(&[("sec-fetch-site", value)])), site);
        }
        assert_eq!(Site::of(&headers(&[])), Site::Unknown);
    }
}
