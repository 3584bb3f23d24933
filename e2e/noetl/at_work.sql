-- Tasks by worker that NoETL's own record has as begun and not as ended.
select claim.worker_id, count(*) filter (where not exists (
    select from noetl.event as ended
    where ended.execution_id = claim.execution_id and ended.node_name = claim.node_name
        and ended.event_type in ('command.completed', 'command.failed')
))
from noetl.event as claim
where claim.event_type = 'command.claimed'
group by claim.worker_id
