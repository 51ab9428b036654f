-- Upserts changed users. The caller has locked the rows that exist, and sends only what is new or different.
-- $14 is the instant at which the versions in users_history end, if there are any. A user who comes back after a tombstone is live again and keeps the day it was first seen.
insert into users as u (
    user_id, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra,
    _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash, _zephr_issues
)
select i.user_id, i.email, i.username, i.email_verified, i.tracking_id, i.registered_at, i.registration_tenant,
       i.attributes::jsonb, i.extra::jsonb,
       $1, now(), coalesce($14::timestamptz, now()), coalesce(i.extracted_at, now()), i.hash, i.issues::jsonb
from unnest(
    $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[], $7::timestamptz[], $8::text[], $9::text[], $10::text[],
    $11::timestamptz[], $12::bytea[], $13::text[]
) as i (
    user_id, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra,
    extracted_at, hash, issues
)
on conflict (user_id) do update set
    email = excluded.email,
    username = excluded.username,
    email_verified = excluded.email_verified,
    tracking_id = excluded.tracking_id,
    registered_at = excluded.registered_at,
    registration_tenant = excluded.registration_tenant,
    attributes = excluded.attributes,
    extra = excluded.extra,
    _zephr_run_id = excluded._zephr_run_id,
    _zephr_loaded_at = excluded._zephr_loaded_at,
    _zephr_extracted_at = excluded._zephr_extracted_at,
    _zephr_deleted_at = null,
    _zephr_hash = excluded._zephr_hash,
    _zephr_issues = excluded._zephr_issues
