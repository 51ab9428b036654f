{{ config(severity='warn') }}
-- Jobs whose last run did not read all it was to read. The rows that are there are right, but some may be missing, or gone at the tenant.
select *
from (
    select distinct on (job) job, status, verdict, verdict_reason, finished_at
    from {{ source('zephr', 'sync_runs') }}
    where finished_at is not null and mode <> 'replay'
    order by job, finished_at desc
) as last_run
where status <> 'succeeded' or verdict in ('incomplete', 'partial')
