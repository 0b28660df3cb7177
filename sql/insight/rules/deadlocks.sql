/*
 * rule: CHPG707 deadlocks
 * title: Deadlocks
 * kind: incident
 * scope: metrics
 * place: 130
 * effect: failure
 * threshold: per_hour = 3 deadlocks/h; Deadlocks in an hour from which it is WARN.
 * threshold: usual_factor = 2 factor; Of those that two percent of the past hours had.
 * threshold: rare = 5 deadlocks/h; For each so many, another hour of the past four weeks may have had as many.
 */
/*
 * A burst that ended up to an hour ago counts, and begins with the first hour that had a quarter
 * of its deadlocks.  What has lasted for five days is usual by now.  What is usual is not known
 * before a day.
 */
CREATE FUNCTION @extschema@._chpg_find_deadlocks(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	live boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	until CONSTANT timestamptz := least(upper(scope.period), now());
	many CONSTANT double precision := :per_hour / 3600;
BEGIN
	IF @extschema@._chpg_metrics_are_readable() THEN
		RETURN QUERY
		WITH line AS MATERIALIZED (
			SELECT l.service_id, l.latest, l.ages, l.means, r.first_age, r.present,
				@extschema@._chpg_run_hours(r.ages, r.means, greatest(many, r.present / 3600 / 4)) AS run
			FROM @extschema@._chpg_metric_lines(ARRAY(
					SELECT n.service_id
					FROM @extschema@._chpg_metric_lines(scope.service_ids, until - interval '6 hours', until,
						'deadlocks'::text, ''::text, NULL::text) n
					WHERE EXISTS (SELECT FROM unnest(n.ages, n.means) m(age, value)
						WHERE m.age < 2 AND m.value >= many)),
				until - interval '28 days', until, 'deadlocks'::text, ''::text, NULL::text) l
			CROSS JOIN LATERAL (
				-- the first of the two hours that is no mere echo of the other one
				SELECT min(u.age) FILTER (WHERE u.value >= u.highest / 4) AS first_age, max(u.value) AS present
				FROM (SELECT a.age, a.value, max(a.value) FILTER (WHERE a.age < 2) OVER () AS highest
					FROM unnest(l.ages, l.means) a(age, value)) u
				WHERE u.age < 2 AND u.value >= many
			) f
			CROSS JOIN LATERAL (
				SELECT f.first_age, 3600 * f.present AS present, array_agg(u.age - f.first_age ORDER BY u.age) AS ages,
					array_agg(u.value ORDER BY u.age) AS means
				FROM unnest(l.ages, l.means) u(age, value)
				WHERE u.age >= f.first_age
			) r
			WHERE f.first_age IS NOT NULL
		), judged AS (
			SELECT l.*, p.*, l.latest - (l.first_age + l.run - 1) * interval '1 hour' AS since
			FROM line l
			CROSS JOIN LATERAL (
				SELECT count(*) AS past_hours, 3600 * avg(u.value) AS usual,
					3600 * percentile_cont(0.98) WITHIN GROUP (ORDER BY u.value) AS high,
					count(*) FILTER (WHERE 3600 * u.value >= l.present) AS as_many
				FROM unnest(l.ages, l.means) u(age, value)
				WHERE u.age >= CASE WHEN l.run >= 120 THEN 48 ELSE l.first_age + l.run END
			) p
		)
		SELECT 'CHPG707', 'WARN', 'Deadlocks', j.service_id,
			format('%s deadlocks an hour, usually %s', @extschema@._chpg_rounded(j.present, 0),
				@extschema@._chpg_rounded(j.usual, 2)),
			jsonb_build_object('deadlocks_per_h', j.present, 'usual_deadlocks_per_h', j.usual, 'hours', j.run),
			'Transactions lock the same rows in different orders. PostgreSQL ends one of each with an error (40P01), '
				'after it has waited for a second.',
			'Look into the log for "deadlock detected": it has both statements. Lock rows in one order.',
			NULL::float8, CASE WHEN j.past_hours >= 72 THEN 'high' ELSE 'low' END,
				'CHPG707:' || j.service_id, 'incident',
			j.since, j.usual, j.present, 'deadlocks/h',
			format('SELECT "timestamp", severity, body FROM @extschema@.chpg_logs(%L, %L, %L, body_contains => %L)',
				@extschema@._chpg_time_literal(j.since), @extschema@._chpg_time_literal(until), j.service_id,
				'deadlock detected')
		FROM judged j
		WHERE j.past_hours >= 24 AND j.present >= :usual_factor * j.high + 2
			AND j.as_many < greatest(j.present / nullif(:rare, 0), 1);
	END IF;
	IF NOT live THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_without_metric('{CHPG707}'::text[], scope, 'deadlocks'::text);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_deadlocks(@extschema@._chpg_thresholds, @extschema@._chpg_scope, boolean) IS
'Findings about more deadlocks than usual, by the metrics of the history.
live: a service without these metrics is not reported.
Requests: none.';
