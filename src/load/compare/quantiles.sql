-- Every so many living users, the second in which the next one registered. Read from users_registered_at alone, in its order.
select registered_at as "registered_at!"
from (
    select registered_at, row_number() over (order by registered_at) as position
    from users
    where registered_at is not null and _zephr_deleted_at is null
) u
where position % $1::bigint = 0
order by registered_at
