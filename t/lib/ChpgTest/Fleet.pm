# Noisy fleets in a history, from a seed, and what a watch each hour makes of them.  t/insight/README.md
# describes them.
#
#   my $fleet = ChpgTest::Fleet->new(run => \&run, seed => 100, services => 10);
#   $fleet->load;              write the history up to the first day that is judged
#   $fleet->watch_all;         hour by hour: capture it, score it, keep the findings
#   print $fleet->healthy;     shares of service-days with alarms
#   print $fleet->recall;      what was found of what was planted
package ChpgTest::Fleet;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp  qw(tempdir);
use List::Util  qw(max min sum0);
use POSIX       qw(floor strftime);
use Time::HiRes qw(time);

use ChpgTest::Fleet::Chance qw(begin log_uniform);
use ChpgTest::Fleet::Plants qw(plant kinds);
use ChpgTest::Fleet::Service;

# The hour 2026-05-25 00:00Z, near which the judged days begin: the month's end is among the first ten.
my $BEGIN = 1779667200 / 3600;

my @COUNTERS = qw(call_count error_count total_rows total_shared_blks_read total_shared_blks_hit total_wal_bytes total_duration_us
  max_duration_us p50_duration_us p95_duration_us p99_duration_us total_cpu_time_us);
my @CAPTURE = qw(service_id grain window_start window_end status patterns truncated cutoff_us error attempts captured_at queries call_count
  error_count total_duration_us statement_duration_us p95_lo_us p95_hi_us p99_lo_us p99_hi_us total_rows total_shared_blks_read
  total_shared_blks_hit total_cpu_time_us total_wal_bytes);
my @SUMS = qw(call_count error_count total_rows total_shared_blks_read total_shared_blks_hit total_wal_bytes total_duration_us
  total_cpu_time_us max_duration_us);
my @OF_SUMS = (1 .. 7, 12, 8);

# Rows that alarm, of the top level.  That a row names a plant: it began no earlier than the plant, and is about a
# pattern of it, or its application or service.
our $VIEWS = <<'SQL';
CREATE MATERIALIZED VIEW fleet.alarm AS
SELECT f.at, f.place, f.service_id, f.level, f.rule_id, f.finding->>'finding_key' AS finding_key, f.finding->>'kind' AS kind,
	(f.finding->>'since')::timestamptz AS since, f.finding->'evidence' AS evidence, f.finding->>'symptom' AS symptom,
	coalesce(f.finding->>'subject', f.finding->'evidence'->>'query_text') AS subject, f.finding->>'incident_id' AS incident_id
FROM fleet.found f
WHERE f.level IN ('WARN', 'ERROR') AND coalesce((f.finding->>'muted')::boolean, false) IS FALSE
	AND coalesce(f.finding->>'state', '') <> 'resolved'
WITH NO DATA;
CREATE INDEX ON fleet.alarm (service_id, at);

CREATE VIEW fleet.healthy_day AS
SELECT s.service_id, d.day, bool_or(a.level IS NOT NULL) AS alarms, coalesce(bool_or(a.level = 'ERROR'), false) AS errors, array_agg(DISTINCT a.rule_id) AS rules,
	(SELECT array_agg(c.what ORDER BY c.what) FROM fleet.calendar c WHERE c.service_id = s.service_id AND c.day = d.day) AS happened
FROM kept.service s
CROSS JOIN (SELECT DISTINCT date_trunc('day', w.at - interval '1 hour', 'UTC') AS day FROM fleet.watch w) d
LEFT JOIN fleet.alarm a ON a.service_id = s.service_id AND a.at > d.day AND a.at <= d.day + interval '1 day'
WHERE s.valid_from = '-infinity' AND NOT EXISTS (SELECT FROM fleet.truth t WHERE t.service_id = s.service_id)
	AND NOT EXISTS (SELECT FROM fleet.calendar c WHERE c.service_id = s.service_id AND c.day = d.day AND c.what = 'unborn')
GROUP BY 1, 2;

CREATE MATERIALIZED VIEW fleet.naming AS
SELECT t.kind, t.strength, t.service_id, t.onset, t.judged_at, t.d, t.factor, t.creeps, t.trend, a.at, a.place, a.level, a.rule_id, a.since, a.finding_key, a.symptom, a.subject,
	a.place = min(a.place) OVER (PARTITION BY a.service_id, a.at) AS is_first,
	(a.evidence->>'query_id' = ANY (t.query_ids) OR EXISTS (SELECT FROM unnest(t.query_ids) q WHERE strpos(a.evidence::text, q) > 0 OR strpos(a.finding_key, q) > 0)
		OR t.by_service AND NOT a.evidence ? 'query_id' AND NOT a.evidence ? 'app'
		OR t.app = a.evidence->>'app' AND NOT a.evidence ? 'query_id')
	AND (t.creeps OR NOT EXISTS (SELECT FROM fleet.alarm b
		WHERE b.service_id = a.service_id AND b.finding_key = a.finding_key AND b.at <= t.onset AND b.at > t.onset - interval '1 hour')) AS names
FROM fleet.truth t
JOIN fleet.alarm a ON a.service_id = t.service_id AND a.at > t.onset
WITH NO DATA;
CREATE INDEX ON fleet.naming (service_id, at);

CREATE VIEW fleet.outcome AS
SELECT t.kind, t.strength, t.service_id, t.onset, t.d, t.factor, t.creeps, t.trend, j.judged AS is_judged, coalesce(n.named, false) AS named, coalesce(n.first, false) AS first, n.since,
	n.rows, w.named_at, w.rule_id, w.named_at IS NOT NULL AS within_day
FROM fleet.truth t
CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM fleet.watch w WHERE w.at = t.judged_at) AS judged) j
LEFT JOIN LATERAL (
	SELECT bool_or(n.names) AS named, bool_or(n.names AND n.is_first) AS first, (array_agg(n.since ORDER BY n.place) FILTER (WHERE n.names))[1] AS since, count(*) AS rows
	FROM fleet.naming n WHERE n.service_id = t.service_id AND n.at = t.judged_at) n ON true
LEFT JOIN LATERAL (
	SELECT n.at AS named_at, n.rule_id FROM fleet.naming n
	WHERE n.service_id = t.service_id AND n.names AND (t.creeps OR n.at <= t.onset + interval '25 hours')
	ORDER BY n.at, n.place LIMIT 1) w ON true;
SQL

# Options:
#   run        function that runs SQL, with psql's \copy, and returns what it prints
#   seed       of all chance
#   services   healthy services; 0 with plants alone
#   patterns   of each service; 0: from 3 to 500
#   days       before the judged ones
#   judged     days
#   open_days  days before the judged ones whose windows are not sealed yet
#   plants     kinds to plant, strong and weak, each in a service of its own; 'all'
#   planted_patterns   patterns of these services
#   onsets     hours of the first judged day between which they begin
#   step       minutes between points of metrics; 0: no metrics
sub new
{
	my ($class, %options) = @_;
	my $self = bless {
		seed => 1, services => 10, patterns => 40, days => 28, judged => 1, open_days => 8, plants => [], onsets => [ 0, 24 ], step => 5,
		planted_patterns => 30, place => tempdir(CLEANUP => 1), say => sub { }, %options }, $class;

	chmod 0755, $self->{place};
	$self->{start} = $BEGIN + 24 * ($self->{seed} % 7);
	$self->{first} = $self->{start} - 24 * $self->{days};
	$self->{end} = $self->{start} + 24 * $self->{judged};
	$self->{open} = $self->{start} - 24 * $self->{open_days};
	$self->{plants} = [ kinds() ] if !ref $self->{plants};
	return $self;
}

sub stamp { my ($hour) = @_; return strftime('%Y-%m-%d %H:%M:%SZ', gmtime floor($hour * 3600 + 0.5)) }

sub sql { my ($self, $sql) = @_; return $self->{run}->($sql) }

# ---- Writing

sub load
{
	my ($self) = @_;
	my $began = time;

	$self->_prepare;
	for my $number (1 .. $self->{services})
	{
		begin($self->{seed}, 'size', $number);
		my $patterns = $self->{patterns} || int log_uniform(2, 500);
		$self->_write_service(ChpgTest::Fleet::Service->new(seed => $self->{seed}, number => $number, patterns_wanted => $patterns,
			first => $self->{first}, start => $self->{start}, end => $self->{end}, happens => 1));
	}
	my $number = 1000;
	for my $kind (@{ $self->{plants} })
	{
		for my $strength (qw(strong weak))
		{
			my $service = ChpgTest::Fleet::Service->new(seed => $self->{seed}, number => ++$number, patterns_wanted => $self->{planted_patterns},
				first => $self->{first}, start => $self->{start}, end => $self->{end}, happens => 0);
			my $truth = plant($service, $kind, $strength, map { $self->{start} + $_ } @{ $self->{onsets} });
			$self->_write_service($service);
			$self->_write_truth($truth);
			# the watch before the onset, after four whole hours, and after a day
			$self->{deciding}{$_} = 1 for floor($truth->{onset}), $truth->{judged_at}, floor($truth->{onset}) + 25;
		}
	}
	$self->{say}->(sprintf 'generated in %.1f s', time - $began);
	$self->_copy_all;
	$self->_score(stamp($self->{start} - 48), stamp($self->{start}));
	$self->sql('ANALYZE');
	$self->{say}->(sprintf 'loaded and scored in %.1f s', time - $began);
	return $self;
}

# A history, and beside it a schema "fleet" that holds back what is yet to come.
sub _prepare
{
	my ($self) = @_;

	$self->sql(<<"SQL");
SET client_min_messages = warning;
SELECT chpg_history_enable('kept');
CREATE SCHEMA fleet;
CREATE UNLOGGED TABLE fleet.open_hour (LIKE kept.open_hour);
CREATE UNLOGGED TABLE fleet.capture (LIKE kept.capture);
CREATE UNLOGGED TABLE fleet.metric_day (LIKE kept.metric_day);
CREATE UNLOGGED TABLE fleet.pattern_key (first timestamptz, LIKE kept.pattern_key);
CREATE UNLOGGED TABLE fleet.query_text (LIKE kept.query_text);
CREATE UNLOGGED TABLE fleet.version (at timestamptz, service_id text, postgres_version text);
CREATE TABLE fleet.truth (service_id text, kind text, strength text, onset timestamptz, judged_at timestamptz, factor float8, d float8,
	query_ids text[], by_service boolean, app text, creeps boolean, trend boolean);
CREATE TABLE fleet.calendar (service_id text, day timestamptz, what text);
CREATE TABLE fleet.found (at timestamptz, place bigint, service_id text, level text, rule_id text, finding jsonb);
CREATE TABLE fleet.watch (at timestamptz, capture_ms float8, score_ms float8, watch_ms float8);
SELECT _chpg_history_partition('hour', m)
FROM generate_series(date_trunc('month', timestamptz '@{[stamp($self->{first})]}', 'UTC'), '@{[stamp($self->{end})]}', '1 month') m;
UPDATE kept.setting SET value = '@{[$self->{step} || 5]} minutes' WHERE name = 'metric_bucket';
SQL
	$self->sql($self->_functions . $VIEWS);
	open $self->{file}{$_}, '>', "$self->{place}/$_" or die "$_: $!"
	  for qw(service service_key query_text pattern_key sealed_hour open_hour capture day_sum metric_day limit_day
	  fleet.open_hour fleet.capture fleet.metric_day fleet.pattern_key fleet.query_text fleet.version fleet.truth fleet.calendar);
	@$self{qw(next_key next_seal)} = (1, 1);
	return;
}

sub _functions
{
	my ($self) = @_;
	my $has = sub { $self->sql("SELECT to_regproc('$_[0]') IS NOT NULL") =~ /^t/m };
	my $scores = $has->('_chpg_score_windows')
	  ? 'PERFORM _chpg_score_windows(ARRAY(SELECT k.service_key FROM kept.service_key k), at - interval \'1 hour\', at);' : '';
	$self->{scores} = $scores ne '';
	my $counters = join ', ', @COUNTERS;

	return <<"SQL";
-- what captures write of the hour before a time
CREATE FUNCTION fleet.capture(at timestamptz) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
	began timestamptz := at - interval '1 hour';
	today timestamptz := date_trunc('day', began, 'UTC');
BEGIN
	INSERT INTO kept.query_text OVERRIDING SYSTEM VALUE
	SELECT t.* FROM fleet.query_text t
	WHERE t.text_id IN (SELECT k.text_id FROM fleet.pattern_key k WHERE k.first = began)
		AND NOT EXISTS (SELECT FROM kept.query_text q WHERE q.text_id = t.text_id);
	INSERT INTO kept.pattern_key OVERRIDING SYSTEM VALUE
	SELECT k.pattern_key, k.query_id, k.text_id, k.db_name, k.db_user, k.db_operation, k.app, at FROM fleet.pattern_key k WHERE k.first = began;
	INSERT INTO kept.open_hour (window_start, service_key, pattern_key, $counters)
	SELECT o.window_start, o.service_key, o.pattern_key, $counters FROM fleet.open_hour o WHERE o.window_start = began;
	INSERT INTO kept.capture SELECT * FROM fleet.capture c WHERE c.window_start = began;
	UPDATE kept.pattern_key k SET last_seen = at
	FROM fleet.open_hour o
	WHERE o.window_start = began AND k.pattern_key = o.pattern_key AND k.last_seen <= at - interval '1 day';
	PERFORM _chpg_sum_day(s.service_key, today) FROM (SELECT DISTINCT o.service_key FROM fleet.open_hour o WHERE o.window_start = began) s;
	INSERT INTO kept.metric_day AS m (service_key, day, metric, series, unit, first_time, step, "values")
	SELECT n.service_key, n.day, n.metric, n.series, n.unit, n.first_time, n.step, n."values"[:extract(epoch FROM at - n.first_time) / extract(epoch FROM n.step)]
	FROM fleet.metric_day n WHERE n.day = today AND n.first_time < at
	ON CONFLICT ON CONSTRAINT metric_day_pkey DO UPDATE SET "values" = excluded."values";
	UPDATE kept.service s SET valid_to = v.at FROM fleet.version v WHERE v.at = began AND s.service_id = v.service_id;
	INSERT INTO kept.service (service_id, valid_from, noted_at, service_name, region, size, ha_type, postgres_version, tags, server)
	SELECT s.service_id, v.at, v.at, s.service_name, s.region, s.size, s.ha_type, v.postgres_version, s.tags, s.server
	FROM fleet.version v JOIN kept.service s USING (service_id) WHERE v.at = began;
END
\$\$;

CREATE FUNCTION fleet.milliseconds(since timestamptz) RETURNS float8 LANGUAGE sql VOLATILE AS \$\$
	SELECT extract(epoch FROM clock_timestamp() - since) * 1000
\$\$;

-- what a watch does then, or only the capture
CREATE FUNCTION fleet.watch(at timestamptz, judges boolean DEFAULT true) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
	began timestamptz := clock_timestamp();
	took float8[] := '{}';
BEGIN
	PERFORM fleet.capture(at);
	took := took || fleet.milliseconds(began);
	began := clock_timestamp();
	$scores
	took := took || fleet.milliseconds(began);
	began := clock_timestamp();
	IF NOT judges THEN
		RETURN;
	END IF;
	INSERT INTO fleet.found
	SELECT at, f.ordinality, f.service_id, f.level, f.rule_id, to_jsonb(f)
	FROM chpg_findings(tstzrange(at - interval '24 hours', at), history_only => true) WITH ORDINALITY f;
	INSERT INTO fleet.watch VALUES (at, took[1], took[2], fleet.milliseconds(began));
END
\$\$;
SQL
}

sub _score
{
	my ($self, $from, $until) = @_;

	return unless $self->{scores};
	return $self->sql("SELECT _chpg_score_windows(ARRAY(SELECT k.service_key FROM kept.service_key k), '$from', '$until')");
}

sub _line { my ($self, $file, @values) = @_; print { $self->{file}{$file} } join("\t", map { $_ // '\N' } @values), "\n"; return }

sub _write_service
{
	my ($self, $service) = @_;
	my $number = $service->{number};
	my $size = "$service->{cores} cores";

	$self->_line('service', $service->{id}, '-infinity', stamp($self->{first}), $service->{name}, 'aws us-east-1', $size, 'none', '17', '{}', '');
	$self->_line('service_key', $number, $service->{id});
	$self->_line('fleet.version', @{ $_ }) for @{ $service->{versions} // [] };
	for my $day (sort keys %{ $service->{calendar} })
	{
		$self->_line('fleet.calendar', $service->{id}, stamp($day), $_) for sort keys %{ $service->{calendar}{$day} };
	}
	$self->_write_keys($service);
	my %sums;
	for my $hour (max($self->{first}, $service->{begins} // 0) .. $self->{end} - 1)
	{
		my $held = $hour >= $self->{start} ? 'fleet.' : '';
		my $rows = $service->{lost}{$hour} ? undef : [ sort { $a->[0]{key} <=> $b->[0]{key} } @{ $service->window($hour) } ];
		$self->_write_capture($held, $service, $hour, $rows);
		next unless $rows;
		$self->_write_window($held, $number, $hour, $rows);
		if (!$held)
		{
			_sum($sums{ $_->[0]{key} } //= [], $_) for @$rows;
			if ($hour % 24 == 23) { $self->_write_sums($number, $hour - 23, \%sums); %sums = () }
		}
	}
	$self->_write_points($service) if $self->{step};
	return;
}

sub _write_truth
{
	my ($self, $truth) = @_;
	my $flag = sub { return $truth->{ $_[0] } ? 't' : 'f' };

	$self->_line('fleet.truth', @$truth{qw(service_id kind strength)}, stamp($truth->{onset}), stamp($truth->{judged_at}), @$truth{qw(factor d)},
		'{' . join(',', grep { $_ ne '0' } map { $_->{id} } @{ $truth->{patterns} }) . '}', $flag->('service'), $truth->{app}, $flag->('creeps'), $flag->('trend'));
	return;
}

# Keys in the order of their first windows: what is new later is not known yet.
sub _write_keys
{
	my ($self, $service) = @_;

	for my $pattern (@{ $service->{patterns} })
	{
		# services share the keys of the same statement
		my $identity = join "\t", @$pattern{qw(id database user operation app text)};
		my $known = $self->{keys}{$identity};
		my $key = $pattern->{key} = $self->{keys}{$identity} //= $self->{next_key}++;
		next if $known;
		my $first = floor($pattern->{from} // $self->{first});
		my $held = $first >= $self->{start};
		my $text = $pattern->{text};
		my $text_id = $self->{texts}{$text} //= do {
			$self->_line($held ? 'fleet.query_text' : 'query_text', $key, '\\\\x' . sha256_hex($text), substr($text, 0, 120), $text);
			$key;
		};
		my @of = ($key, $pattern->{id}, $text_id, $pattern->{database}, $pattern->{user}, $pattern->{operation}, $pattern->{app},
			stamp(min($self->{start}, $pattern->{until} // $self->{start})));
		if ($held) { $self->_line('fleet.pattern_key', stamp($first), @of) }
		else { $self->_line('pattern_key', @of) }
	}
	return;
}

sub _write_window
{
	my ($self, $held, $number, $hour, $rows) = @_;
	my $time = $self->{stamp}{$hour} //= stamp($hour);

	if ($hour >= $self->{open})
	{
		my $file = $self->{file}{"${held}open_hour"};
		for my $row (@$rows)
		{
			printf $file "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g\n", $time, $number, $row->[0]{key}, @$row[ 1 .. 12 ];
		}
		return;
	}
	my $list = sub { my ($i) = @_; return '{' . join(',', map { $i > 6 ? sprintf '%.4g', $_->[$i] : $_->[$i] } @$rows) . '}' };
	$self->_line('sealed_hour', $time, $number, $self->{next_seal}++, scalar @$rows, '{' . join(',', map { $_->[0]{key} } @$rows) . '}',
		map { $list->($_) } 1 .. 12);
	return;
}

sub _write_capture
{
	my ($self, $held, $service, $hour, $rows) = @_;
	my @window = ($service->{id}, 'hour', stamp($hour), stamp($hour + 1));

	if (!$rows)
	{
		$self->_line("${held}capture", @window, 'error', undef, 'f', undef, '58000: the API failed', 4, stamp($hour + 1), (undef) x 14);
		return;
	}
	my @of = grep { $_->[0]{class} ne 'error' } @$rows;
	my $sum = sub { my ($i) = @_; return sprintf $i > 6 ? '%.8g' : '%d', sum0 map { $_->[$i] } @of };
	my $cutoff = $service->{cutoff}{$hour};
	$self->_line("${held}capture", @window, 'ok', scalar @$rows, $cutoff ? 't' : 'f', $cutoff, undef, 1, stamp($hour + 1), scalar @of,
		$sum->(1), sum0(map { $_->[2] } @$rows), $sum->(7), $sum->(7), (map { my $i = $_; min(map { $_->[$i] } @of), max(map { $_->[$i] } @of) } 10, 11),
		map { $sum->($_) } 3, 4, 5, 12, 6);
	return;
}

# Sums of a day: hours, least and greatest p95, and the counters
sub _sum
{
	my ($sum, $row) = @_;

	$sum->[0]++;
	$sum->[13] = $row->[10] if !defined $sum->[13] || $row->[10] < $sum->[13];
	$sum->[14] = $row->[10] if !defined $sum->[14] || $row->[10] > $sum->[14];
	$sum->[$_] += $row->[$_] for 1 .. 7, 12;
	$sum->[8] = $row->[8] if !defined $sum->[8] || $row->[8] > $sum->[8];
	return;
}

sub _write_sums
{
	my ($self, $number, $day, $sums) = @_;
	my $time = stamp($day);

	for my $key (sort { $a <=> $b } keys %$sums)
	{
		my $sum = $sums->{$key};
		$self->_line('day_sum', $time, $number, $key, $sum->[0], (map { sprintf '%.6g', $_ } @$sum[ 13, 14 ]), (map { $_ < 7 ? $sum->[$_] : sprintf '%.9g', $sum->[$_] } @OF_SUMS));
	}
	return;
}

sub _write_points
{
	my ($self, $service) = @_;

	for (my $day = $self->{first}; $day < $self->{end}; $day += 24)
	{
		my $held = $day >= $self->{start} ? 'fleet.' : '';
		my $from = max($day, $service->{begins} // 0);
		next if $from >= $day + 24;
		for my $line ($service->points($day, $self->{step}))
		{
			my ($metric, $series, $unit, @values) = @$line;
			$self->_line("${held}metric_day", $service->{number}, stamp($day), $metric, $series, $unit, stamp($from), "$self->{step} minutes",
				'{' . join(',', map { sprintf '%.5g', $_ } @values) . '}');
		}
		my @limits = ($service->{cores}, $service->{cores} * 8 * 2**30, $service->{cores} * 100e9, $service->{max_connections});
		$self->_line('limit_day', $service->{number}, stamp($day), stamp($day), "$service->{cores} cores", '17', @limits);
	}
	return;
}

sub _copy_all
{
	my ($self) = @_;
	my %columns = (
		service => 'service_id, valid_from, noted_at, service_name, region, size, ha_type, postgres_version, tags, server',
		service_key => 'service_key, service_id', query_text => 'text_id, text_hash, query, query_text',
		pattern_key => 'pattern_key, query_id, text_id, db_name, db_user, db_operation, app, last_seen',
		open_hour => join(', ', qw(window_start service_key pattern_key), @COUNTERS),
		sealed_hour => join(', ', qw(window_start service_key seal_id patterns pattern_key), @COUNTERS), capture => join(', ', @CAPTURE),
		day_sum => join(', ', '"time"', qw(service_key pattern_key hours p95_lo_us p95_hi_us), @SUMS),
		metric_day => 'service_key, day, metric, series, unit, first_time, step, "values"',
		limit_day => 'service_key, day, noted_at, size, postgres_version, cpu_cores, memory_bytes, storage_bytes, max_connections',
		version => 'at, service_id, postgres_version',
		calendar => 'service_id, day, what', truth => 'service_id, kind, strength, onset, judged_at, factor, d, query_ids, by_service, app, creeps, trend');

	close $_ for values %{ $self->{file} };
	my $has_limits = $self->sql(q{SELECT to_regclass('kept.limit_day') IS NOT NULL}) =~ /^t/m;
	my @copies;
	for my $file (sort { ($a =~ /^service/ ? 0 : 1) <=> ($b =~ /^service/ ? 0 : 1) || $a cmp $b } keys %{ $self->{file} })
	{
		next if $file eq 'limit_day' && !$has_limits;
		my ($schema, $table) = $file =~ /^fleet\.(.*)/ ? ('fleet', $1) : ('kept', $file);
		my $list = $columns{$table};
		$list = "first, $list" if $file eq 'fleet.pattern_key';
		push @copies, "\\copy $schema.$table ($list) FROM '$self->{place}/$file'";
	}
	$self->sql(join "\n", 'SET timezone = \'UTC\';', @copies, '');
	unlink "$self->{place}/$_" for keys %{ $self->{file} };
	$self->sql(<<'SQL');
SELECT setval(pg_get_serial_sequence(t, c), greatest(n, 1)) FROM (
	SELECT 'kept.service_key', 'service_key', max(service_key) FROM kept.service_key
	UNION ALL SELECT 'kept.pattern_key', 'pattern_key', 1000000000
	UNION ALL SELECT 'kept.query_text', 'text_id', 1000000000
	UNION ALL SELECT 'kept.archive', 'seal_id', 1000000000) s(t, c, n);
CREATE INDEX ON fleet.open_hour (window_start);
SQL
	return;
}

# ---- Watching

# Each hour; or, if only is "deciding", only capture those that decide nothing about the plants.
sub watch_all
{
	my ($self, %options) = @_;
	my $only = $options{only} // '';
	my $began = time;

	for my $hour ($self->{start} + 1 .. $options{until} // $self->{end})
	{
		my $judges = $only eq '' || $self->{deciding}{$hour} ? 'true' : 'false';
		$self->sql("SELECT fleet.watch('@{[stamp($hour)]}', $judges)");
		$self->sql('VACUUM ANALYZE kept.open_hour') if $hour % 24 == 0;
		$self->{say}->(sprintf 'watched %d hours in %.0f s', $hour - $self->{start}, time - $began) if $hour % 24 == 0;
	}
	return $self->judge;
}

# ---- Judging what was found

# "3 of 40 = 7.5 % (2.6 to 19.9)", with Wilson's bounds of 95 percent
sub share
{
	my ($some, $all) = @_;
	return "$some of $all" if !$all;
	my ($p, $z) = ($some / $all, 1.96);
	my $middle = ($p + $z**2 / 2 / $all) / (1 + $z**2 / $all);
	my $half = $z / (1 + $z**2 / $all) * sqrt($p * (1 - $p) / $all + $z**2 / 4 / $all**2);
	return sprintf '%d of %d = %.1f %% (%.1f to %.1f)', $some, $all, 100 * $p, 100 * max(0, $middle - $half), 100 * min(1, $middle + $half);
}

# Make of the findings so far what the functions below read.
sub judge { my ($self) = @_; $self->sql('REFRESH MATERIALIZED VIEW fleet.alarm; REFRESH MATERIALIZED VIEW fleet.naming; ANALYZE fleet.alarm, fleet.naming'); return $self }

sub _rows { my ($self, $sql) = @_; return map { [ split /\|/, $_, -1 ] } split /\n/, $self->sql($sql) }

# Service-days of healthy services, those with alarms and with errors among them, and the days by rule
sub healthy
{
	my ($self) = @_;
	my ($all, $alarms, $errors) = @{ ($self->_rows('SELECT count(*), count(*) FILTER (WHERE alarms), count(*) FILTER (WHERE errors) FROM fleet.healthy_day'))[0] };
	my %rules = map { @$_ } $self->_rows('SELECT r, count(*) FROM fleet.healthy_day, unnest(rules) r WHERE r IS NOT NULL GROUP BY 1 ORDER BY 1');

	my %happened = map { $_->[0] => [ @$_[ 1, 2 ] ] } $self->_rows(q{SELECT h, count(*) FILTER (WHERE alarms), count(*) FROM fleet.healthy_day,
		unnest(coalesce(happened, '{nothing}')) h GROUP BY 1 ORDER BY 1});

	return { days => $all, alarms => $alarms, errors => $errors, rules => \%rules, happened => \%happened };
}

# Of the plants: outcomes, one for each
sub outcomes
{
	my ($self) = @_;
	my @names = qw(kind strength d factor creeps trend is_judged named first minutes rows hours rule);
	return map { my %of; @of{@names} = @$_; \%of } $self->_rows(q{SELECT kind, strength, round(d::numeric, 1), round(factor::numeric, 2), creeps, trend, is_judged, named, first,
		round(extract(epoch FROM since - onset) / 60), rows, round(extract(epoch FROM named_at - onset) / 3600), rule_id FROM fleet.outcome ORDER BY kind, strength});
}

# Counts of the measures, each [some, all]
sub measures
{
	my ($self) = @_;
	my @outcomes = $self->outcomes;
	my @early = grep { $_->{d} > 0 && $_->{is_judged} eq 't' } @outcomes;
	my @found = grep { $_->{named} eq 't' } @early;
	my @changes = grep { $_->{trend} eq 'f' } @found;
	my $some = sub { my ($is, @of) = @_; return [ scalar(grep { $is->() } @of), scalar @of ] };
	my $named = sub { $_->{named} eq 't' };

	return {
		strong => $some->($named, grep { $_->{d} >= 10 } @early), middle => $some->($named, grep { $_->{d} >= 5 && $_->{d} < 10 } @early),
		weak => $some->($named, grep { $_->{d} < 5 } @early), all => $some->($named, @early),
		day => $some->(sub { $_->{hours} ne '' }, @outcomes), first => $some->(sub { $_->{first} eq 't' }, @found),
		since => $some->(sub { $_->{minutes} ne '' && abs $_->{minutes} <= 60 }, @changes), rows => $some->(sub { $_->{rows} == 1 }, @found) };
}

# All of it in words
sub report
{
	my ($self) = @_;
	my @lines;

	my ($watches, @took) = @{ ($self->_rows(q{SELECT count(*), round(avg(capture_ms)::numeric), round(avg(score_ms)::numeric), round(avg(watch_ms)::numeric), round(max(score_ms + watch_ms)::numeric) FROM fleet.watch}))[0] };
	push @lines, sprintf '%d watches: capture %d ms, scoring %d ms, findings %d ms; slowest watch with scoring %d ms', $watches, @took;
	my $healthy = $self->healthy;
	if ($healthy->{days})
	{
		push @lines, 'healthy service-days with WARN or ERROR: ' . share($healthy->{alarms}, $healthy->{days}), '  with ERROR: ' . share($healthy->{errors}, $healthy->{days});
		push @lines, map { "  $_ on $healthy->{rules}{$_}" } sort { $healthy->{rules}{$b} <=> $healthy->{rules}{$a} } keys %{ $healthy->{rules} };
		push @lines, map { "  days with $_: " . share(@{ $healthy->{happened}{$_} }) } sort keys %{ $healthy->{happened} };
	}
	my @outcomes = $self->outcomes;
	if (@outcomes)
	{
		my $m = $self->measures;
		my %words = (
			strong => 'named after four whole hours, d >= 10', middle => 'd 5 to 10', weak => 'd < 5', all => 'all with an effect by then', day => 'named within a day',
			first => 'first row of the service is the problem, of those found', since => 'since within one hour, of changes found', rows => 'one row at the top level, of those found');
		push @lines, map { "$words{$_}: " . share(@{ $m->{$_} }) } qw(strong middle weak all day first since rows);
		push @lines, sprintf '  %-22s %-6s factor %6.2f  d %5.1f  %-8s %-5s since %4s min  rows %2s  first named after %2s h by %s', @$_{qw(kind strength factor d)},
		  ($_->{d} == 0 ? '-' : $_->{named} eq 't' ? 'named' : 'MISSED'), ($_->{first} eq 't' ? 'first' : ''), $_->{minutes}, $_->{rows}, $_->{hours} eq '' ? '-' : $_->{hours}, $_->{rule} || '-'
		  for @outcomes;
	}
	return join "\n", @lines, '';
}

1;
