-- Who got access tokens of a principal while an OAuth secret of it was current
-- and none since another took its place. handovers lists those as
-- identity=from=at with commas between them, times in microseconds: from is from
-- when on the log is looked at, at when the successor became current. The
-- principal is the client that the request names under the first of client_keys,
-- or else the event's identity. A program is the first word of its user agent up
-- to a slash; ours are not looked at.
WITH handover AS (
  SELECT DISTINCT
    split_part(item, '=', 1) AS identity,
    CAST(split_part(item, '=', 2) AS BIGINT) AS looked_from,
    CAST(split_part(item, '=', 3) AS BIGINT) AS replaced_at
  FROM (SELECT explode(split(:handovers, ',')) AS item)
  WHERE item <> ''
),
event AS (
  SELECT
    unix_micros(event_time) AS at,
    coalesce(
      get(filter(transform(split(:client_keys, ','), k -> lower(try_element_at(request_params, k))), v -> v <> ''), 0),
      CASE WHEN NOT array_contains(split(:nobody, ','), lower(user_identity.email)) THEN lower(user_identity.email) END,
      nullif(lower(try_element_at(request_params, 'user')), ''),
      ''
    ) AS identity,
    regexp_replace(
      regexp_replace(coalesce(source_ip_address, ''), r'^([0-9.]+):[0-9]+$', '$1'),
      r'^\[(.*)\](:[0-9]+)?$', '$1'
    ) AS address,
    regexp_extract(coalesce(user_agent, ''), r'^[^/ ]+', 0) AS agent
  FROM IDENTIFIER(:table)
  WHERE event_date >= CAST(:from_date AS DATE)
    AND event_time >= timestamp_micros(CAST(:from AS BIGINT))
    AND event_time < timestamp_micros(CAST(:until AS BIGINT))
    AND coalesce(response.status_code, 200) < 400
    AND array_contains(split(:actions, ','), concat(service_name, '.', action_name))
)
SELECT
  handover.identity,
  handover.looked_from,
  handover.replaced_at,
  event.address,
  event.agent,
  max(event.at) AS last_seen,
  count(*) AS events
FROM handover
JOIN event ON event.identity = handover.identity AND event.at >= handover.looked_from
WHERE event.address <> ''
  AND NOT array_contains(split(:ours, ','), event.agent)
GROUP BY handover.identity, handover.looked_from, handover.replaced_at, event.address, event.agent
HAVING max(event.at) < handover.replaced_at
ORDER BY handover.identity, handover.looked_from, handover.replaced_at, last_seen DESC, event.address, event.agent
