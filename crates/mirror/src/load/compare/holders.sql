-- The living rows of a window whose content is one of these ($3).
select u.user_id
from users u
where u.registered_at >= coalesce($1::timestamptz, '-infinity')
  and u.registered_at < coalesce($2::timestamptz, 'infinity')
  and u._zephr_deleted_at is null
  and u._zephr_hash = any($3::bytea[])
