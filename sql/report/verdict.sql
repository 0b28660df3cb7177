/* Report: what it says in a few sentences. */

CREATE FUNCTION @extschema@._chpg_number_word(n bigint)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(('{one,two,three,four,five,six,seven,eight,nine,ten,eleven,twelve}'::text[])[n], n::text);
END;

COMMENT ON FUNCTION @extschema@._chpg_number_word(bigint) IS 'A number, in words up to twelve.';

CREATE FUNCTION @extschema@._chpg_words_joined(words text[])
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN cardinality(words) > 1
		THEN array_to_string(words[:cardinality(words) - 1], ', ') || ' and ' || words[cardinality(words)]
		ELSE words[1] END;
END;

COMMENT ON FUNCTION @extschema@._chpg_words_joined(text[]) IS 'Words as a list in a sentence: "a, b and c".';

CREATE FUNCTION @extschema@._chpg_sentence(words text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT upper(left(words, 1)) || substr(words, 2) || '.';
END;

COMMENT ON FUNCTION @extschema@._chpg_sentence(text) IS 'Words as a sentence, with a capital and a full stop.';

/*
 * The first sentence says whether something is wrong; the next ones what got slower or
 * faster, whose storage will be full, and whether too little is known to be sure.
 */
CREATE FUNCTION @extschema@._chpg_report_verdict(INOUT report @extschema@._chpg_report)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names CONSTANT boolean := report.service IS NULL;
	until CONSTANT timestamptz := upper(report.period);
	wrong record;
	changed record;
	full_soon record;
	seen record;
	sentences text[] := '{}';
	-- captures and watches are an hour or two behind
	is_stale CONSTANT boolean := report.from_log
		AND report.judged_at < least(until, report.written_at) - interval '4 hours';
	unjudged CONSTANT bigint := @extschema@._chpg_report_unjudged(report.skipped, false);
BEGIN
	SELECT count(*) AS alarms, count(*) FILTER (WHERE f.level = 'ERROR') AS errors,
		array_agg(CASE WHEN names AND f.service_name IS NOT NULL THEN f.service_name || ': ' ELSE '' END
			|| lower(left(f.title, 1))
			|| substr(f.title, 2) || coalesce(' since ' || @extschema@._chpg_when_text(f.since, until), '')
				ORDER BY f.ordinality)
			AS titles
	INTO wrong
	FROM ROWS FROM (unnest(report.incidents)) WITH ORDINALITY f
	WHERE f.level IN ('ERROR', 'WARN');
	SELECT count(*) FILTER (WHERE c.change = 'regressed') AS slower, count(*) FILTER (WHERE c.change = 'improved')
		AS faster,
		count(*) FILTER (WHERE c.change IN ('new', 'new?')) AS new, count(*) FILTER (WHERE c.change = 'surged') AS surged
	INTO changed
	FROM unnest(report.changes) r
	CROSS JOIN LATERAL (SELECT (r.change).change) c;
	SELECT array_agg(format('%s in %s', s.service_name, @extschema@._chpg_age_text(s.storage_full_at - until))
		ORDER BY s.storage_full_at, s.service_name) AS services
	INTO full_soon
	FROM unnest(report.services) s
	WHERE s.storage_full_at < until + interval '30 days';
	SELECT sum(c.captured) AS captured, sum(c.hours) AS hours INTO seen FROM unnest(report.coverage) c;

	report.not_known := coalesce(report.not_known, CASE WHEN is_stale AND wrong.alarms = 0 THEN
		format('nothing has been judged since %s, when nothing was wrong',
			@extschema@._chpg_when_text(report.judged_at, until)) END,
		@extschema@._chpg_report_why_unjudged(report.skipped, report.service));
	report.is_bad := CASE WHEN wrong.alarms > 0 THEN true WHEN report.not_known IS NULL AND unjudged = 0
		AND report.skipped IS NOT NULL THEN false END;
	IF wrong.alarms = 0 AND report.not_known IS NOT NULL THEN
		sentences := sentences || format('Whether anything is wrong is not known: %s.', report.not_known);
	ELSIF wrong.alarms = 0 AND report.skipped IS NULL THEN
		sentences := sentences || @extschema@._chpg_report_doubt(report.skipped);
	ELSIF wrong.alarms = 0 AND unjudged > 0 THEN
		sentences := sentences || format('%s%s %s could not judge. The others find nothing wrong.',
			CASE WHEN report.has_history THEN '' ELSE 'Whether something got worse is not known: ' END,
			unjudged, CASE unjudged WHEN 1 THEN 'rule' ELSE 'rules' END);
	ELSIF wrong.alarms = 0 THEN
		sentences := sentences || 'Nothing is wrong.'::text;
	ELSE
		sentences := sentences || @extschema@._chpg_sentence(format('%s %s wrong: %s%s',
			@extschema@._chpg_number_word(wrong.alarms), CASE WHEN wrong.alarms = 1 THEN 'thing is' ELSE 'things are' END,
			array_to_string(wrong.titles[1:3], '; '),
			CASE WHEN wrong.alarms > 3 THEN format('; and %s more', wrong.alarms - 3) ELSE '' END));
	END IF;
	IF changed.slower + changed.faster + changed.surged > 0 THEN
		sentences := sentences || @extschema@._chpg_sentence(@extschema@._chpg_words_joined(array_remove(ARRAY[
			CASE WHEN changed.slower > 0 THEN format('%s %s got slower', @extschema@._chpg_number_word(changed.slower),
				CASE changed.slower WHEN 1 THEN 'query' ELSE 'queries' END) END,
			CASE WHEN changed.surged > 0 THEN format('%s%s much more often', @extschema@._chpg_number_word(changed.surged),
				CASE WHEN changed.slower > 0 THEN '' WHEN changed.surged = 1 THEN ' query' ELSE ' queries' END
				|| CASE changed.surged WHEN 1 THEN ' runs' ELSE ' run' END) END,
			CASE WHEN changed.faster > 0 THEN format('%s%s got faster', @extschema@._chpg_number_word(changed.faster),
				CASE WHEN changed.slower + changed.surged > 0 THEN '' WHEN changed.faster = 1 THEN ' query'
					ELSE ' queries' END) END],
			NULL)));
	ELSIF report.has_history AND report.baseline IS NOT NULL AND report.is_bad = false THEN
		sentences := sentences || 'No query got slower.'::text;
	END IF;
	IF cardinality(full_soon.services) > 0 THEN
		sentences := sentences || @extschema@._chpg_sentence('storage will be full: '
			|| @extschema@._chpg_words_joined(full_soon.services[1:4])
			|| CASE WHEN cardinality(full_soon.services) > 4 THEN ', and of others' ELSE '' END);
	END IF;
	IF wrong.alarms > 0 AND is_stale THEN
		sentences := sentences || format('Nothing has been judged since %s.',
			@extschema@._chpg_when_text(report.judged_at, until));
	ELSIF wrong.alarms > 0 AND unjudged > 0 THEN
		sentences := sentences || format('%s %s could not judge.', unjudged,
			CASE unjudged WHEN 1 THEN 'rule' ELSE 'rules' END);
	END IF;
	IF seen.captured < 0.9 * seen.hours THEN
		sentences := sentences || format('The history has %s of the hours of this period.',
			@extschema@._chpg_percent_text(100 * seen.captured / seen.hours::float8));
	END IF;
	report.verdict := @extschema@._chpg_plain_text(array_to_string(sentences, ' '));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_verdict(@extschema@._chpg_report) IS
'Put the verdict into a report that has everything else.';

CREATE FUNCTION @extschema@._chpg_report_last_week(service_ids text[])
RETURNS tstzrange
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	since timestamptz;
	until timestamptz;
BEGIN
	IF cardinality(service_ids) > 0 THEN
		PERFORM @extschema@._chpg_history_enter();
		SELECT min(c.window_start), max(c.window_end) INTO since, until
		FROM capture c
		WHERE c.service_id = ANY (service_ids) AND c.grain = 'hour' AND c.status = 'ok';
	END IF;
	IF until IS NULL THEN
		RETURN tstzrange(now() - interval '24 hours', now());
	END IF;
	-- a younger history has something to compare with, too
	RETURN tstzrange(until - interval '24 hours' * least(greatest(
		floor(extract(epoch FROM until - since) / 172800)::integer, 1), 7), until);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_last_week(text[]) IS
'The last seven days that the history has of some services; without any, the last 24 hours.
Of less than two weeks, the later half in whole days, but a day at least.
Requests: none.';

/*
 * The hour that is under way is in no history: until now, an hour would be no whole one.  When
 * captures have stopped, the report is to say so.
 */
CREATE FUNCTION @extschema@._chpg_report_last(period tstzrange, service text, server text)
RETURNS tstzrange
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	until timestamptz;
BEGIN
	IF @extschema@._chpg_history_is_readable() THEN
		until := upper(@extschema@._chpg_report_last_week(
			ARRAY(SELECT s.service_id FROM @extschema@._chpg_history_services(service, server, false) s)));
		IF until <= upper(period) AND until > upper(period) - interval '4 hours' THEN
			RETURN tstzrange(until - (upper(period) - lower(period)), until);
		END IF;
	END IF;
	RETURN period;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_last(tstzrange, text, text) IS
'A period until now, moved to the end of the hours that the history has of some services.
It stays where it is if that was hours ago.
Requests: none.';

/* Of hours, those of the day before; of days, as many before.  A week is compared with a week. */
CREATE FUNCTION @extschema@._chpg_report_before(period tstzrange)
RETURNS tstzrange
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT tstzrange(lower(period) - d.days * interval '24 hours', upper(period) - d.days * interval '24 hours')
	FROM (SELECT ceil(extract(epoch FROM upper(period) - lower(period)) / 86400)::integer AS days) d;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_before(tstzrange) IS
'What a period is compared with: the same hours before it, a whole number of days earlier.';

CREATE FUNCTION @extschema@._chpg_report_findings_shown(INOUT report @extschema@._chpg_report, secret text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	texts jsonb := (
		SELECT coalesce(jsonb_object_agg(p.service_id || ' ' || p.query_id, p.query_text), '{}')
		FROM unnest(report.patterns) r
		CROSS JOIN LATERAL (SELECT (r.pattern).*) p
		WHERE secret IS NULL AND p.query_text IS NOT NULL);
BEGIN
	report.incidents := ARRAY(
		SELECT s FROM ROWS FROM (unnest(report.incidents)) WITH ORDINALITY f
		CROSS JOIN LATERAL @extschema@._chpg_report_finding(report.incidents[f.ordinality], secret,
			texts->>(f.service_id || ' ' || (f.evidence->>'query_id'))) s
		ORDER BY f.ordinality);
	report.resolved := ARRAY(
		SELECT s FROM ROWS FROM (unnest(report.resolved)) WITH ORDINALITY f
		CROSS JOIN LATERAL @extschema@._chpg_report_finding(report.resolved[f.ordinality], secret,
			texts->>(f.service_id || ' ' || (f.evidence->>'query_id'))) s
		ORDER BY f.ordinality);
	report.opportunities := ARRAY(
		SELECT s FROM ROWS FROM (unnest(report.opportunities)) WITH ORDINALITY f
		CROSS JOIN LATERAL @extschema@._chpg_report_finding(report.opportunities[f.ordinality], secret,
			texts->>(f.service_id || ' ' || (f.evidence->>'query_id'))) s
		ORDER BY f.ordinality);
	IF report.skipped IS NOT NULL THEN
		report.skipped := ARRAY(
			SELECT s FROM ROWS FROM (unnest(report.skipped)) WITH ORDINALITY f
			CROSS JOIN LATERAL @extschema@._chpg_report_finding(report.skipped[f.ordinality], secret, NULL::text) s
			ORDER BY f.ordinality);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_findings_shown(@extschema@._chpg_report, text) IS
'Complete the texts of the findings of a report from its queries, or hide them.
secret: for pseudonyms; null: names and texts are shown.';

/* A history may have services of a server of another database. */
CREATE FUNCTION @extschema@._chpg_report_check_server(server text, has_history boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	servers CONSTANT text[] := ARRAY(
		SELECT s.srvname::text
		FROM pg_foreign_server s
		JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
		WHERE w.fdwname = 'chpg'
		ORDER BY s.srvname);
BEGIN
	IF server = ANY (servers) OR server IS NULL
		OR has_history AND EXISTS (SELECT FROM @extschema@._chpg_history_services(NULL::text, server, false)) THEN
		RETURN;
	END IF;
	RAISE EXCEPTION 'server "%" does not exist%', server, coalesce(
			nullif(@extschema@._chpg_closest(server, servers), ''), ': give a server such as "' || servers[1] || '"', '')
		USING ERRCODE = 'undefined_object';
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_check_server(text, boolean) IS
'Check that a server is one of chpg, or that the history has services of it; null is none.
Errors: 42704 it is not.';

CREATE FUNCTION @extschema@._chpg_report_of(period tstzrange, service text, baseline tstzrange, server text,
	hide_texts boolean, history_only boolean)
RETURNS @extschema@._chpg_report
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t CONSTANT @extschema@._chpg_thresholds := @extschema@._chpg_thresholds();
	r @extschema@._chpg_report;
	scope @extschema@._chpg_scope;
	secret text;
	most integer;
	read record;
	lack record;
BEGIN
	IF hide_texts IS NULL OR history_only IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN hide_texts IS NULL THEN 'hide_texts'
			ELSE 'history_only' END
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	r.written_at := now();
	r.time_zone := current_setting('TimeZone');
	r.server := server;
	r.hide_texts := hide_texts;
	r.notes := '{}';
	r.requests := 0;
	r.renamed := 0;
	r.changes := '{}';
	r.services := '{}';
	r.marks := '{}';
	r.patterns := '{}';
	r.coverage := '{}';
	r.incidents := '{}';
	r.resolved := '{}';
	r.opportunities := '{}';
	r.skipped := '{}';
	r.has_history := @extschema@._chpg_history_is_readable();
	PERFORM @extschema@._chpg_report_check_server(server, r.has_history);
	IF service IS NOT NULL AND history_only AND NOT r.has_history THEN
		SELECT * INTO lack FROM @extschema@._chpg_report_lacks();
		RAISE EXCEPTION 'service "%" cannot be looked up: %', service, lack.problem
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = lack.remedy,
				HINT = format('To read the API instead: SELECT chpg_report(service => %L, history_only => false);', service);
	END IF;
	IF r.has_history THEN
		PERFORM @extschema@._chpg_history_services(service, server, true);
		r.service_ids := ARRAY(SELECT s.service_id FROM @extschema@._chpg_history_services(service, server, true) s
			ORDER BY 1);
	END IF;
	r.period := coalesce(period, @extschema@._chpg_report_last_week(r.service_ids));
	PERFORM @extschema@._chpg_check_period('period', r.period, baseline);
	r.baseline := coalesce(baseline, @extschema@._chpg_report_before(r.period));
	PERFORM @extschema@._chpg_check_period('baseline', r.baseline, NULL::tstzrange);
	r.step := @extschema@._chpg_report_step(r.period);
	r.starts := @extschema@._chpg_report_starts(r.period, r.step);
	secret := @extschema@._chpg_report_secret(hide_texts, r.has_history);
	IF r.has_history THEN
		r.service := CASE WHEN service IS NOT NULL THEN (
			SELECT n.service_name FROM @extschema@._chpg_report_names(r.service_ids, upper(r.period)) n LIMIT 1) END;
		scope := @extschema@._chpg_scope_of(r.baseline, r.period, service, server);
		r.has_history := cardinality(scope.period_hours) > 0;
	END IF;
	IF r.has_history THEN
		IF cardinality(scope.baseline_hours) = 0 THEN
			r.baseline := NULL;
			r.notes := r.notes || 'The history has no hour before this period to compare with: what changed is not known.'::text;
			scope.baseline := NULL;
		END IF;
		r := @extschema@._chpg_report_findings(scope, history_only, r);
		most := CASE WHEN cardinality(r.service_ids) = 1 THEN 20 ELSE 40 END;
		SELECT * INTO read FROM @extschema@._chpg_report_pairs(t, scope, most, ARRAY(
			SELECT DISTINCT @extschema@._chpg_evidence_query_id(f.evidence)
			FROM unnest(r.incidents[1:20] || r.opportunities[1:16]) f
			WHERE f.evidence ? 'query_id' ORDER BY 1));
		r.pattern_count := read.pattern_count;
		SELECT c.changes, c.renamed INTO r.changes, r.renamed
		FROM @extschema@._chpg_report_changes(t, scope, read.pairs, r.incidents, secret, r.step, r.starts, most) c;
		r.patterns := ARRAY(SELECT p FROM @extschema@._chpg_report_patterns(t, scope, read.pairs, secret, r.starts, most) p);
		r.services := ARRAY(SELECT s FROM @extschema@._chpg_report_services(scope, r.step, r.starts, r.incidents) s);
		r.marks := ARRAY(SELECT m FROM @extschema@._chpg_report_marks(scope) m);
		r.coverage := ARRAY(SELECT c FROM @extschema@._chpg_report_coverages(scope, r.starts, hide_texts) c);
		r.load_of_services := @extschema@._chpg_report_layers_of(r.services, ARRAY(
			SELECT ROW(s.service_name, '#' || s.link, s.loads)::@extschema@._chpg_report_series
			FROM unnest(r.services) s WHERE s.load > 0 ORDER BY s.load DESC, s.service_id LIMIT 7));
		r.load_of_patterns := @extschema@._chpg_report_layers_of(r.services, ARRAY(
			SELECT ROW(@extschema@._chpg_line_text((p.pattern).query_text, 50), '#' || p.link,
				p.loads)::@extschema@._chpg_report_series
			FROM ROWS FROM (unnest(r.patterns)) WITH ORDINALITY p
			WHERE p.is_listed ORDER BY p.ordinality LIMIT 7));
	ELSE
		PERFORM @extschema@._chpg_history_warn();
		r := @extschema@._chpg_report_of_api(service, secret, history_only, r);
	END IF;
	r := @extschema@._chpg_report_findings_shown(r, secret);
	RETURN @extschema@._chpg_report_verdict(r);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_of(tstzrange, text, tstzrange, text, boolean, boolean) IS
'All that a report says.
Requests: as chpg_report.';
