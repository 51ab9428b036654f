-- The rejects of a resource ($1) that were last met by the last finished full scan or by a run that began after it: those that the API still has.
-- A full scan may be the work of several runs. Before the first one is finished, all rejects count.
with last_full as (
    select scan_id
    from runs
    where resource = $1 and mode = 'full' and scan_id is not null and verdict in ('proven', 'agreed')
    order by started_at desc
    limit 1
)
select coalesce(array_agg(distinct record_id) filter (where record_id is not null), '{}') as "ids!",
       count(*) filter (where record_id is null) as "without_id!"
from rejects
where resource = $1
  and last_run_id in (
        select run_id
        from runs
        where resource = $1
          and started_at >= coalesce((select min(started_at) from runs join last_full using (scan_id)), '-infinity')
    )
