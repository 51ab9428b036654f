-- The chunks of a plan ($1), of $2 rows each.
with placed as (
    select row_number,
           dense_rank() over (order by action desc, part) - 1 as chunk
    from (
        select row_number, action, (row_number() over (partition by action order by registered_at, row_number) - 1) / $2 as part
        from bulk_rows
        where plan_id = $1 and state = 'planned'
    ) parts
)
update bulk_rows r set chunk = placed.chunk
from placed
where r.plan_id = $1 and r.row_number = placed.row_number
