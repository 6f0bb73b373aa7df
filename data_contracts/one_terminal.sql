-- One line per row of an episode: is it terminated or truncated, and yet another step follows? Then the episode has two
-- ends, or one that is not its last step.
select
    (coalesce(terminated, false) or coalesce(truncated, false)) and lead(interaction_id) over steps is not null as broken
from interactions
where episode_id is not null
window steps as (partition by episode_id order by step, occurred_at, interaction_id)
