-- Rows of this batch that repeat another of it, with the first one of their identity; not those that meet an earlier row
-- of the store. A row of the store is of this very batch after a crash only: then the row that was committed is first.
with mine as (
    select row, same from met where batch_id = $batch_id
),
repeated as (
    select interaction_id, channel
    from staged
    group by interaction_id, channel
    having count(*) > 1
)
select
    staged.row,
    first_value(staged.row) over (
        partition by interaction_id, channel
        order by coalesce(not mine.same, false), staged.position
    ) as first
from staged
join repeated using (interaction_id, channel)
left join mine on mine.row = staged.row
where staged.row not in (select row from met where batch_id <> $batch_id)
qualify staged.row <> first
