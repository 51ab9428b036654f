-- Writes users who are the same and only read in another way: under other settings, or by another version. The row's hash follows, so that they are equal the next time.
-- _zephr_loaded_at and _zephr_run_id stay: they say when the user changed, and from when on the present version is valid.
update users u
set email = i.email,
    username = i.username,
    email_verified = i.email_verified,
    tracking_id = i.tracking_id,
    registered_at = i.registered_at,
    registration_tenant = i.registration_tenant,
    attributes = i.attributes::jsonb,
    extra = i.extra::jsonb,
    _zephr_extracted_at = coalesce(i.extracted_at, u._zephr_extracted_at),
    _zephr_hash = i.hash,
    _zephr_issues = i.issues::jsonb
from unnest(
    $1::text[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::timestamptz[], $7::text[], $8::text[], $9::text[],
    $10::timestamptz[], $11::bytea[], $12::text[]
) as i (
    user_id, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra,
    extracted_at, hash, issues
)
where u.user_id = i.user_id
