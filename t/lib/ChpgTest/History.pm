# Histories of the fleet that tests make; unless another schema is named, in the schema "kept".
package ChpgTest::History;

use strict;
use warnings;

use Exporter qw(import);

use ChpgTest::Process;

our @EXPORT = qw(settle avoid_midnight make_plantable unplant);

# To captures it is now half an hour after a full hour: no window ends while a test runs.
sub settle
{
	my ($node, $schema) = @_;

	return $node->safe_psql('postgres', "UPDATE $schema.setting SET value = ((extract(minute FROM now())::integer + 30) % 60) || ' minutes' WHERE name = 'settle'");
}

# What is counted by days, or by months, of UTC: none of them ends within the next two minutes.
sub avoid_midnight { return wait_until(sub { time % 86400 < 86400 - 120 }, 'the day has ended') }

my @COUNTERS = qw(call_count error_count total_duration_us max_duration_us p50_duration_us p95_duration_us p99_duration_us
  total_rows total_shared_blks_read total_shared_blks_hit total_cpu_time_us total_wal_bytes);

# Let tests write rows of patterns and points into a history, whose layout they need not know: create
# the schema "planted" beside it, of the same database.
#
#   planted.pattern   (service_id, grain, window_start, pattern_key, and the API's counters), a view that
#                     INSERT, UPDATE and DELETE change: in open or sealed windows, as the history has them.
#                     Sums of the windows, and of their days, are written, too. Scores of the windows are
#                     deleted.
#   planted.point     (service_id, metric, series, "time", unit, value), likewise
#   planted.text(t)   the id of a text, which is new if there is none
#   planted.key(...)  the key of a pattern, likewise
#   planted.sums()    sums all windows and days anew: for tests that write to the tables themselves, or
#                     write rows of capture after the patterns
#   planted.seal(before), planted.unseal()  pack all windows before a time as chpg_history_seal does; unpack all
#   planted.clear()   removes all patterns, sums, scores and points
#
# An average duration is not stored: it is the total by the executions.
sub make_plantable
{
	my ($node, $schema, $database) = @_;
	$schema //= 'kept';
	$database //= 'postgres';
	my $chpg = $node->safe_psql($database, q{SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'chpg'});
	my $list = join ', ', @COUNTERS;
	my $written = join ', ', map { /_us$/ ? "$chpg._chpg_real(c.$_)" : "c.$_" } @COUNTERS;
	my $columns = join ', ', map { /_us$/ ? "p.$_\::float8" : "p.$_" } @COUNTERS;
	$columns =~ s|(?<=p.total_duration_us::float8)|, p.total_duration_us::float8 / nullif(p.call_count, 0) AS avg_duration_us|;
	my $arrays = join ', ', map { "w.$_" } @COUNTERS;
	my $patterns = join ' UNION ALL ', map {
		("SELECT k.service_id, '$_' AS grain, p.window_start, p.pattern_key, $columns FROM $schema.open_$_ p JOIN $schema.service_key k USING (service_key)",
		"SELECT k.service_id, '$_', w.window_start, p.pattern_key, $columns FROM $schema.sealed_$_ w JOIN $schema.service_key k USING (service_key) CROSS JOIN LATERAL unnest(w.pattern_key, $arrays) p(pattern_key, $list)") } qw(hour day);

	return $node->safe_psql($database, <<"SQL");
CREATE SCHEMA planted;

CREATE FUNCTION planted.text(words text) RETURNS integer LANGUAGE sql VOLATILE AS \$\$
	WITH known AS (
		SELECT t.text_id FROM $schema.query_text t WHERE t.text_hash = sha256(convert_to(words, 'UTF8'))
	), made AS (
		INSERT INTO $schema.query_text (text_hash, query, query_text)
		SELECT sha256(convert_to(words, 'UTF8')), left(regexp_replace(words, '\\s+', ' ', 'g'), 120), words
		WHERE NOT EXISTS (SELECT FROM known)
		RETURNING text_id
	)
	SELECT text_id FROM known UNION ALL SELECT text_id FROM made
\$\$;

CREATE FUNCTION planted.key(query_id bigint, words text, db_operation text DEFAULT 'SELECT', db_name text DEFAULT 'db',
	db_user text DEFAULT 'u', app text DEFAULT 'app') RETURNS integer LANGUAGE sql VOLATILE AS \$\$
	WITH known AS (
		SELECT k.pattern_key FROM $schema.pattern_key k
		WHERE (k.query_id, k.db_name, k.db_user, k.db_operation, k.app, k.text_id) =
			(key.query_id, key.db_name, key.db_user, key.db_operation, key.app, planted.text(words))
	), made AS (
		INSERT INTO $schema.pattern_key (query_id, db_name, db_user, db_operation, app, text_id, last_seen)
		SELECT key.query_id, key.db_name, key.db_user, key.db_operation, key.app, planted.text(words), now()
		WHERE NOT EXISTS (SELECT FROM known)
		RETURNING pattern_key
	)
	SELECT pattern_key FROM known UNION ALL SELECT pattern_key FROM made
\$\$;

CREATE VIEW planted.pattern AS
$patterns;

CREATE UNLOGGED TABLE planted.change AS SELECT *, false AS is_gone FROM planted.pattern LIMIT 0;
CREATE UNLOGGED TABLE planted.touched (service_id text, service_key integer, grain text, window_start timestamptz, is_sealed boolean);

CREATE FUNCTION planted.note_pattern() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	IF TG_OP <> 'INSERT' THEN
		INSERT INTO planted.change (service_id, grain, window_start, pattern_key, is_gone)
		VALUES (OLD.service_id, OLD.grain, OLD.window_start, OLD.pattern_key, true);
		IF TG_OP = 'DELETE' THEN
			RETURN OLD;
		END IF;
	END IF;
	INSERT INTO planted.change SELECT NEW.*, false;
	RETURN NEW;
END
\$\$;

CREATE FUNCTION planted.unseal_touched(of_grain text) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
	EXECUTE format('UPDATE planted.touched t SET is_sealed = true FROM $schema.sealed_%1\$s w
		WHERE t.grain = %1\$L AND w.service_key = t.service_key AND w.window_start = t.window_start', of_grain);
	EXECUTE format('WITH opened AS (
			DELETE FROM $schema.sealed_%1\$s w USING planted.touched t
			WHERE t.grain = %1\$L AND w.service_key = t.service_key AND w.window_start = t.window_start
			RETURNING w.*
		)
		INSERT INTO $schema.open_%1\$s (window_start, service_key, pattern_key, %2\$s)
		SELECT w.window_start, w.service_key, p.*
		FROM opened w CROSS JOIN LATERAL unnest(w.pattern_key, %3\$s) p', of_grain,
		$chpg._chpg_of_counters('{}'), $chpg._chpg_of_counters('w.{}'));
END
\$\$;

CREATE FUNCTION planted.seal_touched(of_grain text) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
	t planted.touched;
BEGIN
	FOR t IN SELECT * FROM planted.touched i WHERE i.grain = of_grain AND i.is_sealed LOOP
		EXECUTE format('SELECT $chpg._chpg_seal_window(\$1, \$2, \$3, ARRAY(
			SELECT ROW(o.pattern_key, %1\$s)::$chpg._chpg_window_row FROM $schema.open_%2\$s o
			WHERE o.service_key = \$2 AND o.window_start = \$3))', $chpg._chpg_of_counters('o.{}'), of_grain)
		USING of_grain, t.service_key, t.window_start;
		EXECUTE format('DELETE FROM $schema.open_%s o WHERE o.service_key = \$1 AND o.window_start = \$2', of_grain)
		USING t.service_key, t.window_start;
	END LOOP;
END
\$\$;

CREATE FUNCTION planted.sum_touched() RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
	UPDATE $schema.capture c
	SET (queries, call_count, error_count, total_duration_us, statement_duration_us, p95_lo_us, p95_hi_us,
		p99_lo_us, p99_hi_us, total_rows, total_shared_blks_read, total_shared_blks_hit, total_cpu_time_us,
		total_wal_bytes) = ROW(s.*)
	FROM planted.touched t
	CROSS JOIN LATERAL (
		SELECT count(*) FILTER (WHERE k.query_id <> 0),
			$chpg._chpg_bounded(coalesce(sum(r.call_count) FILTER (WHERE k.query_id <> 0), 0)),
			$chpg._chpg_bounded(coalesce(sum(r.error_count), 0)),
			coalesce(sum(r.total_duration_us), 0),
			coalesce(sum(r.total_duration_us) FILTER (WHERE k.query_id <> 0), 0),
			min(r.p95_duration_us) FILTER (WHERE k.query_id <> 0), max(r.p95_duration_us) FILTER (WHERE k.query_id <> 0),
			min(r.p99_duration_us) FILTER (WHERE k.query_id <> 0), max(r.p99_duration_us) FILTER (WHERE k.query_id <> 0),
			$chpg._chpg_bounded(coalesce(sum(r.total_rows), 0)),
			$chpg._chpg_bounded(coalesce(sum(r.total_shared_blks_read), 0)),
			$chpg._chpg_bounded(coalesce(sum(r.total_shared_blks_hit), 0)),
			coalesce(sum(r.total_cpu_time_us), 0),
			$chpg._chpg_bounded(coalesce(sum(r.total_wal_bytes), 0))
		FROM planted.pattern r
		JOIN $schema.pattern_key k ON k.pattern_key = r.pattern_key
		WHERE r.service_id = t.service_id AND r.grain = t.grain AND r.window_start = t.window_start
	) s
	WHERE c.service_id = t.service_id AND c.grain = t.grain AND c.window_start = t.window_start;
	PERFORM $chpg._chpg_sum_day(d.service_key, d.day)
	FROM (SELECT DISTINCT t.service_key, date_trunc('day', t.window_start, 'UTC') AS day FROM planted.touched t WHERE t.grain = 'hour') d;
END
\$\$;

CREATE FUNCTION planted.write_patterns() RETURNS trigger LANGUAGE plpgsql AS \$\$
DECLARE
	of_grain text;
BEGIN
	IF NOT EXISTS (SELECT FROM planted.change) THEN
		RETURN NULL;
	END IF;
	PERFORM $chpg._chpg_service_key(s.service_id) FROM (SELECT DISTINCT c.service_id FROM planted.change c) s;
	INSERT INTO planted.touched
	SELECT DISTINCT k.service_id, k.service_key, c.grain, c.window_start, false FROM planted.change c JOIN $schema.service_key k USING (service_id);
	FOREACH of_grain IN ARRAY '{hour,day}'::text[] LOOP
		PERFORM planted.unseal_touched(of_grain);
		EXECUTE format('DELETE FROM $schema.open_%1\$s o USING planted.change c JOIN $schema.service_key k USING (service_id)
			WHERE c.is_gone AND c.grain = %1\$L
				AND (o.service_key, o.window_start, o.pattern_key) = (k.service_key, c.window_start, c.pattern_key)', of_grain);
		EXECUTE format('INSERT INTO $schema.open_%1\$s (service_key, window_start, pattern_key, $list)
			SELECT k.service_key, c.window_start, c.pattern_key, $written
			FROM planted.change c JOIN $schema.service_key k USING (service_id) WHERE NOT c.is_gone AND c.grain = %1\$L', of_grain);
	END LOOP;
	IF EXISTS (SELECT FROM planted.touched t JOIN $schema.open_hour o USING (service_key, window_start)
			WHERE t.grain = 'hour' GROUP BY o.service_key, o.window_start, o.pattern_key HAVING count(*) > 1) THEN
		RAISE EXCEPTION 'a pattern is planted twice in a window';
	END IF;
	PERFORM planted.sum_touched();
	DELETE FROM $schema.score_hour s USING planted.touched t
	WHERE t.grain = 'hour' AND (s.service_key, s.window_start) = (t.service_key, t.window_start);
	PERFORM planted.seal_touched('hour'), planted.seal_touched('day');
	TRUNCATE planted.change, planted.touched;
	RETURN NULL;
END
\$\$;

CREATE TRIGGER note INSTEAD OF INSERT OR UPDATE OR DELETE ON planted.pattern FOR EACH ROW EXECUTE FUNCTION planted.note_pattern();
CREATE TRIGGER "write" AFTER INSERT OR UPDATE OR DELETE ON planted.pattern FOR EACH STATEMENT EXECUTE FUNCTION planted.write_patterns();

CREATE FUNCTION planted.touch_all() RETURNS void LANGUAGE sql AS \$\$
	INSERT INTO planted.touched
	SELECT k.service_id, k.service_key, w.grain, w.window_start, false
	FROM (SELECT p.service_id, p.grain, p.window_start FROM planted.pattern p
		UNION SELECT c.service_id, c.grain, c.window_start FROM $schema.capture c WHERE c.status = 'ok') w
	JOIN $schema.service_key k USING (service_id)
\$\$;

CREATE FUNCTION planted.sums() RETURNS void LANGUAGE sql AS \$\$
	SELECT planted.touch_all();
	SELECT planted.sum_touched();
	TRUNCATE planted.touched;
\$\$;

CREATE FUNCTION planted.seal(before timestamptz DEFAULT 'infinity') RETURNS void LANGUAGE sql AS \$\$
	SELECT planted.touch_all();
	DELETE FROM planted.touched t WHERE t.window_start >= before
		OR NOT EXISTS (SELECT FROM $schema.open_hour o WHERE t.grain = 'hour' AND (o.service_key, o.window_start) = (t.service_key, t.window_start)
			UNION ALL SELECT FROM $schema.open_day o WHERE t.grain = 'day' AND (o.service_key, o.window_start) = (t.service_key, t.window_start));
	UPDATE planted.touched SET is_sealed = true;
	SELECT planted.seal_touched('hour'), planted.seal_touched('day');
	TRUNCATE planted.touched;
\$\$;

CREATE FUNCTION planted.unseal() RETURNS void LANGUAGE sql AS \$\$
	SELECT planted.touch_all();
	SELECT planted.unseal_touched('hour'), planted.unseal_touched('day');
	TRUNCATE planted.touched;
\$\$;

CREATE FUNCTION planted.clear() RETURNS void LANGUAGE sql AS \$\$
	TRUNCATE $schema.open_hour, $schema.open_day, $schema.sealed_hour, $schema.sealed_day, $schema.day_sum, $schema.metric_day, $schema.score_hour
\$\$;

CREATE VIEW planted.point AS
SELECT k.service_id, m.metric, m.series, m.first_time + (v.place - 1) * m.step AS "time", m.unit, v.value::float8 AS value
FROM $schema.metric_day m JOIN $schema.service_key k USING (service_key)
CROSS JOIN LATERAL unnest(m."values") WITH ORDINALITY v(value, place)
WHERE v.value IS NOT NULL;

CREATE UNLOGGED TABLE planted.point_change AS SELECT *, false AS is_gone FROM planted.point LIMIT 0;

CREATE FUNCTION planted.note_point() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	IF TG_OP <> 'INSERT' THEN
		INSERT INTO planted.point_change SELECT OLD.*, true;
		IF TG_OP = 'DELETE' THEN
			RETURN OLD;
		END IF;
	END IF;
	INSERT INTO planted.point_change SELECT NEW.*, false;
	RETURN NEW;
END
\$\$;

CREATE FUNCTION planted.write_points() RETURNS trigger LANGUAGE plpgsql AS \$\$
DECLARE
	of_service integer;
	d record;
	points $chpg.chpg_metric_row[];
BEGIN
	FOR d IN SELECT DISTINCT c.service_id, date_trunc('day', c."time", 'UTC') AS day FROM planted.point_change c LOOP
		of_service := $chpg._chpg_service_key(d.service_id);
		points := ARRAY(
			SELECT jsonb_populate_record(NULL::$chpg.chpg_metric_row, to_jsonb(p) || jsonb_build_object('timestamp', p."time"))
			FROM (SELECT o.* FROM planted.point o
				WHERE NOT EXISTS (SELECT FROM planted.point_change g
					WHERE (g.service_id, g.metric, g.series, g."time") = (o.service_id, o.metric, o.series, o."time"))
				UNION ALL
				SELECT n.service_id, n.metric, n.series, n."time", n.unit, n.value FROM planted.point_change n WHERE NOT n.is_gone) p
			WHERE p.service_id = d.service_id AND p."time" >= d.day AND p."time" < d.day + interval '1 day');
		DELETE FROM $schema.metric_day m WHERE m.service_key = of_service AND m.day = d.day;
		PERFORM $chpg._chpg_note_points(of_service, d.day, d.day + interval '1 day',
			coalesce((SELECT nullif(s.value, 'off')::interval FROM $schema.setting s WHERE s.name = 'metric_bucket'), interval '5 minutes'),
			points);
	END LOOP;
	TRUNCATE planted.point_change;
	RETURN NULL;
END
\$\$;

CREATE TRIGGER note INSTEAD OF INSERT OR UPDATE OR DELETE ON planted.point FOR EACH ROW EXECUTE FUNCTION planted.note_point();
CREATE TRIGGER "write" AFTER INSERT OR UPDATE OR DELETE ON planted.point FOR EACH STATEMENT EXECUTE FUNCTION planted.write_points();
SQL
}

# Remove the patterns with these query texts from the history.
sub unplant
{
	my ($node, @texts) = @_;
	my $list = join ', ', map { "'$_'" } @texts;

	return $node->safe_psql('postgres', "DELETE FROM planted.pattern p USING kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND t.query_text IN ($list)");
}

1;
