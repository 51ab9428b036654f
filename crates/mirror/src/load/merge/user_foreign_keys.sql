-- Upserts the foreign keys of changed users. A key that is there and live is left alone: its row holds nothing but the key.
insert into user_foreign_keys as k (
    user_id, system, key,
    _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash
)
select i.user_id, i.system, i.key,
       $1, now(), now(), coalesce(i.extracted_at, now()),
       substring(sha256(convert_to(json_build_array(i.user_id, i.system, i.key)::text, 'UTF8')) from 1 for 16)
from unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[]) as i (user_id, system, key, extracted_at)
on conflict (user_id, system, key) do update set
    _zephr_run_id = excluded._zephr_run_id,
    _zephr_loaded_at = excluded._zephr_loaded_at,
    _zephr_extracted_at = excluded._zephr_extracted_at,
    _zephr_deleted_at = null
where k._zephr_deleted_at is not null
