-- How many erased people the last finished full scan of the users, or a run that began after it, was shown. As for rejects.
with last_full as (
    select scan_id
    from runs
    where resource = 'users' and mode = 'full' and scan_id is not null and verdict in ('proven', 'agreed')
    order by started_at desc
    limit 1
)
select count(*) as "count!"
from erasures
where last_run_id in (
        select run_id
        from runs
        where resource = 'users'
          and started_at >= coalesce((select min(started_at) from runs join last_full using (scan_id)), '-infinity')
    )
