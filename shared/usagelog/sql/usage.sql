-- What each identity did: when it was first and last seen, how often, and with
-- which services. Services in by_action come with the action, because one
-- scope does not cover all that they do. What was refused proves no need.
WITH event AS (
  SELECT
    event_time,
    coalesce(
      CASE WHEN NOT array_contains(split(:nobody, ','), lower(user_identity.email)) THEN lower(user_identity.email) END,
      nullif(lower(try_element_at(request_params, 'user')), ''),
      ''
    ) AS identity,
    CASE
      WHEN array_contains(split(:by_action, ','), service_name) THEN concat(service_name, '.', action_name)
      ELSE service_name
    END AS work
  FROM IDENTIFIER(:table)
  WHERE event_date >= CAST(:from_date AS DATE)
    AND event_time >= timestamp_micros(CAST(:from AS BIGINT))
    AND event_time < timestamp_micros(CAST(:until AS BIGINT))
    AND coalesce(response.status_code, 200) < 400
)
SELECT
  identity,
  unix_micros(min(event_time)) AS first_seen,
  unix_micros(max(event_time)) AS last_seen,
  count(*) AS events,
  array_join(array_sort(collect_set(work)), ',') AS work
FROM event
WHERE identity <> ''
GROUP BY identity
ORDER BY identity
