-- Who did one of actions, to what, how often and from where; without those that
-- ours names. group_actions count where the group is one of groups. What an
-- action was done to stands under the first of target_keys that the request has,
-- the group under the first of group_keys.
WITH event AS (
  SELECT
    event_time,
    concat(service_name, '.', action_name) AS action,
    coalesce(get(filter(transform(split(:target_keys, ','), k -> try_element_at(request_params, k)), v -> v <> ''), 0), '') AS target,
    lower(coalesce(get(filter(transform(split(:group_keys, ','), k -> try_element_at(request_params, k)), v -> v <> ''), 0), '')) AS target_group,
    coalesce(
      CASE WHEN NOT array_contains(split(:nobody, ','), lower(user_identity.email)) THEN lower(user_identity.email) END,
      nullif(lower(try_element_at(request_params, 'user')), ''),
      ''
    ) AS identity,
    regexp_replace(
      regexp_replace(coalesce(source_ip_address, ''), r'^([0-9.]+):[0-9]+$', '$1'),
      r'^\[(.*)\](:[0-9]+)?$', '$1'
    ) AS address
  FROM IDENTIFIER(:table)
  WHERE event_date >= CAST(:from_date AS DATE)
    AND event_time >= timestamp_micros(CAST(:from AS BIGINT))
    AND event_time < timestamp_micros(CAST(:until AS BIGINT))
    AND coalesce(response.status_code, 200) < 400
)
SELECT
  identity,
  action,
  target,
  target_group,
  unix_micros(min(event_time)) AS first_seen,
  unix_micros(max(event_time)) AS last_seen,
  count(*) AS events,
  max(address) AS address
FROM event
WHERE NOT array_contains(split(:ours, ','), identity)
  AND (
    array_contains(split(:actions, ','), action)
    OR (array_contains(split(:group_actions, ','), action) AND array_contains(split(:groups, ','), target_group))
  )
GROUP BY identity, action, target, target_group
ORDER BY identity, action, target, target_group
