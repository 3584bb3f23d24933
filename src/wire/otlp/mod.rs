//! The body of `POST /v1/metrics`: metrics of OpenTelemetry (OTLP/HTTP), in protobuf or JSON.
//!
//! [`read`] decodes a message, [`translate`] makes the series of Prometheus of it, as OpenTelemetry's
//! specification has it: names with their unit, histograms in buckets that add up, the attributes of a
//! resource as `target_info`. What the series are then, remote write's are too.

mod attributes;
mod buckets;
mod count;
mod json;
mod names;
mod points;
mod translate;

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message as _;
use serde_json::json;

use crate::model::Limits;
pub use translate::{NAMED, Translated, translate};

/// How a message is written; the answer is written the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

/// Why a whole body was refused.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The bytes are not the message.
    #[error("body: not a valid ExportMetricsServiceRequest: {0}")]
    Malformed(String),
    /// More than could be read: points, attributes and whatever else there are lists of.
    #[error("more than {0} points, attributes and exemplars: send fewer at once")]
    TooManyMessages(usize),
    /// More than the limit.
    #[error("the points make more than {0} series or exemplars: send fewer at once")]
    TooMany(usize),
}

impl Form {
    /// Reads a `Content-Type`.
    pub fn of_content_type(header: &str) -> Option<Self> {
        let media = header.split(';').next().unwrap_or_default().trim();
        [Self::Protobuf, Self::Json].into_iter().find(|form| media.eq_ignore_ascii_case(form.content_type()))
    }

    /// What a `Content-Type` says.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// Of so many bytes that a body may have, one message: a point with a value and a time has as many, an
/// attribute with its name.
const MESSAGE_BYTES: usize = 20;

/// Bytes that each of them takes once it is read, about.
const MESSAGE_MEMORY: usize = 128;

/// The memory that a request takes once it is read, about; refuses one that is made of too much.
pub fn memory(form: Form, body: &[u8], limits: &Limits) -> Result<usize, OtlpError> {
    let most = limits.body_bytes / MESSAGE_BYTES;
    let messages = match form {
        Form::Protobuf => count::messages(body, most)?,
        Form::Json => json::objects(body, most)?,
    };
    Ok(messages * MESSAGE_MEMORY)
}

/// Reads a request, whose [`memory`] was seen to before.
pub fn read(form: Form, body: &[u8]) -> Result<ExportMetricsServiceRequest, OtlpError> {
    match form {
        Form::Protobuf => {
            ExportMetricsServiceRequest::decode(body).map_err(|e| OtlpError::Malformed(e.to_string()))
        }
        Form::Json => json::read(body),
    }
}

/// The answer to what was taken: nothing more where nothing was refused.
pub fn answer(form: Form, refused: usize, why: &str) -> Vec<u8> {
    match form {
        Form::Protobuf => {
            let partial_success = (!why.is_empty()).then(|| ExportMetricsPartialSuccess {
                rejected_data_points: i64::try_from(refused).unwrap_or(i64::MAX),
                error_message: why.to_owned(),
            });
            ExportMetricsServiceResponse { partial_success }.encode_to_vec()
        }
        Form::Json if why.is_empty() => b"{}".to_vec(),
        // A number of 64 bits is a string in the JSON of protobuf.
        Form::Json => json!({
            "partialSuccess": {"rejectedDataPoints": refused.to_string(), "errorMessage": why}
        })
        .to_string()
        .into_bytes(),
    }
}

/// `google.rpc.Status`, in which senders expect to be told why nothing was taken.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The answer to what was not taken, by its HTTP status.
pub fn refusal(form: Form, status: u16, why: &str) -> Vec<u8> {
    // The codes of gRPC that stand for them.
    let code = match status {
        400 | 413 | 415 | 422 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        429 => 8,
        503 => 14,
        _ => 2,
    };
    match form {
        Form::Protobuf => Status { code, message: why.to_owned() }.encode_to_vec(),
        Form::Json => json!({"code": code, "message": why}).to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests;
