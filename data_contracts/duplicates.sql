-- Rows of this batch that are not new, with what they meet: a row in the store, or the first of the batch.
-- `mine` is not empty after a crash only: then the row that was committed stays the first.
with earlier as (
    select * from stored where batch_id <> $batch_id
),
mine as (
    select * from stored where batch_id = $batch_id
),
met as (
    select staged.position, staged.row_digest = earlier.row_digest as same, earlier.batch_id
    from staged join earlier using (interaction_id, channel)
),
repeated as (
    select interaction_id, channel
    from staged
    group by interaction_id, channel
    having count(*) > 1
),
ranked as (
    select
        staged.position,
        staged.row_digest,
        first_value(staged.position) over same_identity as first_position,
        first_value(staged.row_digest) over same_identity as first_digest
    from staged
    join repeated using (interaction_id, channel)
    left join mine using (interaction_id, channel)
    window same_identity as (
        partition by staged.interaction_id, staged.channel
        order by coalesce(mine.row_digest <> staged.row_digest, false), staged.position
    )
)
select position, same, batch_id from met
union all
select position, row_digest = first_digest as same, $batch_id as batch_id
from ranked
where position <> first_position
  and position not in (select position from met)
order by position
