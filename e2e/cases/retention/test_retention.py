"""The retention CronJob, started by hand: what is past its time goes, and nothing else."""

from support import collector
from support.operator import Installation
from support.wait import until

OLD = "noetl_metrics.sample"


def start(installation: Installation, job: str) -> None:
    """As an administrator does."""
    cron = f"--from=cronjob/{installation.name}-retention"
    installation.space.kubectl("create", "job", job, cron)


def sealed(postgres) -> list[str]:
    """Values of the older samples that chunks have."""
    rows = postgres.sql(
        "SELECT value FROM noetl_metrics.sealed JOIN noetl_metrics.series USING (series_id)"
        " WHERE metric_name = 'aged' ORDER BY 1"
    )
    return [value for (value,) in rows]


def test_drops_what_is_past_its_time_and_nothing_else(installation: Installation, postgres):
    space = installation.space
    installation.apply(retention={"raw": "24h"}).ready()
    with space.forward("service/noetl-server", collector.PORT) as server:
        server.headers["Authorization"] = f"Bearer {installation.token()}"
        collector.register(server, "by-hand")
        now = collector.gauge("kept", 1)
        collector.report(server, "by-hand", now, collector.gauge("aged", 1))
    # Older samples of one series: within its time, past it on the same day or the one before, and
    # days past it. In one transaction: an hour that is empty and over would be taken in between.
    for hours, value in ((20, 20), (30, 30), (24 * 9, 216)):
        at = f"date_trunc('hour', now()) - interval '{hours} hours' + interval '5 minutes'"
        postgres.sql(
            f"SELECT noetl_metrics.create_partitions({at}, 1);"
            f" INSERT INTO {OLD} SELECT series_id, {at}, {value} FROM noetl_metrics.series"
            " WHERE metric_name = 'aged'"
        )
    # What is past is then that of sealed hours.
    until("the hours are sealed", lambda: sealed(postgres) == ["20", "30", "216"], seconds=120)
    start(installation, "by-hand")
    space.finished("by-hand")
    assert sealed(postgres) == ["20"]

    rows = postgres.sql(
        "SELECT metric_name, metric_value FROM noetl.metrics"
        " WHERE metric_name IN ('kept', 'aged') ORDER BY 1, 2"
    )
    assert rows == [["aged", "1"], ["aged", "20"], ["kept", "1"]]
    installation.condition("RetentionHealthy", "True")
    ran = until("status names the run", lambda: installation.get()["status"]["retention"])
    assert ran["job"] == "by-hand", ran
    assert ran["succeeded"] is True, ran
    assert ran["lastRun"], ran


def test_failing_run_is_a_condition_and_an_event(installation: Installation, postgres):
    space = installation.space
    installation.apply().ready()
    # The table it reads is out of reach: a failure that only this Job has.
    postgres.sql("ALTER TABLE noetl_metrics.partition RENAME TO partition_away")
    try:
        start(installation, "fails")
        told = installation.condition("RetentionHealthy", "False", seconds=150)
        assert "fails" in told["message"], told

        def event() -> bool:
            return any(
                found["involvedObject"]["kind"] == "NoetlMetrics"
                and (found["type"], found["reason"]) == ("Warning", "LastRunFailed")
                for found in space.items("events")
            )

        until("an event says so", event)
    finally:
        postgres.sql("ALTER TABLE noetl_metrics.partition_away RENAME TO partition")
    start(installation, "again")
    space.finished("again")
    installation.condition("RetentionHealthy", "True")
