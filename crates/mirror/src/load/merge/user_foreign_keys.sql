-- Makes the foreign keys of users ($2) those that came with them ($3 to $6). A key that is there and live is not touched, not even by a lock: its row
-- holds nothing but the key. The others of these users become tombstones.
with sent as materialized (
    select * from unnest($3::text[], $4::text[], $5::text[], $6::timestamptz[]) as i (user_id, system, key, extracted_at)
),
live as materialized (
    select user_id, system, key from user_foreign_keys where user_id = any($2::text[]) and _zephr_deleted_at is null
),
gone as (
    update user_foreign_keys k
    set _zephr_deleted_at = now(), _zephr_loaded_at = now(), _zephr_run_id = $1
    from (select user_id, system, key from live except select user_id, system, key from sent) g
    where k.user_id = g.user_id and k.system = g.system and k.key = g.key
)
insert into user_foreign_keys as k (
    user_id, system, key,
    _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash
)
select i.user_id, i.system, i.key,
       $1, now(), now(), coalesce(i.extracted_at, now()),
       substring(sha256(convert_to(json_build_array(i.user_id, i.system, i.key)::text, 'UTF8')) from 1 for 16)
from sent i
where not exists (select from live l where l.user_id = i.user_id and l.system = i.system and l.key = i.key)
on conflict (user_id, system, key) do update set
    _zephr_run_id = excluded._zephr_run_id,
    _zephr_loaded_at = excluded._zephr_loaded_at,
    _zephr_extracted_at = excluded._zephr_extracted_at,
    _zephr_deleted_at = null
where k._zephr_deleted_at is not null
