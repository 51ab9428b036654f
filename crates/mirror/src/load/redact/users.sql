-- Users after one already seen ($1), tombstones included.
select user_id, email, username, email_verified, tracking_id, registered_at, registration_tenant,
       attributes::text as attributes, coalesce(extra, '{}')::text as "extra!", _zephr_loaded_at as valid_from
from users
where user_id > $1
order by user_id
limit $2
