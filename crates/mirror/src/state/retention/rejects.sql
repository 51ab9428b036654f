-- Rejects that were last met before ($1), and by no run since the last full scan of their resource that could be believed: the API does not have them any more.
with last_full as (
    select distinct on (resource) resource, scan_id
    from runs
    where mode = 'full' and scan_id is not null and verdict in ('proven', 'agreed')
    order by resource, started_at desc
),
kept as (
    select resource, min(started_at) as since
    from runs join last_full using (resource, scan_id)
    group by resource
)
delete from rejects r using kept k
where r.resource = k.resource and r.last_seen_at < least($1::timestamptz, k.since)
