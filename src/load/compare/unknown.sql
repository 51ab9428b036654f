-- Which of the records sent are not among the living rows of their window, by position.
-- A row without a registration date is in no window, so records without one are looked up among those.
select i.position as "position!"
from unnest($1::bytea[]) with ordinality as i (hash, position)
where not exists (
        select from users u
        where u._zephr_hash = i.hash
          and u.registered_at >= coalesce($2::timestamptz, '-infinity')
          and u.registered_at < coalesce($3::timestamptz, 'infinity')
          and u._zephr_deleted_at is null
    )
  and not exists (
        select from users u
        where u._zephr_hash = i.hash
          and u.registered_at is null
          and u._zephr_deleted_at is null
    )
