-- The chunks of a plan ($1), of $2 rows each. The plan's id is asked for once and then comes from what was found: of a plan that is younger than the table's
-- statistics Postgres believes that it has hardly a row, and if it knew both sides to be of that plan, it would go through one for each row of the other.
with placed as materialized (
    select plan_id, row_number,
           dense_rank() over (order by action desc, part) - 1 as chunk
    from (
        select plan_id, row_number, action, (row_number() over (partition by action order by registered_at, row_number) - 1) / $2 as part
        from bulk_rows
        where plan_id = $1 and state = 'planned'
    ) parts
)
update bulk_rows r set chunk = placed.chunk
from placed
where r.plan_id = placed.plan_id and r.row_number = placed.row_number
