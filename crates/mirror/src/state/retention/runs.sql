-- Runs that ended before ($1), except the last full scan of each job that could be believed and everything after it: the rejects and erasures that still hold, freshness
-- and slots go by those. A full scan may be the work of several runs.
with last_full as (
    select distinct on (job) job, scan_id
    from runs
    where mode = 'full' and scan_id is not null and verdict in ('proven', 'agreed')
    order by job, started_at desc
),
kept as (
    select job, min(started_at) as since
    from runs join last_full using (job, scan_id)
    group by job
)
delete from runs r using kept k
where r.job = k.job and r.started_at < k.since and r.finished_at < $1
