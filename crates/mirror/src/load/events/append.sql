-- Appends events. One that is there already is left alone: events do not change, and the same window may be read twice.
insert into user_events (
    occurred_at, event_key, user_id, type, payload,
    _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash, _zephr_issues
)
select i.occurred_at, i.event_key, i.user_id, i.type, i.payload::jsonb,
       $1, now(), now(), coalesce($2::timestamptz, now()), i.hash, i.issues::jsonb
from unnest($3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::text[])
     as i (occurred_at, event_key, user_id, type, payload, hash, issues)
on conflict (occurred_at, event_key) do nothing
