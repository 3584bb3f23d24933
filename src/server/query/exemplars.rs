//! `GET /api/metrics/exemplars`: stored exemplars, of series, of a trace or of an execution.

use std::io::Write as _;
use std::sync::Arc;

use super::super::App;
use super::super::problem::{Problem, ProblemBody};
use super::super::reply::Reply;
use super::super::request::Request;
use super::super::trace_url::TraceUrl;
use super::{FILTERS, filters, place_of};
use crate::model::{EXECUTION_ID, Millis, TRACE_ID};
use crate::store::{ExemplarQuery, FoundExemplar};
use crate::wire::value;

/// One page of exemplars.
#[derive(utoipa::ToSchema)]
#[cfg_attr(test, derive(Debug, serde::Deserialize))]
#[cfg_attr(test, serde(deny_unknown_fields))]
#[allow(dead_code, reason = "it is the form of what is written here")]
pub(in crate::server) struct ExemplarsReply {
    /// The exemplars, newest first.
    exemplars: Vec<Observation>,
    /// How many there are on this page.
    count: usize,
    /// How many there could be.
    limit: usize,
    /// Send it as `page_token` to get the next page; missing on the last one.
    next_page_token: Option<String>,
}

/// A stored exemplar with what is known of its series.
#[derive(utoipa::ToSchema)]
#[cfg_attr(test, derive(Debug, serde::Deserialize))]
#[cfg_attr(test, serde(deny_unknown_fields))]
#[allow(dead_code, reason = "it is the form of what is written here")]
#[schema(as = Exemplar)]
pub(in crate::server) struct Observation {
    /// Id of the component; null where its row is gone.
    #[schema(required)]
    runtime_id: Option<i64>,
    /// Name of the component.
    component_name: String,
    /// Kind of the component.
    component_type: String,
    /// Metric name.
    metric_name: String,
    /// gauge, counter, histogram or summary.
    metric_type: String,
    /// Labels of the series.
    labels: Option<std::collections::HashMap<String, String>>,
    /// Help text.
    help_text: Option<String>,
    /// Unit.
    unit: Option<String>,
    /// What was observed; NaN, +Inf and -Inf are strings.
    #[schema(schema_with = crate::wire::value::schema)]
    value: serde_json::Value,
    /// When it was observed; RFC 3339 with milliseconds.
    timestamp: String,
    /// Labels of the exemplar: `trace_id`, `execution_id` and others.
    exemplar_labels: std::collections::HashMap<String, String>,
    /// Where its trace can be looked at, where the server has --trace-url.
    trace_url: Option<String>,
}

/// Stored exemplars, newest first
///
/// Single observations behind the values of series, each with the trace or the execution that it is of. Of
/// each series, and of each execution that its exemplars name, the newest of each minute is kept. By
/// `execution_id` the metrics of one execution are found, whose id is no label of theirs.
#[utoipa::path(get, path = "/api/metrics/exemplars", operation_id = "exemplars", tag = "query",
    params(
        ("trace_id" = Option<String>, Query, description = "Only exemplars of this trace"),
        ("execution_id" = Option<String>, Query, description = "Only exemplars of this execution"),
        ("runtime_id" = Option<i64>, Query, description = "Id of the component; wins over its name"),
        ("component_name" = Option<String>, Query, description = "Name of the component"),
        ("metric_name" = Option<String>, Query, description = "Name of the metric; of a histogram that of its buckets"),
        ("start_time" = Option<String>, Query, description = "First time, inclusive; RFC 3339, without an offset UTC"),
        ("end_time" = Option<String>, Query, description = "Last time, inclusive"),
        ("label.<name>" = Option<String>, Query, description = "Only series with this value of this label"),
        ("limit" = Option<usize>, Query, description = "Exemplars of a page", minimum = 1, maximum = 10000),
        ("page_token" = Option<String>, Query, description = "next_page_token of the page before"),
    ),
    responses(
        (status = 200, description = "One page", body = ExemplarsReply),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(in crate::server) async fn get(app: &Arc<App>, request: &Request) -> Result<Reply, Problem> {
    let query = read(request)?;
    let core = &app.core()?;
    let found = query.run(&core.database).await?;
    Ok(Reply::new("application/json", json(&found, query.of.limit, app.config.trace_url.as_ref())))
}

pub(super) fn read(request: &Request) -> Result<ExemplarQuery, Problem> {
    let params = &request.params;
    params.only(&[&[TRACE_ID, EXECUTION_ID], FILTERS].concat())?;
    let text = |name| params.get(name).map(|v| v.map(str::to_owned));
    Ok(ExemplarQuery {
        of: filters(request)?,
        trace_id: text(TRACE_ID)?,
        execution_id: text(EXECUTION_ID)?,
        after: params.get("page_token")?.map(place_of::<i64>).transpose()?,
    })
}

fn json(found: &[FoundExemplar], limit: usize, trace_url: Option<&TraceUrl>) -> Vec<u8> {
    let mut out = Vec::with_capacity(found.len() * 500 + 100);
    out.extend_from_slice(b"{\"exemplars\":[");
    for (place, one) in found.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let _ = write!(out, "{{{},\"value\":", one.series.members);
        // Into memory, and of a number or a word: it can't fail.
        let _ = value::serialize(one.value, &mut serde_json::Serializer::new(&mut out));
        let _ =
            write!(out, ",\"timestamp\":\"{}\",\"exemplar_labels\":{}", one.at.rfc3339(), one.labels.get());
        if let Some(url) = one.trace_id.as_ref().and_then(|id| Some(trace_url?.of(id))) {
            let _ = write!(out, ",\"trace_url\":{}", serde_json::Value::from(url));
        }
        out.push(b'}');
    }
    let _ = write!(out, "],\"count\":{},\"limit\":{limit}", found.len());
    if let Some(last) = found.last().filter(|_| found.len() >= limit) {
        let Millis(at) = last.at;
        let _ = write!(out, ",\"next_page_token\":\"{at:x}-{:x}\"", last.id);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Described;

    #[test]
    fn json_has_the_form_that_is_described() {
        let members = "\"runtime_id\":7,\"component_name\":\"w\",\"component_type\":\"worker_pool\",\"metric_name\":\"m\",\
                       \"metric_type\":\"counter\",\"labels\":{\"a\":\"b\"},\"help_text\":null,\"unit\":null";
        let series = Arc::new(Described { members: members.into(), ..Described::default() });
        let one = |trace_id: Option<&str>, value: f64, id| FoundExemplar {
            series: Arc::clone(&series),
            value,
            at: Millis(1_704_110_400_000),
            labels: serde_json::value::to_raw_value(&serde_json::json!({"x": "\""})).unwrap(),
            trace_id: trace_id.map(Into::into),
            id,
        };
        let found = [one(Some("t\"/"), 0.5, 3), one(None, f64::NAN, 26)];
        let url: TraceUrl = "https://h/\"{trace_id}".parse().unwrap();
        let reply: ExemplarsReply = serde_json::from_slice(&json(&found, 2, Some(&url))).unwrap();
        assert_eq!((reply.count, reply.limit), (2, 2));
        let token = reply.next_page_token.unwrap();
        assert_eq!(place_of::<i64>(&token).unwrap(), (Millis(1_704_110_400_000), 26));
        let [first, second] = &reply.exemplars[..] else { panic!("two") };
        assert_eq!(first.trace_url.as_deref(), Some("https://h/\"t%22%2F"));
        assert_eq!((&second.trace_url, &second.value), (&None, &"NaN".into()));
        assert_eq!(second.exemplar_labels["x"], "\"");
        let last: ExemplarsReply = serde_json::from_slice(&json(&found, 3, None)).unwrap();
        assert!(last.next_page_token.is_none() && last.exemplars[0].trace_url.is_none());
    }
}
