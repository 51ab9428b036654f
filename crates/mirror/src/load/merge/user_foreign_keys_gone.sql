-- Tombstones the live foreign keys of updated users ($2) that did not come with them ($3 to $5).
update user_foreign_keys k
set _zephr_deleted_at = now(), _zephr_loaded_at = now(), _zephr_run_id = $1
where k.user_id = any($2::text[])
  and k._zephr_deleted_at is null
  and not exists (
        select from unnest($3::text[], $4::text[], $5::text[]) as i (user_id, system, key)
        where i.user_id = k.user_id and i.system = k.system and i.key = k.key
    )
