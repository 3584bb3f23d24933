//! Row 11: the operator with hundreds of resources on an API server without nodes, against
//! `VictoriaMetrics`' operator with as many `VMAgents`: until all are converged, and then at rest.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, PostParams};
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::Bench;
use crate::audit::Requests;
use crate::error::{Result, failed};
use crate::kubernetes::{ControlPlane, NAMESPACE};
use crate::operators::{PEER_PROGRAM, Side, definitions, ours, peer, peer_version};
use crate::picture::Panel;
use crate::stand_in;
use crate::stats::{exponent, mebibytes, seconds, short};
use crate::table::{Line, Row};
use crate::usage::{cpu_seconds, peak_rss_bytes};

/// Resources that are created at a time.
const AT_ONCE: usize = 16;
/// How long all may take to converge.
const CONVERGED_WITHIN: Duration = Duration::from_mins(30);

/// What one operator took for one number of resources.
struct Measured {
    /// Seconds until all were converged.
    time: f64,
    /// CPU seconds until then.
    cpu: f64,
    /// Most resident memory from its start to the end of the rest.
    memory: f64,
    /// Requests until all were converged.
    requests: Requests,
    rest: Rest,
}

/// What it did at rest.
struct Rest {
    minutes: f64,
    cpu: f64,
    requests: Requests,
}

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let sizes: &[usize] = if bench.quick { &[20] } else { &[100, 300, 500] };
    let mut row = Row {
        number: 11,
        title: "The operator with hundreds of resources against VictoriaMetrics' operator",
        ..Row::default()
    };
    let has_peer = std::env::var_os(PEER_PROGRAM).is_some();
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for size in sizes {
        let ours = one(bench, "ours", &ours(), *size)?;
        let peer = has_peer.then(|| one(bench, "peer", &peer(), *size)).transpose()?;
        row.lines.extend(lines(*size, &ours, peer.as_ref()));
        here.push((*size as f64, ours));
        there.extend(peer.map(|peer| (*size as f64, peer)));
    }
    row.panels = panels(&here, &there);
    row.notes = notes(&here, &there);
    Ok(row)
}

/// Measures one operator with this many resources, on a control plane of its own.
fn one(bench: &Bench<'_>, name: &str, side: &Side, size: usize) -> Result<Measured> {
    let kind = &side.resource.kind;
    bench.progress(11, &format!("{size} {kind}: starting an API server"));
    let plane = ControlPlane::start(&format!("{name}-{size}"), &definitions()?, bench.directory)?;
    stand_in::begin(&plane);
    let process = (side.start)(&plane, bench.directory)?;
    plane.block_on(leads(plane.client()))?;
    // It lists all kinds once it leads.
    std::thread::sleep(Duration::from_secs(5));
    bench.progress(11, &format!("{size} {kind}: until all are converged"));
    let (audit, before) = (plane.audit()?, cpu_seconds(process.id())?);
    let time = plane.block_on(converge(plane.client(), side, size))?;
    let (cpu, requests) = (cpu_seconds(process.id())? - before, audit.requests()?);
    bench.progress(11, &format!("{size} {kind}: {} and {} CPU", seconds(time), seconds(cpu)));
    // What its own last writes led to is over by then.
    std::thread::sleep(Duration::from_secs(if bench.quick { 5 } else { 20 }));
    bench.progress(11, &format!("{size} {kind}: at rest"));
    let (audit, before, began) = (plane.audit()?, cpu_seconds(process.id())?, Instant::now());
    // Longer than a watch lives.
    std::thread::sleep(Duration::from_secs(if bench.quick { 20 } else { 210 }));
    let rest = Rest {
        minutes: began.elapsed().as_secs_f64() / 60.0,
        cpu: cpu_seconds(process.id())? - before,
        requests: audit.requests()?,
    };
    let memory = peak_rss_bytes(process.id())? as f64;
    bench.progress(11, &format!("{size} {kind}: {} in {:.1} minutes", rest.requests.all, rest.minutes));
    drop(process);
    drop(plane);
    Ok(Measured { time, cpu, memory, requests, rest })
}

/// Waits until somebody leads.
async fn leads(client: Client) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
    let deadline = Instant::now() + Duration::from_mins(3);
    while Instant::now() < deadline {
        let held = |lease: &Lease| {
            lease
                .spec
                .as_ref()
                .and_then(|spec| spec.holder_identity.as_ref())
                .is_some_and(|id| !id.is_empty())
        };
        if leases.list(&ListParams::default()).await?.iter().any(held) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    failed("no operator became the leader")
}

/// Creates the resources, and returns the seconds until all of them are converged.
async fn converge(client: Client, side: &Side, size: usize) -> Result<f64> {
    let api: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &side.resource);
    let object = |number: usize| {
        let object = DynamicObject::new(&format!("bench-{number}"), &side.resource);
        object.data(json!({"spec": side.spec}))
    };
    let began = Instant::now();
    let created = async {
        let parameters = PostParams::default();
        let create = |number| {
            let (api, parameters, object) = (&api, &parameters, object(number));
            async move { api.create(parameters, &object).await }
        };
        let made: Vec<_> = stream::iter(0..size).map(create).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok::<_, kube::Error>(made.len())
    };
    let mut converged = BTreeSet::new();
    let seen = async {
        let events = watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects();
        let mut events = std::pin::pin!(events);
        while converged.len() < size {
            let Some(Ok(object)) = events.next().await else { continue };
            let status = &object.data["status"];
            let is_about_it = status["observedGeneration"].as_i64() == object.metadata.generation;
            if is_about_it && (side.converged)(status) {
                converged.insert(object.name_any());
            } else {
                converged.remove(&object.name_any());
            }
        }
        Ok(())
    };
    match tokio::time::timeout(CONVERGED_WITHIN, async { tokio::try_join!(created, seen) }).await {
        Ok(result) => result.map(|_| began.elapsed().as_secs_f64()).map_err(Into::into),
        Err(_) => failed(format!("{} of {size} {} are converged", converged.len(), side.resource.kind)),
    }
}

fn lines(size: usize, ours: &Measured, peer: Option<&Measured>) -> Vec<Line> {
    let each = |requests: &Requests| requests.all as f64 / size as f64;
    let compared = |what: &str, figure: fn(&Measured) -> f64, unit: fn(f64) -> String| {
        let ratio = peer.map(|peer| figure(ours) / figure(peer));
        Line {
            case: format!("{size} resources, {what}"),
            here: unit(figure(ours)),
            other: peer.map_or("VictoriaMetrics' operator not run".into(), |peer| {
                format!("VictoriaMetrics' operator {}", unit(figure(peer)))
            }),
            ratio: ratio.map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default(),
            target: "under 1 ×".into(),
            met: ratio.map(|ratio| ratio < 1.0),
        }
    };
    let a_minute = |side: &Measured| each(&side.rest.requests) / side.rest.minutes;
    let at_rest = |side: &Measured| {
        let requests = short(a_minute(side));
        let cpu = seconds(side.rest.cpu / side.rest.minutes);
        format!("{requests} requests, {} writes in all; {cpu} CPU", side.rest.requests.written())
    };
    vec![
        compared("until converged", |side| side.time, seconds),
        compared("CPU until converged", |side| side.cpu, seconds),
        compared("peak memory", |side| side.memory, mebibytes),
        Line {
            case: format!("{size} resources, requests for each until converged"),
            here: short(each(&ours.requests)),
            other: peer.map(|peer| short(each(&peer.requests))).unwrap_or_default(),
            ratio: peer
                .map(|peer| format!("{:.2} ×", ours.requests.all as f64 / peer.requests.all as f64))
                .unwrap_or_default(),
            ..Line::default()
        },
        Line {
            case: format!("{size} resources at rest, requests a minute for each"),
            here: at_rest(ours),
            other: peer.map(at_rest).unwrap_or_default(),
            target: "under 1, no write".into(),
            met: Some(a_minute(ours) < 1.0 && ours.rest.requests.written() == 0),
            ..Line::default()
        },
    ]
}

/// One figure of all sizes.
fn points(side: &[(f64, Measured)], figure: fn(&Measured) -> f64) -> Vec<(f64, f64)> {
    side.iter().map(|(size, measured)| (*size, figure(measured))).collect()
}

fn panels(here: &[(f64, Measured)], there: &[(f64, Measured)]) -> Vec<Panel> {
    let panel = |cost: &str, unit: &str, figure: fn(&Measured) -> f64| {
        let panel = Panel::new(cost, unit, "resources").curve("here", &points(here, figure));
        panel.curve("VictoriaMetrics' operator", &points(there, figure))
    };
    vec![
        panel("time until converged", "s", |side| side.time),
        panel("CPU until converged", "s", |side| side.cpu),
        panel("peak memory", "B", |side| side.memory),
    ]
}

fn notes(here: &[(f64, Measured)], there: &[(f64, Measured)]) -> Vec<String> {
    let grows = |side: &[(f64, Measured)], figure| exponent(&points(side, figure));
    let mut notes = Vec::new();
    for (name, side) in [("here", here), ("of VictoriaMetrics' operator", there)] {
        let exponents =
            (grows(side, |side| side.time), grows(side, |side| side.cpu), grows(side, |side| side.memory));
        if let (Some(time), Some(cpu), Some(memory)) = exponents {
            notes.push(format!(
                "With the number of resources, {name}: time to the power of {time:.2}, CPU {cpu:.2}, memory {memory:.2}."
            ));
        }
    }
    let writes: BTreeSet<_> =
        here.iter().chain(there).flat_map(|(_, side)| side.rest.requests.writes.keys()).collect();
    if !writes.is_empty() {
        notes.push(format!("Written at rest: {writes:?}."));
    }
    notes.push(format!(
        "etcd and API server without nodes and controllers, new ones for each figure, with the definitions of both \
         operators, the other's of {}. In the place of controllers and nodes, a stand-in gives each Job, Deployment and \
         DaemonSet the status of one that succeeded or runs as soon as it sees it. All resources are created at once, \
         {AT_ONCE} requests at a time; a resource is converged when its status says so of its newest generation: Ready \
         and no longer Progressing here, operational there. Both operators run with their defaults; the other asks for \
         at most 50 things a second of its own accord, and the API server answers both without a queue.",
        peer_version()
    ));
    notes.push(
        "Requests are those in the API server's audit log, Leases included; a Lease's renewal is no write here. At \
         rest: 210 s, from 20 s after all are converged; a watch lives 200 s here. CPU at rest is that of a minute."
            .into(),
    );
    if there.is_empty() {
        notes.push(format!(
            "{PEER_PROGRAM} named no program of VictoriaMetrics' operator: the peer was not run."
        ));
    }
    notes
}
