//! What another server said, for people: in a log, an error or on a terminal.

use serde_json::Value;

/// Characters that are told of it.
const MOST: usize = 300;

/// The sentence of a refusal, where the body is the JSON of a server of this program (`detail`) or of
/// Prometheus (`error`); else the beginning of the body.
pub(crate) fn said(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    match json.as_ref().and_then(|json| json.get("detail").or_else(|| json.get("error"))) {
        Some(Value::String(sentence)) => one_line(sentence),
        Some(other) => one_line(&other.to_string()),
        None => one_line(&String::from_utf8_lossy(body)),
    }
}

/// The beginning of a text of another program, in one line that no terminal takes for commands.
pub(crate) fn one_line(text: &str) -> String {
    text.trim().chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_its_sentence_in_one_line() {
        for (body, sentence) in [
            (r#"{"detail": "metrics[0]: is\nbad"}"#, "metrics[0]: is bad"),
            (r#"{"detail": {"status": "unknown"}}"#, r#"{"status":"unknown"}"#),
            (r#"{"status": "error", "error": "no such\u001b[31m matcher"}"#, "no such [31m matcher"),
            ("{\"other\": 1}", "{\"other\": 1}"),
            (" Bad Gateway\r\n", "Bad Gateway"),
            ("", ""),
        ] {
            assert_eq!(said(body.as_bytes()), sentence);
        }
        assert_eq!(said(&[b'x'; 5000]).len(), MOST);
        assert_eq!(said(b"\xff!"), "\u{fffd}!");
    }
}
