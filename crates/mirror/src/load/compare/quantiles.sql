-- Every so many living users, the second in which the next one registered. Read from users_registered_at alone, in its order, one piece after the other: to number all
-- rows takes three times as long.
with recursive cut (at) as (
    (
        select registered_at from users
        where registered_at is not null and _zephr_deleted_at is null
        order by registered_at offset $1::bigint - 1 limit 1
    )
    union all
    select (
        -- Beyond the cut: where more share one second than a piece may hold, it would not end.
        select registered_at from users
        where registered_at > cut.at and _zephr_deleted_at is null
        order by registered_at offset $1::bigint - 1 limit 1
    )
    from cut
    where cut.at is not null
)
select at as "registered_at!" from cut where at is not null
