# pg_cron collects slow query patterns, and shows failures.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $url = start_emulator();
my ($node, $schedule) = start_cron_node('main');

# Two jobs of an ordinary role, with a key of its own
$node->safe_psql('postgres',
	'CREATE EXTENSION pg_cron; CREATE EXTENSION chpg;'
	  . 'CREATE ROLE collector LOGIN;'
	  . 'GRANT USAGE ON SCHEMA cron TO collector;'
	  . 'GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO collector;'
	  . 'GRANT CREATE ON SCHEMA public TO collector');
fault($url, path => 'pg00000000000000000000000a', status => 500);
$node->safe_psql('postgres', <<"SQL", extra_params => [ '-U', 'collector' ]);
SELECT chpg_connect('$KEY_ID', '$KEY_SECRET', api_url => '$url');

CREATE TABLE top_patterns (
	collected_at timestamptz DEFAULT now(),
	service_id text,
	query_id bigint,
	query_text text,
	total_duration_us double precision
);

SELECT cron.schedule('collect', '$schedule', \$\$
	INSERT INTO top_patterns (service_id, query_id, query_text, total_duration_us)
	SELECT service_id, query_id, query_text, total_duration_us
	FROM chpg_slow_patterns(now() - interval '1 hour', now(), max_rows => 5)
\$\$);

SELECT cron.schedule('fail', '$schedule', \$\$
	SET chpg.max_retries = 0;
	SELECT * FROM chpg_service('pg00000000000000000000000a')
\$\$);
SQL

# Both jobs have run at least once.
wait_until(
	sub {
		$node->safe_psql('postgres',
			"SELECT count(DISTINCT jobid) FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')") == 2;
	},
	'both jobs have run');

is(outcome('collect'), 'succeeded|INSERT 0 30', 'the collecting job succeeds');
like($node->safe_psql('postgres', <<'SQL'), qr/^6\|5\|5\|t\|0$/, 'the job has collected five patterns of each service');
SELECT count(*), min(n), max(n), bool_and(slow), sum(incomplete)
FROM (SELECT count(*) AS n, min(total_duration_us) > 0 AS slow,
		count(*) FILTER (WHERE query_id IS NULL OR query_text IS NULL) AS incomplete
	FROM top_patterns WHERE collected_at = (SELECT min(collected_at) FROM top_patterns)
	GROUP BY service_id) s
SQL
like(outcome('fail'),
	qr/^failed\|ERROR: +could not read service "pg00000000000000000000000a": the API failed/,
	'the failing job has the error');

# How the first run of a job ended
sub outcome
{
	my ($job) = @_;
	return $node->safe_psql('postgres',
		"SELECT d.status, d.return_message FROM cron.job_run_details d JOIN cron.job USING (jobid)"
		  . " WHERE jobname = '$job' ORDER BY runid LIMIT 1");
}

done_testing();
