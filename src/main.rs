//! `noetl-metrics`: parse the command line, start the role, turn its result into an exit code.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{CommandFactory, FromArgMatches};
use noetl_metrics::cli::{self, Cli, Role};
use noetl_metrics::server::page::data::Flag;
use noetl_metrics::store::{self, Database, MaintenanceReport, Retention};
use noetl_metrics::{agent, archive, crd, operator, server, telemetry, top};

/// As `print!`, whose panic nobody wants who writes `| head`.
macro_rules! tell {
    ($($text:tt)*) => { tell(format_args!($($text)*)) };
}

/// As `println!`, likewise.
macro_rules! tell_line {
    ($($text:tt)*) => { tell(format_args!("{}\n", format_args!($($text)*))) };
}

/// Why something could not be told.
static UNTOLD: OnceLock<io::Error> = OnceLock::new();

/// Writes to the standard output. What fails is known at the end: the work goes on.
fn tell(text: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        UNTOLD.get_or_init(|| error);
    }
}

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let changed = cli::changed_flags(&matches);
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    // Lines of a log would be written across a live view.
    let log = if is_live(&cli.role) && std::io::stderr().is_terminal() { "off" } else { &cli.log };
    let result = telemetry::start(cli.log_format, log, is_service(&cli.role)).and_then(|()| {
        let runtime = runtime(&cli.role).enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(run(cli.role, changed))
    });
    let why = match (result, UNTOLD.get()) {
        (Ok(code), None) => return code,
        (Err(error), _) => error,
        (Ok(_), Some(error)) => format!("the standard output can't be written to: {error}"),
    };
    // Where that can't be told either, the exit code says it.
    let _ = writeln!(io::stderr(), "noetl-metrics: {why}");
    ExitCode::FAILURE
}

/// Whether the role has the terminal for itself.
fn is_live(role: &Role) -> bool {
    matches!(role, Role::Top(args) if args.form() == top::Form::Live)
}

/// Whether the role has a log that somebody keeps, rather than somebody who waits for its end.
fn is_service(role: &Role) -> bool {
    match role {
        Role::Server(_) | Role::Agent(_) | Role::Operator(_) => true,
        #[cfg(feature = "demo")]
        Role::Demo(_) => true,
        _ => false,
    }
}

/// Threads for a role.
fn runtime(role: &Role) -> tokio::runtime::Builder {
    match role {
        // An agent does little, and each thread takes memory of its own. Its work that blocks is its
        // readings, one long text of a scrape at a time, its spool, and looking up names.
        Role::Agent(_) => {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.max_blocking_threads(4);
            builder
        }
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
}

/// Runs a role; the exit code of one that ended well.
async fn run(role: Role, changed: Vec<Flag>) -> Result<ExitCode, String> {
    let done = match role {
        Role::Rules(args) => return rules(&args.action).await,
        Role::Server(args) => {
            let config = args.into_config(changed)?;
            server::run(config, |_| (), told_to_stop()).await.map_err(|e| e.to_string())
        }
        Role::Agent(args) => agent::run(args.into_config()?, told_to_stop()).await.map_err(|e| e.to_string()),
        #[cfg(feature = "demo")]
        Role::Demo(args) => {
            let config = args.into_config(changed)?;
            Box::pin(noetl_metrics::demo::run(config, |line| tell_line!("{line}"), told_to_stop()))
                .await
                .map_err(|e| e.to_string())
        }
        #[cfg(feature = "demo")]
        Role::EmbeddedPostgres(args) => {
            noetl_metrics::demo::postgres::serve(args.data_dir, args.pg_bin, |url| tell_line!("{url}")).await
        }
        Role::Operator(args) => {
            operator::run(args.into_config(), told_to_stop()).await.map_err(|e| e.to_string())
        }
        Role::Migrate(args) => migrate(&args).await,
        Role::Maintenance(args) => maintain(&args).await,
        Role::Export(args) => export(&args).await,
        Role::Verify(args) => verify(&args).await,
        Role::Import(args) => import(*args).await,
        Role::Check(args) => check(&args).await,
        Role::Top(args) => {
            let form = args.form();
            top::run(args.into_config()?, form, told_to_stop()).await
        }
        Role::PrepareSpool(args) => {
            if let Err(e) = agent::prepare_spool(&args.dir, args.group) {
                tracing::error!("{e}; the agent will keep reports in memory");
            }
            Ok(())
        }
        Role::Completions(args) => io::stdout().write_all(&args.script()).map_err(|e| e.to_string()),
        Role::Man(args) => args.write(),
        Role::Openapi => {
            tell!("{}", server::openapi_document());
            Ok(())
        }
        Role::Crd => {
            tell!("{}", crd::yaml().map_err(|e| e.to_string())?);
            Ok(())
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// What `rules test` ends with where an alert would have fired.
const FIRED: u8 = 3;

async fn rules(action: &cli::RulesAction) -> Result<ExitCode, String> {
    match action {
        cli::RulesAction::Check(args) => {
            tell!("{}", args.run()?);
            Ok(ExitCode::SUCCESS)
        }
        cli::RulesAction::Test(args) => {
            let (report, fired) = args.run().await?;
            tell!("{report}");
            Ok(if fired { ExitCode::from(FIRED) } else { ExitCode::SUCCESS })
        }
    }
}

async fn check(args: &cli::CheckArgs) -> Result<(), String> {
    let is_text = args.output == cli::Output::Text;
    let steps = noetl_metrics::check::run(&args.config()?, |step| {
        if is_text {
            tell_line!("{step}");
        }
    })
    .await;
    if !is_text {
        tell_line!("{}", serde_json::to_string(&steps).map_err(|e| e.to_string())?);
    }
    if steps.iter().all(|step| step.ok) { Ok(()) } else { Err("the check failed".into()) }
}

async fn migrate(args: &cli::MigrateArgs) -> Result<(), String> {
    let database = Database::new(args.database.source()?, 2).map_err(|e| e.to_string())?;
    database.wait(args.wait.unwrap_or_default()).await.map_err(|e| e.to_string())?;
    let applied = store::migrate(&database, args.runtime).await.map_err(|e| e.to_string())?;
    match applied.as_slice() {
        [] => tell_line!("the schema is up to date"),
        versions => tell_line!("applied {versions:?}"),
    }
    if args.adopt_later {
        return Ok(());
    }
    cli::adopt(&database, |line| tell_line!("{line}")).await.map_err(|e| e.to_string())
}

async fn export(args: &cli::ExportArgs) -> Result<(), String> {
    let (span, target) = (args.span.span_of_here()?, args.target()?);
    let database = args.database.connect().await?;
    let (patience, state) = (args.retry_for, args.state.clone());
    let done = archive::export(&database, &span, target, patience, state, cli::shown("exported"))
        .await
        .map_err(|e| e.to_string())?;
    match args.output {
        cli::Output::Json => tell_line!("{}", serde_json::to_string(&done).map_err(|e| e.to_string())?),
        cli::Output::Text => {
            let archive::Progress { hours, samples, left_out, .. } = done;
            tell_line!("{samples} samples in this run, {left_out} NaN left out; {hours} hours are done");
        }
    }
    Ok(())
}

async fn verify(args: &cli::VerifyArgs) -> Result<(), String> {
    let span = args.span.span_of_here()?;
    let database = args.database.connect().await?;
    let found = archive::verify(&database, &span, &args.victoriametrics_url, cli::shown("compared"))
        .await
        .map_err(|e| e.to_string())?;
    match args.output {
        cli::Output::Json => tell_line!("{}", serde_json::to_string(&found).map_err(|e| e.to_string())?),
        cli::Output::Text => {
            found.examples.iter().for_each(|example| tell_line!("{example}"));
            let archive::Comparison { same, missing, different, more, .. } = found;
            tell_line!("{same} samples are the same, {missing} missing, {different} different, {more} more");
        }
    }
    if found.agrees() { Ok(()) } else { Err("VictoriaMetrics does not have the same".into()) }
}

async fn import(args: cli::ImportArgs) -> Result<(), String> {
    let output = args.output;
    let done =
        archive::import(&args.into_config()?, cli::shown("imported")).await.map_err(|e| e.to_string())?;
    match output {
        cli::Output::Json => tell_line!("{}", serde_json::to_string(&done).map_err(|e| e.to_string())?),
        cli::Output::Text => {
            done.reasons.iter().for_each(|reason| tell_line!("refused: {reason}"));
            let archive::Progress { hours, samples, left_out, .. } = done.progress;
            let refused = done.refused;
            tell_line!(
                "{samples} samples in this run, {refused} refused, {left_out} left out; {hours} hours are done"
            );
        }
    }
    if done.refused == 0 { Ok(()) } else { Err(format!("the server refused {} samples", done.refused)) }
}

async fn maintain(args: &cli::MaintenanceArgs) -> Result<(), String> {
    let database = args.database.connect().await?;
    let retention = Retention { dry_run: args.dry_run, ..args.retention.with_raw(args.retention_raw)? };
    let report =
        retention.run(&database, |step| tracing::info!("{step}")).await.map_err(|e| e.to_string())?;
    match args.output {
        cli::Output::Json => tell_line!("{}", serde_json::to_string(&report).map_err(|e| e.to_string())?),
        cli::Output::Text => print_report(&report, args.dry_run),
    }
    Ok(())
}

fn print_report(report: &MaintenanceReport, dry_run: bool) {
    let by_kind = |bytes: Vec<(&str, u64)>| {
        let all: Vec<String> = bytes.into_iter().map(|(kind, bytes)| format!("{kind} {bytes}")).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    };
    let verb = if dry_run { "would drop" } else { "dropped" };
    tell_line!("{verb} {} partitions {:?}", report.dropped_partitions.len(), report.dropped_partitions);
    tell_line!("{verb} bytes: {}", by_kind(report.freed.by_kind()));
    if !report.over_size_partitions.is_empty() {
        tell_line!("of these, since all tables take more than they may: {:?}", report.over_size_partitions);
    }
    tell_line!("rolled up {} hours that were sealed without", report.rolled_up_hours);
    tell_line!(
        "sealed {} samples, brought {} late ones into their hours",
        report.sealed_samples,
        report.merged_samples
    );
    tell_line!(
        "deleted {} samples one by one, kept {} longer, deleted {} roll-ups and {} exemplars",
        report.deleted_samples,
        report.kept_samples,
        report.deleted_rollups,
        report.deleted_exemplars
    );
    let store = &report.store;
    tell_line!("there are {} samples and {} hourly roll-ups", store.samples, store.rollups);
    tell_line!("bytes: {} in all: {}", store.bytes.total(), by_kind(store.bytes.by_kind()));
    let partitions = &store.partitions;
    tell_line!(
        "partitions: {} of hours, {} of days, {} of months of roll-ups",
        partitions.hours,
        partitions.days,
        partitions.months
    );
}

/// Resolves at the first SIGTERM or SIGINT; the second ends the process at once.
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! { _ = term.recv() => (), _ = int.recv() => () }
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => (), _ = int.recv() => () }
        std::process::exit(130);
    });
}
