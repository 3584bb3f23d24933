//! Watches the resources of a scope and what was made from them, and makes passes: a few at a
//! time, never two over the same resource.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt, stream};
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{self, applier};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::{Notify, mpsc};

use super::backoff::Backoff;
use super::cache::{Cache, Trigger, WATCH_SECONDS, WatchBackoff};
use super::events::Events;
use super::kinds::Kind;
use super::metrics::Metrics;
use super::probe::Prober;
use super::reconcile::{Context, failed, reconcile};
use super::warnings::Warnings;
use super::{Guarded, Scope, Settings, discovery};

/// Passes at a time.
const CONCURRENCY: u16 = 8;
/// Events of this much time make one pass.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// How often is asked which optional kinds there are.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(20);
/// Triggers that may wait.
const QUEUE: usize = 1024;

/// One scope's resources, ready to be run.
pub(super) struct Controller {
    scope: Scope,
    watch_client: Client,
    context: Arc<Context>,
    store: Store<Guarded>,
    writer: Writer<Guarded>,
    triggers: (mpsc::Sender<Trigger>, mpsc::Receiver<Trigger>),
}

/// What a controller is made of.
pub(super) struct Parts {
    /// For requests.
    pub(super) client: Client,
    /// For watches, which may be silent for long.
    pub(super) watch_client: Client,
    /// The installation's settings.
    pub(super) settings: Settings,
    /// Asks servers.
    pub(super) prober: Prober,
    /// Counts.
    pub(super) metrics: Arc<Metrics>,
    /// This replica's name.
    pub(super) identity: String,
}

impl Controller {
    /// A controller of the resources in `scope`.
    pub(super) fn new(parts: &Parts, scope: Scope) -> Self {
        let triggers = mpsc::channel(QUEUE);
        let (store, writer) = reflector::store();
        let context = Context {
            client: parts.client.clone(),
            cache: Cache::new(parts.watch_client.clone(), scope.clone(), triggers.0.clone()),
            settings: parts.settings.clone(),
            prober: parts.prober.clone(),
            warnings: Warnings::default(),
            events: Events::new(parts.client.clone(), &parts.identity),
            metrics: Arc::clone(&parts.metrics),
            backoff: Backoff::default(),
            kinds_changed: Notify::new(),
        };
        let watch_client = parts.watch_client.clone();
        Self { scope, watch_client, context: Arc::new(context), store, writer, triggers }
    }

    /// The resources, to be counted.
    pub(super) fn store(&self) -> Store<Guarded> {
        self.store.clone()
    }

    /// Runs until it is dropped; then nothing of it goes on.
    pub(super) async fn run(self) {
        let Self { scope, watch_client, context, store, writer, triggers: (sender, receiver) } = self;
        let present = discovery::optional_kinds(&context.client, &BTreeSet::new()).await;
        tracing::info!(kinds = ?present, "kinds of scrape and rules objects");
        for kind in Kind::BUILT_IN {
            context.cache.follow(*kind);
        }
        context.cache.follow_optional(&present);
        let queue = queue(receiver, store.clone());
        let config = controller::Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE);
        let passes = applier(
            |object, context| reconcile(object, context).boxed(),
            |object, error, context| failed(&object, error, &context),
            Arc::clone(&context),
            store,
            queue,
            config,
        );
        tokio::join!(
            passes.for_each(|_| std::future::ready(())),
            watch(&scope, watch_client, writer, sender.clone(), &context),
            rediscover(&context, sender),
        );
    }
}

/// The resources to be reconciled, as they are asked for.
fn queue(
    receiver: mpsc::Receiver<Trigger>,
    store: Store<Guarded>,
) -> impl Stream<Item = Result<ObjectRef<Guarded>, Infallible>> {
    let triggers =
        stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    triggers.flat_map(move |trigger| {
        let references = match trigger {
            Trigger::One(reference) => vec![reference],
            Trigger::All => store.state().iter().map(|object| ObjectRef::from_obj(object.as_ref())).collect(),
        };
        stream::iter(references.into_iter().map(Ok))
    })
}

/// Follows the resources themselves.
async fn watch(
    scope: &Scope,
    client: Client,
    mut writer: Writer<Guarded>,
    triggers: mpsc::Sender<Trigger>,
    context: &Context,
) {
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    let events = watcher(scope.resources(client), config).backoff(WatchBackoff::default());
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event.modify(|object| object.managed_fields_mut().clear()),
            Err(error) => {
                tracing::warn!(kind = "NoetlMetrics", %error, "cannot watch; trying again");
                continue;
            }
        };
        let trigger = match &event {
            Event::Apply(object) => Some(Trigger::One(ObjectRef::from_obj(object))),
            Event::InitDone => Some(Trigger::All),
            Event::Delete(object) => {
                context.backoff.forget(&object.uid().unwrap_or_default());
                context.events.forget(object);
                None
            }
            Event::Init | Event::InitApply(_) => None,
        };
        writer.apply_watcher_event(&event);
        if let Some(trigger) = trigger {
            let _ = triggers.send(trigger).await;
        }
    }
}

/// Notices kinds that appear or vanish: now and then, and at once where a pass met one that is gone.
async fn rediscover(context: &Context, triggers: mpsc::Sender<Trigger>) {
    loop {
        let _ = tokio::time::timeout(DISCOVERY_INTERVAL, context.kinds_changed.notified()).await;
        let before = context.cache.optional();
        let present = discovery::optional_kinds(&context.client, &before).await;
        if context.cache.follow_optional(&present) {
            tracing::info!(kinds = ?present, "kinds of scrape and rules objects changed");
            let _ = triggers.send(Trigger::All).await;
        }
    }
}
