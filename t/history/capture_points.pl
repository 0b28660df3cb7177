# Captures of metrics: points replace those of their time, and hostile ones are left out.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::History;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));
$node->safe_psql('postgres', q{SELECT chpg_history_enable('kept')});

# Let the history note these points, of the hours from $from to $to on 2026-05-04.
sub note_points
{
	my ($from, $to, $step, $points) = @_;
	return $node->safe_psql('postgres', <<"SQL");
SET timezone = 'America/Caracas';
SET statement_timeout = '${\ $PostgreSQL::Test::Utils::timeout_default}s';
SELECT _chpg_note_points(0, '2026-05-04 00:00Z'::timestamptz + '$from hours', '2026-05-04 00:00Z'::timestamptz + '$to hours', '$step', ARRAY(
	SELECT jsonb_populate_record(NULL::chpg_metric_row, jsonb_build_object('metric', p.metric, 'series', p.series, 'timestamp', p.at, 'value', p.value))
	FROM ($points) p(metric, series, at, value)))
SQL
}

sub points_from { my ($series, $from, $to, $step, $value) = @_; return "SELECT 'm', '$series', t, $value FROM generate_series('2026-05-04 00:00Z'::timestamptz + '$from', '2026-05-04 00:00Z'::timestamptz + '$to' - interval '1 second', '$step') t" }
sub all_points { return $node->safe_psql('postgres', q{SELECT series, count(*), count(DISTINCT "time"), sum(value), to_char(min("time"), 'HH24:MI'), to_char(max("time"), 'HH24:MI') FROM kept.metric WHERE service_id = 'points' GROUP BY series ORDER BY series}) }
# where each row is, and which transaction wrote or locked it
sub places { return $node->safe_psql('postgres', q{SELECT md5(string_agg(concat_ws(' ', ctid, xmin, xmax), ' ' ORDER BY ctid)) FROM kept.metric_day}) }
sub arrays { return $node->safe_psql('postgres', q{SELECT count(*), max(cardinality("values")) FROM kept.metric_day WHERE service_key = 0}) }

$node->safe_psql('postgres', q{INSERT INTO kept.service_key OVERRIDING SYSTEM VALUE VALUES (0, 'points')});
note_points(0, 2, '5 minutes', points_from(a => '0 hours', '2 hours', '5 minutes', 1) . ' UNION ALL ' . points_from(b => '0 hours', '2 hours', '5 minutes', 1));
note_points(1, 3, '5 minutes', points_from(a => '1 hours', '2 hours 30 minutes', '5 minutes', 2));
is(all_points(), "a|30|30|48|00:00|02:25\nb|24|24|24|00:00|01:55", 'points replace those of their time; a series that has gone keeps its own');
my $points_places = places();
note_points(1, 3, '5 minutes', points_from(a => '1 hours', '2 hours 30 minutes', '5 minutes', 2));
is(places(), $points_places, 'the same points again write nothing');
note_points(2, 4, '5 minutes', points_from(a => '2 hours', '4 hours', '5 minutes', 3) . ' UNION ALL ' . points_from(b => '3 hours 30 minutes', '4 hours', '5 minutes', 1));
is(all_points(), "a|48|48|108|00:00|03:55\nb|30|30|30|00:00|03:55", 'late points and a series that comes back');
is(arrays(), '2|48', 'in an array each');
note_points(3, 5, '1 minute', points_from(a => '3 hours', '5 hours', '1 minute', 4));
is(all_points(), "a|156|156|552|00:00|04:59\nb|30|30|30|00:00|03:55", 'points of another bucket');
note_points(4, 6, '5 minutes', points_from(a => '4 hours', '6 hours', '5 minutes', 5));
is(all_points(), "a|120|120|432|00:00|05:55\nb|30|30|30|00:00|03:55", 'and of the former one');
is(arrays(), '3|72', 'are an array for each bucket');
note_points(5, 7, '5 minutes', points_from(a => '5 hours 7 seconds', '7 hours', '5 minutes', 6));
is($node->safe_psql('postgres', q{SELECT count(*), bool_and(extract(second FROM "time") = 7) FROM kept.metric WHERE service_id = 'points' AND value = 6}), '24|t', 'points off the bucket keep their times');
note_points(-1, 1, '5 minutes', points_from(a => '-1 hours', '1 hours', '5 minutes', 7));
is($node->safe_psql('postgres', q{SELECT to_char(day, 'YYYY-MM-DD'), count(*), sum(value) FROM kept.metric WHERE service_id = 'points' AND value = 7 GROUP BY 1 ORDER BY 1}), "2026-05-03|12|84\n2026-05-04|12|84", 'days are those of UTC');

# Hostile responses
$node->safe_psql('postgres', 'DELETE FROM kept.metric_day WHERE service_key = 0');
note_points(0, 2, '5 minutes', q{VALUES ('m', 'a', '2026-05-04 01:00Z', 'NaN'::float8), ('m', 'a', '2026-05-04 01:05Z', 'Infinity'), ('m', 'a', '2026-05-04 01:10Z', '-Infinity'), ('m', 'a', '2026-05-04 01:15Z', NULL), ('m', 'a', '1970-01-01', 1), ('m', 'a', 'infinity', 1), ('m', 'a', '9999-01-01', 1), ('m', 'a', '2026-05-04 02:00Z', 1), ('m', 'a', NULL, 1), (NULL, 'a', '2026-05-04 01:20Z', 1), ('m', NULL, '2026-05-04 01:25Z', 1e300), ('m', 'a', '2026-05-04 01:30Z', 1e-300), ('m', 'a', '2026-05-04 01:30Z', 3)});
is($node->safe_psql('postgres', q{SELECT series, value, "time" FROM kept.metric WHERE service_id = 'points' ORDER BY series}), "|9.999999843067494e+17|2026-05-04 01:25:00+00\na|0|2026-05-04 01:30:00+00", 'of impossible points and times none is kept');
note_points(0, 2, '5 minutes', q{SELECT 'm', 'a', '2026-05-04 00:00Z'::timestamptz + i * interval '359.96 milliseconds', i FROM generate_series(0, 19999) i});
is(arrays(), '2|24', 'a series of 20,000 points without a step is put onto its buckets');
note_points(0, 2, '5 minutes', q{SELECT 'm', i::text, '2026-05-04 01:00Z'::timestamptz, i FROM generate_series(0, 19999) i});
is($node->safe_psql('postgres', q{SELECT count(*) FROM kept.metric_day WHERE service_key = 0}), 1002, 'of 20,000 series 1000 are kept');
$node->safe_psql('postgres', q{DELETE FROM kept.metric_day WHERE service_key = 0; DELETE FROM kept.service_key WHERE service_key = 0});

done_testing();
