# The example listener of alerts/ mails each alert once, whatever ends it in between.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Alerts;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', "timezone = 'UTC'", 'jit = off');
my $directory = PostgreSQL::Test::Utils::tempdir();
my $SCRIPT = "$FindBin::RealBin/../../alerts/chpg-mail-alerts";

plant_findings($node);
sql('CREATE ROLE alerts LOGIN; GRANT USAGE ON SCHEMA kept TO alerts; GRANT SELECT ON kept.alert TO alerts');
append_to_file("$directory/mail", qq{#!/bin/sh\n{ echo "\$@"; cat; } >>"$directory/mails"\n});
chmod 0755, "$directory/mail";

sub mails { return -e "$directory/mails" ? slurp_file("$directory/mails") : '' }

# Run the listener in a process group of its own.
sub start_listener
{
	return start_process(sub {
		setpgrp;
		@ENV{qw(PGHOST PGPORT PGDATABASE PGUSER CHPG_HISTORY CHPG_MAIL CHPG_MAIL_TO STATE_DIRECTORY)} =
		  ($node->host, $node->port, 'postgres', 'alerts', 'kept', "$directory/mail", 'ops@example.com', $directory);
		exec $SCRIPT;
	});
}

sub stop_listener { my ($pid) = @_; kill 'TERM', -$pid; waitpid $pid, 0; return }

# What is there before it first runs is not mailed, nor are notifications that nobody gets
sql(find_sql('pg1', 'WARN', 7, 9) . find_sql('pg2', 'ERROR', 8) . q{UPDATE kept.service SET service_name = E'two\nBcc: x@example.com' WHERE service_id = 'pg2'});
watch_at(7);
my $pid = start_listener();
wait_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'alerts' AND query LIKE '%look%'}) eq '1' }, 'it listens');
sql(q{INSERT INTO kept.alert (alert_key, noted_at, as_of, transition, incident_id, finding_key, rule_id, kind, level, title)
	SELECT gen_random_uuid(), now(), now(), 'known', 'ntf-1', 'ntf-1', 'notification', 'notification', 'WARN', 'Old'});
watch_at(8);
wait_until(sub { mails() =~ /inc-.*\n/ }, 'a mail is sent');
my $first = qr/\A-s \[ERROR\] new: two Bcc: x\@example\.com: Title of CHPG501 ops\@example\.com\nchpg: 3000 after 1000 do inc-[0-9a-f]+\n/;
like(mails(), qr/$first\z/, 'an alert is mailed, in one line');
as_role('alerts', q{SELECT pg_notify('chpg_incident', '{"incident_id": "forged"}')});
stop_listener($pid);

# While it does not run, alerts are kept for it
watch_at($_) for 9, 10;
$pid = start_listener();
wait_until(sub { mails() =~ /resolved.*\nchpg: .*\n/ }, 'a mail is sent');
like(mails(), qr/$first-s \[WARN\] resolved: service 1: Title of CHPG501 ops\@example\.com\nchpg: It is over: found from [^\n]+ 3000 after 1000 inc-[0-9a-f]+\n\z/, 'each once, and nothing that was forged');
stop_listener($pid);

done_testing();
