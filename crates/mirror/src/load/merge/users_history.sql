-- Keeps the living versions of users ($1) that are about to be replaced, or to become tombstones, at this instant ($2).
insert into users_history (
    user_id, valid_from, valid_to, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra,
    _zephr_run_id, _zephr_extracted_at, _zephr_hash, _zephr_issues
)
select user_id, _zephr_loaded_at, $2, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra,
       _zephr_run_id, _zephr_extracted_at, _zephr_hash, _zephr_issues
from users
where user_id = any($1::text[]) and _zephr_deleted_at is null
