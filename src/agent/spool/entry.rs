//! A report as the data of a record: flags, then who it is of, then its body.
//!
//! Who it is of is kept with what it was registered by: the agent that reads it may have been started
//! since, and the server may have forgotten.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};

use super::super::outbox::Packed;
use super::super::registration::Registration;
use super::super::scrape::Source;

/// The body is compressed with zstd.
const ZSTD: u8 = 1;

/// The data of a report; one without a source is of `own`.
pub(super) fn encode(report: &Packed, own: &Registration) -> Bytes {
    let registration = report.source.as_ref().map_or(own, |source| &source.registration);
    let (name, kind, register_body) =
        (registration.name(), registration.kind(), registration.register_body());
    let mut data = vec![if report.zstd { ZSTD } else { 0 }];
    for part in [name.as_bytes(), kind.as_bytes(), register_body] {
        data.extend_from_slice(&u32::try_from(part.len()).unwrap_or(0).to_le_bytes());
        data.extend_from_slice(part);
    }
    data.extend_from_slice(&report.body);
    data.into()
}

/// The report that these data are of; `None` where they are of another version.
pub(super) fn decode(mut data: Bytes, samples: u32, at_ms: i64, own: &Registration) -> Option<Packed> {
    let flags = data.try_get_u8().ok()?;
    let mut part = || {
        let length = usize::try_from(data.try_get_u32_le().ok()?).ok()?;
        (length <= data.len()).then(|| data.split_to(length))
    };
    let (name, kind, register_body) = (part()?, part()?, part()?);
    let (name, kind) = (std::str::from_utf8(&name).ok()?, std::str::from_utf8(&kind).ok()?);
    let is_own = (name, kind) == (own.name(), own.kind());
    let source = || Arc::new(Source::of_spooled(name, kind, register_body));
    Some(Packed {
        body: data,
        zstd: flags & ZSTD != 0,
        samples: usize::try_from(samples).ok()?,
        read_at_ms: at_ms,
        fresh_for: Duration::ZERO,
        source: (!is_own).then(source),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::config::Identity;
    use super::*;

    fn own() -> Registration {
        Registration::new(&Identity {
            name: "node-1".into(),
            kind: "node_agent".into(),
            hostname: "node-1".into(),
            pool_name: None,
        })
    }

    fn report(source: Option<Arc<Source>>) -> Packed {
        Packed {
            body: Bytes::from_static(b"{}"),
            zstd: false,
            samples: 3,
            read_at_ms: 7,
            fresh_for: Duration::ZERO,
            source,
        }
    }

    #[test]
    fn a_report_comes_back_with_whom_it_is_of() {
        let own = own();
        let back = decode(encode(&report(None), &own), 3, 7, &own).unwrap();
        assert_eq!((back.body.as_ref(), back.zstd, back.samples), (&b"{}"[..], false, 3));
        assert!(back.source.is_none());

        let body = Bytes::from_static(br#"{"name":"w-1"}"#);
        let worker = Arc::new(Source::of_spooled("w-1", "worker_pool", body.clone()));
        let data = encode(&Packed { zstd: true, ..report(Some(worker)) }, &own);
        let back = decode(data, 3, 7, &own).unwrap();
        assert!(back.zstd);
        let registration = &back.source.unwrap().registration;
        assert_eq!((registration.name(), registration.kind()), ("w-1", "worker_pool"));
        assert_eq!(*registration.register_body(), body);
    }

    #[test]
    fn a_report_of_an_agent_that_had_another_name_is_of_that_one() {
        let before = Registration::new(&Identity {
            name: "old".into(),
            kind: "node_agent".into(),
            hostname: "node-1".into(),
            pool_name: None,
        });
        let back = decode(encode(&report(None), &before), 3, 7, &own()).unwrap();
        assert_eq!(back.source.unwrap().registration.name(), "old");
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            decode(bytes.into(), 1, 1, &own());
        }
    }
}
