# pg_cron runs what docs/history.md schedules, more often than it says, and shows
# that it succeeded, or failed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my ($node, $schedule) = start_cron_node('main', 'chpg.cache_ttl = 0', 'chpg.max_retries = 0');

my @jobs = slurp_file("$FindBin::RealBin/../../docs/history.md") =~ /^(SELECT cron\.schedule\('chpg [^\n]*\);)$/mg;
is(scalar @jobs, 3, 'the page schedules captures, purges and watches');
s/, '[^']*', /, '$schedule', / foreach @jobs;

# One more job captures from an API that fails.
my $failing = start_emulator();
reset_emulator($url, services => 2, patterns => 10);
reset_emulator($failing, services => 2, patterns => 10, seed => 7);
fault($failing, path => 'slowQueryPatterns', status => 500);
$node->safe_psql('postgres', 'CREATE EXTENSION pg_cron;' . connect_sql($url)
	  . "ALTER DATABASE postgres SET chpg.server = 'chpg'; SELECT chpg_connect('$KEY_ID', '$KEY_SECRET', 'failing', api_url => '$failing');"
	  . "SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '4 hours' WHERE name = 'backfill'; @jobs"
	  . "SELECT cron.schedule('failing', '$schedule', \$\$CALL chpg_capture(server => 'failing')\$\$)");

sub runs
{
	my ($job, $status) = @_;
	return $node->safe_psql('postgres', "SELECT count(*) FROM cron.job_run_details JOIN cron.job USING (jobid) WHERE jobname = '$job' AND status = '$status'");
}

wait_until(sub { runs('chpg capture', 'succeeded') > 0 }, 'a capture has succeeded');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM kept.capture WHERE status = 'ok'}), '>=', 2, 'a capture by pg_cron has captured');
wait_until(sub { runs('chpg purge', 'succeeded') > 0 }, 'a purge has succeeded');
wait_until(sub { runs('chpg watch', 'succeeded') > 0 }, 'a watch has succeeded');
wait_until(sub { runs('failing', 'failed') > 0 }, 'a capture has failed');
like($node->safe_psql('postgres', q{SELECT return_message FROM cron.job_run_details WHERE status = 'failed' LIMIT 1}), qr/could not capture \d+ of \d+ windows/, 'a failure is shown');
is(join(' ', (map { runs("chpg $_", 'failed') } qw(capture purge watch)), runs('failing', 'succeeded')), '0 0 0 0', 'and nothing else has failed');

# The same by a role that is no superuser, with the page's statements
my ($by_superuser, $by_role) = slurp_file("$FindBin::RealBin/../../docs/history.md") =~ /^-- as a superuser\n(.*?;)\n```.*?^-- as collector\n([^\n]*;)\n/ms;
$by_role =~ s/KEY_ID/$KEY_ID/;
$by_role =~ s/KEY_SECRET/$KEY_SECRET/;
$node->safe_psql('postgres', 'SELECT cron.unschedule(jobid) FROM cron.job; SELECT chpg_history_disable(); CREATE ROLE collector LOGIN; GRANT USAGE ON SCHEMA cron TO collector;' . $by_superuser);
$node->safe_psql('postgres', "$by_role; UPDATE fleet_history.setting SET value = '4 hours' WHERE name = 'backfill'; @jobs", extra_params => [ '-U', 'collector' ]);
# pg_cron may miss a change of its jobs while it cancels those that were unscheduled.
$node->restart;
wait_until(sub { runs('chpg capture', 'succeeded') > 0 }, 'a capture of the role has succeeded');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM fleet_history.capture WHERE status = 'ok'}), '>=', 2, 'a role that is no superuser captures');
wait_until(sub { runs("chpg $_", 'succeeded') > 0 }, "a $_ of the role has succeeded") for qw(purge watch);
is(join(' ', map { runs("chpg $_", 'failed') } qw(capture purge watch)), '0 0 0', 'purges, and watches');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT username, ' ') FROM cron.job_run_details JOIN cron.job USING (jobid, username)}), 'collector', 'with its own rights');

done_testing();
