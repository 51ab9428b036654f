-- The living rows of a window whose content is not among the records sent for it ($3): they changed, or they are missing.
select u.user_id
from users u
where u.registered_at >= coalesce($1::timestamptz, '-infinity')
  and u.registered_at < coalesce($2::timestamptz, 'infinity')
  and u._zephr_deleted_at is null
  and not exists (select from unnest($3::bytea[]) as i (hash) where i.hash = u._zephr_hash)
