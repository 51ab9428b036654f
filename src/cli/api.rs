//! `zephr-sync api METHOD PATH`: any operation of the Admin API, signed, governed and retried,
//! printed as it came.

use std::path::PathBuf;

use bytes::Bytes;

use super::exit::{Exit, Failure};
use super::output;
use super::tenant::client;
use crate::config::Settings;
use zephr::{Request, list};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// GET, POST, PUT, PATCH or DELETE
    #[arg(value_parser = method)]
    method: reqwest::Method,
    /// Path and query as they are to be sent, percent-encoded; for example /v3/schema/users
    path: String,
    /// Body, or @FILE to read it from a file
    #[arg(short, long, value_name = "BODY|@FILE", value_parser = body)]
    data: Option<Body>,
    /// Ask for page after page of a list and print its items, one a line
    #[arg(long, conflicts_with = "data")]
    paginate: bool,
}

#[derive(Debug, Clone)]
enum Body {
    Text(String),
    File(PathBuf),
}

fn method(text: &str) -> Result<reqwest::Method, String> {
    match text.to_ascii_uppercase().as_str() {
        "GET" => Ok(reqwest::Method::GET),
        "POST" => Ok(reqwest::Method::POST),
        "PUT" => Ok(reqwest::Method::PUT),
        "PATCH" => Ok(reqwest::Method::PATCH),
        "DELETE" => Ok(reqwest::Method::DELETE),
        _ => Err("GET, POST, PUT, PATCH or DELETE".into()),
    }
}

fn body(text: &str) -> Result<Body, String> {
    Ok(match text.strip_prefix('@') {
        Some(path) => Body::File(path.into()),
        None => Body::Text(text.into()),
    })
}

/// Runs the command.
///
/// # Errors
/// The API refuses, or the answer cannot be printed.
pub async fn run(settings: &Settings, args: &Args) -> Result<Exit, Failure> {
    let client = client(settings, settings.api()?)?;
    if !args.path.starts_with('/') {
        return Err(Failure::usage(
            format!("`{}` is not a path", args.path),
            "A path begins with /, for example /v3/schema/users.",
        ));
    }
    if args.paginate {
        if args.method != reqwest::Method::GET {
            return Err(Failure::usage("--paginate goes with GET", ""));
        }
        let mut pages = list::Pages::new(client, args.path.clone(), settings.rpp);
        while let Some(items) = pages.next().await? {
            output::write(items.as_bytes())?;
        }
        return Ok(Exit::Done);
    }
    let body = match &args.data {
        None => Bytes::new(),
        Some(Body::Text(text)) => text.clone().into(),
        Some(Body::File(path)) => std::fs::read(path)
            .map_err(|error| {
                Failure::usage(format!("{} cannot be read: {error}", path.display()), "")
            })?
            .into(),
    };
    let request = Request::new(args.method.clone(), args.path.clone(), body);
    let body = client
        .call(&request, |answer| Ok(answer.body.clone()))
        .await?;
    output::write(&body)?;
    Ok(Exit::Done)
}
