-- Writes what is left of superseded versions.
update users_history u
set email = i.email,
    username = i.username,
    email_verified = i.email_verified,
    tracking_id = i.tracking_id,
    registration_tenant = i.registration_tenant,
    attributes = i.attributes::jsonb,
    extra = i.extra::jsonb,
    _zephr_hash = decode(replace(gen_random_uuid()::text, '-', ''), 'hex')
from unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[])
     as i (user_id, email, username, email_verified, tracking_id, registration_tenant, attributes, extra, valid_from)
where u.user_id = i.user_id and u.valid_from = i.valid_from
