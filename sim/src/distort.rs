//! Real answers on their way to the client: halved, endless, edited, or in an encoding nobody asked for.

use std::io::Write;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{StreamExt, stream};
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::response::Parts;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::sleep;

use crate::cut::Cut;
use crate::fault::Edit;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Half of the body, then the connection is closed.
pub(crate) async fn truncated(response: Response) -> Result<Response, Cut> {
    let (mut parts, body) = taken(response).await?;
    let half = body.slice(..body.len() / 2);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let cut = stream::iter([Ok(half)]).chain(stream::once(async {
        // What hyper has not yet sent would be lost with the connection.
        sleep(Duration::from_millis(50)).await;
        Err(Cut::Off)
    }));
    Ok(Response::from_parts(parts, Body::from_stream(cut)))
}

/// A body without end.
pub(crate) fn endless(mut response: Response) -> Response {
    response.headers_mut().remove(CONTENT_LENGTH);
    let chunk = Bytes::from_static(&[b' '; 16 * 1024]);
    let chunks = stream::unfold(chunk, |chunk| async {
        // Slow enough to leave the machine to others.
        sleep(Duration::from_millis(5)).await;
        Some((Ok::<_, Cut>(chunk.clone()), chunk))
    });
    response.map(|_| Body::from_stream(chunks))
}

/// The body compressed.
pub(crate) async fn gzip(response: Response) -> Result<Response, Cut> {
    let (mut parts, body) = taken(response).await?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(&body).and_then(|()| encoder.finish()).map_err(|_| Cut::Off)?;
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(whole(parts, compressed))
}

/// The body after a byte order mark.
pub(crate) async fn with_bom(response: Response) -> Result<Response, Cut> {
    let (parts, body) = taken(response).await?;
    Ok(whole(parts, [BOM, &body].concat()))
}

/// The body with edits, if it is JSON.
pub(crate) async fn edited(response: Response, edits: &[Edit]) -> Result<Response, Cut> {
    let (parts, body) = taken(response).await?;
    let Ok(mut value) = serde_json::from_slice::<Value>(&body) else {
        return Ok(whole(parts, body));
    };
    for edit in edits {
        apply(edit, &mut value);
    }
    Ok(whole(parts, value.to_string()))
}

async fn taken(response: Response) -> Result<(Parts, Bytes), Cut> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| Cut::Off)?.to_bytes();
    Ok((parts, body))
}

fn whole(mut parts: Parts, body: impl Into<Body>) -> Response {
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, body.into())
}

fn apply(edit: &Edit, value: &mut Value) {
    let (Edit::Set { at, .. } | Edit::Remove(at)) = edit;
    let Some((parent, name)) = at.rsplit_once('/') else {
        // The empty pointer: all of it.
        if let Edit::Set { to, .. } = edit {
            to.clone_into(value);
        }
        return;
    };
    let name = name.replace("~1", "/").replace("~0", "~");
    match (value.pointer_mut(parent), edit) {
        (Some(Value::Object(members)), Edit::Set { to, .. }) => {
            members.insert(name, to.clone());
        }
        (Some(Value::Object(members)), Edit::Remove(_)) => {
            members.remove(&name);
        }
        (Some(Value::Array(items)), edit) => {
            let Some(index) = name.parse().ok().filter(|&index: &usize| index < items.len()) else { return };
            match edit {
                Edit::Set { to, .. } => to.clone_into(&mut items[index]),
                Edit::Remove(_) => drop(items.remove(index)),
            }
        }
        (None | Some(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_edit_changes_what_it_points_to_and_nothing_else() {
        let set = |at: &str, to: Value| Edit::Set { at: at.to_owned(), to };
        let remove = |at: &str| Edit::Remove(at.to_owned());
        let cases = [
            (set("/a/b", Value::Null), json!({ "a": { "b": null, "c": [2, 3] } })),
            (set("/a/new", json!("x")), json!({ "a": { "b": 1, "c": [2, 3], "new": "x" } })),
            (set("/a/c/1", json!({})), json!({ "a": { "b": 1, "c": [2, {}] } })),
            (set("", json!([])), json!([])),
            (remove("/a/b"), json!({ "a": { "c": [2, 3] } })),
            (remove("/a/c/0"), json!({ "a": { "b": 1, "c": [3] } })),
            (remove("/a/c/7"), json!({ "a": { "b": 1, "c": [2, 3] } })),
            (remove("/x/y"), json!({ "a": { "b": 1, "c": [2, 3] } })),
        ];
        for (edit, expected) in cases {
            let mut value = json!({ "a": { "b": 1, "c": [2, 3] } });
            apply(&edit, &mut value);
            assert_eq!(value, expected, "{edit:?}");
        }
    }
}
