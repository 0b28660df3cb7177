/*
 * rule: CHPG507 volume
 * title: Far more or fewer executions than usual
 * kind: incident
 * scope: change
 * ends: return
 * place: 190
 * function: _chpg_find_changes
 * needs: executions
 * threshold: surge_factor = 1.4 factor; How many times the expected executions make a surge ...
 * threshold: surge_calls_per_h = 200 executions/h; ... with so many of them per hour.
 * threshold: warn_surge_factor = 1.6 factor; How many times the expected executions make a WARN ...
 * threshold: warn_surge_time_ratio = 0.002 ratio; ... with such a share of the service's time that they add.
 * threshold: share_factor = 1.4 factor; Or how many times the usual share of the service's executions,
 *   in four hours ...
 * threshold: share_score = 5 standard deviations; ... how far from it, by past days ...
 * threshold: share_max_factor = 1.2 factor; ... how many times the greatest share of these days ...
 * threshold: share_time_ratio = 0.01 ratio; ... and with such a share of the service's time that they add, make a WARN.
 * threshold: share_days = 8 days; ... if so many past days are known.
 * threshold: drop_ratio = 0.5 ratio; Share of the expected executions up to which they dropped ...
 * threshold: drop_calls_per_h = 6 executions/h; ... of so many expected per hour.
 * threshold: score = 5.5 standard deviations; How far from the expected executions two to four hours are together.
 * threshold: max_factor = 1.1 factor; How many times the most executions of past days in these hours make a surge.
 * threshold: days = 5 days; Past days with these hours, on each of which they were executed.
 */
CREATE FUNCTION @extschema@._chpg_past_calls(of_service integer, keys integer[], end_time timestamptz)
RETURNS TABLE (pattern_key integer, days bigint, days_present bigint, least_calls double precision,
	greatest_calls double precision, usual_calls double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	starts timestamptz[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	-- with an hour before and an hour after: clocks change
	starts := ARRAY(
		SELECT p.start
		FROM @extschema@._chpg_past_starts(end_time, 2) p
		WHERE (SELECT count(*) FROM service_key k JOIN capture c ON c.service_id = k.service_id AND c.grain = 'hour'
				AND c.status = 'ok' AND NOT c.truncated
				AND c.window_start >= p.start - interval '1 hour' AND c.window_start <= p.start + interval '2 hours'
			WHERE k.service_key = of_service) = 4
		ORDER BY p.day LIMIT 15);
	RETURN QUERY
	SELECT k.key, count(*), count(*) FILTER (WHERE d.least > 0), min(coalesce(d.least, 0)),
		max(coalesce(d.greatest, 0)), percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(d.usual, 0))
	FROM unnest(keys) k(key)
	CROSS JOIN unnest(starts) s(start)
	LEFT JOIN (
		SELECT c.pattern_key, c.start, c.b + c.c AS usual, least(c.a + c.b, c.b + c.c, c.c + c.d) AS least,
			greatest(c.a + c.b, c.b + c.c, c.c + c.d) AS greatest
		FROM (
			SELECT p.pattern_key, u.start,
				coalesce(sum(greatest(p.call_count, 0)) FILTER (WHERE p.window_start = u.start - interval '1 hour'),
					0)::float8 AS a,
				coalesce(sum(greatest(p.call_count, 0)) FILTER (WHERE p.window_start = u.start), 0)::float8 AS b,
				coalesce(sum(greatest(p.call_count, 0)) FILTER (WHERE p.window_start = u.start + interval '1 hour'),
					0)::float8 AS c,
				coalesce(sum(greatest(p.call_count, 0)) FILTER (WHERE p.window_start = u.start + interval '2 hours'),
					0)::float8 AS d
			FROM @extschema@._chpg_window_hour() p
			JOIN unnest(starts) u(start)
				ON p.window_start >= u.start - interval '1 hour' AND p.window_start <= u.start + interval '2 hours'
			WHERE p.service_key = of_service AND p.pattern_key = ANY (keys)
				AND p.window_start = ANY (ARRAY(SELECT i.start + h * interval '1 hour'
					FROM unnest(starts) i(start) CROSS JOIN generate_series(-1, 2) h))
			GROUP BY p.pattern_key, u.start
		) c
	) d ON d.pattern_key = k.key AND d.start = s.start
	GROUP BY k.key;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_past_calls(integer, integer[], timestamptz) IS
'Executions of patterns in the two hours before a time of day, on the last fifteen captured days.
The least, and the greatest, are those of two hours that may begin an hour earlier or later.
Errors: 55000 there is no history.';

/*
 * How often a service is used varies by the day, and so do all its patterns.  How often one of
 * them runs for each execution of the others varies less: it is known more precisely.
 */
CREATE FUNCTION @extschema@._chpg_past_shares(of_service integer, keys integer[], end_time timestamptz)
RETURNS TABLE (pattern_key integer, days bigint, days_present bigint, factor double precision,
	greatest_factor double precision, score double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH past AS MATERIALIZED (
		SELECT d.day, d.start, sum(c.call_count)::float8 AS calls
		FROM (SELECT 0 AS day, end_time - interval '4 hours' AS start
			UNION ALL
			SELECT p.day, p.start FROM @extschema@._chpg_past_starts(end_time, 4) p) d
		JOIN service_key k ON k.service_key = of_service
		JOIN capture c ON c.service_id = k.service_id AND c.grain = 'hour' AND c.status = 'ok' AND NOT c.truncated
			AND c.call_count >= 0
			AND c.window_start = ANY (ARRAY(SELECT d.start + h * interval '1 hour' FROM generate_series(0, 3) h))
		GROUP BY d.day, d.start
		HAVING count(*) = 4
		ORDER BY d.day
		LIMIT 16
	), own AS MATERIALIZED (
		SELECT p.pattern_key, u.day, sum(greatest(p.call_count, 0))::float8 AS calls
		FROM @extschema@._chpg_window_hour() p
		JOIN past u ON p.window_start >= u.start AND p.window_start < u.start + interval '4 hours'
		WHERE p.service_key = of_service AND p.pattern_key = ANY (keys)
			AND p.window_start = ANY (ARRAY(SELECT i.start + h * interval '1 hour'
				FROM past i CROSS JOIN generate_series(0, 3) h))
		GROUP BY p.pattern_key, u.day
	), shares AS (
		SELECT k.key, u.day, coalesce(o.calls, 0) > 0 AS is_present,
			ln((1 + coalesce(o.calls, 0)) / (1 + greatest(u.calls - coalesce(o.calls, 0), 0))) AS ln_share
		FROM unnest(keys) k(key)
		CROSS JOIN past u
		LEFT JOIN own o ON o.pattern_key = k.key AND o.day = u.day
	), usual AS (
		SELECT s.key, count(*) AS days, count(*) FILTER (WHERE s.is_present) AS days_present,
			percentile_cont(0.5) WITHIN GROUP (ORDER BY s.ln_share) AS middle, max(s.ln_share) AS greatest,
			-- a spread of few days is uncertain
			greatest(stddev_samp(s.ln_share), 0.05) * (1 + 1.0 / count(*)) AS spread
		FROM shares s
		WHERE s.day > 0
		GROUP BY s.key
		HAVING count(*) > 1
	)
	SELECT u.key, u.days, u.days_present, exp(n.ln_share - u.middle), exp(n.ln_share - u.greatest),
		(n.ln_share - u.middle) / u.spread
	FROM usual u
	JOIN shares n ON n.key = u.key AND n.day = 0;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_past_shares(integer, integer[], timestamptz) IS
'Executions of patterns by those of the rest of their service, in the four hours before a time.
factor: how many times those of the same hours of the last fifteen captured days.
greatest_factor: of the greatest one of them. score: their distance in standard deviations.
Errors: 55000 there is no history.';

/* Backwards from the end, as long as each hour is as it is at the end; hours without traffic say nothing. */
CREATE FUNCTION @extschema@._chpg_traffic_onset(of_service text, end_time timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN (
		WITH hours AS (
			SELECT h.* FROM @extschema@._chpg_usual_traffic(of_service, end_time - interval '48 hours', end_time) h
		)
		SELECT min(h.window_start)
		FROM hours h
		WHERE h.window_start > coalesce((SELECT max(i.window_start) FROM hours i
			WHERE i.call_count > 0.75 * i.usual AND i.usual > 0), '-infinity'));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_traffic_onset(text, timestamptz) IS
'Start of the hour from which on a service has less traffic than usual.
Usual is that of the same hours of past days.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_find_volume(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], recent @extschema@._chpg_hour_score[],
	fresh @extschema@._chpg_fresh_pattern[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH load AS MATERIALIZED (
		-- by how much most patterns run more often, or less: no matter of one pattern; what vanished may
		-- have another id now
		SELECT r.service_key, r.window_start,
			CASE WHEN count(*) >= 5 THEN least(greatest(percentile_cont(0.5) WITHIN GROUP (
				ORDER BY ln((1 + r.call_count) / (1 + r.expected_calls))), -5), 3)
				-- all of a few
				ELSE least(greatest(min(ln((1 + r.call_count) / (1 + r.expected_calls))), 0), ln(3::float8)) END
				AS ln_factor,
			count(*) AS patterns
		FROM unnest(recent) r
		WHERE r.expected_calls >= 5 AND r.calls_spread > 0 AND r.call_count > 0
		GROUP BY r.service_key, r.window_start
	), traffic AS MATERIALIZED (
		SELECT s.service_key, j.service_id, j.end_time, coalesce(f.calls / 2, s.calls) AS calls,
			coalesce(f.usual_calls / 2, s.usual_calls) AS usual_calls,
			coalesce(f.least_calls / 2, s.least_calls) AS least_calls, coalesce(f.days, s.days) AS days,
			i.is_likely AND (f.calls IS NOT NULL OR i.is_low) AS is_missing
		FROM @extschema@._chpg_service_traffic(judged) s
		JOIN unnest(judged) j ON j.service_key = s.service_key
		LEFT JOIN load l ON l.service_key = s.service_key AND l.window_start = j.end_time - interval '1 hour'
		-- where most patterns run as usual, it is a matter of the others
		CROSS JOIN LATERAL (SELECT s.days >= :traffic_days AND s.usual_calls >= 2 * :traffic_calls_per_h
				AND (l.patterns < 5 OR coalesce(l.ln_factor <= ln(:traffic_drop_ratio) * 0.5, true)) AS is_likely,
			s.usual_ratio <= :traffic_drop_ratio AND s.least_ratio <= :traffic_least_ratio AS is_low) i
		LEFT JOIN LATERAL (
			SELECT f.*
			FROM @extschema@._chpg_settled_traffic(CASE WHEN i.is_likely AND s.highest_ratio <= :traffic_hour_ratio
				AND NOT i.is_low THEN j.service_id END, j.end_time) f
			WHERE f.days >= :traffic_hour_days AND f.highest_ratio <= :traffic_hour_ratio
				AND f.calls <= :traffic_drop_ratio * f.usual_calls
				AND f.calls <= :traffic_least_ratio * f.least_calls) f ON true
	), hour AS (
		SELECT r.service_key, r.pattern_key, s.end_time, s.service_id, s.is_missing, r.call_count AS calls, r.total_us,
			r.baseline_hours, r.expected_calls AS usual, r.expected_calls * exp(coalesce(l.ln_factor, 0)) AS expected,
			least(greatest((ln(1 + r.call_count) - ln(1 + r.expected_calls * exp(coalesce(l.ln_factor, 0))))
				/ greatest(r.calls_spread, 0.1), -8), 8) AS z,
			row_number() OVER (PARTITION BY r.service_key, r.pattern_key ORDER BY r.window_start DESC) AS place,
			r.window_start
		FROM unnest(recent) r
		JOIN traffic s ON s.service_key = r.service_key
		LEFT JOIN load l ON l.service_key = r.service_key AND l.window_start = r.window_start
		WHERE r.calls_spread > 0 AND r.expected_calls IS NOT NULL
	), pattern AS MATERIALIZED (
		SELECT h.service_key, h.pattern_key, h.end_time, h.service_id, h.is_missing,
			sum(h.calls) FILTER (WHERE h.place <= 2) AS calls, sum(h.expected) FILTER (WHERE h.place <= 2) AS expected,
			sum(h.total_us) FILTER (WHERE h.place <= 2) AS total_us, min(h.baseline_hours) AS baseline_hours,
			greatest(sum(h.z) FILTER (WHERE h.place <= 2) / sqrt(2),
				sum(h.z) FILTER (WHERE h.place <= 3) / sqrt(3), sum(h.z) / sqrt(count(*))) AS surge_score,
			-least(sum(h.z) FILTER (WHERE h.place <= 2) / sqrt(2),
				sum(h.z) FILTER (WHERE h.place <= 3) / sqrt(3), sum(h.z) / sqrt(count(*))) AS drop_score,
			max(h.calls) FILTER (WHERE h.place <= 2) AS max_calls, min(h.z) FILTER (WHERE h.place <= 2) AS min_z,
			max(h.z) FILTER (WHERE h.place <= 2) AS max_z,
			count(*) = 4 AND sum(h.calls) >= 0.9 * :share_factor * sum(h.expected)
				AND min(h.calls / greatest(h.expected, 1)) >= 1.15
				-- on a day unlike others, the others run far more, or less
				AND sum(h.calls) >= 1.1 * sum(h.usual) AND sum(h.expected) <= 1.5 * sum(h.usual) AS is_likely
		FROM hour h
		GROUP BY h.service_key, h.pattern_key, h.end_time, h.service_id, h.is_missing
		HAVING count(*) FILTER (WHERE h.window_start >= h.end_time - interval '2 hours') = 2
	), suspect AS MATERIALIZED (
		SELECT p.*, CASE WHEN p.calls >= p.expected THEN 'surge' WHEN p.calls = 0 THEN 'vanished' ELSE 'drop' END
			AS change, f.is_far
		FROM pattern p
		CROSS JOIN LATERAL (SELECT p.calls >= :surge_factor * greatest(p.expected, 1) AND p.surge_score >= :score
			AND p.min_z >= 1.5 AS is_far) f
		WHERE (p.calls >= 2 * :surge_calls_per_h AND (p.is_likely OR f.is_far))
			OR (p.calls <= :drop_ratio * p.expected AND p.expected >= 2 * :drop_calls_per_h
				AND p.drop_score >= :score AND p.max_z <= -1.5 AND p.baseline_hours >= :days)
	), words AS MATERIALIZED (
		SELECT f.service_key, f.name, (f.predecessor).pattern_key AS predecessor_key, f.since,
			@extschema@._chpg_query_words((f.name).query_text) AS words
		FROM unnest(fresh) f
	), named AS MATERIALIZED (
		SELECT s.*, n AS name, n.app
		FROM suspect s
		JOIN @extschema@._chpg_pattern_names(ARRAY(SELECT DISTINCT i.pattern_key FROM suspect i)) n
			ON n.pattern_key = s.pattern_key
		-- what has another id now has not vanished
		WHERE NOT EXISTS (SELECT FROM words f WHERE f.service_key = s.service_key
			AND (f.predecessor_key = s.pattern_key OR (f.name).text_id = n.text_id
				OR (s.change <> 'surge' AND ((f.name).query_id = n.query_id
					OR f.words = @extschema@._chpg_query_words(n.query_text)))))
	), known AS MATERIALIZED (
		SELECT s.*, b.days, b.days_present, b.least_calls, b.greatest_calls, b.usual_calls
		FROM (SELECT i.service_key, i.end_time, array_agg(i.pattern_key) AS keys FROM named i GROUP BY 1, 2) g
		CROSS JOIN LATERAL @extschema@._chpg_past_calls(g.service_key, g.keys, g.end_time) b
		JOIN named s ON s.service_key = g.service_key AND s.pattern_key = b.pattern_key
		WHERE b.days >= :days
	), alone AS MATERIALIZED (
		SELECT g.service_key, b.pattern_key, b.factor
		FROM (SELECT k.service_key, k.end_time, array_agg(k.pattern_key ORDER BY k.pattern_key) AS keys FROM known k
			WHERE k.change = 'surge' AND k.is_likely AND k.days >= :share_days AND k.days_present >= 0.8 * k.days
			GROUP BY 1, 2) g
		CROSS JOIN LATERAL @extschema@._chpg_past_shares(g.service_key, g.keys, g.end_time) b
		WHERE b.days >= :share_days AND b.days_present = b.days AND b.factor >= :share_factor
			AND b.score >= :share_score AND b.greatest_factor >= :share_max_factor
	), sure AS MATERIALIZED (
		SELECT k.*, a.pattern_key IS NOT NULL AS is_alone, a.factor AS share_factor
		FROM known k
		LEFT JOIN alone a ON a.service_key = k.service_key AND a.pattern_key = k.pattern_key
		WHERE CASE k.change WHEN 'surge' THEN a.pattern_key IS NOT NULL
				OR k.is_far AND k.calls >= :max_factor * greatest(k.greatest_calls, 1)
				AND k.usual_calls > 0 AND k.days_present >= 0.8 * k.days
			ELSE k.days_present = k.days AND k.calls <= 0.8 * k.least_calls
				AND k.usual_calls >= 2 * :drop_calls_per_h END
	), course AS MATERIALIZED (
		SELECT s.service_key, s.pattern_key, s.change, s.app, c.window_start, c.call_count, c.expected_calls,
			sqrt(s.calls / greatest(s.expected, 1)) AS factor
		FROM sure s
		JOIN @extschema@._chpg_pair_calls(ARRAY(SELECT i.service_key FROM sure i ORDER BY i.service_key, i.pattern_key),
			ARRAY(SELECT i.pattern_key FROM sure i ORDER BY i.service_key, i.pattern_key),
			(SELECT min(i.end_time) FROM sure i) - interval '48 hours', (SELECT max(i.end_time) FROM sure i)) c
			ON c.service_key = s.service_key AND c.pattern_key = s.pattern_key AND c.window_start < s.end_time
	), onset AS MATERIALIZED (
		SELECT c.service_key, c.pattern_key, min(c.window_start) AS since
		FROM (
			SELECT d.*, max(d.window_start) FILTER (WHERE CASE d.change
					WHEN 'surge' THEN d.call_count <= d.factor * greatest(d.expected_calls, 1)
					ELSE d.call_count > 0.75 * d.expected_calls END)
				OVER (PARTITION BY d.service_key, d.pattern_key) AS last_usual
			FROM course d
			WHERE d.change <> 'surge' OR d.call_count > 0
		) c
		WHERE c.window_start > coalesce(c.last_usual, '-infinity')
		GROUP BY c.service_key, c.pattern_key
	), app_onset AS MATERIALIZED (
		SELECT c.service_key, c.app, min(c.window_start) AS since
		FROM (
			SELECT d.*, max(d.window_start) FILTER (WHERE d.calls > 0.75 * d.expected)
				OVER (PARTITION BY d.service_key, d.app) AS last_usual
			FROM (SELECT i.service_key, i.app, i.window_start, sum(i.call_count) AS calls, sum(i.expected_calls)
				AS expected
				FROM course i WHERE i.change <> 'surge' GROUP BY 1, 2, 3) d
			WHERE d.expected > 0
		) c
		WHERE c.window_start > coalesce(c.last_usual, '-infinity')
		GROUP BY c.service_key, c.app
	), app AS MATERIALIZED (
		-- all that an application was expected to run
		SELECT p.service_key, n.app, sum(p.calls) AS calls, sum(p.expected) AS expected,
			count(*) FILTER (WHERE p.expected >= 2 * :drop_calls_per_h) AS patterns_expected
		FROM pattern p
		JOIN @extschema@._chpg_pattern_names(ARRAY(SELECT DISTINCT i.pattern_key FROM pattern i
			WHERE i.service_key IN (SELECT s.service_key FROM sure s WHERE s.change <> 'surge'))) n
			ON n.pattern_key = p.pattern_key
		WHERE p.service_key IN (SELECT s.service_key FROM sure s WHERE s.change <> 'surge')
		GROUP BY p.service_key, n.app
	), silent AS MATERIALIZED (
		SELECT a.*, s.patterns, s.sure_expected, s.least_calls
		FROM app a
		JOIN (SELECT u.service_key, u.app, count(*) AS patterns, sum(u.expected) AS sure_expected,
				sum(u.least_calls) AS least_calls
			FROM sure u WHERE u.change <> 'surge' AND NOT u.is_missing GROUP BY 1, 2) s
			ON s.service_key = a.service_key AND s.app = a.app
		WHERE a.expected >= 2 * :traffic_calls_per_h AND a.calls <= :traffic_error_drop_ratio * a.expected
			AND s.sure_expected >= 0.5 * a.expected AND s.patterns >= greatest(0.6 * a.patterns_expected, 2)
			AND NOT EXISTS (SELECT FROM unnest(fresh) f WHERE f.service_key = a.service_key AND f.app_is_new)
	)
	SELECT 'CHPG508',
		CASE WHEN w.is_like THEN 'INFO' WHEN f.calls <= :traffic_error_drop_ratio * f.least_calls THEN 'ERROR'
			ELSE 'WARN' END,
		CASE WHEN w.is_like THEN 'A day like a weekend' ELSE 'Traffic is missing' END, f.service_id,
		format('%s executions per hour, usually %s in these hours, and never below %s',
			@extschema@._chpg_count_text(f.calls / 2), @extschema@._chpg_count_text(f.usual_calls / 2),
			@extschema@._chpg_count_text(f.least_calls / 2)),
		jsonb_build_object('change', 'traffic', 'calls_per_h', round((f.calls / 2)::numeric),
			'usual_calls_per_h', round((f.usual_calls / 2)::numeric), 'least_calls_per_h',
				round((f.least_calls / 2)::numeric),
			'days', f.days, 'is_like_weekend', w.is_like),
		CASE WHEN w.is_like THEN 'The executions follow the course of past weekends: a public holiday, probably.'
			ELSE 'Applications send less than on any of the past days: they are down, cannot connect, or send it '
				'elsewhere.' END,
		CASE WHEN w.is_like THEN 'Nothing, if it is one.'
			ELSE 'Ask whether the applications work; look for errors, and at the connections.' END, NULL::float8,
		CASE WHEN f.days >= 8 THEN 'high' ELSE 'medium' END, 'CHPG508:' || f.service_id, 'incident',
		@extschema@._chpg_traffic_onset(f.service_id, f.end_time), f.usual_calls / 2,
		f.calls / 2, 'calls/h', NULL::text
	FROM traffic f
	CROSS JOIN LATERAL (SELECT @extschema@._chpg_is_like_weekend(f.service_id, f.end_time) AS is_like OFFSET 0) w
	WHERE f.is_missing
	UNION ALL
	SELECT 'CHPG508', CASE WHEN w.is_like THEN 'INFO'
			WHEN s.expected >= :traffic_error_calls_ratio * f.usual_calls THEN 'ERROR' ELSE 'WARN' END,
		'An application is silent', f.service_id,
		format('application "%s" sends %s executions per hour, usually %s in these hours',
			@extschema@._chpg_line_text(s.app, 60), @extschema@._chpg_count_text(s.calls / 2),
			@extschema@._chpg_count_text(s.expected / 2)),
		jsonb_build_object('change', 'traffic', 'app', s.app, 'calls_per_h', round((s.calls / 2)::numeric),
			'usual_calls_per_h', round((s.expected / 2)::numeric), 'patterns', s.patterns),
		'It is down, cannot connect, was renamed, or sends its queries elsewhere.',
		'Ask whether the application works; look for its errors.', NULL::float8, 'medium',
		'CHPG508:' || to_jsonb(ARRAY[f.service_id, s.app])::text, 'incident',
		ao.since,
		s.expected / 2, s.calls / 2, 'calls/h', NULL::text
	FROM silent s
	JOIN traffic f ON f.service_key = s.service_key
	-- on a holiday, all the others have less to do, too
	CROSS JOIN LATERAL (SELECT f.calls - s.calls <= 0.85 * (f.usual_calls - s.expected)
		AND @extschema@._chpg_is_like_weekend(f.service_id, f.end_time) AS is_like OFFSET 0) w
	JOIN app_onset ao ON ao.service_key = s.service_key AND ao.app = s.app
		AND ao.since >= f.end_time - interval '20 hours'
	UNION ALL
	SELECT 'CHPG507',
		CASE WHEN s.change = 'surge' AND (s.calls >= :warn_surge_factor * s.expected
				AND s.is_far AND a.added_us >= :warn_surge_time_ratio * s_us.us
				OR s.is_alone AND a.added_us >= :share_time_ratio * s_us.us) THEN 'WARN'
			-- other new queries may do its work
			WHEN s.change = 'vanished' AND NOT EXISTS (SELECT FROM unnest(fresh) f WHERE f.service_key = s.service_key
				AND f.since >= o.since - interval '2 hours' AND f.since <= o.since + interval '2 hours') THEN 'WARN'
			ELSE 'INFO' END,
		CASE s.change WHEN 'surge' THEN 'Far more executions than usual' WHEN 'drop'
			THEN 'Far fewer executions than usual'
			ELSE 'No longer executed' END, s.service_id,
		format('%s calls per hour, usually %s in these hours%s%s', @extschema@._chpg_count_text(s.calls / 2),
			@extschema@._chpg_count_text(s.usual_calls / 2),
			CASE WHEN s.is_alone THEN format('; %s times the usual number for each one of other queries',
				@extschema@._chpg_factor_text(s.share_factor)) ELSE '' END,
			CASE s.change WHEN 'surge' THEN format('; they add %s %% to the service''s time',
				round((100 * a.added_us / nullif(s_us.us - a.added_us, 0))::numeric, 1)) ELSE '' END),
		@extschema@._chpg_pattern_evidence(s.name) || jsonb_build_object('change', s.change,
			'calls_per_h', round((s.calls / 2)::numeric, 1), 'usual_calls_per_h', round((s.usual_calls / 2)::numeric,
				1),
			'least_calls_per_h', round((s.least_calls / 2)::numeric, 1),
			'greatest_calls_per_h', round((s.greatest_calls / 2)::numeric, 1), 'days', s.days,
			'share_factor', round(s.share_factor::numeric, 2), 'added_us', round(a.added_us::numeric)),
		CASE s.change WHEN 'surge' THEN 'A loop, a cache that is gone, retries, or more users.'
			ELSE 'A deployment without it, a job that does not run, or a part of the application that is down.' END,
		CASE s.change WHEN 'surge' THEN 'Find the loop by application and text; look for a deployment at that time.'
			ELSE 'Ask whether that is meant to be.' END,
		CASE s.change WHEN 'surge' THEN greatest(a.added_us, 0) END, CASE WHEN s.days >= 8
			THEN 'high' ELSE 'medium' END,
		@extschema@._chpg_pattern_finding_key('CHPG507'::text, s.service_id, s.name), 'incident', o.since,
		s.usual_calls / 2, s.calls / 2, 'calls/h',
		NULL::text
	FROM sure s
	CROSS JOIN LATERAL @extschema@._chpg_service_time(s.service_id, s.end_time - interval '2 hours',
		s.end_time) s_us(us)
	CROSS JOIN LATERAL (
		SELECT s.total_us * (1 - least(s.expected / nullif(s.calls, 0), 1)) AS added_us) a
	LEFT JOIN onset n ON n.service_key = s.service_key AND n.pattern_key = s.pattern_key
	-- of what surges alone, all four hours are affected
	CROSS JOIN LATERAL (SELECT CASE WHEN s.is_alone THEN least(n.since, s.end_time - interval '4 hours')
		ELSE n.since END AS since) o
	WHERE NOT s.is_missing AND o.since >= s.end_time - interval '20 hours'
		AND (s.change = 'surge' OR NOT EXISTS (SELECT FROM silent i WHERE i.service_key = s.service_key
			AND i.app = s.app));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_volume(@extschema@._chpg_thresholds, @extschema@._chpg_judged_service[],
	@extschema@._chpg_hour_score[], @extschema@._chpg_fresh_pattern[]) IS
'Findings of patterns, applications and services with far more or fewer executions than usual.
Requests: none.
Errors: 55000 there is no history.';
