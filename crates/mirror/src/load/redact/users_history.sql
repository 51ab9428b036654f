-- Superseded versions of users after one already seen ($1, $2).
select user_id, email, username, email_verified, tracking_id, registered_at, registration_tenant,
       attributes::text as attributes, coalesce(extra, '{}')::text as "extra!", valid_from
from users_history
where (user_id, valid_from) > ($1, coalesce($2::timestamptz, '-infinity'))
order by user_id, valid_from
limit $3
