-- The hashes of the living rows of each window, one behind the other, in the order of the windows.
-- Read from users_registered_at alone.
select coalesce(h.hashes, '') as "hashes!"
from unnest($1::timestamptz[], $2::timestamptz[]) with ordinality as w (lower_bound, upper_bound, position)
cross join lateral (
    select string_agg(u._zephr_hash, ''::bytea) as hashes
    from users u
    where u.registered_at >= coalesce(w.lower_bound, '-infinity')
      and u.registered_at < coalesce(w.upper_bound, 'infinity')
      and u._zephr_deleted_at is null
) h
order by w.position
