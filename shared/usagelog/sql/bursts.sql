-- Who did at least threshold of actions within window microseconds, from the
-- first such burst to the last. With failed true only what was refused counts,
-- else only what was done. by is what to count by: identity, address, or both.
-- The window slides: a burst is an event that has its threshold-th successor
-- within the window.
WITH event AS (
  SELECT
    event_time,
    event_id,
    concat(service_name, '.', action_name) AS action,
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
    AND array_contains(split(:actions, ','), concat(service_name, '.', action_name))
    AND (coalesce(response.status_code, 200) >= 400) = CAST(:failed AS BOOLEAN)
),
counted AS (
  SELECT
    kind,
    CASE kind WHEN 'identity' THEN identity ELSE address END AS subject,
    CASE kind WHEN 'identity' THEN address ELSE identity END AS counterpart,
    event_time,
    event_id,
    action
  FROM event LATERAL VIEW explode(split(:by, ',')) kinds AS kind
),
numbered AS (
  SELECT
    kind,
    subject,
    event_time,
    row_number() OVER (PARTITION BY kind, subject ORDER BY event_time, event_id) AS n
  FROM counted
  WHERE subject <> ''
),
burst AS (
  SELECT
    head.kind,
    head.subject,
    min(head.event_time) AS first_at,
    max(tail.event_time) AS last_at
  FROM numbered AS head
  JOIN numbered AS tail
    ON tail.kind = head.kind
    AND tail.subject = head.subject
    AND tail.n = head.n + CAST(:threshold AS INT) - 1
  WHERE unix_micros(tail.event_time) - unix_micros(head.event_time) <= CAST(:window AS BIGINT)
  GROUP BY head.kind, head.subject
)
SELECT
  burst.kind,
  burst.subject,
  unix_micros(burst.first_at) AS first_seen,
  unix_micros(burst.last_at) AS last_seen,
  count(*) AS events,
  count(DISTINCT nullif(counted.counterpart, '')) AS counterparts,
  array_join(slice(array_sort(collect_set(nullif(counted.counterpart, ''))), 1, 5), ',') AS examples,
  array_join(array_sort(collect_set(counted.action)), ',') AS actions
FROM burst
JOIN counted
  ON counted.kind = burst.kind
  AND counted.subject = burst.subject
  AND counted.event_time BETWEEN burst.first_at AND burst.last_at
GROUP BY burst.kind, burst.subject, burst.first_at, burst.last_at
ORDER BY burst.kind, burst.subject
