//! Pages of lists: `limit` and `after`, as OpenAI's lists have them.

use axum::Json;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::Refusal;

const DEFAULT: usize = 20;
const MOST: usize = 1000;

#[derive(Deserialize)]
struct Typed {
    limit: Option<String>,
    after: Option<String>,
}

/// Which part of a list.
#[derive(Debug)]
pub(crate) struct Page {
    limit: usize,
    after: Option<String>,
}

impl Page {
    /// The part of all `objects` as a list object.
    pub(crate) fn of(
        &self,
        mut objects: impl Iterator<Item = Value>,
    ) -> Result<Json<Value>, Refusal> {
        if let Some(after) = &self.after
            && !objects.any(|object| object["id"] == **after)
        {
            return Err(Refusal::field("after", "is the id of nothing in this list"));
        }
        let data: Vec<Value> = objects.by_ref().take(self.limit).collect();
        Ok(Json(json!({
            "object": "list",
            "has_more": objects.next().is_some(),
            "first_id": data.first().map(|object| &object["id"]),
            "last_id": data.last().map(|object| &object["id"]),
            "data": data,
        })))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Query(typed) =
            Query::<Typed>::from_request_parts(parts, state).await.map_err(|error| {
                Refusal::request(format!("the query is not usable: {}", error.body_text()))
            })?;
        let limit = match typed.limit {
            None => DEFAULT,
            Some(text) => {
                text.parse().ok().filter(|limit| (1..=MOST).contains(limit)).ok_or_else(|| {
                    Refusal::field("limit", format!("is not a whole number from 1 to {MOST}"))
                })?
            }
        };
        Ok(Self { limit, after: typed.after })
    }
}

/// The id in a path.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|error| {
            Refusal::request(format!("the path is not usable: {}", error.body_text()))
        })?;
        Ok(Self(id))
    }
}
