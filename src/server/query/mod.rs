//! `GET /api/metrics/query`: stored samples, as JSON, NDJSON or CSV; and what other queries share.

pub(super) mod exemplars;
#[cfg(any(test, feature = "fuzzing"))]
#[path = "../../../fuzz/words.rs"]
pub(crate) mod fuzz;
mod rows;

use std::sync::Arc;

use super::App;
use super::problem::{Kind, Problem, ProblemBody};
use super::reply::Reply;
use super::request::Request;
use crate::cli::values::duration;
use crate::model::{MetricType, Millis, is_label_name, parse_timestamp};
use crate::store::{Aggregate, Page, Query};
use rows::QueryReply;

/// Rows of a page unless asked otherwise, and at most.
const LIMIT: (usize, usize) = (1000, 10_000);

/// Stored samples, newest first
///
/// With `step` and `agg` the samples of each step become one value. Other formats by `Accept`:
/// `application/x-ndjson` (one sample a line) and `text/csv`.
#[utoipa::path(get, path = "/api/metrics/query", operation_id = "query", tag = "query",
    params(
        ("runtime_id" = Option<i64>, Query, description = "Id of the component; wins over its name"),
        ("component_name" = Option<String>, Query, description = "Name of the component"),
        ("metric_name" = Option<String>, Query, description = "Name of the metric"),
        ("metric_type" = Option<MetricType>, Query, description = "Type of the metric"),
        ("start_time" = Option<String>, Query, description = "First time, inclusive; RFC 3339, without an offset UTC"),
        ("end_time" = Option<String>, Query, description = "Last time, inclusive"),
        ("label.<name>" = Option<String>, Query, description = "Only series with this value of this label"),
        ("limit" = Option<usize>, Query, description = "Rows of a page", minimum = 1, maximum = 10000),
        ("page_token" = Option<String>, Query, description = "next_page_token of the page before"),
        ("step" = Option<String>, Query, description = "Length of a step: 60, 60s, 5m, 1h"),
        ("agg" = Option<String>, Query, description = "avg (default), min, max, sum, count, last or rate"),
    ),
    responses(
        (status = 200, description = "One page", body = QueryReply),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 406, description = "No acceptable format", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn get(app: &Arc<App>, request: &Request) -> Result<Reply, Problem> {
    let format = Format::negotiate(request.header(http::header::ACCEPT))?;
    let query = read(request)?;
    let core = &app.core()?;
    let rows = query.run(&core.database).await?;
    let next = (rows.len() >= query.limit).then(|| rows.last().map(|r| token(r.place))).flatten();
    Ok(match format {
        Format::Json => Reply::new("application/json", rows::json(&rows, query.limit, next.as_deref())),
        Format::Ndjson => with_next(Reply::new("application/x-ndjson", rows::ndjson(&rows)), next),
        Format::Csv => {
            with_next(Reply::new("text/csv; charset=utf-8; header=present", rows::csv(&rows)), next)
        }
    }
    .header("vary", "accept"))
}

fn with_next(reply: Reply, next: Option<String>) -> Reply {
    match next {
        Some(token) => reply.header("x-next-page-token", token),
        None => reply,
    }
}

/// Which series and times, and how many.
const FILTERS: &[&str] = &[
    "runtime_id",
    "component_name",
    "metric_name",
    "start_time",
    "end_time",
    "label.",
    "limit",
    "page_token",
];

fn read(request: &Request) -> Result<Query, Problem> {
    request.params.only(&[FILTERS, &["metric_type", "step", "agg"]].concat())?;
    Ok(Query {
        after: request.params.get("page_token")?.map(page).transpose()?,
        metric_type: request.params.parse_as_type("metric_type")?,
        step: step(request)?,
        ..filters(request)?
    })
}

/// What [`FILTERS`] say, but for the page.
fn filters(request: &Request) -> Result<Query, Problem> {
    let params = &request.params;
    let text = |name| params.get(name).map(|v| v.map(str::to_owned));
    let limit = params.parse_as("limit", "a number of rows")?.unwrap_or(LIMIT.0);
    if !(1..=LIMIT.1).contains(&limit) {
        return Err(Problem::parameter("limit", format!("must be between 1 and {}", LIMIT.1)));
    }
    let (start, end) = (time(request, "start_time")?, time(request, "end_time")?);
    if start > end && end.is_some() {
        return Err(Problem::parameter("start_time", "is after end_time"));
    }
    Ok(Query {
        runtime_id: params.parse_as("runtime_id", "a 64-bit integer")?,
        component_name: text("component_name")?,
        metric_name: text("metric_name")?,
        labels: labels(request)?,
        start,
        end,
        limit,
        ..Query::default()
    })
}

fn labels(request: &Request) -> Result<Vec<(String, String)>, Problem> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (name, value) in request.params.with_prefix("label.") {
        let clipped: String = name.chars().take(60).collect();
        let refuse = |reason: &str| Err(Problem::parameter(&format!("label.{clipped}"), reason));
        if !is_label_name(name) {
            return refuse("is not a label name");
        }
        if value.contains('\0') {
            return refuse("must not hold the character U+0000");
        }
        if labels.iter().any(|(known, _)| known == name) {
            return refuse("occurs twice");
        }
        labels.push((name.to_owned(), value.to_owned()));
    }
    Ok(labels)
}

fn time(request: &Request, name: &str) -> Result<Option<Millis>, Problem> {
    // A plus sign that was not encoded arrives as a space; an offset is all it can have been.
    let parse = |text: &str| {
        parse_timestamp(text)
            .or_else(|e| text.rsplit_once(' ').map_or(Err(e), |(a, b)| parse_timestamp(&format!("{a}+{b}"))))
            .map_err(|e| Problem::parameter(name, format!("{e}")))
    };
    request.params.get(name)?.map(parse).transpose()
}

fn step(request: &Request) -> Result<Option<(i64, Aggregate)>, Problem> {
    let aggregate = match request.params.get("agg")? {
        None | Some("avg") => Aggregate::Avg,
        Some("min") => Aggregate::Min,
        Some("max") => Aggregate::Max,
        Some("sum") => Aggregate::Sum,
        Some("count") => Aggregate::Count,
        Some("last") => Aggregate::Last,
        Some("rate") => Aggregate::Rate,
        Some(_) => return Err(Problem::parameter("agg", "is none of avg, min, max, sum, count, last, rate")),
    };
    let Some(text) = request.params.get("step")? else {
        return match request.params.get("agg")? {
            Some(_) => Err(Problem::parameter("step", "is missing: agg needs it")),
            None => Ok(None),
        };
    };
    let step = duration(text).map_err(|e| Problem::parameter("step", e))?;
    match i64::try_from(step.as_millis()) {
        Ok(ms) if (1000..=366 * 86_400_000).contains(&ms) => Ok(Some((ms, aggregate))),
        _ => Err(Problem::parameter("step", "must be between 1 s and 366 d")),
    }
}

/// A page token is opaque to clients: milliseconds and series in hexadecimal.
fn token(page: Page) -> String {
    format!("{:x}-{:x}", page.at.0, page.series)
}

fn page(token: &str) -> Result<Page, Problem> {
    place_of(token).map(|(at, series)| Page { at, series })
}

/// The time and the number of a page token.
fn place_of<N: TryFrom<i64>>(token: &str) -> Result<(Millis, N), Problem> {
    let parse = || {
        let (at, number) = token.split_once('-')?;
        let at = i64::from_str_radix(at, 16).ok().filter(|at| (0..=Millis::MAX.0).contains(at))?;
        let number = i64::from_str_radix(number, 16).ok().filter(|number| *number >= 0)?;
        Some((Millis(at), number.try_into().ok()?))
    };
    parse().ok_or_else(|| Problem::parameter("page_token", "is not one that this server gave"))
}

enum Format {
    Json,
    Ndjson,
    Csv,
}

impl Format {
    fn negotiate(accept: &str) -> Result<Self, Problem> {
        if accept.trim().is_empty() {
            return Ok(Self::Json);
        }
        for entry in accept.split(',') {
            let mut parts = entry.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok());
            if quality == Some(0.0_f32) {
                continue;
            }
            match name {
                "application/json" | "application/*" | "*/*" => return Ok(Self::Json),
                "application/x-ndjson" | "application/jsonl" => return Ok(Self::Ndjson),
                "text/csv" | "text/*" => return Ok(Self::Csv),
                _ => {}
            }
        }
        Err(Problem::new(
            Kind::NOT_ACCEPTABLE,
            "Accept asks for none of application/json, application/x-ndjson, text/csv",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_format_that_is_not_ruled_out_is_taken() {
        let of = |accept| Format::negotiate(accept).ok().map(|format| format as u8);
        assert_eq!(of(""), Some(Format::Json as u8));
        assert_eq!(of("text/csv;q=0.5, */*"), Some(Format::Csv as u8));
        assert_eq!(of("application/json;q=0, text/csv"), Some(Format::Csv as u8));
        assert_eq!(of("application/json; q=0.000"), None);
        assert_eq!(of("image/png"), None);
    }

    #[test]
    fn page_tokens_come_back() {
        let place = Page { at: Millis(1_704_110_400_000), series: 77 };
        assert_eq!(page(&token(place)).unwrap(), place);
        for bad in ["", "x", "1-", "-1-1", "1--1", "ffffffffffffffff-1"] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }
}
