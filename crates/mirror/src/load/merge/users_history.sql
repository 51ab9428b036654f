-- Keeps the living versions of users ($1) that are about to be replaced, or to become tombstones, and says at which instant they end: now, and after each of
-- them began.
with replaced as materialized (
    select * from users where user_id = any($1::text[])
),
ended as materialized (
    select greatest(clock_timestamp(), max(_zephr_loaded_at) + interval '1 microsecond') as at from replaced
),
kept as (
    insert into users_history (
        user_id, valid_from, valid_to, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra,
        _zephr_run_id, _zephr_extracted_at, _zephr_hash, _zephr_issues
    )
    select user_id, _zephr_loaded_at, ended.at, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra,
           _zephr_run_id, _zephr_extracted_at, _zephr_hash, _zephr_issues
    from replaced, ended
    where _zephr_deleted_at is null
)
select at as "at!" from ended
