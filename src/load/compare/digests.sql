-- Count and combined hash of the living rows of each window, in the order of the windows.
-- Read from users_registered_at alone; the first eight bytes of a hash are as random as all of it.
select coalesce(d.rows, 0) as "count!", coalesce(d.combined, 0) as "combined!"
from unnest($1::timestamptz[], $2::timestamptz[]) with ordinality as w (lower_bound, upper_bound, position)
cross join lateral (
    select count(*) as rows,
           bit_xor(('x' || encode(substring(u._zephr_hash from 1 for 8), 'hex'))::bit(64)::bigint) as combined
    from users u
    where u.registered_at >= coalesce(w.lower_bound, '-infinity')
      and u.registered_at < coalesce(w.upper_bound, 'infinity')
      and u._zephr_deleted_at is null
) d
order by w.position
