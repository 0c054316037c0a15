//! Who may speak to the server: the address it was called by, the page that called, the key.
//!
//! A browser sends any page's requests to this machine. A name that an attacker's name server points
//! here (DNS rebinding) is caught by `Host`, a foreign page's request by `Origin` and
//! `Sec-Fetch-Site`, both before the request is read.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;

/// What is checked before a request is read.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Digest of the key, if one is asked for: comparing digests takes the same time for any key.
    key: Option<blake3::Hash>,
    /// Names, beside addresses and `localhost`, by which the server may be called.
    names: Vec<String>,
}

/// What anybody may read without a key.
const OPEN: [&str; 5] = ["/health", "/", "/chat", "/chat.js", "/chat.css"];

impl Guard {
    pub(crate) fn new(key: Option<&str>, names: &[String]) -> Self {
        Self {
            key: key.map(|key| blake3::hash(key.as_bytes())),
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        }
    }

    /// A name that no foreign name server can give: an address cannot be rebound.
    fn is_own(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost" || bare.parse::<IpAddr>().is_ok() || self.names.contains(&name)
    }

    fn check(
        &self,
        path: &str,
        headers: &HeaderMap,
        called: Option<&Authority>,
    ) -> Result<(), Refusal> {
        let forbidden = |message: String| Refusal::new(StatusCode::FORBIDDEN, message);
        let text =
            |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = match called {
            Some(authority) => Some(authority.clone()),
            None => text(header::HOST).and_then(|host| host.parse().ok()),
        };
        let Some(host) = host else {
            return Err(Refusal::request("the request has no usable `Host` header"));
        };
        if !self.is_own(host.host()) {
            return Err(forbidden(
                "this server does not answer to the name in `Host`; call it by its address, or \
                 start it with `--allow-host NAME`"
                    .to_owned(),
            )
            .coded("host_not_allowed"));
        }
        let foreign = || {
            forbidden("requests from pages of other origins are refused".to_owned())
                .coded("origin_not_allowed")
        };
        if let Some(origin) = headers.get(header::ORIGIN) {
            let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            if authority.is_none_or(|(_, authority)| authority != host.as_str()) {
                return Err(foreign());
            }
        }
        if matches!(
            headers.get("sec-fetch-site").map(axum::http::HeaderValue::as_bytes),
            Some(b"cross-site" | b"same-site")
        ) && !OPEN.contains(&path)
        {
            return Err(foreign());
        }
        let Some(key) = &self.key else { return Ok(()) };
        if OPEN.contains(&path) {
            return Ok(());
        }
        let given = text(header::AUTHORIZATION)
            .and_then(|value| {
                let (scheme, key) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
            })
            .unwrap_or_default();
        if blake3::hash(given.as_bytes()) == *key {
            return Ok(());
        }
        Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "this server asks for its key: send `Authorization: Bearer KEY`",
        )
        .coded("invalid_api_key"))
    }
}

/// Refuses before the request is read.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let checked = guard.check(request.uri().path(), request.headers(), request.uri().authority());
    match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(guard: &Guard, path: &str, headers: &[(&'static str, &'static str)]) -> u16 {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        guard.check(path, &headers, None).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn names_that_can_be_rebound_are_refused() {
        let guard = Guard::new(None, &["lab.example".to_owned()]);
        for (host, status) in [
            ("localhost:8080", 200),
            ("127.0.0.1", 200),
            ("[::1]:8080", 200),
            ("LAB.example:1", 200),
            ("attacker.example", 403),
            ("localhost.attacker.example", 403),
            ("", 400),
        ] {
            assert_eq!(checked(&guard, "/v1/models", &[("host", host)]), status, "{host}");
        }
        assert_eq!(checked(&guard, "/v1/models", &[]), 400);
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let guard = Guard::new(None, &[]);
        let host = ("host", "localhost:8080");
        for (origin, status) in [
            ("http://localhost:8080", 200),
            ("http://localhost:3000", 403),
            ("https://attacker.example", 403),
            ("null", 403),
        ] {
            assert_eq!(
                checked(&guard, "/v1/models", &[host, ("origin", origin)]),
                status,
                "{origin}"
            );
        }
        assert_eq!(checked(&guard, "/metrics", &[host, ("sec-fetch-site", "cross-site")]), 403);
        assert_eq!(checked(&guard, "/metrics", &[host, ("sec-fetch-site", "same-origin")]), 200);
    }

    #[test]
    fn the_key_is_asked_for_but_for_health_and_the_page() {
        let guard = Guard::new(Some("secret"), &[]);
        let host = ("host", "localhost");
        assert_eq!(checked(&guard, "/v1/models", &[host]), 401);
        assert_eq!(checked(&guard, "/v1/models", &[host, ("authorization", "Bearer wrong")]), 401);
        assert_eq!(checked(&guard, "/v1/models", &[host, ("authorization", "bearer secret")]), 200);
        assert_eq!(checked(&guard, "/health", &[host]), 200);
        assert_eq!(checked(&guard, "/metrics", &[host]), 401);
    }
}
