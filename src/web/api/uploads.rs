//! Files that people send: taken as they come, never held in memory, planned, and not kept.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use utoipa::IntoParams;

use super::{asked, id};
use crate::bulk::plan::Empty;
use crate::web::Page;
use crate::web::answer::Problem;
use crate::web::uploads::{self as store, Shown, Uploads, Wishes};
use csv_intake::Reading;

/// The longest pause within a file that is being sent.
const PAUSE: Duration = Duration::from_secs(60);

/// Characters of a file's name that are kept: what file systems take.
const NAME: usize = 255;

/// Bytes of a download that are read at once.
const PIECE: usize = 64 << 10;

/// How a file is to be read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Its name, for people.
    file_name: Option<String>,
    /// What an empty cell means: keep (the default), clear or error.
    empty: Option<String>,
    /// What stands between cells: comma, semicolon or tab; found from the first line when not
    /// given.
    delimiter: Option<String>,
    /// Columns that mean nothing, by name, with commas between them.
    ignore_columns: Option<String>,
}

impl Wanted {
    fn wishes(self) -> Result<Wishes, Problem> {
        let delimiter = self.delimiter.as_deref().filter(|name| !name.is_empty());
        let delimiter = delimiter.map(csv_intake::delimiter).transpose();
        let delimiter =
            delimiter.map_err(|right| Problem::unreadable("delimiter means nothing", right))?;
        let empty = match self.empty.as_deref() {
            None | Some("" | "keep") => Empty::Keep,
            Some("clear") => Empty::Clear,
            Some("error") => Empty::Error,
            Some(_) => {
                return Err(Problem::unreadable(
                    "empty means nothing",
                    "Write keep, clear or error.",
                ));
            }
        };
        let ignored = self
            .ignore_columns
            .as_deref()
            .unwrap_or_default()
            .split(',');
        let ignored = ignored.map(str::trim).filter(|name| !name.is_empty());
        Ok(Wishes {
            file_name: self.file_name.as_deref().and_then(named),
            reading: Reading {
                delimiter,
                ignore: ignored.map(str::to_owned).collect(),
            },
            empty,
        })
    }
}

/// A name as people see it: its last part, without what could harm whoever prints it.
fn named(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown = last
        .chars()
        .map(|sign| if sign.is_control() { '\u{FFFD}' } else { sign });
    let shown: String = shown.take(NAME).collect();
    Some(shown).filter(|name| !name.is_empty())
}

/// Takes a CSV file as the body, and has it planned. Nothing is sent to Zephr. Ask for the upload
/// until its status is no longer `planning`.
#[utoipa::path(post, path = "/api/tenants/{tenant}/bulk/uploads", tag = "bulk",
    params(("tenant" = String, Path, description = "The tenant"), Wanted),
    request_body(content = String, content_type = "text/csv", description = "The file"),
    responses(
        (status = 202, description = "It has come, and is being planned", body = Shown),
        (status = 408, description = "It stopped coming", body = Problem),
        (status = 413, description = "It is too large", body = Problem),
))]
pub(super) async fn upload(
    State(page): State<Arc<Page>>,
    Path(tenant): Path<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    request: Request,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    let wishes = asked(wanted)?.wishes()?;
    page.seat(&tenant)?;
    let most = page.settings.max_upload_bytes;
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most) {
        return Err(too_large(most));
    }
    let upload = Uploads::begin(&tenant, &wishes)?;
    let mut file = File::create_new(upload.path()).await?;
    received(request.into_body().into_data_stream(), &mut file, most).await?;
    let upload = store::plan(&page, upload, wishes);
    Ok((StatusCode::ACCEPTED, Json(upload.shown())))
}

async fn received(mut body: BodyDataStream, file: &mut File, most: u64) -> Result<(), Problem> {
    let mut bytes = 0;
    loop {
        let piece = match tokio::time::timeout(PAUSE, body.next()).await {
            Ok(None) => break,
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(_))) => {
                return Err(Problem::unreadable(
                    "the file did not come whole",
                    "Send it again.",
                ));
            }
            Err(_) => {
                return Err(Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "the file stopped coming",
                    "Send it again.",
                ));
            }
        };
        bytes += piece.len() as u64;
        if bytes > most {
            return Err(too_large(most));
        }
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    Ok(())
}

fn too_large(most: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the file is larger than {most} bytes"),
        "Cut it into several files, plan it with `zephr-sync bulk plan`, or raise `max_upload_bytes` (ZEPHR_SYNC_MAX_UPLOAD_BYTES).",
    )
}

/// How far an upload is, and what was planned.
#[utoipa::path(get, path = "/api/tenants/{tenant}/bulk/uploads/{upload_id}", tag = "bulk",
    params(("tenant" = String, Path, description = "The tenant"), ("upload_id" = String, Path, description = "The upload")),
    responses(
        (status = 200, description = "How far it is", body = Shown),
        (status = 404, description = "There is no such upload here", body = Problem),
))]
pub(super) async fn progress(
    State(page): State<Arc<Page>>,
    Path((tenant, upload_id)): Path<(String, String)>,
) -> Result<Json<Shown>, Problem> {
    let upload = page.uploads.get(&tenant, id("upload", &upload_id)?)?;
    Ok(Json(upload.shown()))
}

/// The rows of an upload that were left out, as they stood in the file, with the reason in front:
/// to be corrected and uploaded again.
#[utoipa::path(get, path = "/api/tenants/{tenant}/bulk/uploads/{upload_id}/rejects", tag = "bulk",
    params(("tenant" = String, Path, description = "The tenant"), ("upload_id" = String, Path, description = "The upload")),
    responses(
        (status = 200, description = "The rows", body = String, content_type = "text/csv"),
        (status = 404, description = "There is no such upload here, or nothing was left out", body = Problem),
))]
pub(super) async fn rejects(
    State(page): State<Arc<Page>>,
    Path((tenant, upload_id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let upload = page.uploads.get(&tenant, id("upload", &upload_id)?)?;
    let Ok(file) = File::open(upload.rejects()).await else {
        return Err(Problem::missing("no row of this file was left out", ""));
    };
    // The directory goes with the upload, which is held until the last piece was read.
    let pieces =
        futures::stream::try_unfold((file, upload.clone()), |(mut file, upload)| async move {
            let mut piece = vec![0; PIECE];
            let read = file.read(&mut piece).await?;
            piece.truncate(read);
            let more = (read > 0).then(|| (Bytes::from(piece), (file, upload)));
            Ok::<_, std::io::Error>(more)
        });
    let name = format!("rejects-{}.csv", upload.upload_id);
    Ok(download(&name, Body::from_stream(pieces)))
}

/// A CSV file to keep; the name is ours.
pub(super) fn download(name: &str, body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_last_part_and_harmless() {
        assert_eq!(named("../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(named("C:\\files\\users.csv").as_deref(), Some("users.csv"));
        assert_eq!(
            named("a\r\nb\u{1b}.csv").as_deref(),
            Some("a\u{FFFD}\u{FFFD}b\u{FFFD}.csv")
        );
        assert_eq!(named("files/"), None);
        assert_eq!(
            named(&"ü".repeat(300)).map(|name| name.chars().count()),
            Some(NAME)
        );
    }
}
